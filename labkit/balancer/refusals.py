"""Why the balancer says no, as tables: one sentence of reason for every thing people ask of the wrong layer.

Pure text. `plan` decides when to refuse and raises; here is only what is said.
"""

from labkit.balancer.l4_refusals import ALSO_CALLED, ONLY_AT_L7, ONLY_L7
from labkit.wording import near_miss

L4_TAKES = ("algorithm", "backends", "pool", "weights", "style", "proxy_protocol", "sni")
L7_TAKES = (
    *("routes", "engine", "tls", "reencrypt", "sticky", "algorithm", "weights", "hash_on", "forwarded", "request_id"),
    *("compress", "retries", "timeouts", "ejection", "circuit", "limits"),
)

_AT_L4 = dict(ONLY_AT_L7)
_AT_L4["engine"] = (
    'L4 has no engine to choose: the kernel\'s nftables forward, and with style="proxy" Envoy relays TCP. '
    "lab.balancer.l7(engine=...) has."
)

_AT_L7 = {
    name: f"lab.balancer.l7() takes no {name}: a request goes where its route says. "
    'Name the pool in a route, as in l7(routes=[Route("*", pool="api")]).'
    for name in ("backends", "pool")
}
_AT_L7["style"] = (
    "lab.balancer.l7() has no style: styles say how packets are passed on, and at L7 none is. The client's connection "
    "ends here, and another leads from lb to the backend, which sees lb's address. l4(style=...) passes packets on."
)

_OF_TLS = {
    "ciphers": "takes a choice of ciphers: with TLS 1.2 it is ECDHE with AES-GCM or ChaCha20-Poly1305, with 1.3 what "
    "that has. A client's version can be forced, as in get(tls='1.2')",
    "versions": "chooses TLS versions: 1.2 and 1.3 are spoken. A client's can be forced, as in get(tls='1.2')",
    "http2": "switches HTTP/2: clients that offer it by ALPN get it. Use l7(tls=True), and get(..., http2=True)",
}
_AT_L7 |= {name: f"No engine built now {reason}." for name, reason in _OF_TLS.items()}
_IN_TLS = {
    "mtls": ("asks clients for certificates", 'clients="required"'),
    "certificate": ("makes certificates for further names, by the lab's own CA", 'names=["shop.test"]'),
    "sni": ("chooses the certificate by SNI, and routes by host", 'names=["shop.test"]'),
    "hsts": ("tells browsers to use https:// alone", "hsts=True"),
    "http3": ("speaks HTTP/3, over QUIC, with the engine envoy", "http3=True"),
}
_AT_L7 |= {
    name: f"lab.balancer.l7() has no {name}: tls= takes what {does}, as in l7(tls=Tls({how}))."
    for name, (does, how) in _IN_TLS.items()
}
_AT_L4 |= {
    name: "L4 has no say in TLS: it chooses the backend on the SYN, before there is a ClientHello, and only forwards "
    f"the handshake between client and backend. {ONLY_L7}"
    for name in (*_OF_TLS, *_IN_TLS)
    if name not in ONLY_AT_L7 and name not in L4_TAKES
}
_AT_L4["http3"] = (
    "L4 forwards UDP as it is, in every style, and no backend speaks HTTP/3 (QUIC) here. The balancer does, with "
    'lab.balancer.l7(tls=Tls(http3=True), engine="envoy").'
)

_SAME = {
    **ALSO_CALLED,
    **dict.fromkeys(("client_certificate", "client_certificates", "client_auth", "verify_clients", "clients"), "mtls"),
    **dict.fromkeys(("cipher", "cipher_suites"), "ciphers"),
    **dict.fromkeys(("version", "tls_version", "tls_versions", "min_version", "max_version"), "versions"),
    **dict.fromkeys(("certificates", "cert", "certs", "key", "ca", "names"), "certificate"),
    "strict_transport_security": "hsts",
    **dict.fromkeys(("h2", "alpn"), "http2"),
    **dict.fromkeys(("h3", "quic"), "http3"),
    **dict.fromkeys(("re_encrypt", "backend_tls", "upstream_tls"), "reencrypt"),
    "weight": "weights",
    **dict.fromkeys(("algo", "balance", "scheduler"), "algorithm"),
}

_NOT_BUILT = frozenset({*_AT_L4, "health", "seed"})


def l4_refusal(name: str) -> str:
    """Why ``lab.balancer.l4(name=...)`` is refused."""
    return _AT_L4.get(_SAME.get(name, name)) or _unknown("l4", name, L4_TAKES)


def l7_refusal(name: str) -> str:
    """Why ``lab.balancer.l7(name=...)`` is refused."""
    return _AT_L7.get(_SAME.get(name, name)) or _unknown("l7", name, L7_TAKES)


def _unknown(mode: str, name: str, takes: tuple[str, ...]) -> str:
    meant = _SAME.get(name, name)
    if meant in takes:
        return f"lab.balancer.{mode}() has no argument {name!r} (did you mean {meant!r}?): it takes {', '.join(takes)}."
    if meant in _NOT_BUILT:
        return f"lab.balancer.{mode}() has no {name} yet: built now are {', '.join(takes)}."
    return f"lab.balancer.{mode}() has no argument {name!r}{near_miss(name, takes)}: it takes {', '.join(takes)}."
