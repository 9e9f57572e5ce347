"""What Envoy says in the balancer's name: short plain-text answers, in the same words as the inspecting engine's."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from labkit.balancer.policy import L7Policy

from . import edits

# Envoy's response flag -> status of the answer, what is said. Envoy itself would say 503 to all of them.
_FAILED = (
    ("UF", 502, "the balancer cannot reach {backend} ({where}): {why}"),
    ("UC", 502, "the balancer got no whole answer from {backend} ({where})"),
    ("UR", 502, "the balancer got no whole answer from {backend} ({where})"),
    ("UPE", 502, "the balancer cannot read the answer of {backend} ({where})"),
)
_WORDS = {
    "backend": "%UPSTREAM_HOST_NAME_WITHOUT_PORT%",
    "where": "%UPSTREAM_HOST%",
    "why": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}


def text(status: int, reason: str) -> str:
    """The body of an answer."""
    return f"{status} {HTTPStatus(status).phrase}: {reason}\n"


def local_replies(fields: Mapping[str, str | None]) -> dict[str, Any]:
    """How answers that Envoy gives because something failed are worded. fields: what all of them say (`edits.said`)."""
    added = edits.all_of(fields)
    said = {"headers_to_add": added} if added else {}
    mappers = [
        {
            "filter": {"response_flag_filter": {"flags": [flag]}},
            "status_code": status,
            "body_format_override": {"text_format_source": {"inline_string": text(status, reason.format(**_WORDS))}},
            **said,
        }
        for flag, status, reason in _FAILED
    ]
    if said:
        mappers.append({"filter": {"not_health_check_filter": {}}, **said})  # all others
    return {"mappers": mappers}


def no_route(policy: L7Policy) -> dict[str, Any]:
    """The answer where no route matches."""
    routes = ", ".join(route.label for route in policy.routes) or "none"
    return _said(404, f"no route of the balancer matches %REQ(:PATH)% (routes: {_literal(routes)})")


def nobody(pool: str) -> dict[str, Any]:
    """The answer where a pool has no backend that takes requests."""
    return _said(503, f"no backend of the pool {_literal(pool)} takes requests")


def too_large(most: int) -> dict[str, Any]:
    """The answer to a body of more than *most* bytes."""
    return _said(413, f"this route takes bodies of {most} bytes at most")


def refusal(reason: str) -> dict[str, Any]:
    """The answer to a request that breaks the rules of HTTP."""
    return _said(400, reason)


def _said(status: int, reason: str) -> dict[str, Any]:
    return {"status": status, "body_format": {"text_format_source": {"inline_string": text(status, reason)}}}


def _literal(words: str) -> str:
    return words.replace("%", "%%")
