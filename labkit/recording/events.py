"""Which events are sound: the border at which what a file says is judged, so that nobody behind it has to.

The kinds and their keys are described in `model`. An event of an unknown kind is sound if it has a kind and a time:
a later labkit may have written it. Keys that a kind does not know are left as they are.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from labkit.wording import inert

Check = Callable[[Any], bool]
LATEST_NS: Final = 2**63 - 1


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any, most: int = LATEST_NS) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _port(value: Any) -> bool:
    return _number(value, 0xFFFF)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _one_of(*choices: str) -> Check:
    return lambda value: isinstance(value, str) and value in choices


def _list_of(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def _pair(first: Check, second: Check) -> Check:
    return lambda value: isinstance(value, list) and len(value) == 2 and first(value[0]) and second(value[1])


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _pools(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_TEXTS, value.values()))


def _having(required: Mapping[str, Check], optional: Mapping[str, Check]) -> Check:
    """A dictionary with all of *required*, and *optional* keys of the right kind where there are any."""
    texts = tuple(key for key, right in required.items() if right is _text)
    needed = tuple((key, right) for key, right in required.items() if right is not _text)
    maybe_texts = tuple(key for key, right in optional.items() if right is _MAYBE_TEXT)
    allowed = tuple((key, right) for key, right in optional.items() if right is not _MAYBE_TEXT)
    nothing_or_text = (str, type(None))

    def check(value: Any) -> bool:  # loops, and no calls for mere texts: a large capture has very many events
        if not isinstance(value, dict):
            return False
        for key in texts:
            if not isinstance(value.get(key), str):
                return False
        for key in maybe_texts:
            if not isinstance(value.get(key), nothing_or_text):
                return False
        for key, right in needed:
            if key not in value or not right(value[key]):
                return False
        return not any([not right(value[key]) for key, right in allowed if key in value])

    return check


_TEXTS: Final = _list_of(_text)
_MAYBE_TEXT: Final = _or_none(_text)
_MAYBE_TIME: Final = _or_none(_number)
_FIELDS: Final = _list_of(_pair(_text, _text))
_END: Final = _pair(_text, _port)
_ID: Final = _or_none(lambda value: isinstance(value, str | int))
_SIDE: Final = _having({}, {"id": _ID, "client": _or_none(_END), "server": _or_none(_END), "proto": _MAYBE_TEXT})
_ROLE: Final = _one_of("client", "balancer", "router", "backend")
_NODE: Final = _having({"name": _text, "role": _ROLE, "addresses": _TEXTS}, {"interfaces": _TEXTS})

_SHAPES: Final[Mapping[str, tuple[Mapping[str, Check], Mapping[str, Check]]]] = {  # required keys, optional keys
    "topology": ({"nodes": _list_of(_NODE)}, {"pools": _pools, "vip": _TEXTS, "runtime": _text}),
    "mode": ({"mode": _one_of("l4", "l7")}, {"engine": _MAYBE_TEXT}),
    "rules": ({}, {"text": _text, "reads": _or_none(_TEXTS)}),
    "fault": ({"fault": _text, "state": _one_of("begun", "ended")}, {"text": _text}),
    "loss": ({"vantage": _text, "dropped": _number}, {"since_ns": _number}),
    "health": (
        {"backend": _text, "state": _text},
        {"port": _or_none(_port), **dict.fromkeys(("transport", "was", "check", "reason"), _MAYBE_TEXT)},
    ),
    "probes": ({"addresses": _TEXTS}, {"kept": _flag}),
    "secrets": ({"lines": _TEXTS}, {"leg": _or_none(_one_of("front", "back", "through"))}),
    "decision": (
        {"proto": _text, "client": _text, "client_port": _port, "server": _text, "server_port": _port},
        {
            "mode": _one_of("l4", "l7"),
            "backend": _MAYBE_TEXT,
            "backend_address": _MAYBE_TEXT,
            "backend_port": _or_none(_port),
            "rule": _MAYBE_TEXT,
            "read": _or_none(_TEXTS),
        },
    ),
    "relay": (
        {},
        {
            **dict.fromkeys(("relay", "rule", "backend", "sni", "error"), _MAYBE_TEXT),
            **dict.fromkeys(("started_ns", "decided_ns", "ended_ns"), _MAYBE_TIME),
            **dict.fromkeys(("bytes_out", "bytes_in"), _or_none(_number)),
            **dict.fromkeys(("read", "held"), _or_none(_TEXTS)),
            **dict.fromkeys(("front", "back"), _or_none(_SIDE)),
        },
    ),
    "request": (
        {},
        {
            **dict.fromkeys(
                ("request", "method", "target", "host", "version", "rule", "backend", "error"), _MAYBE_TEXT
            ),
            **dict.fromkeys(("started_ns", "decided_ns", "ended_ns"), _MAYBE_TIME),
            **dict.fromkeys(("front_stream", "back_stream", "status"), _or_none(_number)),
            **dict.fromkeys(("read", "held", "tried"), _or_none(_TEXTS)),
            **dict.fromkeys(("front", "back"), _or_none(_SIDE)),
            **dict.fromkeys(("headers_received", "headers_forwarded"), _or_none(_FIELDS)),
            "websocket": _or_none(_flag),
            "headers_partly": _or_none(_flag),
        },
    ),
}
_KINDS: Final = {kind: _having(*shape) for kind, shape in _SHAPES.items()}
_EVENT: Final = _having({"kind": _text, "time_ns": _number}, {})


def is_sound(event: Any) -> bool:
    """Whether *event* (of parsed JSON) is one that every part of labkit can read."""
    return _EVENT(event) and _KINDS.get(event["kind"], _EVENT)(event)


def are_sound(columns: Mapping[str, Collection[Any]]) -> bool:
    """Whether all events of one kind are sound that have these keys, and of each key these values, one or many."""
    kinds = columns.get("kind", ())
    if len(kinds) != 1 or not all(map(_text, kinds)):
        return False
    required, optional = _SHAPES.get(next(iter(kinds)), ({}, {}))
    needed = {"time_ns": _number, **required}
    if not columns.keys() >= needed.keys():
        return False
    checks: dict[str, Check] = {**optional, **needed}
    return all(all(map(right, columns[key])) for key, right in checks.items() if key in columns)


class Harmless(dict[str, Any]):
    """An event of which it is known that there is nothing in its texts that could act on a terminal or a page."""


def inert_event(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """*event* with all its texts made harmless to show (`labkit.wording.inert`); rules keep their lines."""
    if isinstance(event, Harmless):
        return event
    return {inert(key): _inert(value, lines=key == "text") for key, value in event.items()}


def _inert(value: Any, *, lines: bool = False) -> Any:
    if isinstance(value, str):
        return "\n".join(map(inert, value.split("\n"))) if lines else inert(value)
    if isinstance(value, dict):
        return {inert(key): _inert(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_inert, value))
    return value
