"""Why a client says no to an option, as tables: what each call takes, and what people ask of it besides.

An option that means nothing here is refused by name, before anything is sent; one that is not built yet says so.
"""

from collections.abc import Iterable

from labkit.errors import TrafficError
from labkit.wording import near_miss

REQUEST = ("headers", "cookies", "body", "timeout", "http2", "http3", "tls", "certificate")
WEBSOCKET = ("headers", "timeout", "tls", "certificate")
LOAD = ("connections", "seconds", "requests", "new_connections", "headers", "cookies", "timeout", "background")
RUN = ("timeout", "background")
CALL = ("timeout",)
TCP = ("timeout",)
UDP: tuple[str, ...] = ()
SEND = ("interface",)
SR1 = ("timeout", "interface")
SR = ("timeout", "interface", "multi")

_SAID = {
    "json": "body=json.dumps(...) sends JSON",
    "data": "body= takes bytes or text",
    "content": "body= takes bytes or text",
    "params": "the query is written in the URL, as in http://lb/?a=1",
    "allow_redirects": "redirects are never followed",
    "follow_redirects": "redirects are never followed",
    "auth": "an Authorization header says who asks: headers={'Authorization': ...}",
    "method": "request() takes the method",
    "args": "call() passes what follows the function: call(function, 1, 2)",
    "kwargs": "a lambda can name arguments: call(lambda: function(a=1))",
    "verify": "certificates are always verified, by the lab's own CA",
    **dict.fromkeys(("cert", "client_certificate"), "certificate=True shows this host's own, by the lab's CA"),
    **dict.fromkeys(("sni", "server_hostname"), "the name in the URL is what the certificate is asked for (SNI)"),
    **dict.fromkeys(("tls_version", "ssl", "ssl_version"), 'tls="1.2" or tls="1.3" forces a version'),
    **dict.fromkeys(("ciphers", "cipher"), "OpenSSL's own choice of ciphers stands"),
    **dict.fromkeys(("http2", "http3", "tls", "proxy", "proxies"), "it is not built yet"),
    "iface": "interface= names the way out",
    "verbose": "it prints nothing anyway",
    **dict.fromkeys(("inter", "retry", "count", "loop", "filter"), "send in a loop of your own"),
    **dict.fromkeys(("stream", "files", "rate", "rps"), "it is not built yet"),
}


def refuse_unknown(call: str, given: Iterable[str], takes: tuple[str, ...]) -> None:
    """TrafficError for the first of *given* that *call* does not take; it says what there is instead."""
    for name in given:
        if name not in takes:
            hint = f": {_SAID[name]}" if name in _SAID else near_miss(name, takes)
            there_is = f"it takes {', '.join(takes)}" if takes else "it takes none"
            raise TrafficError(f"{call}() has no option {name!r}{hint}; {there_is}")
