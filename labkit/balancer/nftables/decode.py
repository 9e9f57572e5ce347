"""The kernel's live rules, all tables of all families, as values.

Asked by netlink dumps; the generation number says whether the rules changed between two of them, and then
the whole is asked again. Writing the values as text is left to `text`.
"""

import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain as concatenated

from labkit.errors import EngineError

from .netlink import DUMP, FAMILY, NFTABLES, Message, Netlink, as_int, as_text, attributes, text
from .schema import unpack_data, unpack_expression, unpack_list, unpack_values
from .values import Chain, Element, Flowtable, Hook, Object, Rule, Ruleset, Set, Table

GETTABLE, GETCHAIN, GETRULE, GETSET, GETSETELEM, GETGEN, GETOBJ, GETFLOWTABLE = 1, 4, 7, 10, 13, 16, 19, 23
ATTEMPTS = 50
OBJECTS = {1: "counter", 2: "quota", 3: "ct helper", 4: "limit", 5: "connlimit", 6: "tunnel", 7: "ct timeout"}
OBJECTS |= {8: "secmark", 9: "ct expectation", 10: "synproxy"}

Found = dict[int, bytes]  # a message's attributes by number
Key = tuple[int, str]  # family and name of a table
Unasked = Callable[[int, str, str], bool]


def generation(netlink: Netlink) -> int:
    """The number the kernel gives to the rules in force; every change, by anyone, makes a new one."""
    (answer,) = netlink.dump(Message(NFTABLES << 8 | GETGEN, 0, b"", "the generation of the rules"))
    return as_int(dict(attributes(answer[FAMILY.size :]))[1])


def live(netlink: Netlink, unasked: Unasked = lambda *_: False) -> tuple[int, Ruleset]:
    """The rules in force and their generation. EngineError if they change faster than they can be read.

    unasked: says by family, table and name of which sets the elements are left out.
    """
    for _ in range(ATTEMPTS):
        try:
            before = generation(netlink)
            found = _dump(netlink, unasked)
            if generation(netlink) == before:
                return before, found
        except InterruptedError:
            continue
    raise EngineError(f"The rules changed during each of {ATTEMPTS} attempts to read them; try again later.")


def _list(netlink: Netlink, kind: int, what: str, family: int = 0, payload: bytes = b"") -> Iterator[tuple[int, Found]]:
    for answer in netlink.dump(Message(NFTABLES << 8 | kind, family, payload, what, DUMP)):
        yield answer[0], dict(attributes(answer[FAMILY.size :]))


def _dump(netlink: Netlink, unasked: Unasked) -> Ruleset:
    tables = [(family, found) for family, found in _list(netlink, GETTABLE, "the list of tables")]
    rules: dict[tuple[int, str, str], list[Rule]] = {}
    for family, found in _list(netlink, GETRULE, "the list of rules"):
        where = (family, as_text(found[1]), as_text(found[2]))
        rules.setdefault(where, []).append(Rule(unpack_list(found.get(4, b"")), found.get(7, b"")))
    chains: dict[Key, list[Chain]] = {}
    for family, found in _list(netlink, GETCHAIN, "the list of chains"):
        key = (family, as_text(found[1]))
        chains.setdefault(key, []).append(_chain(found, tuple(rules.get((*key, as_text(found[3])), ()))))
    sets: dict[Key, list[Set]] = {}
    for family, found in _list(netlink, GETSET, "the list of sets"):
        sets.setdefault((family, as_text(found[1])), []).append(_set(netlink, family, found, unasked))
    objects: dict[Key, list[Object]] = {}
    for family, found in _list(netlink, GETOBJ, "the list of named objects"):
        objects.setdefault((family, as_text(found[1])), []).append(_object(found))
    flowtables: dict[Key, list[Flowtable]] = {}
    for family, found in _list(netlink, GETFLOWTABLE, "the list of flowtables"):
        flowtables.setdefault((family, as_text(found[1])), []).append(_flowtable(found))
    return Ruleset(
        tuple(
            Table(
                name=as_text(found[1]),
                family=family,
                chains=tuple(chains.get((family, as_text(found[1])), ())),
                sets=tuple(sets.get((family, as_text(found[1])), ())),
                objects=tuple(objects.get((family, as_text(found[1])), ())),
                flowtables=tuple(flowtables.get((family, as_text(found[1])), ())),
                flags=as_int(found.get(2, b"")),
                userdata=found.get(6, b""),
            )
            for family, found in tables
        )
    )


