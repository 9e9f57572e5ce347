"""`Settings`: ``lab.balancer.settings``. What the kernel of the balancer's network namespace is told, live.

A mapping from the kernel's own names to numbers, read and written where they live (``/proc/sys`` in the balancer's
node). What each means, and which may be written, is a table.
"""

import errno
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Literal

from labkit.errors import EngineError, PolicyError, UnknownName
from labkit.runtime.protocol import Node
from labkit.wording import near_miss, shown

Kind = Literal["seconds", "count", "flag", "ports"]
Value = int | tuple[int, int]
LIMITS = {"flag": (0, 1), "count": (0, 2**31 - 1), "seconds": (1, 2**31 // 1000)}  # it counts time in 1/1000 s or finer


@dataclass(frozen=True, slots=True)
class Setting:
    """One of them. fixed: why it cannot be written, empty if it can. lab: the lab sets it; *means* says why."""

    folder: str
    kind: Kind
    means: str
    fixed: str = ""
    lab: bool = False


_TCP = "nf_conntrack_tcp_timeout_"
_MACHINE = "it is the whole machine's, and without root it is read-only"
_MEASURED = "it is what the kernel counts, not what it is told"
SETTINGS: dict[str, Setting] = {
    **{
        f"{_TCP}{name}": Setting(
            "netfilter", "seconds", f"forgotten after so long without a packet: {when}", lab=lab
        )
        for name, when, lab in (
            ("syn_sent", "the SYN has no answer", False),
            ("syn_recv", "the handshake is not complete", False),
            ("established", "it is open", False),
            ("fin_wait", "one side has closed", False),
            ("close_wait", "the other has to close", False),
            ("last_ack", "the last acknowledgement is missing", False),
            ("time_wait", "both have closed; short, or new connections would soon find no free port", True),
            ("close", "it was reset; short, or its port would lead to who is gone", True),
            ("max_retrans", "packets are sent again and again", False),
            ("unacknowledged", "data is not acknowledged", False),
        )
    },
    "nf_conntrack_udp_timeout": Setting("netfilter", "seconds", "so long after a datagram without an answer"),
    "nf_conntrack_udp_timeout_stream": Setting("netfilter", "seconds", "so long after a datagram of a conversation"),
    "nf_conntrack_icmp_timeout": Setting("netfilter", "seconds", "so long after a ping"),
    "nf_conntrack_generic_timeout": Setting("netfilter", "seconds", "so long after a packet of any other protocol"),
    "nf_conntrack_tcp_loose": Setting(
        "netfilter", "flag", "1: connections may be picked up midway; 0, or late packets would choose", lab=True
    ),
    "nf_conntrack_tcp_be_liberal": Setting(
        "netfilter", "flag", "1: packets outside the window are translated too; none may meet lb itself", lab=True
    ),
    "nf_conntrack_acct": Setting("netfilter", "flag", "1: packets and bytes of each connection are counted", lab=True),
    "nf_conntrack_timestamp": Setting("netfilter", "flag", "1: when each connection began is kept", lab=True),
    "nf_conntrack_max": Setting("netfilter", "count", "connections that may be tracked", _MACHINE),
    "nf_conntrack_count": Setting("netfilter", "count", "connections tracked now", _MEASURED),
    "tcp_max_tw_buckets": Setting(
        "ipv4", "count", "sockets of lb in TIME_WAIT at most; few, in every host, or they hide the balancer", lab=True
    ),
    "tcp_fin_timeout": Setting("ipv4", "seconds", "a socket of lb waits so long for the other side to close"),
    "tcp_max_syn_backlog": Setting("ipv4", "count", "half-open connections that a listener of lb holds", lab=True),
    "somaxconn": Setting("core", "count", "connections that wait to be accepted at lb, at most", lab=True),
    "ip_local_port_range": Setting(
        "ipv4", "ports", "ports of lb's own connections: what a proxy has for each backend", lab=True
    ),
}  # fmt: skip

_FIXED = 'it is fixed since its container was made; in a lab of Lab(runtime="docker") or "netns" it can be set'


class Settings(MutableMapping[str, Value]):
    """Settings of the balancer's namespace: ``settings["nf_conntrack_tcp_timeout_established"] = 2``.

    Values are whole numbers; ``ip_local_port_range`` is a pair. They are in force at once, for what comes next: a
    time-out that is running goes on until the connection's next packet. UnknownName (a PolicyError and a KeyError) for
    what it does not have, PolicyError for a bad value and what is read-only; EngineError where the kernel refuses;
    nothing can be deleted.
    """

    def __init__(self, node: Callable[[], Node]) -> None:
        self._node = node

    def __getitem__(self, name: str) -> Value:
        setting = _known(name)
        found = self._read([_path(name, setting)])[0]
        if found is None:
            raise EngineError(f"This kernel has no setting {name}.")
        return _value(found)

    def __setitem__(self, name: str, value: Value) -> None:
        setting = _known(name)
        if setting.fixed:
            raise PolicyError(f"lab.balancer.settings[{name!r}] cannot be set: {setting.fixed}.")
        text = _text(name, setting, value)
        refused = self._node().call("labkit.balancer.settings:write", _path(name, setting), text)
        if refused:
            raise EngineError(f"The kernel of {self._node().name} refuses {name} = {text}: {refused}.")

    def __delitem__(self, name: str) -> None:
        raise PolicyError(f"lab.balancer.settings has {shown(name)} as long as the kernel has it: set another value.")

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, Value]:
        """Those that this kernel has, in one call."""
        found = self._read([_path(name, setting) for name, setting in SETTINGS.items()])
        return {name: _value(text) for name, text in zip(SETTINGS, found, strict=True) if text is not None}

    def _read(self, paths: list[str]) -> list[str | None]:
        return list(self._node().call("labkit.balancer.settings:read", paths))

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        return "\n".join(f"{name:{widths[0]}}  {value:>{widths[1]}}  {means}" for name, value, means in rows)

    def _repr_html_(self) -> str:
        cells = (
            f"<tr><td><code>{escape(name)}</code></td><td>{escape(value)}</td><td>{escape(means)}</td></tr>"
            for name, value, means in self._rows()
        )
        return f"<table>{''.join(cells)}</table>"

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = []
        for name, value in self._all().items():
            setting = SETTINGS[name]
            number = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            unit = " s" if setting.kind == "seconds" else ""
            notes = "".join(
                f" ({note})" for note in ("set by the lab" * setting.lab, "read-only" * bool(setting.fixed)) if note
            )
            rows.append((name, number + unit, setting.means + notes))
        return rows


def read(paths: list[str], root: str = "/proc/sys") -> list[str | None]:
    """Run in the node: what each says, None where the kernel has no such thing."""
    return [path.read_text().strip() if (path := Path(root, each)).exists() else None for each in paths]


def write(path: str, text: str, root: str = "/proc/sys") -> str:
    """Run in the node: why it was refused; empty if it was taken."""
    try:
        Path(root, path).write_text(text)
    except OSError as error:
        return _FIXED if error.errno == errno.EROFS else error.strerror or "refused"
    return ""


def _known(name: object) -> Setting:
    if not isinstance(name, str) or name not in SETTINGS:
        raise UnknownName(
            f"lab.balancer.settings has no {shown(name)}{near_miss(name, SETTINGS)}; "
            "print lab.balancer.settings to see all."
        )
    return SETTINGS[name]


def _path(name: str, setting: Setting) -> str:
    return f"net/{setting.folder}/{name}"


def _value(text: str) -> Value:
    numbers = [int(word) for word in text.split()]
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _text(name: str, setting: Setting, value: object) -> str:
    """As the kernel takes it; PolicyError for what is no such value."""
    if setting.kind == "ports":
        pair = isinstance(value, tuple | list) and len(value) == 2 and all(_whole(each, 1, 65535) for each in value)
        if pair and value[0] <= value[1]:  # type: ignore[index]
            return f"{value[0]} {value[1]}"  # type: ignore[index]
        raise PolicyError(
            f"lab.balancer.settings[{name!r}] is a pair of ports, as in (10000, 65000), not {shown(value)}."
        )
    least, most = LIMITS[setting.kind]
    if not _whole(value, least, most):
        what = "seconds, a whole number" if setting.kind == "seconds" else "a whole number"
        raise PolicyError(f"lab.balancer.settings[{name!r}] is {what} from {least} to {most}, not {shown(value)}.")
    return str(value)


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
