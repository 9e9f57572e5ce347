"""Expressions there and back: what is packed is what is unpacked, and what is not in the table is kept."""

import pytest

from labkit.balancer.nftables.netlink import attribute, attributes, nested, text, u32
from labkit.balancer.nftables.schema import pack_data, pack_expression, unpack_data, unpack_expression
from labkit.balancer.nftables.values import Expression, Verdict, comment_in, userdata


@pytest.mark.parametrize(
    "expression",
    [
        Expression("payload", {"dreg": 1, "base": 2, "offset": 2, "len": 2}),
        Expression("cmp", {"sreg": 1, "op": 1, "data": b"\0\x50"}),
        Expression("immediate", {"dreg": 0, "data": Verdict(-4, "http_80")}),
        Expression("immediate", {"dreg": 0, "data": Verdict(1)}),
        Expression("counter", {"bytes": 1 << 40, "packets": 3}),
        Expression("log", {"group": 2, "prefix": "hello "}),
        Expression("reject", {"type": 1, "code": 0}),
        Expression("dynset", {"set": "s", "expressions": (Expression("counter", {"bytes": 1}),)}),
        Expression("notrack", {}),
    ],
    ids=lambda expression: expression.name,
)
def test_there_and_back(expression: Expression) -> None:
    ((_, body),) = attributes(pack_expression(expression))
    assert unpack_expression(body) == expression


def test_what_is_not_in_the_table_keeps_its_bytes() -> None:
    raw = attribute(1, b"\7\0\0\0")
    found = unpack_expression(text(1, "teleport") + nested(2, raw))
    assert (found.name, dict(found.values), found.raw) == ("teleport", {}, raw)
    more = unpack_expression(text(1, "counter") + nested(2, u32(99, 1)))
    assert dict(more.values) == {}
    with pytest.raises(KeyError):
        pack_expression(Expression("teleport"))


def test_data_that_is_neither_value_nor_verdict_is_empty() -> None:
    assert unpack_data(b"") == b""
    assert unpack_data(attribute(3, b"x")) == b""
    ((_, body),) = attributes(pack_data(1, Verdict(0)))
    assert unpack_data(body) == Verdict(0)


def test_comments_of_up_to_128_bytes() -> None:
    assert comment_in(userdata("hello") + userdata("other", 7), 7) == "other"
    assert comment_in(b"") == ""
    with pytest.raises(ValueError, match="at most 128 bytes"):
        userdata("x" * 129)


def test_an_attribute_of_another_form_than_asked_for() -> None:
    expression = Expression("meta", {"key": "text"})
    assert expression.number("key", 5) == 5
    assert expression.data("key") == b""
    assert Expression("log", {"prefix": 1}).text("prefix") == ""
