"""What ends TLS and what follows from it: `Tls`, and the answers that it alone decides. Pure.

Certificates are made by the lab, and the handshake is the engine's; here is what both have to keep to.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import quote

from labkit.balancer.l7.admission import Reply
from labkit.balancer.l7.request import Watched
from labkit.errors import PolicyError
from labkit.wording import shown

Clients = Literal["optional", "required"]
Lines = list[tuple[str, str]]
HSTS = "Strict-Transport-Security"
_YEAR = 365 * 24 * 3600
_MOST_SECONDS = 2**31 - 1
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")  # what a client may have named; it is repeated to that client alone
_ABSOLUTE = re.compile(r"\Ahttps?://[^/?#]*", re.IGNORECASE)  # of absolute-form (RFC 9112 §3.2.2)
_IN_URLS = "".join(map(chr, range(0x21, 0x7F)))
_EXAMPLE = 'Tls(names=["shop.test"], redirect=True, hsts=True, clients="optional")'


@dataclass(frozen=True, slots=True, init=False)
class Tls:
    """How HTTPS listeners end TLS: ``l7(tls=Tls(names=["shop.test"], redirect=True, hsts=True, clients="optional"))``.

    names: further host names, in small letters. Each has a certificate of its own from the lab's CA, for that name and
    no other; the SNI (RFC 6066 §3) chooses it, whatever its case. Without SNI, and for any other, the VIP's certificate
    is shown. The lab's hosts resolve the names to the VIP's IPv4 address from then on. A request over TLS for one of
    *names* on a connection with another certificate, or for any other host on a connection with that of a name, is
    answered 421 (RFC 9110 §15.5.20); a request without a host is not. Without names nobody is.

    redirect: a request in clear is answered 308 with the same host, path and query under ``https://``, with the port of
    the first HTTPS listener unless it is 443; no route is asked, and no backend contacted. 400 if it names no host.

    hsts: every answer over TLS that the router gives or passes on has ``Strict-Transport-Security: max-age=`` and these
    seconds (True: a year), in place of the backend's own; none in clear has it (RFC 6797 §7). None: nothing is changed.

    clients: ``"optional"``: the handshake asks for a certificate of the lab's CA; ``"required"``: and without one it
    fails. Whoever shows another CA's, or one that is not for clients (extended key usage), fails in both. In
    ``"required"`` a request on a TLS connection that began before is answered 421: the client may open another. The
    names in it, of kind DNS, are what `ClientCertificate` judges. Listeners in clear ask for none.

    http3: HTTPS listeners speak HTTP/3 too (RFC 9114, over QUIC), at their ports of UDP, and every answer over TLS on
    TCP that the router gives or passes on says so in one ``Alt-Svc: h3=":443"`` (RFC 7838 §3), in place of the
    backend's own. Envoy alone speaks it, and asks for no client certificates there.
    """

    names: tuple[str, ...]
    redirect: bool
    hsts: int | None
    clients: Clients | None
    http3: bool

    def __init__(
        self, names: Any = (), redirect: Any = False, hsts: Any = None, clients: Any = None, http3: Any = False
    ) -> None:
        if not isinstance(redirect, bool):
            raise PolicyError(f"Tls(redirect={shown(redirect)}): True sends requests in clear to https://, or False.")
        if clients not in (None, "optional", "required"):
            raise PolicyError(
                f'Tls(clients={shown(clients)}): "optional" asks clients for a certificate of the lab\'s CA, '
                '"required" also refuses those without; None asks for none.'
            )
        object.__setattr__(self, "names", _names(names))
        object.__setattr__(self, "redirect", redirect)
        object.__setattr__(self, "hsts", _seconds(hsts))
        object.__setattr__(self, "clients", clients)
        if not isinstance(http3, bool):
            raise PolicyError(f"Tls(http3={shown(http3)}): True speaks HTTP/3 over UDP too, or False.")
        object.__setattr__(self, "http3", http3)


def tls_of(given: object, hosts: Iterable[str]) -> Tls | None:
    """What ``l7(tls=...)`` means in a lab of *hosts*; None: TLS is not ended. PolicyError for what it cannot be."""
    if isinstance(given, bool):
        return Tls() if given else None
    if not isinstance(given, Tls):
        raise PolicyError(
            f"lab.balancer.l7(tls={shown(given)}): tls is True or False, or as in {_EXAMPLE}; the certificates are the "
            "lab's own."
        )
    taken = {name for host in hosts for name in (host.lower(), f"ip6-{host.lower()}")} | {"localhost", "ip6-localhost"}
    for name in given.names:
        if name in taken:
            raise PolicyError(
                f"lab.balancer.l7(tls=Tls(names=[{name!r}])): {name} is a host of this lab already, and lb has a "
                "certificate for its own name anyway: choose another one, such as shop.test."
            )
    return given


def at_the_door(tls: Tls, request: Watched, port: int) -> Reply | None:
    """The answer to a request that no route is to see, or None. port: of HTTPS, where a redirect leads."""
    if not request.unwatched.secure:
        return _elsewhere(request, port) if tls.redirect else None
    if tls.clients == "required" and request.certificate is None:
        return Reply(421, "this connection began before certificates were asked for: open another one")
    if tls.names and (host := request.host):
        served = request.sni if request.sni in tls.names else None
        if served is not None and host != served:
            return Reply(421, f"the certificate of this connection is for {served}, not for {host}")
        if served is None and host in tls.names:
            return Reply(
                421, f"{host} has a certificate of its own, and this connection another: begin one with its SNI"
            )
    return None


def answered(tls: Tls | None, lines: Sequence[tuple[str, str]], *, secure: bool) -> Lines:
    """The *lines* of an answer as the client is to see them. secure: it goes over TLS."""
    if tls is None or tls.hsts is None:
        return list(lines)
    kept = [(name, value) for name, value in lines if name.lower() != HSTS.lower()]
    return [*kept, (HSTS, f"max-age={tls.hsts}")] if secure else kept


def _elsewhere(request: Watched, port: int) -> Reply:
    host, target = request.host, request.unwatched.target
    request.note("http.target")
    if not _HOST.fullmatch(host):
        return Reply(400, "requests in clear are sent to https://, and this one names no host to go to")
    path = quote(_ABSOLUTE.sub("", target).encode("latin-1"), safe=_IN_URLS)
    path = "/" if path == "*" else path if path.startswith("/") else f"/{path}"
    where = f"https://{host}{'' if port == 443 else f':{port}'}{path}"
    return Reply(308, f"see {where}", (("Location", where),))


def _names(given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise PolicyError(f'Tls(names={shown(given)}): names is a list of host names, as in ["shop.test"].')
    found = tuple(name.lower() if isinstance(name, str) else name for name in given)
    for name in found:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 253 or _is_address(name):
            raise PolicyError(
                f"Tls(names=[{shown(name)}]): it is a whole host name of letters, digits, hyphens and dots "
                '(RFC 1123 §2.1), as in "shop.test". A certificate for * could be made, but no name looked up.'
            )
        if found.count(name) > 1:
            raise PolicyError(f"Tls(names=[…]): {name} is named twice: once is enough, its case does not matter.")
    return found


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _seconds(given: object) -> int | None:
    if given is None or given is False:
        return None
    if given is True:
        return _YEAR
    if not isinstance(given, int) or not 0 <= given <= _MOST_SECONDS:
        raise PolicyError(
            f"Tls(hsts={shown(given)}): it is how many seconds browsers shall use https:// alone, as in hsts=31536000, "
            "True for a year, or None."
        )
    return given
