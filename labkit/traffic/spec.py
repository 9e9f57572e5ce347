"""What a user may pass to ``get``, ``post`` and ``request``, checked and made plain data for the worker."""

from collections.abc import Iterable, Mapping
from typing import Any

from labkit.errors import TrafficError

HeadersIn = Mapping[str, str] | Iterable[tuple[str, str]]
LARGEST = 48 * 1024 * 1024
LONGEST = 86_400  # seconds: nothing here goes on for more than a day


def request_spec(
    method: str,
    url: str,
    headers: HeadersIn | None,
    cookies: Mapping[str, str] | None,
    body: bytes | str | None,
    timeout: float,
) -> dict[str, Any]:
    """The *spec* that `labkit.traffic.http.Session.exchange` takes. TrafficError, as a lesson, for what is wrong."""
    pairs = header_pairs(headers)
    if cookies and any(name.lower() == "cookie" for name, _ in pairs):
        raise TrafficError("give cookies= or a Cookie header, not both: a request has one of them (RFC 6265 §5.4)")
    content = body.encode() if isinstance(body, str) else body or b""
    if not isinstance(content, bytes | bytearray | memoryview):
        kind = type(body).__name__
        raise TrafficError(f"a body is bytes or text, not {kind}: body=json.dumps(...) sends it as JSON")
    if len(content) > LARGEST:
        raise TrafficError(f"a body of {len(content)} bytes is over the {LARGEST} that a client here can send")
    return {
        "method": check_text("a method", method, "GET"),
        "url": check_text("a URL", url, "http://lb/"),
        "headers": pairs,
        "cookies": {str(name): str(value) for name, value in (cookies or {}).items()},
        "body": bytes(content),
        "timeout": check_seconds("timeout", timeout),
    }


def header_pairs(headers: HeadersIn | None) -> list[list[str]]:
    """[[name, value]] in the order given; a list of pairs may repeat a name."""
    if headers is None:
        return []
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    try:
        return [[str(name), str(value)] for name, value in pairs]
    except (TypeError, ValueError) as error:
        raise TrafficError("headers are a dictionary, or a list of (name, value) pairs") from error


def check_text(what: str, value: str, example: str) -> str:
    """*value*, if it is text; TrafficError with an example if it is not."""
    if not isinstance(value, str):
        raise TrafficError(f"{what} is text, for example {example!r}, not {value!r}")
    return value


def check_port(port: int) -> int:
    """*port*, if it is a whole number (whether there is such a port is found out where it is used)."""
    if isinstance(port, bool) or not isinstance(port, int):
        raise TrafficError(f"a port is a whole number, for example 80, not {port!r}")
    return port


def check_seconds(what: str, seconds: float) -> float:
    """*seconds* as a number of seconds above 0; TrafficError if it is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST:
        raise TrafficError(f"{what} is a number of seconds above 0, at most {LONGEST}, not {seconds!r}")
    return float(seconds)
