"""Which header fields the live rules load: computed from each expression's base, offset and length.

The names are those of labkit.recording. What has no name there is called by where it lies
(``network[1:2]`` = 2 bytes at 1 of the network header), so that no load goes unseen.
"""

from collections.abc import Iterable

from .fields import Context
from .values import Expression, Rule, Ruleset

META = {0: "meta.length", 1: "meta.protocol", 2: "meta.priority", 3: "meta.mark", 4: "meta.iif", 5: "meta.oif"}
META |= {6: "meta.iifname", 7: "meta.oifname", 10: "meta.skuid", 11: "meta.skgid", 15: "meta.nfproto"}
CT = {0: "ct.state", 1: "ct.direction", 2: "ct.status", 3: "ct.mark", 5: "ct.expiration", 6: "ct.helper"}
CT |= {8: "ct.src", 9: "ct.dst", 10: "ct.protocol", 11: "ct.sport", 12: "ct.dport"}
CT |= {19: "ct.src", 20: "ct.dst", 21: "ct.src", 22: "ct.dst"}
FIB = {1: "src", 2: "dst"}  # flag -> the address that a route is looked up for
BASES = {0: "link", 1: "network", 2: "transport", 3: "inner", 4: "tunnel"}
ORDER = ("eth", "arp", "ip", "ip6", "icmp", "icmpv6", "tcp", "udp", "ct", "meta")


def loads(expression: Expression, context: Context) -> tuple[str, ...]:
    """The names of the fields that *expression* loads, given what its rule knows; empty if it loads none."""
    match expression.name:
        case "payload" if "dreg" in expression.values:
            found = tuple(dict.fromkeys(each.recorded for each in context.overlapped(expression)))
            where = f"[{expression.number('offset')}:{expression.number('len')}]"
            return found or (BASES.get(expression.number("base"), "payload") + where,)
        case "meta" if "dreg" in expression.values:
            key = expression.number("key")
            if key == 16:  # the transport protocol: a field of the IP header
                return ("ip6.nexthdr" if context.network == "ip6" else "ip.proto",)
            return (META.get(key, f"meta.{key}"),)
        case "ct" if "dreg" in expression.values:
            return (CT.get(expression.number("key"), f"ct.{expression.number('key')}"),)
        case "exthdr" if "dreg" in expression.values:
            return (f"{'tcp.option' if expression.number('op') == 1 else 'exthdr'}.{expression.number('type')}",)
        case "fib":
            network = context.network or "ip"
            return tuple(f"{network}.{name}" for bit, name in FIB.items() if expression.number("flags") & bit)
        case "rt" | "socket" | "osf" | "xfrm" | "tunnel":
            return (f"{expression.name}.{expression.number('key')}",)
    return ()


def of_rule(rule: Rule, family: int) -> list[str]:
    """The fields that one rule of a table of *family* loads, in its order."""
    context = Context(family)
    found: list[str] = []
    for expression in rule.expressions:
        found += loads(expression, context)
        context.follow(expression)
    return found


def ordered(names: Iterable[str]) -> list[str]:
    """Each name once, from the outer header to the inner, then what the kernel itself keeps."""
    place = {header: number for number, header in enumerate(ORDER)}
    return sorted(set(names), key=lambda name: (place.get(name.split(".")[0], len(ORDER)), name))


def reads(ruleset: Ruleset) -> list[str]:
    """The fields that any rule of any table loads."""
    rules = ((rule, table.family) for table in ruleset.tables for chain in table.chains for rule in chain.rules)
    return ordered(name for rule, family in rules for name in of_rule(rule, family))
