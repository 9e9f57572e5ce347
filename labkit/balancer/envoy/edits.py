"""Header fields that Envoy changes on their way, for one route and for all. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from labkit.balancer.l7.actions import Edit
from labkit.balancer.l7.tls import HSTS
from labkit.balancer.policy import L7Policy

from .names import Place

NAME = "labkit-balancer"  # the pseudonym in Via
_SET, _ADD = "OVERWRITE_IF_EXISTS_OR_ADD", "APPEND_IF_EXISTS_OR_ADD"
_FORWARDING = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded")
SAID_PROTO = "x-labkit-said-proto"  # what the client wrote as X-Forwarded-Proto
CLIENT = "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"


def of_route(edit: Edit | None, way: str) -> dict[str, Any]:
    """The changes of a route's *edit*. way: request or response."""
    if edit is None:
        return {}
    set_ = [_field(name, literal(value), _SET) for name, value in edit.set]
    added = [_field(name, literal(value), _ADD) for name, value in edit.add]
    return {f"{way}_headers_to_add": [*set_, *added], f"{way}_headers_to_remove": list(edit.remove)}


def of_answers(edit: Edit | None, said: Mapping[str, str | None]) -> dict[str, Any]:
    """The changes of answers: a route's *edit*, and what all of them say (`said`)."""
    if not said:
        return of_route(edit, "response")
    found = of_route(edit, "response") or {"response_headers_to_add": [], "response_headers_to_remove": []}
    names = {name.lower() for name in said}
    kept = [one for one in found["response_headers_to_add"] if one["header"]["key"].lower() not in names]
    return {
        "response_headers_to_add": [*kept, *all_of(said)],
        "response_headers_to_remove": [*found["response_headers_to_remove"], *said],
    }


def said(policy: L7Policy, place: Place) -> dict[str, str | None]:
    """What every answer at *place* says of HTTPS and of HTTP/3, by the field's name; None: it is taken out."""
    secure = place.listener.protocol == "https"
    found: dict[str, str | None] = {}
    if policy.tls and policy.tls.hsts is not None:
        found[HSTS] = f"max-age={policy.tls.hsts}" if secure else None
    if policy.http3 and secure and not place.quic:
        found["Alt-Svc"] = f'h3=":{place.listener.port}"'
    return found


def all_of(said: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """The fields that `said` has a value for."""
    return [fixed(name, value) for name, value in said.items() if value is not None]


def of_requests(policy: L7Policy, *, secure: bool, six: bool) -> list[dict[str, Any]]:
    """What is added to every request: where it came through, its number, and whom it is from."""
    added = [_field("Via", f"%PROTOCOL% {NAME}", _ADD)]
    if policy.request_id:
        added.append(_field("X-Request-Id", "%UNIQUE_ID%", _SET))
    if policy.forwarded is None:
        added.append({**_field("X-Forwarded-Proto", f"%REQ({SAID_PROTO})%", _SET), "keep_empty_value": False})
    elif not policy.forwarded.trust:
        style = policy.forwarded.style
        if style in ("x", "both"):
            added.append(_field("X-Forwarded-For", CLIENT, _SET))
            added.append(_field("X-Forwarded-Proto", "https" if secure else "http", _SET))
            added.append(_field("X-Forwarded-Host", "%REQ(:AUTHORITY)%", _SET))
        if style in ("rfc7239", "both"):
            node = f'"[{CLIENT}]"' if six else CLIENT
            said = f'for={node};proto={"https" if secure else "http"};host="%REQ(:AUTHORITY)%"'
            added.append(_field("Forwarded", said, _SET))
    return added


def removed(policy: L7Policy, more: Iterable[str]) -> list[str]:
    """What is taken out of every request: what clients say of themselves, where the balancer says it."""
    if policy.forwarded is None:
        return ["x-forwarded-proto", *more]  # Envoy's own
    return [*more] if policy.forwarded.trust else [*_FORWARDING, *more]


def literal(text: str) -> str:
    """*text* where Envoy would look for ``%COMMANDS%``."""
    return text.replace("%", "%%")


def fixed(name: str, value: str) -> dict[str, Any]:
    """A field with one value."""
    return _field(name, literal(value), _SET)


def _field(name: str, value: str, action: str) -> dict[str, Any]:
    return {"header": {"key": name, "value": value}, "append_action": action, "keep_empty_value": True}
