"""How a listener's chain chooses among its backends: one form for each algorithm. Pure.

Every form ends in a verdict map from slot to the chain of one backend; they differ in where the slot comes from::

    round_robin   numgen inc mod 4 vmap { 0 : goto http_80_api1, … }           a counter of the kernel's
    random        numgen random mod 4 vmap { … }                               nothing of the packet either
    source_hash   jhash ip saddr mod 4 seed 0x6c616221 vmap { … }              the client's address
    flow_hash     jhash ip saddr . ip daddr . … . tcp dport mod 4 … vmap { … } the five fields that tell a connection
    maglev        meta mark set jhash … mod 1021 … map @maglev                 the same, by way of Maglev's table
                  meta mark vmap { 0x00000001 : goto http_80_api1, … }

A backend of weight 3 has three slots. The hashes are made of another header for IPv4 than for IPv6: a rule each.
What stands in the chain of a backend is `render`'s.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count

from .. import maglev
from ..policy import Forward, Target
from ..turns import turns
from .pieces import (
    DESTINATION,
    INCREMENTAL,
    L4PROTO,
    MARK,
    NETWORK,
    RANDOM,
    SOURCE,
    TRANSPORT,
    e,
    family_is,
    note,
    protocol,
)
from .typeof import HOST_KEYS, slots_note
from .values import Code, Element, Expression, Family, Rule, Set, SetFlag, Verdict, entry, u32

SEED = 0x6C616221  # of every hash: unset, the kernel draws one, and each switch would choose anew
TYPE_INTEGER, TYPE_MARK, TYPE_VERDICT = 4, 19, 0xFFFFFF00
COMMENT = 7  # an entry of a set's userdata
SOURCE_PORT, DESTINATION_PORT = 0, 2  # offsets in the transport header
HASHED, RESULT = 2, 1  # registers: where what is hashed begins, where slots are put
FAMILIES = (Family.IP, Family.IP6)


@dataclass(frozen=True, slots=True)
class Choice:
    """The rules of a listener's chain, the maps they need, and in words what they do."""

    rules: tuple[Rule, ...]
    maps: tuple[Set, ...]
    about: str


class Chooser:
    """Makes the choices of one table of rules: maps are numbered in it, and shared where they are the same."""

    def __init__(self) -> None:
        self._numbers = count()
        self._tables: dict[tuple[Target, ...], Set] = {}

    def choice(self, forward: Forward, chain: str, families: Sequence[Family] = FAMILIES) -> Choice:
        """How *forward* (of at least one target) chooses. Each target's chain is ``<chain>_<name>``.

        PolicyError if the weights make too long a round.
        """
        return _FORMS[forward.algorithm](self, forward, chain, families)

    def turn(self, forward: Forward, chain: str, _: Sequence[Family]) -> Choice:
        slots = self._slots(forward, chain)
        how = RANDOM if forward.algorithm == "random" else INCREMENTAL
        rule = Rule((e("numgen", dreg=RESULT, modulus=len(slots.elements), type=how), _vmap(slots)))
        whose = "one at random" if how else "the next in turn"
        about = f"{forward.listener.label}: {whose} of {_counted(forward, slots)}, for each new connection"
        return Choice((rule,), (slots,), about)

    def hashed(self, forward: Forward, chain: str, families: Sequence[Family]) -> Choice:
        of_flow = forward.algorithm == "flow_hash"
        rules, maps = [], []
        for family in families:
            slots = self._slots(forward, chain)
            maps.append(slots)
            size = len(slots.elements)
            made = _flow(forward, family, size) if of_flow else _source(family, size)
            rules.append(Rule((*made, _vmap(slots)), note(_HASHED[of_flow])))
        what = "the connection's five fields choose" if of_flow else "the client's address chooses"
        about = f"{forward.listener.label}: {what} of {_counted(forward, maps[0])}"
        return Choice(tuple(rules), tuple(maps), about)

    def maglev(self, forward: Forward, chain: str, families: Sequence[Family]) -> Choice:
        table = self._table(forward.targets)
        keep = e("lookup", set=table.name, sreg=RESULT, dreg=RESULT), e("meta", key=MARK, sreg=RESULT)
        rules = [
            Rule((*_flow(forward, family, len(table.elements)), *keep), note("Maglev: hash of the flow, slot, backend"))
            for family in families
        ]
        chains = {number: f"{chain}_{target.name}" for number, target in enumerate(forward.targets, 1)}
        verdicts = self._map(chains, TYPE_MARK)
        rules.append(Rule((e("meta", dreg=RESULT, key=MARK), _vmap(verdicts)), note("the number of its backend")))
        about = f"{forward.listener.label}: Maglev's table of {len(table.elements)} slots chooses"
        return Choice(tuple(rules), (table, verdicts), f"{about} of {len(forward.targets)} backends")

    def _slots(self, forward: Forward, chain: str) -> Set:
        """The map from slot to the chain of its backend."""
        order = turns([target.weight for target in forward.targets])
        return self._map({slot: f"{chain}_{forward.targets[place].name}" for slot, place in enumerate(order)})

    def _map(self, chains: dict[int, str], key: int = TYPE_INTEGER) -> Set:
        """A verdict map. It has no name of its own: nft shows it inside its rule."""
        elements = tuple(Element(u32(key), Verdict(Code.GOTO, chain)) for key, chain in chains.items())
        flags = SetFlag.ANONYMOUS | SetFlag.CONSTANT | SetFlag.MAP
        name = f"__map{next(self._numbers)}"
        return Set(name, flags, key, 4, TYPE_VERDICT, 0, elements, size=len(elements), userdata=HOST_KEYS)

    def _table(self, targets: tuple[Target, ...]) -> Set:
        """One map for all listeners that have the same backends."""
        if targets not in self._tables:
            name = f"maglev{len(self._tables) + 1}" if self._tables else "maglev"
            self._tables[targets] = _table(name, targets)
        return self._tables[targets]


