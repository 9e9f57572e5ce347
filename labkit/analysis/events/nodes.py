"""Whose addresses and vantage points these are: names and roles from the recording's `topology` event.

A recording without one still has nodes: addresses stand for them, vantage points name their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from labkit.recording import Recording


@dataclass(frozen=True)
class Nodes:
    """roles: node -> "client", "balancer", "router" or "backend", in the topology's order (empty without one).

    owners: address -> node. at_vantage: the node of each of the recording's vantage points. macs: the MAC addresses of
    all interfaces, as numbers; empty where the recording does not tell them. runtime: where the nodes live, or "".
    """

    roles: Mapping[str, str]
    owners: Mapping[str, str]
    addresses: Mapping[str, str]
    at_vantage: tuple[str, ...]
    macs: frozenset[int] = frozenset()
    runtime: str = ""

    @classmethod
    def of(cls, recording: Recording) -> "Nodes":
        roles: dict[str, str] = {}
        owners: dict[str, str] = {}
        first: dict[str, str] = {}
        macs: list[int] = []
        runtime = ""
        for event in recording.of_kind("topology"):
            runtime = str(event.get("runtime", ""))
            for node in event["nodes"]:
                macs += [int(mac.replace(":", ""), 16) for mac in node.get("macs", ())]
                roles[node["name"]] = node["role"]
                owners.update((canonical(address), node["name"]) for address in node["addresses"])
                if node["addresses"]:
                    first[node["name"]] = canonical(node["addresses"][0])
            balancer = next((name for name, role in roles.items() if role == "balancer"), None)
            if balancer is not None:
                owners.update((canonical(address), balancer) for address in event.get("vip", ()))
        at_vantage = tuple(vantage.node or vantage.name.partition(":")[0] for vantage in recording.vantages)
        return cls(roles, owners, first, at_vantage, frozenset(macs), runtime)

    @property
    def balancer(self) -> str | None:
        return next((name for name, role in self.roles.items() if role == "balancer"), None)

    def at(self, address: str) -> str:
        """The node with that address, or the address itself."""
        return self.owners.get(address, address)

    @property
    def backends_seen(self) -> set[str]:
        """Backends that have a vantage point."""
        return {name for name in self.at_vantage if self.roles.get(name) == "backend"}

    def is_balancer(self, vantage: int) -> bool:
        return self.roles.get(self.at_vantage[vantage]) == "balancer"


def canonical(address: str) -> str:
    """An address as the index writes it: shortest form, IPv4 in IPv6 (RFC 4291 §2.5.5.2) as IPv4. Names stay."""
    try:
        parsed = ip_address(address.partition("%")[0].partition("/")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)


def endpoint(address: str, port: int) -> str:
    """ "10.0.1.11:40000", "[fd00::1]:80" (RFC 3986 §3.2.2)."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
