"""A thousand clients that begin a request and do not go on: others are served, and those are not waited for long."""

from collections import Counter
from collections.abc import Callable
from statistics import median

import pytest

from labkit import Lab, Limits, Route

from . import slow_peers

pytestmark = [pytest.mark.needs("netns"), pytest.mark.slow]

SLOW, GOOD, SECONDS = 1000, 50, 3.0


def test_half_sent_heads_hold_nobody_up_and_end_in_time(lab: Lab, l7: Callable[..., None], engine: str) -> None:
    l7(routes=[Route("/api/*", pool="api")], limits=Limits(header_seconds=SECONDS))
    told = lab.alice.call(slow_peers.hold, SLOW, GOOD, SECONDS + 5, timeout=30)
    milliseconds = [seconds * 1000 for _, seconds in told["good"]]
    print(
        f"{engine}: {GOOD} requests beside {told['open']} half-sent heads: median {median(milliseconds):.1f} ms, "
        f"{max(milliseconds):.1f} ms at most; the last head was given up after {told['seconds']:.1f} s"
    )
    assert [status for status, _ in told["good"]] == [200] * GOOD
    assert told["open"] == SLOW, "they were to be held open meanwhile"
    assert len(told["ended"]) == SLOW, Counter(told["ended"])
    assert set(told["ended"]) <= {"408", "closed"}
