"""A lab for the tests of the L4 engine, booted once a module: hosts that say their name, no proxy."""

from collections.abc import Iterator

import pytest

from labkit.balancer.nftables import PRELOAD
from labkit.runtime import Runtime, candidates
from labkit.topology import default
from tests.balancer.nftables.peers import BACKENDS


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    runtime = next(candidates("netns"))
    runtime.start(default(), PRELOAD)
    try:
        for name in (*BACKENDS, "lb"):
            task = runtime.nodes[name].start("tests.balancer.nftables.peers:serve", name=name)
            assert task.receive(10) == "listening"
        yield runtime
    finally:
        runtime.stop()
