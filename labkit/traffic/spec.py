"""What a user may pass to a client, checked and made plain data for the worker.

Text is text: nothing else is turned into it, so that what goes over the wire is what was written. Whatever is wrong
raises TrafficError, as a lesson, before anything is sent.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from labkit.errors import TrafficError
from labkit.wording import encodable, shown

Word = str | bytes
"""A name or value of a header or cookie; bytes are taken as they are (latin-1)."""
HeadersIn = Mapping[str, Word] | Mapping[bytes, Word] | Iterable[tuple[Word, Word]]
CookiesIn = Mapping[str, Word] | Mapping[bytes, Word]
Data = str | bytes | bytearray | memoryview

TLS_VERSIONS = ("1.2", "1.3")
LARGEST = 48 * 1024 * 1024
LONGEST = 86_400  # seconds: nothing here goes on for more than a day


def request_spec(
    method: str,
    url: str,
    headers: HeadersIn | None,
    cookies: CookiesIn | None,
    body: Data | None,
    timeout: float,
    http2: bool = False,
    http3: bool = False,
    tls: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The *spec* that `labkit.traffic.http.Session.exchange` takes. TrafficError for what is wrong.

    tls: from `tls_options`.
    """
    pairs = header_pairs(headers)
    given = _cookies(cookies)
    if given and any(name.lower() == "cookie" for name, _ in pairs):
        raise TrafficError("give cookies= or a Cookie header, not both: a request has one of them (RFC 6265 §5.4)")
    if check_flag("http2", http2) and not tls:
        raise TrafficError(f"http2=True is for https:// URLs, not {shown(url)}: HTTP/2 is agreed on within TLS (ALPN)")
    if check_flag("http3", http3):
        _check_http3(url, http2, tls)
    return {
        "method": check_text("a method", method, "GET"),
        "url": check_text("a URL", url, "http://lb/"),
        "headers": pairs,
        "cookies": given,
        "body": b"" if body is None else check_data("a body", body, "body=json.dumps(...) sends it as JSON"),
        "timeout": check_seconds("timeout", timeout),
        "http2": http2,
        "http3": http3,
        "tls": tls,
    }


def _check_http3(url: object, http2: bool, tls: dict[str, Any] | None) -> None:
    if not tls:
        raise TrafficError(f"http3=True is for https:// URLs, not {shown(url)}: QUIC, which carries it, has TLS in it")
    if http2:
        raise TrafficError("give http2=True or http3=True, not both: a request is sent once")
    if tls["version"] not in (None, "1.3"):
        raise TrafficError(f"tls={shown(tls['version'])} is not for http3=True: QUIC speaks TLS 1.3 (RFC 9001 §4.2)")
    if "certificate" in tls:
        raise TrafficError(
            "certificate=True is not for http3=True: the balancer asks for no client certificates over QUIC. "
            "Leave http3= out."
        )


def tls_options(
    url: object, version: object, trust: Callable[[], str], own: Callable[[], list[str]] | None = None
) -> dict[str, Any] | None:
    """What `labkit.traffic.tls.handshake` takes; None for a *url* without TLS. *trust*: gives the root, as PEM; *own*:
    the client's certificate and key, if it shows them.

    TrafficError for a *version* that is none, and for what is given where there is no TLS.
    """
    if version is not None and version not in TLS_VERSIONS:
        choices = " or ".join(f'"{choice}"' for choice in TLS_VERSIONS)
        raise TrafficError(
            f"tls is the version of TLS to speak, {choices}, not {shown(version)}: leave it out for both"
        )
    secure = isinstance(url, str) and url.partition("://")[0].lower() in ("https", "wss")
    if version is not None and not secure:
        raise TrafficError(f"tls={shown(version)} is for https:// and wss:// URLs, not {shown(url)}")
    if own and not secure:
        raise TrafficError(f"certificate=True is for https:// and wss:// URLs, not {shown(url)}: without TLS none asks")
    if not secure:
        return None
    return {"trust": trust(), "version": version, **({"certificate": own()} if own else {})}


