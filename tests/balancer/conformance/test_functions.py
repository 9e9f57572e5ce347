"""Functions of the user's as rules of routes. The engine that runs them is mitmproxy."""

import linecache
import os
import signal
import sys
import threading
import time
import types
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from labkit import Lab, Route
from labkit.errors import PolicyError

pytestmark = pytest.mark.needs("netns")

L7 = Callable[..., None]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """The module's lab; it leaves nothing, though a function is being called when it stops."""
    with Lab() as lab:
        yield lab
        lab.balancer.l7(routes=[Route("*", pool="api", when=_sleeps)])
        inside = lab.lb.call(os.readlink, "/proc/self/ns/pid")
        lab.alice.call(_ask_without_waiting, lab.vip)
        assert len(workers(lab)) > 0
    assert until(lambda: not any(one.name.isdecimal() and _lives_in(one, inside) for one in Path("/proc").iterdir()))


def until(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether it comes to hold in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _ask_without_waiting(vip: str) -> None:
    import socket

    socket.create_connection((vip, 80), timeout=5).sendall(b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n")


def _lives_in(process: Path, namespace: str) -> bool:
    try:
        return os.readlink(process / "ns/pid") == namespace
    except OSError:
        return False


@pytest.fixture
def l7(lab: Lab) -> L7:
    """``lab.balancer.l7`` on the engine that runs functions."""
    return partial(lab.balancer.l7, engine="mitmproxy")


def failures(lab: Lab) -> Any:
    """The table of what failed; its warning is not of interest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        lab.balancer.rule_errors()
        return lab.balancer.rule_errors()  # by now all warnings have been said


def workers(lab: Lab) -> list[int]:
    """The processes of functions, by their ids in the lab."""
    found: list[int] = lab.lb.call(_workers)
    return found


def _workers() -> list[int]:
    def says(pid: int) -> bool:
        try:
            return b"labkit.balancer.functions.child" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False

    return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdecimal() and says(int(one.name))]


LIMIT = 3


def _is_long(request: Any) -> bool:
    return len(request.query.get("v", "")) > LIMIT


RULES: list[tuple[Callable[[Any], Any], dict[str, Any], bool]] = [
    (lambda request: request.path.startswith("/api/"), {"path": "/api/x"}, True),
    (lambda request: request.path.startswith("/api/"), {"path": "/x"}, False),
    (lambda request: request.method == "POST" and request.body == b"hello", {"body": b"hello"}, True),
    (lambda request: request.json_field("user.age") >= 18, {"body": b'{"user": {"age": 20}}'}, True),
    (lambda request: request.headers["X-Beta"] == "1", {"headers": {"x-beta": "1"}}, True),
    (lambda request: request.cookies.get("a"), {"cookies": {"b": "1"}}, False),  # None
    (lambda request: request.host == "lb" and request.client == "10.0.1.11", {}, True),
    (lambda request: len(request.body or b""), {}, False),  # 0
    (lambda request: request.body is None, {"body": bytes(70_000)}, True),  # larger than what is held
    (_is_long, {"path": "/?v=long"}, True),
    (_is_long, {"path": "/?v=1"}, False),
]


def test_a_function_says_whether_a_route_matches(lab: Lab, l7: L7) -> None:
    cases = [Route("*", pool="images", headers={"x-case": str(n)}, when=case[0]) for n, case in enumerate(RULES)]
    l7(routes=[*cases, Route("*", pool="api")])
    for number, (_, case, matches) in enumerate(RULES):
        asked = {"method": "POST" if "body" in case else "GET", "path": "/", **case}
        headers = {"x-case": str(number), "content-type": "application/json", **asked.pop("headers", {})}
        reply = lab.alice.request(asked.pop("method"), f"http://lb{asked.pop('path')}", headers=headers, **asked)
        assert (number, reply.status, reply.backend in {"images1", "images2"}) == (number, 200, matches)
    explained = lab.balancer.explain("GET /?v=long", headers={"x-case": "9"})
    assert (explained.pool, explained.rule) == ("images", "* header x-case: 9 when _is_long")


def _raises(request: Any) -> bool:
    print("about to divide", "x" * 10_000)
    amount = len(request.path)
    return amount / 0 > 1


def _leaves(request: Any) -> bool:
    sys.exit(3)


def _ends_its_process(request: Any) -> bool:
    os._exit(3)


async def _is_asynchronous(request: Any) -> bool:
    return True


def _spins(request: Any) -> bool:
    while True:
        pass


def _sleeps(request: Any) -> bool:
    time.sleep(5)
    return True


FAILING: list[tuple[Callable[[Any], Any], int, str]] = [
    (_raises, 500, "ZeroDivisionError: division by zero"),
    (_leaves, 500, "SystemExit: 3"),
    (lambda request: "yes", 500, "TypeError: it returned a str: a rule answers with True or False"),
    (lambda request: [], 500, "TypeError: it returned a list"),
    (_is_asynchronous, 500, "TypeError: it is asynchronous"),
    (lambda request: len(bytes(8 << 30)) > 0, 500, "MemoryError"),
    (_ends_its_process, 503, "its process ended during the call"),
]


def test_functions_that_fail_are_told_of(lab: Lab, l7: L7) -> None:
    odd = [Route(f"/{n}", pool="api", when=function, name=f"odd{n}") for n, (function, _, _) in enumerate(FAILING)]
    l7(routes=[*odd, Route("*", pool="api")])
    since = time.time_ns()
    for number, (function, status, error) in enumerate(FAILING):
        reply = lab.alice.get(f"http://lb/{number}")
        assert (reply.status, reply.backend) == (status, None)
        assert f"the function {function.__name__} of the route odd{number}" in reply.text
        assert error in reply.text
        assert lab.alice.get("http://lb/even").status == 200
    table = failures(lab).tail(len(FAILING))
    events = [one for one in lab.balancer.events(since) if one["kind"] == "request" and one["target"] != "/even"]
    for number, (function, status, error) in enumerate(FAILING):
        row, event = table.iloc[number], events[number]
        assert (row["rule"], row["function"], row["request"]) == (f"odd{number}", function.__name__, f"GET /{number}")
        assert row["error"].startswith(error)
        assert (event["error"], event["rule"], event["status"]) == (row["error"], row["rule"], status)
        assert (event["backend"], event["back"]) == (None, None)


def test_the_first_failure_of_each_function_is_warned_of(lab: Lab, l7: L7) -> None:
    l7(routes=[Route("/one", pool="api", when=_raises), Route("/two", pool="api", when=_leaves)])
    for path in ("/one", "/one", "/two"):
        lab.alice.get(f"http://lb{path}")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        lab.balancer.rule_errors()
        lab.balancer.rule_errors()
    texts = [str(one.message) for one in warned]
    assert len(texts) == 2
    assert "The function _raises of the route /one when _raises failed on GET /one: ZeroDivisionError" in texts[0]
    assert "return amount / 0 > 1" in texts[0]
    assert "_leaves" in texts[1]


def test_the_traceback_shows_the_users_own_line(lab: Lab, l7: L7) -> None:
    l7(routes=[Route("*", pool="api", when=_raises)])
    assert lab.alice.get("http://lb/x").status == 500
    last = failures(lab).iloc[-1]
    source = Path(__file__).read_text().splitlines()
    assert source[last["line"] - 1].strip() == last["source"] == "return amount / 0 > 1"
    assert f'File "{__file__}", line {last["line"]}, in _raises' in last["traceback"]
    assert "return amount / 0 > 1" in last["traceback"]
    assert "labkit/balancer" not in last["traceback"]
    assert last["printed"].startswith("about to divide xxx")
    assert len(last["printed"]) == 2000


CELL = """\
import json
FLAG = "beta"

def helper(text):
    return json.loads(text)[FLAG]

def rule(request):
    return helper(request.body)
"""


def test_functions_of_a_cell_travel_with_what_they_refer_to(lab: Lab, l7: L7, monkeypatch: Any) -> None:
    cell = types.ModuleType("__main__")
    name = "/tmp/ipykernel_1/2718281828.py"
    monkeypatch.setitem(linecache.cache, name, (len(CELL), None, CELL.splitlines(True), name))
    monkeypatch.setitem(sys.modules, "__main__", cell)
    exec(compile(CELL, name, "exec"), vars(cell))
    l7(routes=[Route("*", pool="images", when=cell.rule), Route("*", pool="api")])
    assert lab.alice.post("http://lb/", body='{"beta": true}').backend in {"images1", "images2"}
    assert lab.alice.post("http://lb/", body='{"beta": false}').backend in {"api1", "api2"}
    assert lab.alice.post("http://lb/", body="{}").status == 500
    last = failures(lab).iloc[-1]
    assert (last["line"], last["source"]) == (5, "return json.loads(text)[FLAG]")
    assert last["traceback"].splitlines()[1:3] == [
        f'  File "{name}", line 8, in rule',
        "    return helper(request.body)",
    ]
    assert last["error"] == "KeyError: 'beta'"


def test_others_go_on_while_one_does_not_end(lab: Lab, l7: L7) -> None:
    asked = Route("/asked", pool="api", when=lambda request: True)
    l7(routes=[Route("/plain", pool="api"), asked, Route("/spin", pool="api", when=_spins), Route("*", pool="api")])
    statuses: list[tuple[str, int]] = []

    def get(path: str) -> None:
        statuses.append((path, lab.alice.get(f"http://lb{path}").status))

    first = threading.Thread(target=get, args=("/spin",))
    first.start()
    others = [threading.Thread(target=get, args=(path,)) for path in ["/plain", "/asked"] * 10]
    for thread in others:
        thread.start()
    for thread in (*others, first):
        thread.join(20)
    assert sorted(statuses) == sorted([*[("/plain", 200)] * 10, *[("/asked", 200)] * 10, ("/spin", 503)])
    assert {"/plain", "/asked"} <= {path for path, _ in statuses[: statuses.index(("/spin", 503))]}
    last = failures(lab).iloc[-1]
    assert last["error"] == "it took longer than 1 s, and was ended"
    assert last["source"] in ("while True:", "pass")


def test_a_request_is_decided_by_the_policy_that_is_in_force_when_its_function_has_answered(lab: Lab, l7: L7) -> None:
    def slow(request: Any) -> bool:
        Path("/tmp/begun").touch()
        while not Path("/tmp/switched").exists():
            time.sleep(0.005)
        raise RuntimeError("nobody asks any more")

    l7(routes=[Route("*", pool="api", when=slow)])
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(lab.alice.get("http://lb/").backend))
    thread.start()
    assert until(lambda: lab.lb.call(os.path.exists, "/tmp/begun"))
    l7(routes=[Route("*", pool="images")])
    lab.lb.call(_touch, "/tmp/switched")
    thread.join(10)
    assert failures(lab).iloc[-1]["error"] == "RuntimeError: nobody asks any more"
    event = [one for one in lab.balancer.events(0) if one["kind"] == "request"][-1]
    assert (event["error"], event["rule"], event["status"]) == (None, "*", 200)
    assert found[0] in {"images1", "images2"}


def _touch(path: str) -> None:
    Path(path).touch()


def test_a_process_that_is_killed_is_replaced(lab: Lab, l7: L7) -> None:
    l7(routes=[Route("*", pool="images", when=lambda request: True)])
    for _ in range(3):
        for pid in workers(lab):
            lab.lb.call(_kill, pid)
        assert lab.alice.get("http://lb/").status == 200
    l7()
    assert until(lambda: workers(lab) == [])


def _kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_requests_one_after_another_meet_the_same_process_also_when_backends_change(lab: Lab, l7: L7) -> None:
    seen: list[str] = []

    def third(request: Any) -> bool:
        seen.append(request.path)
        return len(seen) % 3 == 0

    l7(routes=[Route("*", pool="images", when=third), Route("*", pool="api")])
    found = []
    for number in range(6):
        found.append(str(lab.alice.get("http://lb/").backend)[:-1])
        if number == 3:
            lab.balancer.drain("api1")
            lab.balancer.add("api1")
    assert found == ["api", "api", "images"] * 2
    assert seen == []


class _Unloadable:
    def __reduce__(self) -> Any:
        return (eval, ("1 / 0",))


def test_what_cannot_be_packed_or_loaded_is_refused_before_the_switch(lab: Lab, l7: L7) -> None:
    lock, trap = threading.Lock(), _Unloadable()
    l7(routes=[Route("*", pool="api", when=_is_long)])
    lab.balancer.l4()
    assert until(lambda: len(workers(lab)) == 2)  # of before
    before = set(workers(lab))
    with pytest.raises(PolicyError, match=r"when=<lambda>\): <lambda> cannot be sent into a host .*lock"):
        l7(routes=[Route("*", pool="api", when=lambda request: lock.locked())])
    with pytest.raises(PolicyError, match=r"cannot be loaded in lb \(ZeroDivisionError: division by zero\)"):
        l7(routes=[Route("*", pool="api", when=lambda request: trap is None)])
    assert lab.balancer.mode == "l4"
    assert until(lambda: set(workers(lab)) == before)
    assert lab.alice.get("http://lb/").status == 200
