"""The whole table against the balancer of a real lab, and what a backend that keeps every byte saw of it."""

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from labkit import Lab, Limits, Listener, Timeouts
from labkit.balancer.policy import Route

from ..framing_table import AFTER, TABLE, Payload
from ..small import small
from . import framing_peers
from .framing_by_envoy import TREATMENTS

pytestmark = pytest.mark.needs("netns")

STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) ")
BAD = re.compile(rb"[^ ]+ /bad/([0-9]+)")
ONE_HOST = re.compile(rb"\r\nhost: ([0-9a-z_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?\r\n")
ABSOLUTE = re.compile("^http://[^/]*", re.IGNORECASE)  # what is sent on is the path alone
LENGTH = re.compile(rb"\r\n(?:content-length: (?:0|[1-9][0-9]*)|transfer-encoding: chunked)\r\n")


@dataclass
class Outcome:
    """What came of the table: answers by payload, answers to the good requests between, bytes at the backend."""

    engine: str
    answers: dict[Payload, bytes]
    between: list[bytes]
    slowest: float
    connections: list[bytes]
    events: list[dict[str, Any]]
    said: str  # by the processes of the lab

    @property
    def requests(self) -> list[tuple[bytes, bool]]:
        """The head of every request at the backend, and whether the request was complete."""
        found = []
        for data in self.connections:
            begin = 0
            while begin < len(data):
                end = framing_peers.request_end(data, begin)
                found.append((data[begin : data.index(b"\r\n\r\n", begin) + 4], end > 0))
                begin = end or len(data)
        return found

    @property
    def fates(self) -> dict[Payload, str]:
        """Which of the table's bad requests reached the backend, and how."""
        found = ((BAD.match(head), complete) for head, complete in self.requests)
        return {TABLE[int(bad[1])]: "mended" if complete else "broken off" for bad, complete in found if bad}


@contextmanager
def overheard() -> Iterator[Path]:
    """What this process and those that it starts meanwhile write to their standard error."""
    kept = os.dup(2)
    with tempfile.NamedTemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield Path(file.name)
        finally:
            os.dup2(kept, 2)
            os.close(kept)


@pytest.fixture(scope="module")
def outcome(engine: str) -> Outcome:
    one_listener = replace(small(), listeners=(Listener(80, "http"),))
    with overheard() as said, ThreadPoolExecutor(1) as aside, Lab(one_listener) as lab:
        api1, alice = lab.api1, lab.alice
        lab.balancer.health.off()
        api1.kill()
        backend = aside.submit(api1.call, framing_peers.record, 80, timeout=60)
        api1.call(framing_peers.stop, b"")
        limits, timeouts = Limits(body_seconds=2), Timeouts(answer=1.5)
        lab.balancer.l7(routes=[Route("*", "api")], engine=engine, limits=limits, timeouts=timeouts)
        told_apart = (payload.raw.replace(b"/bad", b"/bad/%d" % place, 1) for place, payload in enumerate(TABLE))
        talks = [
            (raw + AFTER, False) if payload.whole else (raw, True)
            for payload, raw in zip(TABLE, told_apart, strict=True)
        ]
        answers = alice.call(framing_peers.converse, lab.vip, 80, talks, timeout=30)
        events = [event for event in lab.balancer.events(0) if event["kind"] == "request"]
        api1.call(framing_peers.stop, b"x")
        return Outcome(
            engine,
            dict(zip(TABLE, (answer for answer, _ in answers[::2]), strict=True)),
            [answer for answer, _ in answers[1::2]],
            max(seconds for _, seconds in answers),
            backend.result(20),
            events,
            said.read_text(errors="replace"),
        )


