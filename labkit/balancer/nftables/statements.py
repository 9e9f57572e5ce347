"""A rule's expressions as one line of nftables syntax.

What a rule loads is kept by register (`terms`) until an expression uses it: a comparison makes a match of
it, a lookup a set's match, a ``nat`` its new address. nft leaves out a match that the next one implies
(``tcp dport 80`` implies ``meta l4proto tcp``), and so do we.
"""

from collections.abc import Callable, Sequence

from . import sets, terms
from .actions import ACTIONS
from .datatypes import duration, span, write
from .fields import LINK, NETWORK, TRANSPORT, Context
from .terms import BIG, Term
from .values import Expression, Rule, Set, SetFlag, Table, Verdict, comment_in

OPERATORS = {0: "==", 1: "!=", 2: "<", 3: "<=", 4: ">", 5: ">="}
GREATER_OR_EQUAL, LESS_OR_EQUAL = 5, 3
IMPLIED = {15: NETWORK, 1: NETWORK, 16: TRANSPORT, 8: LINK}  # meta key -> what a match of it tells about
DYNSET = {0: "add", 1: "update", 2: "delete"}
ICMP_OF = {"icmp": "ip", "icmpv6": "ip6"}


def rule(found: Rule, table: Table) -> str:
    """The rule as ``nft -s`` lists it, with its comment."""
    line = Line(table)
    for expression in found.expressions:
        line.take(expression)
    comment = comment_in(found.userdata)
    return line.text() + (f' comment "{comment}"' if comment else "")


def statements(expressions: Sequence[Expression], table: Table) -> str:
    """Statements that stand in a set or with one of its elements."""
    line = Line(table)
    for expression in expressions:
        line.take(expression)
    return line.text()


def word(register: int) -> int:
    """The first of the 32-bit words that a register means; the old names stand for four of them."""
    return 4 * (register - 1) if register < 8 else register - 8


