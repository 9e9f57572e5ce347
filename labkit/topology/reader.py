"""Reads a topology from a TOML file: text to values, each fault with its place in the file.

What the values must obey is `validate`'s; it is asked before anything is returned. The format is described in
docs/topology.md.
"""

import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_network,
)
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from .message import error, shown
from .model import Interface, Link, Listener, Node, Topology
from .validate import MAX_NODES, validate, validate_links

MAX_BYTES = 4_000_000  # a thousand nodes take 100 kB


def read(path: str | os.PathLike[str]) -> Topology:
    """The topology that the TOML file at *path* describes, validated. TopologyError says what is wrong where."""
    source = os.fspath(path)
    document = _Table(source, "", _parse(source, _text(source)))
    document.only("name", "links", "nodes", "pools", "listeners")
    links = tuple(_link(document.table("links").table(name), name) for name in document.table("links"))
    places: dict[tuple[str, str, int], str] = {}
    nodes = document.table("nodes")
    if len(nodes) > MAX_NODES:
        nodes.fail("", f"{len(nodes):,} nodes are more than one machine carries", f"use at most {MAX_NODES:,}")
    pools = _pools(document.table("pools", required=False))
    listeners = tuple(_listener(table) for table in document.tables("listeners"))
    validate_links(links, source)  # where they overlap, an address would be given to the wrong one
    topology = Topology(
        name=document.text("name", Path(source).stem),
        links=links,
        nodes=tuple(_node(nodes.table(name), name, links, places) for name in nodes),
        pools=pools,
        listeners=listeners,
        source=source,
    )
    validate(topology, places)
    return topology


def _text(source: str) -> str:
    try:
        status = os.stat(source)
        if not stat.S_ISREG(status.st_mode):
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise error(source, "", f"this is {what}", "name a TOML file")
        if status.st_size > MAX_BYTES:
            wrong = f"the file has {status.st_size:,} bytes, a topology has at most {MAX_BYTES:,}"
            raise error(source, "", wrong, "name a TOML file that describes a lab")
        return Path(source).read_bytes().decode("utf-8")
    except FileNotFoundError as cause:
        raise error(source, "", "there is no such file", "check its name, or use Lab() for the default lab") from cause
    except UnicodeDecodeError as cause:
        raise error(source, "", f"byte {cause.start} is not UTF-8", "save the file as UTF-8 text") from cause
    except (OSError, ValueError) as cause:
        why = getattr(cause, "strerror", None) or cause
        raise error(source, "", f"it cannot be read ({why})", "check its name and permissions") from cause


