"""A line of Envoy's log as the ``request`` event of `labkit.recording.model` that it tells of. Pure.

Which route matched, which backend and which connections are Envoy's own word. The fields read are those that the routes
up to that one look at. Envoy parses the whole head before it chooses a route, so every field of it is held, those too
that its log does not repeat: ``http.header.*``.
"""

import json
from collections.abc import Mapping
from typing import Any

from labkit.balancer.l7.looks import CERTIFICATE, looked_at
from labkit.balancer.policy import L7Policy

from .edge import largest_body
from .names import NO_ROUTE, REFUSED

QUIC = "HTTP/3"  # the version of HTTP that comes over it
_TUNNEL, _END = "DownstreamTunnelSuccessfullyEstablished", "DownstreamEnd"
_BEFORE_ROUTES = frozenset((308, 400, 413, 421))  # what scripts answer whatever the route
_MOST_LOOKED = 1000
_LOOKED: dict[tuple[Any, ...], tuple[L7Policy, tuple[str, ...]]] = {}
_NO_FAILURE = frozenset(("-", "NR", "RL", "UAEX"))  # no route, rate-limited, not authorized: decisions, not failures
_FAILURES = {
    "DC": "the client went away",
    "DPE": "the request breaks the rules of HTTP",
    "DR": "the client reset its request",
    "DT": "the request took too long",
    "LR": "the balancer reset it",
    "NC": "its backends are not known",
    "OM": "the balancer is overloaded",
    "SI": "nothing was sent for too long",
    "UC": "the backend's connection ended before its answer did",
    "UF": "the backend could not be reached",
    "UH": "no backend takes requests",
    "UO": "too many requests are under way to the backends",
    "UPE": "the backend's answer breaks the rules of HTTP",
    "UR": "the backend reset the request",
    "URX": "no further attempt is made",
    "UT": "the backend took too long",
}


def event_of(
    line: bytes, life: int, serial: int, policies: Mapping[int, L7Policy], ports: Mapping[int, int]
) -> dict[str, Any] | None:
    """The event of line number *serial* of the *life*-th Envoy; None for a line that tells of no request's answer.

    policies: by version. ports: Envoy's own port -> the one that clients ask for.
    """
    try:
        told = json.loads(line)
    except ValueError:
        return None
    status = told.get("status") or None
    if told.get("kind") not in (_TUNNEL, _END) or (told["kind"] == _END and status == 101):
        return None  # an upgraded connection was told of when it began
    began = int(told["began"])
    asked = told.get("asked") if not told.get("body") else None
    policy, number = _route(told.get("route") or "", policies)
    scripted = status in _BEFORE_ROUTES and (told.get("details") or "").startswith("lua")
    if scripted and not (status == 413 and _too_long(told, policy, number)):
        number = None  # a script answered before any route was asked
    ended = began + (told.get("answered") or told.get("answering") or told.get("heard") or asked or 0)
    front = _side(told, life, "front", ("client", "server", "tls"))
    assert front
    front["server"][1] = ports.get(front["server"][1], front["server"][1])
    if told.get("issued"):
        front["certificate"] = [name for name in (told.get("certificate") or "").split(",") if name]
    headers = _headers(told)
    multiplexed = told.get("version") in ("HTTP/2", QUIC)
    if told.get("version") == QUIC:
        front["proto"] = "UDP"
    return {
        "kind": "request",
        "time_ns": ended,
        "request": f"envoy{life}.{serial}",
        "method": told.get("method") or "",
        "target": told.get("said") or told.get("target") or "",
        "host": told.get("host") or "",
        "version": told.get("version") or "",
        "sni": told.get("sni"),
        "status": status,
        "rule": policy.routes[number].label if policy and number is not None else None,
        "backend": told.get("backend"),
        "read": list(_reads(policy, number, "tls" in front, ":" in front["client"][0])) if policy else [],
        "held": _held(told, front, headers) if told.get("method") else [],
        "started_ns": began,
        "decided_ns": began + (asked or 0) if policy else None,
        "ended_ns": ended,
        "front": front,
        "back": _side(told, life, "back", ("back_client", "back_server", "back_tls")),
        "front_stream": None,
        "back_stream": None,
        "headers_received": headers if multiplexed or not told.get("host") else [["host", told["host"]], *headers],
        "headers_partly": True,
        "headers_forwarded": None,
        "websocket": status == 101,
        "error": _error(told),
    }