def test_each_is_answered_and_refused_mended_or_broken_off_as_is_told_of_the_engine(outcome: Outcome) -> None:
    wrong = {}
    for payload, answer in outcome.answers.items():
        told = TREATMENTS[outcome.engine][payload]
        seen = tuple(int(status) for status in STATUS.findall(answer)), outcome.fates.get(payload, "refused")
        fates = {told.fate, *(["refused"] if told.fate == "broken off" else [])}  # or before its head was sent on
        if seen[0] != told.answers or seen[1] not in fates:
            wrong[payload.group, payload.name] = (seen, told, answer)
    assert wrong == {}


def test_what_a_strict_engine_refuses_is_said_to_the_client_and_reaches_nobody(outcome: Outcome) -> None:
    told = TREATMENTS[outcome.engine]
    refused = [each for each in TABLE if max(told[each].answers, default=0) >= 400 and told[each].fate == "refused"]
    assert len(refused) >= 45
    for payload in refused:
        assert b"\r\nconnection: close\r\n" in outcome.answers[payload].lower()
        assert outcome.engine != "mitmproxy" or b": RFC " in outcome.answers[payload]
    if outcome.engine == "mitmproxy":
        assert {each for each in TABLE if each.expected == "refused"} == set(refused)
        assert b"/bad" not in b"".join(outcome.connections)
        targets = {head.split(b" ")[1].partition(b"?")[0] for head, _ in outcome.requests}
        assert targets == {b"/ok", b"/ok/after", b"/ok/good"}


def test_whatever_reaches_a_backend_can_be_read_in_one_way(outcome: Outcome) -> None:
    assert len(outcome.requests) > len(TABLE)  # the good ones between
    for head, _ in outcome.requests:
        lowered = head.lower()
        assert lowered.count(b"\r\nhost:") == len(ONE_HOST.findall(lowered)) == 1
        lengths = lowered.count(b"\r\ncontent-length:") + lowered.count(b"\r\ntransfer-encoding:")
        assert lengths == len(LENGTH.findall(lowered)) <= 1
        assert re.fullmatch(rb"[^ ]+ /[^ ]* HTTP/1\.1", head.partition(b"\r\n")[0])
        assert not re.search(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]|\r\n[ \t]", head.replace(b":\t", b":"))
        assert b"\r" not in head.replace(b"\r\n", b"")
        assert b"\n" not in head.replace(b"\r\n", b"")


def test_a_backend_sees_the_requests_that_the_balancer_has_seen_and_no_others(outcome: Outcome) -> None:
    """So nobody has smuggled a request past the balancer within another one."""
    sent = Counter(ABSOLUTE.sub("", event["target"]) for event in outcome.events if event["back"])
    broken_off = Counter(
        event["target"] for event in outcome.events if event["back"] and (event["status"] or 400) >= 400
    )
    targets = [(head.split(b" ")[1].decode("latin-1"), complete) for head, complete in outcome.requests]
    assert Counter(target for target, complete in targets if complete) == sent - broken_off
    assert Counter(target for target, complete in targets if not complete) <= broken_off


def test_nothing_hangs_and_others_are_served_meanwhile(outcome: Outcome) -> None:
    assert outcome.slowest < 5
    assert b"hangs" not in outcome.answers.values()
    assert {STATUS.match(answer)[1] for answer in outcome.between} == {b"200"}  # type: ignore[index]


def test_no_process_of_the_lab_has_raised(outcome: Outcome) -> None:
    assert "Traceback" not in outcome.said


def test_every_refusal_is_on_record_with_its_rule(outcome: Outcome) -> None:
    told = TREATMENTS[outcome.engine]
    wanted = sorted(status for payload in TABLE for status in told[payload].answers if status >= 400)
    refused = [event for event in outcome.events if (event["status"] or 0) >= 400]
    assert sorted(event["status"] for event in refused) == wanted
    for event in refused:
        assert event["error"]
        if outcome.engine == "mitmproxy":
            assert event["error"].startswith("RFC ")
            assert (event["backend"], event["back"]) == (None, None)
            assert event["decided_ns"]
    assert not [event["error"] for event in outcome.events if event["status"] == 200 and event["error"]]