def _hook(data: bytes) -> tuple[int, int, tuple[str, ...]]:
    """Number, priority and devices of a hook."""
    found = dict(attributes(data))
    (priority,) = struct.unpack("!i", found.get(2, b"\0\0\0\0"))
    several = tuple(as_text(name) for _, name in attributes(found.get(4, b"")))
    one = (as_text(found[3]),) if 3 in found else ()
    return as_int(found.get(1, b"")), priority, several or one


def _chain(found: Found, rules: tuple[Rule, ...]) -> Chain:
    hook = None
    if 4 in found:
        number, priority, devices = _hook(found[4])
        hook = Hook(as_text(found.get(7, b"filter")), number, priority, as_int(found.get(5, b"\1")), devices)
    return Chain(as_text(found[3]), rules, hook, found.get(12, b""))


def _set(netlink: Netlink, family: int, found: Found, unasked: Unasked) -> Set:
    table, name = as_text(found[1]), as_text(found[2])
    lists = []
    if not unasked(family, table, name):
        asked = text(1, table) + text(2, name)
        lists = [data[3] for _, data in _list(netlink, GETSETELEM, "the elements of a set", family, asked) if 3 in data]
    one = (unpack_expression(found[17]),) if 17 in found else ()
    return Set(
        name=name,
        flags=as_int(found.get(3, b"")),
        key_type=as_int(found.get(4, b"")),
        key_length=as_int(found.get(5, b"")),
        data_type=as_int(found.get(6, b"")),
        data_length=as_int(found.get(7, b"")),
        elements=tuple(_element(data) for _, data in concatenated.from_iterable(map(attributes, lists))),
        timeout=as_int(found.get(11, b"")),
        gc_interval=as_int(found.get(12, b"")),
        size=as_int(dict(attributes(found.get(9, b""))).get(1, b"")),
        policy=as_int(found.get(8, b"")),
        object_type=as_int(found.get(15, b"")),
        userdata=found.get(13, b""),
        expressions=unpack_list(found[18]) if 18 in found else one,
    )


@lru_cache(maxsize=16_384)  # most are the same at the next reading
def _element(data: bytes) -> Element:
    found = dict(attributes(data))
    flags = as_int(found.get(3, b""))
    key, key_end = unpack_data(found.get(1, b"")), unpack_data(found.get(10, b""))
    one = (unpack_expression(found[7]),) if 7 in found else ()
    return Element(
        key=key if isinstance(key, bytes) else b"",
        data=unpack_data(found[2]) if 2 in found else None,
        end=bool(flags & 1),
        key_end=key_end if isinstance(key_end, bytes) else b"",
        timeout=as_int(found.get(4, b"")),
        expires=as_int(found.get(5, b"")),
        userdata=found.get(6, b""),
        object_name=as_text(found.get(9, b"")),
        catch_all=bool(flags & 2),
        expressions=unpack_list(found[11]) if 11 in found else one,
    )


def _object(found: Found) -> Object:
    kind = as_int(found[3])
    return Object(as_text(found[2]), kind, unpack_values(OBJECTS.get(kind, ""), found.get(4, b"")), found.get(8, b""))


def _flowtable(found: Found) -> Flowtable:
    hook = dict(attributes(found[3]))
    (priority,) = struct.unpack("!i", hook.get(2, b"\0\0\0\0"))
    devices = tuple(as_text(name) for _, name in attributes(hook.get(3, b"")))
    return Flowtable(as_text(found[2]), as_int(hook.get(1, b"")), priority, devices, as_int(found.get(7, b"")))