def _parse(source: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as cause:
        raise error(source, "", f"this is not TOML: {cause}", "mend it; docs/topology.md shows the format") from cause


def _link(table: "_Table", name: str) -> Link:
    table.only("subnets")
    subnets: dict[int, IPv4Network | IPv6Network] = {}
    for place, text in table.texts("subnets"):
        try:
            subnet = ip_network(text)
        except ValueError as cause:
            raise error(table.source, place, f"{cause}", 'write a subnet as in "10.0.1.0/24"') from cause
        if subnet.version in subnets:
            wrong = f"the link has an IPv{subnet.version} subnet already"
            raise error(table.source, place, wrong, "keep one of each family")
        subnets[subnet.version] = subnet
    subnet4, subnet6 = subnets.get(4), subnets.get(6)
    if not isinstance(subnet4, IPv4Network):
        table.fail("subnets", "the link has no IPv4 subnet", 'add one, as in "10.0.1.0/24"')
    return Link(name, subnet4, subnet6 if isinstance(subnet6, IPv6Network) else None)


def _node(table: "_Table", name: str, links: Iterable[Link], places: dict[tuple[str, str, int], str]) -> Node:
    """Each address goes to the link whose subnet holds it; interfaces keep the order of their first addresses."""
    table.only("role", "addresses")
    found: dict[str, dict[int, IPv4Interface | IPv6Interface]] = {}
    for place, text in table.texts("addresses"):
        try:
            address = ip_address(text)
        except ValueError as cause:
            remedy = 'write an address alone, as in "10.0.1.11"; its subnet comes from its link'
            raise error(table.source, place, f"{shown(text)} is not an address", remedy) from cause
        link, interface = _home(address, links) or (None, None)
        if link is None or interface is None:
            subnets = " or ".join(str(subnet) for each in links for subnet in (each.subnet4, each.subnet6) if subnet)
            raise error(table.source, place, f"{address} is in no link's subnet", f"use a host address of {subnets}")
        on_link = found.setdefault(link.name, {})
        if address.version in on_link:
            wrong = f"{name} has an IPv{address.version} address on link {link.name!r} already"
            raise error(table.source, place, wrong, "keep one of each family")
        on_link[address.version] = interface
        places[name, link.name, address.version] = place
    return Node(name, table.text("role"), tuple(_interface(table, *item) for item in found.items()))  # type: ignore[arg-type]


def _home(
    address: IPv4Address | IPv6Address, links: Iterable[Link]
) -> tuple[Link, IPv4Interface | IPv6Interface] | None:
    for link in links:
        if isinstance(address, IPv4Address) and address in link.subnet4:
            return link, IPv4Interface((address, link.subnet4.prefixlen))
        if isinstance(address, IPv6Address) and link.subnet6 and address in link.subnet6:
            return link, IPv6Interface((address, link.subnet6.prefixlen))
    return None


def _interface(table: "_Table", link: str, addresses: Mapping[int, IPv4Interface | IPv6Interface]) -> Interface:
    address4, address6 = addresses.get(4), addresses.get(6)
    if not isinstance(address4, IPv4Interface):
        table.fail("addresses", f"no IPv4 address on link {link!r}", "add one beside the IPv6 address")
    return Interface(link, address4, address6 if isinstance(address6, IPv6Interface) else None)


def _pools(table: "_Table") -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({name: tuple(text for _, text in table.texts(name)) for name in table})


def _listener(table: "_Table") -> Listener:
    table.only("port", "protocol", "name", "backend_port", "through")
    return Listener(
        port=table.number("port"),
        protocol=table.text("protocol", "http"),  # type: ignore[arg-type]
        name=table.text("name", ""),
        backend_port=table.number("backend_port", 0),
        through=table.number("through", 0),
    )


class _Table:
    """A TOML table that knows its place and hands out values of the type asked for, or fails there."""

    def __init__(self, source: str, place: str, values: object) -> None:
        self.source = source
        self.place = place
        if not isinstance(values, dict):
            self.fail("", f"a table is wanted here, not {_kind(values)}", "docs/topology.md shows the format")
        self.values: dict[str, Any] = values

    def __iter__(self) -> Any:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def at(self, key: str) -> str:
        return ".".join(part for part in (self.place, shown(key) if key else "") if part)

    def fail(self, key: str, wrong: str, remedy: str) -> NoReturn:
        raise error(self.source, self.at(key), wrong, remedy)

    def only(self, *known: str) -> None:
        """Refuse keys that mean nothing, with the one that was probably meant."""
        for key in self.values:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                self.fail(
                    key,
                    "this key means nothing here",
                    f"did you mean {near[0]!r}?" if near else f"use {', '.join(known)}",
                )

    def _get(self, key: str, kind: type, default: Any) -> Any:
        value = self.values.get(key, default)
        if value is None:
            self.fail(key, "this is missing", f"add {key!r}; docs/topology.md shows the format")
        if type(value) is not kind:
            self.fail(key, f"{_KINDS[kind]} is wanted here, not {_kind(value)}", "docs/topology.md shows the format")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        value: str = self._get(key, str, default)
        return value

    def number(self, key: str, default: int | None = None) -> int:
        value: int = self._get(key, int, default)
        return value

    def table(self, key: str, *, required: bool = True) -> "_Table":
        return _Table(self.source, self.at(key), self._get(key, dict, None if required else {}))

    def tables(self, key: str) -> "list[_Table]":
        return [
            _Table(self.source, f"{self.at(key)}[{index}]", value)
            for index, value in enumerate(self._get(key, list, []))
        ]

    def texts(self, key: str) -> list[tuple[str, str]]:
        """(place, text) of a list of texts."""
        items = [(f"{self.at(key)}[{index}]", value) for index, value in enumerate(self._get(key, list, None))]
        for place, value in items:
            if not isinstance(value, str):
                raise error(self.source, place, f"text is wanted here, not {_kind(value)}", 'put it in quotes: "…"')
        return items


_KINDS = {str: "text", int: "a whole number", dict: "a table", list: "a list", bool: "true or false", float: "a number"}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), f"a {type(value).__name__}")
