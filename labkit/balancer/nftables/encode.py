"""A table as the messages of one transaction that puts it in the place of the one before.

Swap, never delete: the table is made (if it is not there), deleted and made anew in one transaction, so that
the kernel never is without it; a deleted nat table would cut the connections that it had translated.
"""

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache, partial

from .netlink import APPEND, CREATE, NFTABLES, Message, attribute, nested, text, u32, u64
from .schema import pack_data, pack_expression
from .values import Chain, Element, Rule, Set, SetFlag, Table

NEWTABLE, DELTABLE, NEWCHAIN, DELCHAIN, NEWRULE, DELRULE, NEWSET, DELSET, NEWSETELEM = 0, 2, 3, 5, 6, 8, 9, 11, 12
ELEMENTS_A_MESSAGE = 500  # an attribute holds 64 KiB; a verdict with its chain's name takes up to 100 bytes


def swap(table: Table) -> list[Message]:
    """The messages that replace the table of this family and name by *table*, for `Netlink.commit`."""
    return list(_swap(table))


def refill(table: Table, before: Table, kept: Collection[str]) -> list[Message]:
    """The messages that make *table* of the one that is there, but leave its maps called *kept* with their elements."""
    return list(_refill(table, before, kept))


def _message(table: Table, kind: int, payload: bytes, label: str, flags: int = CREATE) -> Message:
    return Message(NFTABLES << 8 | kind, table.family, payload, label, flags)


def _whole(table: Table) -> bytes:
    return text(1, table.name) + u32(2, table.flags) + (attribute(6, table.userdata) if table.userdata else b"")


def _swap(table: Table) -> Iterator[Message]:
    yield _message(table, NEWTABLE, _whole(table), f"table {table.name}")
    removal = f"the removal of the old table {table.name}"
    yield _message(table, DELTABLE, text(1, table.name), removal, 0)
    yield _message(table, NEWTABLE, _whole(table), f"table {table.name}")
    yield from _content(table, table.chains, table.sets)


def _refill(table: Table, before: Table, kept: Collection[str]) -> Iterator[Message]:
    name = text(1, table.name)
    yield _message(table, DELRULE, name, f"the removal of the old rules of table {table.name}", 0)
    bases = {chain.name for chain in before.chains if chain.hook}
    for chain in before.chains:
        if chain.name not in bases:
            yield _message(table, DELCHAIN, name + text(3, chain.name), f"the removal of chain {chain.name}", 0)
    there = {found.name for found in before.sets if found.name in kept}
    for found in before.sets:
        if found.name not in there and not found.flags & SetFlag.ANONYMOUS:
            yield _message(table, DELSET, name + text(2, found.name), f"the removal of map {found.name}", 0)
    chains = [chain for chain in table.chains if chain.name not in bases]
    yield from _content(table, chains, [found for found in table.sets if found.name not in there])


def _content(table: Table, chains: Sequence[Chain], sets: Sequence[Set]) -> Iterator[Message]:
    """The chains and sets of a table that are to be made, and all its rules."""
    name, message = text(1, table.name), partial(_message, table)
    for chain in chains:
        yield message(NEWCHAIN, _chain(table, chain), f"chain {chain.name}")
    numbers = {found.name: number for number, found in enumerate(sets, 1)}
    for found in sets:
        yield message(NEWSET, _set(table, found, numbers[found.name]), f"map {found.name}")
        for start in range(0, len(found.elements), ELEMENTS_A_MESSAGE):
            part = found.elements[start : start + ELEMENTS_A_MESSAGE]
            payload = name + _set_name(2, 4, found, numbers[found.name]) + nested(3, *map(_element, part))
            yield message(NEWSETELEM, payload, f"elements of map {found.name}")
    for chain in table.chains:
        for place, rule in enumerate(chain.rules, 1):
            label = f"rule {place} of chain {chain.name}"
            yield message(NEWRULE, _rule(table, chain, rule, numbers), label, CREATE | APPEND)


def _chain(table: Table, chain: Chain) -> bytes:
    parts = [text(1, table.name), text(3, chain.name)]
    if hook := chain.hook:
        device = text(3, hook.devices[0]) if hook.devices else b""
        where = nested(4, u32(1, hook.number), u32(2, hook.priority), device)
        parts += [where, u32(5, hook.policy), text(7, hook.kind)]
    if chain.userdata:
        parts.append(attribute(12, chain.userdata))
    return b"".join(parts)


def _set_name(name: int, number: int, found: Set, identity: int) -> bytes:
    """How later messages of the transaction point to a set: the kernel names anonymous ones itself."""
    pattern = "__map%d" if found.flags & SetFlag.MAP else "__set%d"
    return text(name, pattern if found.flags & SetFlag.ANONYMOUS else found.name) + u32(number, identity)


def _set(table: Table, found: Set, identity: int) -> bytes:
    parts = [text(1, table.name), _set_name(2, 10, found, identity), u32(3, found.flags)]
    parts += [u32(4, found.key_type), u32(5, found.key_length)]
    if found.flags & SetFlag.MAP:
        parts += [u32(6, found.data_type), u32(7, found.data_length)]
    if found.size:
        parts.append(nested(9, u32(1, found.size)))
    if found.timeout:
        parts.append(u64(11, found.timeout))
    if found.userdata:
        parts.append(attribute(13, found.userdata))
    return b"".join(parts)


def _element(element: Element) -> bytes:
    data = b"" if element.data is None else _datum(element.data)
    return nested(1, pack_data(1, element.key), data, u32(3, 1) if element.end else b"")


_datum = lru_cache(maxsize=4096)(partial(pack_data, 2))  # many slots lead to one backend


def _rule(table: Table, chain: Chain, rule: Rule, numbers: dict[str, int]) -> bytes:
    packed = []
    for expression in rule.expressions:
        if expression.name == "lookup" and expression.text("set") in numbers:
            found = table.set(expression.text("set"))
            link = _set_name(1, 4, found, numbers[found.name])
            registers = u32(2, expression.number("sreg"))
            if "dreg" in expression.values:
                registers += u32(3, expression.number("dreg"))
            if "flags" in expression.values:
                registers += u32(5, expression.number("flags"))
            packed.append(nested(1, text(1, "lookup"), nested(2, link, registers)))
        else:
            packed.append(pack_expression(expression))
    parts = [text(1, table.name), text(2, chain.name), nested(4, *packed)]
    if rule.userdata:
        parts.append(attribute(7, rule.userdata))
    return b"".join(parts)
