"""Requests that Envoy would pass on, though a backend might read them otherwise: routes before the policy's own. Pure.

What is refused is what `labkit.balancer.syntax` refuses, as far as Envoy's routes can see it.
"""

from typing import Any

from . import matches, names, replies

_PORT = r"[0-5]?[0-9]{1,4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_HOST = rf"([0-9A-Za-z_\-]+(\.[0-9A-Za-z_\-]+)*\.?|\[[0-9A-Fa-f:.]+\])(:({_PORT}))?"


def routes() -> list[dict[str, Any]]:
    """The first routes wherever Envoy listens."""
    return [
        # Envoy joins several Host fields by commas (RFC 9112 §3.2)
        _refused("more than one Host field", {"name": ":authority", "string_match": {"contains": ","}}),
        _refused(
            "a host that is no name or address with an optional port",  # RFC 9110 §4.2, §7.2
            {"name": ":authority", **matches.regex(_HOST), "invert_match": True},
        ),
        # a number that some read as octal; RFC 9110 §8.6 allows it
        _refused("a Content-Length with leading zeros", {"name": "content-length", **matches.regex("0[0-9]+")}),
    ]


def _refused(what: str, condition: matches.Matcher) -> dict[str, Any]:
    return {
        "name": f"{names.REFUSED}{what}",
        "match": {"prefix": "", "headers": [condition]},
        "direct_response": replies.refusal(f"the request has {what}"),
    }