def _route(name: str, policies: Mapping[int, L7Policy]) -> tuple[L7Policy | None, int | None]:
    """The policy that was in force, and the number of its route that matched; both None where nothing was decided."""
    version, _, place = name.partition(":")
    policy = policies.get(int(version)) if version.isdecimal() else None
    return policy, int(place) if policy and place != NO_ROUTE else None


def _too_long(told: Mapping[str, Any], policy: L7Policy | None, number: int | None) -> bool:
    """Whether it was the route that took no body of that length."""
    most = largest_body(policy, policy.routes[number]) if policy and number is not None else None
    length = str((told.get("headers") or {}).get("content-length", ""))
    return most is not None and length.isdecimal() and int(length) > most


def _reads(policy: L7Policy, number: int | None, secure: bool, six: bool) -> tuple[str, ...]:
    """The fields behind the decision: Envoy looks at header fields before the path, in any order."""
    key = (id(policy), number, secure, six)
    if key not in _LOOKED:
        if len(_LOOKED) > _MOST_LOOKED:
            _LOOKED.clear()
        _LOOKED[key] = (policy, looked_at(policy, number, secure=secure, six=six))  # the policy, lest its id be reused
    return _LOOKED[key][1]


def _headers(told: Mapping[str, Any]) -> list[list[str]]:
    return [[name, value] for name, value in (told.get("headers") or {}).items()]


def _side(told: Mapping[str, Any], life: int, number: str, keys: tuple[str, str, str]) -> dict[str, Any] | None:
    """One connection: its id, the addresses of both ends, and TLS where that was spoken."""
    client, server, tls = (told.get(key) for key in keys)
    if not client or not server:
        return None
    side = {"id": f"envoy{life}-{told.get(number)}", "client": endpoint(client), "server": endpoint(server)}
    return side | ({"tls": tls} if tls else {})


def endpoint(text: str) -> list[Any]:
    """``10.0.1.11:40000`` as [ip, port]."""
    address, _, port = text.rpartition(":")
    return [address.strip("[]"), int(port)]


def _held(told: Mapping[str, Any], front: Mapping[str, Any], headers: list[list[str]]) -> list[str]:
    """Names of all fields in Envoy's hands: what its sockets tell, and the head. Bodies are passed on as they come."""
    network = "ip6" if ":" in front["client"][0] else "ip"
    transport = "udp" if front.get("proto") == "UDP" else "tcp"
    names = [f"{network}.src", f"{network}.dst", f"{transport}.sport", f"{transport}.dport"]
    if "tls" in front:
        names += ["tls.version", *(["tls.sni"] if told.get("sni") else []), "tls.alpn"]
        names += [CERTIFICATE] if "certificate" in front else []
    names += ["http.method", "http.target", *(["http.host"] if told.get("host") else [])]
    return [
        *names,
        *("http.cookie" if name == "cookie" else f"http.header.{name}" for name, _ in headers),
        "http.header.*",
    ]


def _error(told: Mapping[str, Any]) -> str | None:
    """What went wrong, in words, with Envoy's own after them."""
    route = told.get("route") or ""
    if route.startswith(REFUSED):
        return str(route.removeprefix(REFUSED))
    if not _flags(told) and (route or (told.get("status") or 0) < 400):
        return None
    return failure(told) or f" ({_said(told)})"


def failure(told: Mapping[str, Any]) -> str | None:
    """What Envoy's flags say went wrong, in words; None where they say nothing did."""
    flags = ", ".join(_FAILURES.get(flag, flag) for flag in _flags(told))
    return f"{flags} ({_said(told)})" if flags else None


def _flags(told: Mapping[str, Any]) -> list[str]:
    return [flag for flag in (told.get("flags") or "-").split(",") if flag not in _NO_FAILURE]


def _said(told: Mapping[str, Any]) -> str:
    said = told.get("failure") or told.get("trailing") or told.get("details") or ", ".join(_flags(told))
    return str(said).replace("_", " ")
