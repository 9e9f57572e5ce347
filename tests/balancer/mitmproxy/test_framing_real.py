"""The whole table against the balancer of a real lab, and what a backend that keeps every byte saw of it."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from labkit import Lab, Listener
from labkit.balancer.policy import Route

from ..framing_table import AFTER, TABLE, Payload
from ..small import small
from . import framing_peers

pytestmark = pytest.mark.needs("netns")

STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
ENGINES = ["mitmproxy"]


@dataclass
class Outcome:
    """What came of the table: answers by payload, answers to the good requests between, bytes at the backend."""

    answers: dict[Payload, bytes]
    between: list[bytes]
    slowest: float
    connections: list[bytes]
    events: list[dict[str, Any]]

    @property
    def heads(self) -> list[bytes]:
        """The head of every request at the backend."""
        found = []
        for data in self.connections:
            begin = 0
            while begin < len(data):
                found.append(data[begin : data.index(b"\r\n\r\n", begin) + 4])
                begin = framing_peers.request_end(data, begin) or len(data)
        return found


@pytest.fixture(scope="module", params=ENGINES)
def outcome(request: pytest.FixtureRequest) -> Outcome:
    with ThreadPoolExecutor(1) as aside, Lab(replace(small(), listeners=(Listener(80, "http"),))) as lab:
        api1, alice = lab.api1, lab.alice
        lab.balancer.health.off()
        api1.kill()
        backend = aside.submit(api1.call, framing_peers.record, 80, timeout=60)
        api1.call(framing_peers.stop, b"")
        lab.balancer.l7(routes=[Route("*", "api")], engine=request.param)
        talks = [(payload.raw + AFTER, False) if payload.whole else (payload.raw, True) for payload in TABLE]
        answers = alice.call(framing_peers.converse, lab.vip, 80, talks, timeout=30)
        events = [event for event in lab.balancer.events(0) if event["kind"] == "request"]
        api1.call(framing_peers.stop, b"x")
        return Outcome(
            dict(zip(TABLE, (answer for answer, _ in answers[::2]), strict=True)),
            [answer for answer, _ in answers[1::2]],
            max(seconds for _, seconds in answers),
            backend.result(20),
            events,
        )


def test_what_is_right_is_answered_and_what_is_wrong_is_refused_in_order(outcome: Outcome) -> None:
    wrong = {}
    for payload, answer in outcome.answers.items():
        wanted = [*payload.answers, *([200] if payload.whole and payload.expected == "ok" else [])]
        seen = [int(status) for status in STATUS.findall(answer)]
        if seen != wanted:
            wrong[payload.group, payload.name] = (seen, wanted, answer)
    assert wrong == {}
    refused = [payload for payload in TABLE if payload.expected == "refused"]
    assert len(refused) >= 45
    for payload in refused:
        assert b"\r\nConnection: close\r\n" in outcome.answers[payload]
        assert b": RFC " in outcome.answers[payload]


def test_nothing_of_what_is_wrong_reaches_a_backend(outcome: Outcome) -> None:
    everything = b"".join(outcome.connections)
    assert b"/bad" not in everything
    targets = {head.split(b" ")[1].partition(b"?")[0] for head in outcome.heads}
    assert targets == {b"/ok", b"/ok/after", b"/ok/good"}
    for head in outcome.heads:
        lowered = head.lower()
        assert lowered.count(b"\r\nhost:") == 1
        assert lowered.count(b"\r\ncontent-length:") + lowered.count(b"\r\ntransfer-encoding:") <= 1
        assert b"\r" not in head.replace(b"\r\n", b"")
        assert b"\n" not in head.replace(b"\r\n", b"")
        assert b"\x00" not in head


def test_nothing_hangs_and_others_are_served_meanwhile(outcome: Outcome) -> None:
    assert outcome.slowest < 5
    assert {STATUS.match(answer)[1] for answer in outcome.between} == {b"200"}  # type: ignore[index]


def test_every_refusal_is_on_record_with_its_rule(outcome: Outcome) -> None:
    wanted = sorted(status for payload in TABLE for status in payload.answers if status >= 400)
    refused = [event for event in outcome.events if event["status"] != 200]
    assert sorted(event["status"] for event in refused) == wanted
    for event in refused:
        assert event["error"].startswith("RFC ")
        assert (event["backend"], event["back"]) == (None, None)
        assert event["decided_ns"]
    assert not [event["error"] for event in outcome.events if event["status"] == 200 and event["error"]]
