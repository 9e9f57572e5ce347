"""Which fields the rules loaded for one connection's first packet, before its backend was chosen.

The packet is followed through the ingress and prerouting hooks by what is known of it (addresses, protocol, ports).
A comparison with something that is not known, such as the TTL, may have gone either way: its load counts,
and the walk goes on. The kernel stops a rule at its first failed comparison, so does the walk.
"""

import ipaddress
import operator as op
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .fields import Context
from .reads import loads, ordered
from .values import Chain, Code, Expression, Family, Rule, Ruleset, SetFlag, Table, Verdict

PREROUTING, INGRESS = 0, 0
PROTOCOLS = {"TCP": 6, "UDP": 17}
DNAT = 1
INVERTED = 1  # flag of a lookup: matches what is not there
COMPARISONS: dict[int, Callable[[bytes, bytes], bool]] = dict(enumerate((op.eq, op.ne, op.lt, op.le, op.gt, op.ge)))
DEPTH = 16  # jumps the kernel follows


@dataclass(frozen=True, slots=True)
class First:
    """A connection's first packet at the balancer, and the address that it was sent on to."""

    protocol: str  # TCP | UDP
    client: str
    client_port: int
    server: str
    server_port: int
    chosen: str


@dataclass(frozen=True, slots=True)
class _End:
    """How a walk ended: *translated*, or with the verdict that stopped it (None: it came to the end)."""

    names: tuple[str, ...]
    verdict: Verdict | None = None
    translated: bool = False


def fields_read(ruleset: Ruleset, first: First) -> list[str]:
    """The names of the fields loaded on the way of *first*, up to the translation."""
    walk = _Walk(ruleset, first)
    return ordered(walk.hook())


class _Walk:
    def __init__(self, ruleset: Ruleset, first: First) -> None:
        self._ruleset = ruleset
        self._chosen = ipaddress.ip_address(first.chosen).packed
        client, server = ipaddress.ip_address(first.client).packed, ipaddress.ip_address(first.server).packed
        self._six = len(server) == 16
        ip = "ip6" if self._six else "ip"
        header = first.protocol.lower()
        self._known = {
            f"{ip}.src": client,
            f"{ip}.dst": server,
            "ip.proto": bytes([PROTOCOLS[first.protocol]]),
            "ip6.nexthdr": bytes([PROTOCOLS[first.protocol]]),
            "meta.protocol": b"\x86\xdd" if self._six else b"\x08\x00",
            "meta.nfproto": bytes([10 if self._six else 2]),
            f"{header}.sport": first.client_port.to_bytes(2, "big"),
            f"{header}.dport": first.server_port.to_bytes(2, "big"),
        }

    def hook(self) -> Iterator[str]:
        """Through every base chain where packets enter, then of the hook, in the order of their priorities."""
        families = {Family.NETDEV, Family.INET, Family.IP6 if self._six else Family.IP}
        bases = [
            (table.family != Family.NETDEV, chain.hook.priority, number, table, chain)
            for number, table in enumerate(self._ruleset.tables)
            if table.family in families
            for chain in table.chains
            if chain.hook and chain.hook.number == _hook(table.family)
        ]
        for _, _, _, table, chain in sorted(bases, key=lambda base: base[:3]):
            end = self._chain(table, chain, DEPTH)
            yield from end.names
            if end.translated:
                return

    def _chain(self, table: Table, chain: Chain, depth: int) -> _End:
        names: tuple[str, ...] = ()
        for rule in chain.rules:
            end = self._rule(table, rule, depth)
            names += end.names
            if end.translated or (end.verdict and end.verdict.code != Code.CONTINUE):
                return _End(names, end.verdict, end.translated)
        return _End(names)

    def _rule(self, table: Table, rule: Rule, depth: int) -> _End:
        context = Context(table.family)
        values: dict[int, bytes | None] = {}  # register -> what it holds, None: not known
        names: tuple[str, ...] = ()
        certain = True
        for expression in rule.expressions:
            found = loads(expression, context)
            names += found
            context.follow(expression)
            register = expression.number("dreg", -1)
            if address := _sends_to(expression):
                return _End(names, translated=values.get(address) == self._chosen)
            if _remembers(table, expression):
                if expression.number("flags") & INVERTED:
                    continue
                return _End(names)  # what begins is not remembered yet
            if expression.name == "cmp":
                equal = _compare(values.get(expression.number("sreg")), expression)
                if equal is False:
                    return _End(names)
                certain = certain and equal is True
            elif register == 0:
                end = self._go(table, self._targets(table, expression), depth)
                verdict = end.verdict if certain else None
                return _End(names + end.names, verdict, end.translated)
            elif expression.name == "lookup" and register < 0:
                certain = False
            elif register > 0:
                known = self._known.get(found[0]) if len(found) == 1 else None
                values[register] = expression.data() if expression.name == "immediate" else known
        return _End(names)

    def _targets(self, table: Table, expression: Expression) -> tuple[Verdict, ...]:
        """Where an expression that decides may lead: one verdict, or all of a map's."""
        data = expression.values.get("data")
        if isinstance(data, Verdict):
            return (data,)
        verdicts = (element.data for element in table.set(expression.text("set")).elements)
        return tuple(dict.fromkeys(data for data in verdicts if isinstance(data, Verdict)))

    def _go(self, table: Table, verdicts: tuple[Verdict, ...], depth: int) -> _End:
        """Follow the verdict; of several the one that led to the address which was chosen."""
        for verdict in verdicts:
            if verdict.chain and depth:
                end = self._chain(table, table.chain(verdict.chain), depth - 1)
                if end.translated or len(verdicts) == 1:
                    return _End(end.names, _after(verdict, end.verdict), end.translated)
            elif len(verdicts) == 1:
                return _End((), verdict)
        return _End(())


def _hook(family: int) -> int:
    """The number of the hook through which packets enter a table of that family."""
    return INGRESS if family == Family.NETDEV else PREROUTING


def _sends_to(expression: Expression) -> int:
    """The register with the address that the packet is sent on to; 0 if the expression does not send it on."""
    if expression.name == "nat" and expression.number("type") == DNAT:
        return expression.number("addr_min")
    return expression.number("addr") if expression.name == "fwd" else 0


def _remembers(table: Table, expression: Expression) -> bool:
    """Whether it looks a flow up that an earlier packet had put there."""
    asked = expression.text("set") if expression.name == "lookup" else ""
    return any(found.name == asked and found.flags & SetFlag.DYNAMIC for found in table.sets)


def _after(taken: Verdict, found: Verdict | None) -> Verdict | None:
    """What a chain's end means for the rule that led to it: a jump comes back to it, a goto to the rule before."""
    returned = found is None or found.code == Code.RETURN
    if not returned:
        return found
    return None if taken.code == Code.JUMP else Verdict(Code.RETURN)


def _compare(value: bytes | None, expression: Expression) -> bool | None:
    """Whether the comparison holds; None if the value is not known. All that is known is in network byte order."""
    compare = COMPARISONS.get(expression.number("op"))
    return None if value is None or compare is None else compare(value, expression.data())
