"""The kernel's hash: its author's own examples, and how it becomes a slot. That rules use it, test_algorithms shows."""

import random

import pytest

from labkit.balancer.jhash import jhash, slot

SPEECH = b"Four score and seven years ago"


@pytest.mark.parametrize(
    ("data", "seed", "expected"),
    [  # driver5 of lookup3.c
        (b"", 0, 0xDEADBEEF),
        (b"", 0xDEADBEEF, 0xBD5B7DDE),
        (SPEECH, 0, 0x17770551),
        (SPEECH, 1, 0xCD628161),
    ],
)
def test_the_authors_examples(data: bytes, seed: int, expected: int) -> None:
    assert jhash(data, seed) == expected


def test_slots_are_all_used_and_none_is_beyond() -> None:
    numbers = random.Random(4)
    found = [slot(numbers.randbytes(20), 7, 1) for _ in range(700)]
    assert set(found) == set(range(7))
    assert {slot(numbers.randbytes(5), 1) for _ in range(100)} == {0}
