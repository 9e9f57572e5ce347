"""What backends are told of the client: X-Forwarded-* and Forwarded (RFC 7239). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Literal, get_args

from labkit.errors import PolicyError
from labkit.wording import shown

Style = Literal["x", "rfc7239", "both"]
_NAMES = frozenset({"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"})
Lines = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, init=False)
class Forwarded:
    """``forwarded=True`` for short: X-Forwarded-For, -Proto and -Host, made new for every client.

    style: ``"x"``, ``"rfc7239"`` (the one field Forwarded), or ``"both"``. trust: addresses or networks of proxies
    whose own word is kept and added to; what anybody else says of it is taken out.
    """

    style: Style
    trust: tuple[str, ...]

    def __init__(self, style: Any = "x", trust: Any = ()) -> None:
        if style not in get_args(Style):
            raise PolicyError(f"Forwarded({shown(style)}): the style is {', '.join(map(repr, get_args(Style)))}.")
        if isinstance(trust, str) or not isinstance(trust, Sequence):
            raise PolicyError(f'Forwarded(trust={shown(trust)}): it is a list of addresses, as in ["10.0.1.11"].')
        networks = []
        for each in trust:
            try:
                networks.append(str(ip_network(str(getattr(each, "address", each)))))
            except ValueError:
                raise PolicyError(
                    f"Forwarded(trust=[{shown(each)}]): it is an address or a network, such as 10.0.1.0/24."
                ) from None
        object.__setattr__(self, "style", style)
        object.__setattr__(self, "trust", tuple(networks))

    def trusts(self, client: str) -> bool:
        address = ip_address(client)
        return any(address in network for network in map(ip_network, self.trust) if network.version == address.version)

    def made(self, lines: Sequence[tuple[str, str]], client: str, scheme: str, host: str) -> Lines:
        """The request's *lines* as the backend is to see them."""
        trusted = self.trusts(client)
        said = {name: [value for key, value in lines if key.lower() == name] for name in _NAMES} if trusted else {}
        found = [(name, value) for name, value in lines if name.lower() not in _NAMES]
        if self.style in ("x", "both"):
            found.append(("X-Forwarded-For", ", ".join([*said.get("x-forwarded-for", []), client])))
            found.append(("X-Forwarded-Proto", (said.get("x-forwarded-proto") or [scheme])[0]))
            found.append(("X-Forwarded-Host", (said.get("x-forwarded-host") or [host])[0]))
        if self.style in ("rfc7239", "both"):
            node = f'"[{client}]"' if ":" in client else client
            ours = f'for={node};proto={scheme};host="{host}"'
            found.append(("Forwarded", ", ".join([*said.get("forwarded", []), ours])))
        return found


def forwarded_of(given: object) -> Forwarded | None:
    """What ``l7(forwarded=...)`` means. PolicyError for what it cannot."""
    if isinstance(given, Forwarded):
        return given
    if given is True:
        return Forwarded()
    if given is False or given is None:
        return None
    raise PolicyError(
        f"lab.balancer.l7(forwarded={shown(given)}): write forwarded=True, or Forwarded(style=..., trust=[...])."
    )
