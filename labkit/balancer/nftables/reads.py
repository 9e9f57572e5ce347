"""Which fields of a packet rules look at: read off their loads, by base, offset and length. Pure.

A field counts as read when an instruction loads it into a register, whatever is done with it then. What is
not a known header field is named by where it lies: ``network[12:14]``.
"""

from collections.abc import Iterable, Iterator

from .values import Chain, Expression, Rule, Ruleset, Table, Verdict

LINK, NETWORK, TRANSPORT, INNER = 0, 1, 2, 3
_IPV4, _IPV6 = "ip", "ip6"
_TCP, _UDP = "tcp", "udp"
_NFPROTO, _L4PROTO = 15, 16
_FAMILIES = {b"\x02": _IPV4, b"\x0a": _IPV6}
_PROTOCOLS = {b"\x06": _TCP, b"\x11": _UDP}

_LINK_FIELDS = ((0, 6, "eth.dst"), (6, 6, "eth.src"), (12, 2, "eth.type"))
_NETWORK_FIELDS = {
    _IPV4: (
        (0, 1, "ip.version"),
        (1, 1, "ip.dscp"),
        (2, 2, "ip.length"),
        (4, 2, "ip.id"),
        (6, 2, "ip.flags"),
        (8, 1, "ip.ttl"),
        (9, 1, "ip.proto"),
        (10, 2, "ip.checksum"),
        (12, 4, "ip.src"),
        (16, 4, "ip.dst"),
    ),
    _IPV6: ((6, 1, "ip6.nexthdr"), (7, 1, "ip6.hlim"), (8, 16, "ip6.src"), (24, 16, "ip6.dst")),
}
_TRANSPORT_FIELDS = {
    _TCP: (
        (0, 2, "tcp.sport"),
        (2, 2, "tcp.dport"),
        (4, 4, "tcp.seq"),
        (8, 4, "tcp.ack"),
        (13, 1, "tcp.flags"),
        (14, 2, "tcp.window"),
        (16, 2, "tcp.checksum"),
    ),
    _UDP: ((0, 2, "udp.sport"), (2, 2, "udp.dport"), (4, 2, "udp.length"), (6, 2, "udp.checksum")),
}
_BASES = {LINK: "link", NETWORK: "network", TRANSPORT: "transport", INNER: "payload"}
_META = {0: "meta.length", 1: "meta.protocol", 3: "meta.mark", 4: "meta.iif", 5: "meta.oif", 6: "meta.iif", 7: "meta.oif"}
_META |= {_NFPROTO: "ip.version", _L4PROTO: "ip.proto"}
_CT = {0: "ct.state", 1: "ct.direction", 2: "ct.status", 3: "ct.mark", 5: "ct.expiration", 6: "ct.helper"}
_CT |= {8: "ct.src", 9: "ct.dst", 10: "ct.proto", 11: "ct.sport", 12: "ct.dport", 14: "ct.packets", 15: "ct.bytes"}


def reads(ruleset: Ruleset) -> list[str]:
    """Every field that any rule of any table loads, in the order of first use."""
    rules = (rule for table in ruleset.tables for chain in table.chains for rule in chain.rules)
    return _unique(field for rule in rules for field in rule_reads(rule))


def path_reads(table: Table, start: Rule) -> list[str]:
    """The fields that *start* and the chains it leads to load: what one decision is made by."""
    found = list(rule_reads(start))
    ahead = list(_leads_to(table, start))
    seen: set[str] = set()
    while ahead:
        chain = ahead.pop(0)
        if chain.name not in seen:
            seen.add(chain.name)
            for rule in chain.rules:
                found += rule_reads(rule)
                ahead += _leads_to(table, rule)
    return _unique(found)


def _leads_to(table: Table, rule: Rule) -> Iterator[Chain]:
    for expression in rule.expressions:
        verdicts = [value for value in expression.values.values() if isinstance(value, Verdict)]
        if expression.name == "lookup":
            members = (found.elements for found in table.sets if found.name == expression.text("set"))
            verdicts += [one.data for elements in members for one in elements if isinstance(one.data, Verdict)]
        for verdict in verdicts:
            yield from (chain for chain in table.chains if chain.name == verdict.chain)


def rule_reads(rule: Rule) -> Iterator[str]:
    """The fields that one rule loads. Its own comparisons tell which protocol a header belongs to."""
    family, protocol = _IPV4, _TCP
    loaded: Expression | None = None
    for expression in rule.expressions:
        if expression.name == "cmp" and loaded is not None:
            family = _FAMILIES.get(expression.data(), family) if loaded.number("key") == _NFPROTO else family
            protocol = _PROTOCOLS.get(expression.data(), protocol) if loaded.number("key") == _L4PROTO else protocol
        loaded = expression if expression.name == "meta" else None
        yield from _loads(expression, family, protocol)


def _loads(expression: Expression, family: str, protocol: str) -> Iterator[str]:
    if "dreg" not in expression.values:
        return
    match expression.name:
        case "payload":
            yield from _payload(expression, family, protocol)
        case "meta":
            yield _META.get(expression.number("key"), f"meta.{expression.number('key')}")
        case "ct":
            yield _CT.get(expression.number("key"), f"ct.{expression.number('key')}")
        case "exthdr":
            yield f"exthdr.{expression.number('type')}"


def _payload(expression: Expression, family: str, protocol: str) -> Iterator[str]:
    base, offset, length = (expression.number(key) for key in ("base", "offset", "len"))
    fields = {LINK: _LINK_FIELDS, NETWORK: _NETWORK_FIELDS[family], TRANSPORT: _TRANSPORT_FIELDS[protocol]}.get(base, ())
    whole = [name for start, size, name in fields if start < offset + length and offset < start + size]
    yield from whole or [f"{_BASES.get(base, base)}[{offset}:{offset + length}]"]


def _unique(fields: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(fields))
