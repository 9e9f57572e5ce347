"""What was observed, in words that mean the same on every runtime: nodes for addresses, "port" for a client's port.

A lab on Docker may live on other subnets than the topology's, every run has other ports, numbers and times. What is
left when those are named is what the runtimes must agree on. Times are not turned into words: scenarios leave them out.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_interface
from typing import Any

from labkit import Lab

_PORTS = 10_000  # from here on a port is one that a kernel chose
_V4 = r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"
_V6 = r"(?<![\w:])(?:[0-9a-f]{1,4}:){1,7}(?::|[0-9a-f]{1,4}|(?::[0-9a-f]{1,4})+)(?![\w:])"
_MAC = r"(?<![\w:])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![\w:])"
_WORDS = re.compile(f"(?P<mac>{_MAC})|(?P<net>(?:{_V4}|{_V6})/\\d+)|(?P<address>{_V4}|{_V6})")


class Names:
    """The names of one lab's addresses. An address that is nobody's stays as it is, so that it is seen.

    >>> names.text("10.0.1.11:40000 → 10.0.1.10:80")
    'alice:port → vip:80'
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._known = dict(_addresses(lab))
        self._macs: dict[str, str] = {}

    def learn_macs(self, macs: Mapping[str, str]) -> None:
        """macs: MAC address -> the vantage point whose interface has it."""
        self._macs.update(macs)

    @property
    def known(self) -> Mapping[str, str]:
        """Address -> name."""
        return self._known

    def address(self, address: object) -> str:
        """The owner of an address; IPv6 ones say so: "alice/6". One of a link that is no host's: "some of front"."""
        if (told := str(address)) in self._known:
            return self._known[told]
        with contextlib.suppress(ValueError):
            bare = ip_interface(told).ip
            for link in self._lab.topology.links:
                if any(subnet and bare in subnet for subnet in (link.subnet4, link.subnet6)):
                    return f"some of {link.name}"
        return told

    def mac(self, address: object) -> str:
        owner = self._macs.get(str(address))
        return f"mac of {owner}" if owner else str(address)

    def end(self, address: object, port: object) -> str:
        """ "alice:port", "vip:80"."""
        return f"{self.address(address)}:{port_name(port)}"

    def text(self, text: str) -> str:
        """*text* with every address, MAC address, subnet and client's port in it named."""
        named = _WORDS.sub(self._named, text)
        return re.sub(r"(?<=[\w\])]:)(\d{5})\b", lambda found: port_name(found[1]), named)

    def plain(self, value: Any) -> Any:
        """The same for any plain data: text by `text`, a pair of address and port as one end."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.plain(key): self.plain(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            if len(value) == 2 and str(value[0]) in self._known and isinstance(value[1], int):
                return self.end(*value)
            return type(value)(self.plain(one) for one in value)
        return value

    def _named(self, found: re.Match[str]) -> str:
        if found["mac"]:
            return self.mac(found["mac"])
        return self.address(found["net"] or found["address"])


def port_name(port: object) -> str:
    return "port" if int(str(port)) >= _PORTS else str(port)


def _addresses(lab: Lab) -> Iterator[tuple[str, str]]:
    topology = lab.topology
    for link in topology.links:
        yield str(link.subnet4), f"net {link.name}"
        if link.subnet6:
            yield str(link.subnet6), f"net {link.name}/6"
    for node in topology.nodes:
        for vantage, interface in zip(node.vantages, node.interfaces, strict=True):
            yield str(interface.address4.ip), vantage
            yield str(interface.address4), f"{vantage} on its net"
            if interface.address6:
                yield str(interface.address6.ip), f"{vantage}/6"
                yield str(interface.address6), f"{vantage}/6 on its net"
    yield str(topology.vip4), "vip"
    if topology.vip6:
        yield str(topology.vip6), "vip/6"
