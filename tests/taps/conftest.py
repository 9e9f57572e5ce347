"""A real lab for the tests of taps, booted once a module."""

from collections.abc import Iterator

import pytest

from labkit.errors import RuntimeUnavailable
from labkit.runtime import Runtime, candidates
from labkit.taps import PRELOAD
from labkit.topology import default


@pytest.fixture(scope="module")
def runtime() -> Iterator[Runtime]:
    runtime = next(candidates("netns"))
    try:
        runtime.start(default(), PRELOAD)
    except RuntimeUnavailable as error:
        pytest.skip(str(error))
    try:
        runtime.nodes["api1"].call("tests.taps.jobs:listen")
        yield runtime
    finally:
        runtime.stop()
