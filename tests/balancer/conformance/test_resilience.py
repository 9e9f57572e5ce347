"""When backends fail: asked again where it is safe, waited for so long and no longer, left out for a while."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from labkit import Circuit, Ejection, Lab, Retries, Route, Timeouts

pytestmark = pytest.mark.needs("netns")

API = [Route("*", pool="api")]


@pytest.fixture(autouse=True)
def unchecked(lab: Lab) -> Iterator[None]:
    """Without health checks, so that requests find out by themselves; and everybody serves again afterwards."""
    lab.balancer.health.off()
    yield
    for backend in (lab.api1, lab.api2):
        backend.restore()
        backend.slow(0)


def statuses(lab: Lab, count: int, method: str = "GET", path: str = "/") -> Counter[int]:
    return Counter(lab.alice.request(method, f"http://lb{path}").status for _ in range(count))


def test_what_never_left_is_asked_of_another(lab: Lab, l7: Callable[..., None]) -> None:
    lab.api1.kill()
    l7(routes=API, retries=Retries(1))
    assert statuses(lab, 6) == {200: 6}
    assert statuses(lab, 6, "POST") == {200: 6}
    rows = lab.balancer.decisions().tail(12)
    assert set(rows["backend"]) == {"api2"}


def test_without_retries_the_client_is_told(lab: Lab, l7: Callable[..., None]) -> None:
    lab.api1.kill()
    l7(routes=API)
    found = statuses(lab, 12)
    assert found[200] + found[502] + found[503] == 12
    assert 2 <= found[200] <= 10


async def _busy(scope, receive, send):  # type: ignore[no-untyped-def]
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"busy"})


def test_only_what_may_be_asked_twice_is_sent_twice(lab: Lab, l7: Callable[..., None]) -> None:
    lab.api1.serve(_busy)
    try:
        l7(routes=API, retries=Retries(1))
        with lab.alice.session() as session:
            assert Counter(session.get("http://lb/").status for _ in range(4)) == {200: 4}
            posted = Counter(session.post("http://lb/", body=b"x").status for _ in range(4))
        assert posted == {200: 2, 503: 2}
    finally:
        lab.api1.serve(None)


def test_an_answer_that_takes_too_long_is_a_504(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=API, timeouts=Timeouts(answer=0.3))
    begun = time.monotonic()
    assert lab.alice.get("http://lb/slow/3").status == 504
    assert time.monotonic() - begun < 2.5
    assert lab.alice.get("http://lb/slow/0.05").status == 200


def test_a_route_has_a_time_of_its_own(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("/slow/*", pool="api", timeout=0.2), Route("*", pool="api")], timeouts=Timeouts(answer=30))
    assert lab.alice.get("http://lb/slow/2").status == 504
    assert lab.alice.get("http://lb/other").status == 200


def test_who_fails_again_and_again_is_left_out_for_a_while(lab: Lab, l7: Callable[..., None]) -> None:
    lab.api1.kill()
    l7(routes=API, ejection=Ejection(failures=2, seconds=1.5))
    first = statuses(lab, 6)
    assert first[200] >= 3
    assert 1 <= first[502] + first[503] <= 3
    assert statuses(lab, 10) == {200: 10}
    lab.api1.restore()
    deadline = time.monotonic() + 8
    while "api1" not in {lab.alice.get("http://lb/").backend for _ in range(2)}:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_pool_takes_so_many_at_once(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("/slow/*", pool="api"), Route("*", pool="images")], circuit=Circuit(2))
    found: list[int] = []

    def ask() -> None:
        found.append(lab.alice.get("http://lb/slow/0.8").status)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
        time.sleep(0.04)
    other = lab.bob.get("http://lb/").status
    for thread in threads:
        thread.join()
    assert Counter(found) == {200: 2, 503: 3}
    assert other == 200
    assert lab.alice.get("http://lb/slow/0").status == 200


def test_who_fails_its_checks_gets_no_requests(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=API)
    lab.balancer.health.check(interval=0.2)
    lab.api1.kill()
    deadline = time.monotonic() + 8
    while lab.balancer.health["api1"] != "down":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    deadline = time.monotonic() + 2
    while "api1" in lab.balancer.rules.split("# nftables")[0].splitlines()[1]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert statuses(lab, 10) == {200: 10}
    lab.api1.restore()
    deadline = time.monotonic() + 8
    while "api1" not in {lab.alice.get("http://lb/").backend for _ in range(2)}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_answer_that_breaks_off_is_not_taken_for_whole(lab: Lab, l7: Callable[..., None]) -> None:
    lab.api1.serve(_breaking)
    lab.api2.serve(_breaking)
    l7(routes=API, retries=Retries(2))
    try:
        with pytest.raises(Exception, match="cut short"):
            lab.alice.get("http://lb/")
    finally:
        lab.api1.serve(None)
        lab.api2.serve(None)
    assert lab.alice.get("http://lb/").status == 200


async def _breaking(scope, receive, send):  # type: ignore[no-untyped-def]
    if scope["type"] != "http":
        return
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"1000")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise RuntimeError("gone")
