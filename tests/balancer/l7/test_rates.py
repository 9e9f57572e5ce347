"""Token buckets, at times that the test says."""

import pytest

from labkit import RateLimit
from labkit.balancer.l7.rates import Buckets, retry_after
from labkit.balancer.l7.request import Request, Watched


def test_a_burst_then_one_an_interval() -> None:
    buckets = Buckets(RateLimit(2, seconds=4, burst=3))
    waits = [buckets.take("a", at) for at in (0, 0, 0, 0, 1.9, 2.0, 2.0, 100, 100, 100, 100)]
    assert [round(wait, 6) for wait in waits] == [0, 0, 0, 2, 0.1, 0, 2, 0, 0, 0, 2]
    assert buckets.take("b", 100) == 0


def test_who_waits_takes_nothing_and_old_buckets_go_first() -> None:
    buckets = Buckets(RateLimit(1, seconds=60))
    assert [round(buckets.take("a", at)) for at in (0, 10, 20, 60, 61)] == [0, 50, 40, 0, 59]
    for number in range(10_000):
        buckets.take(str(number), 61)
    assert buckets.take("a", 61) == 0
    assert buckets.take("9999", 61) > 0


@pytest.mark.parametrize(
    ("by", "key"),
    [("client", "10.0.1.11"), ("route", ""), ("header:X-User", "=a,b"), ("header:x-none", ""), ("header:x-empty", "=")],
)
def test_whose_bucket(by: str, key: str) -> None:
    asked = Watched(Request("GET", "/", [("x-user", "a"), ("X-USER", "b"), ("x-empty", "")], client="10.0.1.11"))
    assert RateLimit(1, by=by).key(asked) == key


@pytest.mark.parametrize(("seconds", "text"), [(0.0001, "1"), (1, "1"), (1.01, "2"), (86_400, "86400")])
def test_retry_after_is_in_whole_seconds(seconds: float, text: str) -> None:
    assert retry_after(seconds) == text
