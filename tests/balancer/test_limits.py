"""Limits are whole and positive, or they are refused."""

from typing import Any

import pytest

from labkit.balancer.limits import Limits
from labkit.errors import PolicyError


def test_what_holds_unless_something_else_is_said() -> None:
    assert Limits() == Limits(10, 75, 30, 65536, 100, 8192, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("header_seconds", 0),
        ("header_seconds", -1),
        ("idle_seconds", "5"),
        ("body_seconds", float("nan")),
        ("body_seconds", float("inf")),
        ("body_seconds", True),
        ("body_seconds", None),
        ("head_bytes", 0),
        ("head_bytes", 1.5),
        ("fields", None),
        ("line_bytes", True),
        ("body_bytes", 0),
        ("body_bytes", "1 MB"),
        ("body_bytes", 10**30),
    ],
)
def test_what_is_no_limit_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(PolicyError, match=f"Limits: {name} must be "):
        Limits(**{name: value})