class Line:
    """A rule being written. *parts* may be taken back as long as they are only implied (`_implied`)."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.context = Context(table.family)
        self.parts: list[str] = []
        self._terms: dict[int, Term] = {}  # word -> what begins there
        self._implied: dict[int, int] = {}  # payload base -> index of the part that a load of it implies
        self._last: tuple[Term, bytes] | None = None  # a ">=" that a "<=" may complete to a range
        self._pending: tuple[Term, bytes] | None = None  # the same, of the expression before
        self._handlers: dict[str, Callable[[Expression], None]] = {
            "payload": self._payload,
            "meta": self._meta,
            "ct": self._ct,
            "immediate": self._immediate,
            "cmp": self._cmp,
            "range": self._range,
            "lookup": self._lookup,
            "bitwise": self._bitwise,
            "byteorder": self._byteorder,
            "hash": self._hash,
            "exthdr": self._exthdr,
            "dynset": self._dynset,
            "numgen": lambda e: self._load(e, terms.numgen(e)),
            "fib": lambda e: self._load(e, terms.fib(e)),
            "socket": lambda e: self._load(e, terms.socket(e)),
        }

    def text(self) -> str:
        return " ".join(part for part in self.parts if part)

    def take(self, expression: Expression) -> None:
        """One more expression of the rule."""
        self._pending, self._last = self._last, None
        handler = self._handlers.get(expression.name)
        if handler:
            handler(expression)
        elif expression.name in ACTIONS:
            self.say(ACTIONS[expression.name](expression, self))
        else:
            self._unknown(expression)

    def say(self, text: str) -> None:
        """A statement; a match before it is then no longer implied by what follows."""
        self.parts.append(text)
        self._implied.clear()

    def term(self, register: int) -> Term:
        """What *register* holds."""
        return self._terms.get(word(register), Term(f"reg {register}"))

    def value(self, register: int) -> str:
        """What *register* holds, as a value to store or to send to."""
        return terms.arithmetic(self.term(register))

    def forget(self, base: int) -> None:
        """Take back a match that what follows implies."""
        if base in self._implied:
            self.parts[self._implied.pop(base)] = ""

    def _match(self, text: str) -> None:
        self.parts.append(text)

    def _unknown(self, expression: Expression) -> None:
        shown = f"{expression.name} 0x{expression.raw.hex()}"
        if "dreg" in expression.values:
            self._load(expression, Term(shown))
        else:
            self.say(shown)

    def _load(self, expression: Expression, term: Term) -> None:
        self._terms[word(expression.number("dreg"))] = term
        self.context.follow(expression)

    def _payload(self, expression: Expression) -> None:
        term = terms.payload(expression, self.context)
        if term.fields:
            self.forget(expression.number("base"))
            if term.fields[0].header in ICMP_OF:
                self.forget(NETWORK)
        if "sreg" in expression.values:
            kept = self._terms.get(word(expression.number("sreg")), term)
            self.say(terms.stored(term, kept))
        else:
            self._load(expression, term)

    def _meta(self, expression: Expression) -> None:
        self._get_or_set(expression, terms.meta(expression))

    def _ct(self, expression: Expression) -> None:
        self._get_or_set(expression, terms.ct(expression))

    def _get_or_set(self, expression: Expression, term: Term) -> None:
        if "sreg" in expression.values:
            kept = self.term(expression.number("sreg"))
            value = write(term.type, kept.data, term.order) if kept.data else terms.arithmetic(kept)
            self.say(f"{term.text} set {value}")
        else:
            self._load(expression, term)

    def _exthdr(self, expression: Expression) -> None:
        if expression.number("op") == 0:  # an extension header implies IPv6
            self.forget(NETWORK)
        self._get_or_set(expression, terms.exthdr(expression))

    def _immediate(self, expression: Expression) -> None:
        data = expression.values.get("data")
        if isinstance(data, Verdict):
            self.say(sets.verdict(data))
        else:
            self._load(expression, Term("", "hex", BIG, expression, data=expression.data()))

    def _bitwise(self, expression: Expression) -> None:
        source = self.term(expression.number("sreg"))
        if expression.number("op"):
            self._load(expression, Term(f"{source.text} {'<<' if expression.number('op') == 1 else '>>'} …"))
        else:
            self._terms[word(expression.number("dreg"))] = terms.bitwise(source, expression)

    def _byteorder(self, expression: Expression) -> None:
        source = self.term(expression.number("sreg"))
        self._terms[word(expression.number("dreg"))] = Term(source.text, source.type, BIG, source.load, source.fields)

    def _hash(self, expression: Expression) -> None:
        hashed = ""
        if not expression.number("type"):
            hashed = " . ".join(
                term.text for term in self._concatenated(expression.number("sreg"), expression.number("len"))
            )
        self._load(expression, terms.jhash(expression, hashed))

    def _cmp(self, expression: Expression) -> None:
        term, data, operator = self.term(expression.number("sreg")), expression.data(), expression.number("op")
        sign = OPERATORS.get(operator, "?")
        if self._pending and operator == LESS_OR_EQUAL and self._pending[0] is term:
            first = self._pending[1]
            self.parts[-1] = f"{term.text} {_between(term, first, data)}"
        elif term.mask:
            self._match(terms.masked(term, sign, data))
        elif not operator and len(term.fields) > 1:
            self._several(term, data)
        else:
            self._match(_compared(term, sign, data))
        if operator == GREATER_OR_EQUAL:
            self._last = (term, data)
        if not operator:
            self._note(term)
        self.context.follow(expression)

    def _several(self, term: Term, data: bytes) -> None:
        """One comparison of neighbouring fields: a match of each."""
        value, end = int.from_bytes(data, "big"), term.fields[-1].end
        for field in term.fields:
            part = (value >> (end - field.end)) & ((1 << field.length) - 1)
            text = write(field.type, part.to_bytes((field.length + 7) // 8, "big"), BIG)
            self._match(f"{field.header} {field.name} {text}")

    def _note(self, term: Term) -> None:
        """Remember a match that a later load may imply."""
        load = term.load
        if load is None:
            return
        if load.name == "meta" and load.number("key") in IMPLIED:
            self._implied[IMPLIED[load.number("key")]] = len(self.parts) - 1
        elif len(term.fields) == 1:
            header, name = term.fields[0].header, term.fields[0].name
            alone = self.table.family in (2, 10)
            if alone and (header, name) in (("ip", "protocol"), ("ip6", "nexthdr")):
                self._implied[TRANSPORT] = len(self.parts) - 1

    def _range(self, expression: Expression) -> None:
        term = self.term(expression.number("sreg"))
        sign = "!= " if expression.number("op") else ""
        self._match(f"{term.text} {sign}{_between(term, expression.data('from'), expression.data('to'))}")

    def _concatenated(self, register: int, length: int) -> list[Term]:
        """The terms that lie in *length* bytes from *register* on."""
        start = word(register)
        found = [term for place, term in sorted(self._terms.items()) if start <= place < start + (length + 3) // 4]
        return found or [self.term(register)]

    def _lookup(self, expression: Expression) -> None:
        try:
            found = self.table.set(expression.text("set"))
        except KeyError:
            self._unknown(expression)
            return
        keys = self._concatenated(expression.number("sreg"), found.key_length)
        left = " . ".join(term.text for term in keys)
        right = self._set(found, keys)
        if not found.flags & SetFlag.MAP or "dreg" not in expression.values:
            self._match(f"{left} {'!= ' if expression.number('flags') & 1 else ''}{right}")
        elif expression.number("dreg") == 0:
            self.say(f"{left} vmap {right}")
        else:
            self._load(expression, Term(f"{left} map {right}", sets.type_names(found.data_type, 0)[0].type))

    def _set(self, found: Set, keys: Sequence[Term]) -> str:
        if not found.flags & SetFlag.ANONYMOUS:
            return f"@{found.name}"
        names = sets.type_names(found.key_type, found.key_length, found.userdata)
        parts = (
            [sets.Part(term.type, term.order, name.size) for term, name in zip(keys, names, strict=False)]
            if len(keys) == len(names)
            else names
        )
        data = sets.type_names(found.data_type, found.data_length, found.userdata, sets.DATA_BYTE_ORDER)
        show = lambda kept: statements(kept, self.table)  # noqa: E731
        return "{ " + ", ".join(sets.elements(found, parts, data, show)) + " }"

    def _dynset(self, expression: Expression) -> None:
        try:
            found = self.table.set(expression.text("set"))
        except KeyError:
            self._unknown(expression)
            return
        key = " . ".join(term.text for term in self._concatenated(expression.number("key"), found.key_length))
        timeout = expression.number("timeout")
        kept = expression.values.get("expressions") or expression.values.get("expression") or ()
        inner = statements(kept, self.table) if isinstance(kept, tuple) else ""
        parts = [key, f"timeout {duration(timeout)}" if timeout else "", inner]
        datum = f" : {self._datum(found, expression.number('data'))}" if "data" in expression.values else ""
        text = " ".join(part for part in parts if part) + datum
        self.say(f"{DYNSET.get(expression.number('op'), '?')} @{found.name} {{ {text} }}")

    def _datum(self, found: Set, register: int) -> str:
        """What goes into a map: a value given in the rule, or what was loaded."""
        if given := self.term(register).data:
            return sets.joined(given, sets.type_names(found.data_type, found.data_length))
        return self.value(register)


def _compared(term: Term, sign: str, data: bytes) -> str:
    """A comparison of a whole term."""
    explicit = sign if sign != "==" or term.type in ("tcp_flag", "ct_state", "ct_status") else ""
    value = write(term.type, data, term.order)
    if term.fields and not term.whole and term.type in ("ipv4_addr", "ipv6_addr"):
        value += f"/{8 * len(data)}"
    return " ".join(part for part in (term.text, explicit, value) if part)


def _between(term: Term, first: bytes, last: bytes) -> str:
    if term.type in ("ipv4_addr", "ipv6_addr"):
        return f"{write(term.type, first, BIG)}-{write(term.type, last, BIG)}"
    return span(term.type, first, last, term.order)
