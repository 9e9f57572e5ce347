"""Who asks for what in the demo."""

from collections import Counter

from labkit.demo.run import REQUESTS, schedule
from labkit.topology import default


def test_round_robin_over_the_schedule_resembles_no_routing() -> None:
    asked = schedule(default())
    backends = [node.name for node in default().backends]
    meetings = Counter(
        (client, target.split("/")[1], backends[number % len(backends)])
        for number, (client, target) in enumerate(asked)
    )
    assert len(asked) == REQUESTS == 40
    assert len({target for _, target in asked}) == 40
    assert Counter(client for client, _ in asked) == {"alice": 20, "bob": 20}
    assert Counter(target.split("/")[1] for _, target in asked) == {"api": 20, "images": 20}
    # Every client meets every backend with every path, about equally often.
    assert len(meetings) == 2 * 2 * 4
    assert set(meetings.values()) <= {2, 3}