def header_pairs(headers: HeadersIn | None) -> list[list[str]]:
    """[[name, value]] in the order given; a list of pairs may repeat a name. TrafficError if they are none."""
    if headers is None:
        return []
    if isinstance(headers, str | bytes) or not isinstance(headers, Iterable):
        raise TrafficError(f"headers are a dictionary, or a list of (name, value) pairs, not {shown(headers)}")
    pairs = []
    for pair in headers.items() if isinstance(headers, Mapping) else headers:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TrafficError(f"headers are a dictionary, or a list of (name, value) pairs; {shown(pair)} is no pair")
        pairs.append(_named("header", *pair))
    return pairs


def _cookies(cookies: CookiesIn | None) -> dict[str, str]:
    if cookies is None:
        return {}
    if not isinstance(cookies, Mapping):
        raise TrafficError(f"cookies are a dictionary of names and values, not {shown(cookies)}")
    return dict(_named("cookie", name, value) for name, value in cookies.items())


def _named(kind: str, name: object, value: object) -> list[str]:
    return [_word(f"the name of a {kind}", name), _word(f"the value of the {kind} {shown(name)}", value)]


def _word(what: str, value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if value is None:
        raise TrafficError(f"{what} is text, not None: leave it out to send none")
    if not isinstance(value, str):
        raise TrafficError(f"{what} is text, not {shown(value)}: write it as text, for example with str(...)")
    return _whole(what, value)


def check_text(what: str, value: str, example: str) -> str:
    """*value*, if it is text; TrafficError with an example if it is not."""
    if not isinstance(value, str):
        raise TrafficError(f"{what} is text, for example {example!r}, not {shown(value)}")
    return _whole(what, value)


def check_data(what: str, data: Data, hint: str = "text goes as UTF-8") -> bytes:
    """*data* as bytes; text goes as UTF-8. TrafficError if it is neither, or too much to send at once."""
    if isinstance(data, str):
        content = _whole(what, data).encode()
    elif isinstance(data, bytes | bytearray | memoryview):
        content = bytes(data)
    else:
        raise TrafficError(f"{what} is text or bytes, not {type(data).__name__}: {hint}")
    if len(content) > LARGEST:
        raise TrafficError(f"{what} of {len(content)} bytes is over the {LARGEST} that a client here can send")
    return content


def check_port(port: int) -> int:
    """*port*, if it is one that a connection can be made to; TrafficError ("bad port" if there is no such port)."""
    check_whole("a port", port, None)
    if not 1 <= port <= 65535:
        error = TrafficError(f"port {shown(port)} does not exist: ports go from 1 to 65535")
        error.cause = "bad port"
        raise error
    return port


def check_whole(what: str, number: int, least: int | None = 1, most: int | None = None) -> int:
    """*number*, if it is a whole number from *least* to *most*; TrafficError if it is not."""
    whole = isinstance(number, int) and not isinstance(number, bool)
    if not whole or (least is not None and number < least) or (most is not None and number > most):
        bounds = ("" if least is None else f" from {least}") + ("" if most is None else f" to {most}")
        raise TrafficError(f"{what} is a whole number{bounds or ', for example 80'}, not {shown(number)}")
    return number


def check_seconds(what: str, seconds: float) -> float:
    """*seconds* as a number of seconds above 0; TrafficError if it is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= LONGEST:
        raise TrafficError(f"{what} is a number of seconds above 0, at most {LONGEST}, not {shown(seconds)}")
    return float(seconds)


def check_flag(what: str, value: bool) -> bool:
    """*value*, if it is True or False; TrafficError if it is anything else."""
    if not isinstance(value, bool):
        raise TrafficError(f"{what} is True or False, not {shown(value)}")
    return value


def _whole(what: str, text: str) -> str:
    if not encodable(text):
        raise TrafficError(
            f"{what} has half a character in it, which cannot be sent (a lone surrogate): {shown(text)}. "
            "Give whole characters, or bytes where bytes are taken."
        )
    return text