_FORMS: dict[str, Callable[[Chooser, Forward, str, Sequence[Family]], Choice]] = {
    "round_robin": Chooser.turn,
    "random": Chooser.turn,
    "source_hash": Chooser.hashed,
    "flow_hash": Chooser.hashed,
    "maglev": Chooser.maglev,
}
_HASHED = {
    False: "the same backend for all connections of a client's address",
    True: "addresses, protocol and ports: chosen anew for each connection",
}


def _source(family: Family, slots: int) -> tuple[Expression, ...]:
    """``jhash ip saddr mod 4 seed …``"""
    offset, length = SOURCE[family]
    load = e("payload", dreg=HASHED, base=NETWORK, offset=offset, len=length)
    return *family_is(family), load, _jhash(length, slots)


def _flow(forward: Forward, family: Family, slots: int) -> tuple[Expression, ...]:
    """``jhash ip saddr . ip daddr . meta l4proto . tcp sport . tcp dport mod 4 seed …``"""
    words = 0  # from the first register on; each field begins at one of its own
    loads = []
    for base, offset, length in (
        (NETWORK, *SOURCE[family]),
        (NETWORK, *DESTINATION[family]),
        (None, 0, 1),
        (TRANSPORT, SOURCE_PORT, 2),
        (TRANSPORT, DESTINATION_PORT, 2),
    ):
        register = _register(words)
        if base is None:
            loads.append(e("meta", dreg=register, key=L4PROTO))
        else:
            loads.append(e("payload", dreg=register, base=base, offset=offset, len=length))
        words += (length + 3) // 4
    transport = protocol(forward.listener.transport)
    return *family_is(family), *transport, *loads, _jhash(4 * words, slots)


@lru_cache(maxsize=8)
def _table(name: str, targets: tuple[Target, ...]) -> Set:
    """Maglev's map from slot to the number of its backend: 1, 2, … in the order of *targets*."""
    number = {target.name: u32(place) for place, target in enumerate(targets, 1)}
    owners = maglev.table((target.name, target.weight) for target in targets)
    elements = tuple(Element(u32(slot), number[owner]) for slot, owner in enumerate(owners))
    about = f"slot to backend: {', '.join(f'{place} is {target.name}' for place, target in enumerate(targets, 1))}"
    data = slots_note(len(elements)) + _comment(about)
    return Set(name, SetFlag.MAP, TYPE_INTEGER, 4, TYPE_MARK, 4, elements, userdata=data)


def _register(word: int) -> int:
    """The register that begins *word* 32-bit words after `HASHED` does, as nft names it."""
    place = 4 * (HASHED - 1) + word
    return 8 + place if place % 4 else 1 + place // 4


def _jhash(length: int, slots: int) -> Expression:
    return e("hash", sreg=HASHED, dreg=RESULT, len=length, modulus=slots, seed=SEED, type=0)


def _vmap(slots: Set) -> Expression:
    return e("lookup", set=slots.name, sreg=RESULT, dreg=0)


def _counted(forward: Forward, slots: Set) -> str:
    backends, size = len(forward.targets), len(slots.elements)
    return f"{backends} backends" if backends == size else f"{backends} backends with {size} slots by weight"


def _comment(text: str) -> bytes:
    return entry(COMMENT, text.encode()[:127] + b"\0")
