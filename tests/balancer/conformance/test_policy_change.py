"""A new policy while requests run and WebSockets are open: in force for the very next request, at nobody's cost."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

import pytest

from labkit import Lab, Route

pytestmark = pytest.mark.needs("netns")

CHANGES, ASKERS, SOCKETS = 10, 4, 20
FURTHER = 12  # requests of each asker under every policy
POLICIES: list[tuple[str, dict[str, int] | None]] = [  # the pool, and who of it gets nine times as much as the other
    ("images", None),
    ("api", {"api1": 9}),
    ("images", {"images2": 9}),
    ("api", {"api2": 9}),
]


class Asker:
    """Requests one after another on a kept connection: when each was sent and answered, its status, who answered."""

    def __init__(self, lab: Lab) -> None:
        self.asked: list[tuple[float, float, int, str]] = []
        self.locals: set[Any] = set()
        self.trouble: list[Exception] = []
        self._lab = lab
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            with self._lab.alice.session() as session:
                while not self._over.is_set():
                    sent = time.monotonic()
                    reply = session.get("http://lb/any")
                    self.asked.append((sent, time.monotonic(), reply.status, str(reply.backend)))
                    self.locals.add(tuple(reply.local))
        except Exception as error:
            self.trouble.append(error)

    @contextmanager
    def running(self) -> Iterator["Asker"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._over.set()
            self._thread.join(10)

    def wait(self, since: float) -> None:
        """Until so many more were sent since then."""
        until = time.monotonic() + 10
        while sum(sent > since for sent, *_ in self.asked[-FURTHER - 1 :]) < FURTHER:
            assert not self.trouble, self.trouble
            assert time.monotonic() < until
            time.sleep(0.002)


def test_every_change_is_obeyed_at_once_and_costs_nobody_anything(
    lab: Lab, l7: Callable[..., None], engine: str
) -> None:
    chat = Route("/ws/*", pool="api", websocket=True)
    l7(routes=[chat, Route("*", pool="api")])
    with ExitStack() as stack:
        sockets = [stack.enter_context(lab.alice.websocket("ws://lb/ws/chat")) for _ in range(SOCKETS)]
        askers = [stack.enter_context(Asker(lab).running()) for _ in range(ASKERS)]
        spans, took = [], []
        for change in range(CHANGES):
            pool, weights = POLICIES[change % len(POLICIES)]
            began = time.monotonic()
            l7(routes=[chat, Route("*", pool=pool)], weights=weights)
            in_force = time.monotonic()
            took.append(in_force - began)
            for asker in askers:
                asker.wait(in_force)
            for number, socket in enumerate(sockets):
                socket.send(f"{change} {number}")
            assert [socket.recv() for socket in sockets] == [f"{change} {number}" for number in range(SOCKETS)]
            spans.append((in_force, time.monotonic(), pool, weights))
    print(f"{engine}: l7() took {median(took) * 1000:.0f} ms, {max(took) * 1000:.0f} ms at most")
    asked = [each for asker in askers for each in asker.asked]
    assert [error for asker in askers for error in asker.trouble] == []
    assert {status for _, _, status, _ in asked} == {200}
    assert [len(asker.locals) for asker in askers] == [1] * ASKERS, "each kept its connection"
    for begin, end, pool, weights in spans:
        answered = Counter(backend for sent, done, _, backend in asked if begin <= sent and done <= end)
        assert answered.total() >= ASKERS * FURTHER
        assert {name.rstrip("12") for name in answered} == {pool}
        for favoured in weights or ():
            assert answered[favoured] >= 0.8 * answered.total(), answered
