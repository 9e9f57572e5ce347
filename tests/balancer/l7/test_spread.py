"""Whose turn it is: clock and dice are the test's."""

import random
from dataclasses import replace

from labkit.balancer.l7.balance import Balance
from labkit.balancer.l7.resilience import Circuit, Ejection
from labkit.balancer.l7.spread import Spread
from labkit.balancer.policy import L7Policy, Target

A, B, C = (Target(name, f"10.0.2.{number}") for number, name in enumerate("abc", 1))
POLICY = L7Policy((), (), {"all": (A, B, C), "one": (A,), "none": ()})


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def spread(policy: L7Policy, clock: Clock | None = None) -> Spread:
    return Spread(policy, clock or Clock(), random.Random(7))


def names(chooser: Spread, pool: str, times: int, key: str = "") -> str:
    found = [chooser.choose(pool, key) for _ in range(times)]
    return "".join(target.name if target else "-" for target in found)


def test_turns_follow_weights_and_avoid_whom_they_can() -> None:
    chooser = spread(replace(POLICY, pools={**POLICY.pools, "all": (replace(A, weight=2), B)}))
    assert sorted(names(chooser, "all", 6)) == list("aaaabb")
    assert {chooser.choose("all", avoid=("a",)) for _ in range(4)} == {B}
    assert chooser.choose("one", avoid=("a",)) == A
    assert names(chooser, "none", 2) == "--"


def test_the_least_busy_is_next_and_a_hash_stays() -> None:
    chooser = spread(replace(POLICY, balance={"all": Balance("least_requests")}))
    for name in "aab":
        chooser.begun("all", name)
    assert names(chooser, "all", 3) == "ccc"
    hashed = spread(replace(POLICY, balance={"all": Balance("consistent_hash")}))
    assert [len(set(names(hashed, "all", 5, key))) for key in ("", "x", "\ud800", "é" * 9000)] == [1, 1, 1, 1]
    assert len({names(hashed, "all", 1, str(number)) for number in range(50)}) == 3


def test_failures_in_a_row_eject_half_of_a_pool_at_most_and_nobody_who_is_alone() -> None:
    clock = Clock()
    chooser = spread(replace(POLICY, ejection=Ejection(failures=2, seconds=10)), clock)
    for name in "aabab":  # b's are not in a row with one another's answers between
        chooser.judged(name, failed=True)
    chooser.judged("c", failed=True)
    chooser.judged("c", failed=False)
    chooser.judged("c", failed=True)
    assert set(names(chooser, "all", 6)) == {"b", "c"}
    assert names(chooser, "one", 2) == "aa"
    assert not chooser.takes("all", A)
    clock.now = 10.1
    assert set(names(chooser, "all", 6)) == {"a", "b", "c"}


def test_a_circuit_counts_what_is_under_way() -> None:
    chooser = spread(replace(POLICY, circuit=Circuit(2)))
    found = [chooser.full("all")]
    for name in "ab":
        chooser.begun("all", name)
        found.append(chooser.full("all"))
    chooser.ended("all", "a")
    assert [*found, chooser.full("all"), chooser.full("one")] == [False, False, True, False, False]
