"""The cases of the Autobahn test suite, run by a client of the lab: to a backend, and to it through each engine.

What kosoku runs are Autobahn's own cases, without compression (12.*, 13.*), which the backends do not speak.
"""

from typing import Any

import pytest

from labkit import Lab, Route

pytestmark = [pytest.mark.needs("netns"), pytest.mark.slow]

# Of the large messages in small pieces (9.3, 9.4, 9.7, 9.8) one size each: all of them take half a minute.
LARGE = ["9.1.*", "9.2.*", "9.3.9", "9.4.9", "9.5.*", "9.6.*", "9.7.6", "9.8.6"]
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}


def verdicts(url: str, large: list[str]) -> dict[str, list[str]]:
    """How each case went, and how its connection was closed, by the case's number; runs in a host."""
    import asyncio

    import kosoku

    async def run(cases: list[str] | None, but: list[str], at_once: int) -> list[Any]:
        try:
            return list(await kosoku.run_fuzzingclient(url, cases, but, at_once))
        except kosoku.FailureError as failed:
            return list(failed.results)

    # Many at once, as they wait much; large messages one by one, as they have to come within a time.
    results = asyncio.run(run(None, ["9.*", "12.*", "13.*"], 16)) + asyncio.run(run(large, [], 1))
    return {result.case_id: [result.behavior.value, result.behavior_close.value] for result in results}


@pytest.fixture(scope="module")
def direct(lab: Lab) -> dict[str, list[str]]:
    """The verdicts on the backend itself."""
    told: dict[str, list[str]] = lab.alice.call(verdicts, "ws://api1/ws/echo", LARGE, timeout=60)
    return told


def test_no_case_fails_that_the_backend_itself_passes(lab: Lab, engine: str, direct: dict[str, list[str]]) -> None:
    lab.balancer.l7(routes=[Route("*", pool="api")], engine=engine)
    told: dict[str, list[str]] = lab.alice.call(verdicts, "ws://lb/ws/echo", LARGE, timeout=120)
    assert told.keys() == direct.keys()
    assert len(told) > 270
    passed = {case for case, verdict in direct.items() if set(verdict) <= GOOD}
    assert len(passed) > 265
    assert {case: told[case] for case in passed if not set(told[case]) <= GOOD} == {}
