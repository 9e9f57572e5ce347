"""`Host` and `Backend`: what they are, and a backend's life from the outside."""

import os

import pytest

from labkit.errors import LabNotRunning, TaskError, TrafficError
from labkit.topology import default
from labkit.traffic.host import Backend, Host

pytestmark = pytest.mark.measured


async def hello(scope, receive, send):
    """An application whose name and code live in this module, which no host has."""
    await send({"type": "http.response.start", "status": 201, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": GREETING.encode()})


GREETING = "hello"


def not_running():
    raise LabNotRunning("the lab was not started: lab.start()")


def test_what_a_host_says_of_itself():
    lb = Host(default().node("lb"), not_running)
    assert (lb.name, lb.role, lb.address) == ("lb", "balancer", "10.0.1.10")
    assert lb.addresses == ["10.0.1.10", "fd00:10:0:1::10", "10.0.2.10", "fd00:10:0:2::10"]
    assert repr(lb) == "<balancer lb 10.0.1.10>"
    assert lb._repr_html_() == "balancer <b>lb</b> <code>10.0.1.10</code>"
    assert {
        "get",
        "post",
        "request",
        "session",
        "websocket",
        "tcp",
        "udp",
        "run",
        "call",
        "load",
        "send",
        "sr",
        "sr1",
    } <= set(dir(lb))


def test_nothing_works_while_the_lab_does_not_run():
    api1 = Backend(default().node("api1"), not_running)
    acts = [
        lambda: api1.get("http://lb/"),
        api1.session,
        lambda: api1.websocket("ws://lb/"),
        lambda: api1.tcp("lb", 7),
        lambda: api1.udp("lb", 7),
        lambda: api1.run("true"),
        lambda: api1.run("true", background=True),
        lambda: api1.call(os.getpid),
        lambda: api1.load("http://lb/"),
        api1.kill,
        api1.restore,
        lambda: api1.slow(1),
        lambda: api1.serve(None),
    ]
    for act in acts:
        with pytest.raises(LabNotRunning):
            act()
    assert not api1.serving
    with pytest.raises(TaskError, match=r"was not started: api1\.restore"):
        api1.wait_ready()


def test_kill_and_restore(alice, spare):
    backend = spare(8040)
    backend.restore()
    assert backend.serving
    with alice.session() as session:
        session.get("http://api2:8040/")
        backend.kill()
        backend.kill()
        assert not backend.serving
        with pytest.raises(TrafficError) as failed:
            session.get("http://api2:8040/")
        assert failed.value.cause == "refused"
        with pytest.raises(TaskError, match="was stopped"):
            backend.wait_ready()
        backend.restore()
        backend.restore()
        assert session.get("http://api2:8040/").backend == "api2"


def test_serve_an_application_and_slow_it_and_both_stay(alice, spare):
    backend = spare(8041)
    backend.restore()
    backend.serve(hello)
    backend.slow(0.1)
    backend.kill()
    backend.restore()
    reply = alice.get("http://api2:8041/")
    assert (reply.status, reply.text, reply.backend, reply.received) == (201, "hello", "api2", None)
    assert reply.seconds >= 0.1
    backend.kill()
    backend.slow(0)  # while it is down
    backend.serve(None)
    assert alice.get("http://api2:8041/x").received["target"] == "/x"


def test_an_application_that_fails_is_shown_and_the_server_goes_on(alice, spare):
    events = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                events.append((await receive())["type"])
                await send({"type": events[-1] + ".complete"})
        if scope["path"] == "/late":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
            raise RuntimeError("late")
        raise RuntimeError(f"after {events}")

    backend = spare(8042)
    backend.serve(app)
    reply = alice.get("http://api2:8042/")
    assert (reply.status, reply.backend) == (500, "api2")
    assert reply.text.endswith("RuntimeError: after ['lifespan.startup']\n")
    with pytest.raises(TrafficError) as failed:
        alice.get("http://api2:8042/late")
    assert failed.value.cause == "cut short"
    assert alice.get("http://api2:8042/").status == 500


def test_what_cannot_be_served_leaves_what_was(alice, spare):
    class Unloadable:
        def __reduce__(self):
            return (__import__, ("no_such_module",))

        async def __call__(self, scope, receive, send):
            raise NotImplementedError

    async def refuses(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    backend = spare(8043)
    backend.serve(hello)
    for app, words in (
        (Unloadable(), "api2's server ended: api2 cannot load the application: ModuleNotFoundError"),
        (5, "cannot serve a int"),
        (refuses, "its start-up failed"),
    ):
        with pytest.raises(TaskError, match=words):
            backend.serve(app)
        assert alice.get("http://api2:8043/").text == "hello"


def test_what_is_no_application_cuts_no_connection(alice, spare):
    backend = spare(8045)
    backend.restore()
    with alice.session() as session:
        first = session.get("http://api2:8045/").local
        for app in (5, "app:app", object()):
            with pytest.raises(TaskError, match="api2 cannot serve a "):
                backend.serve(app)
        assert session.get("http://api2:8045/").local == first
    for timeout in (None, 0, "1", float("nan")):
        with pytest.raises(TrafficError, match="timeout is a number of seconds"):
            backend.wait_ready(timeout)


def test_a_server_that_ends_by_itself_is_seen(alice, spare):
    async def deadly(scope, receive, send):
        if scope["type"] == "http":
            os._exit(9)
        raise NotImplementedError

    backend = spare(8044)
    backend.serve(deadly)
    with pytest.raises(TrafficError):
        alice.get("http://api2:8044/")
    while backend.serving:
        pass
    with pytest.raises(TaskError, match="ended with status 9"):
        backend.wait_ready()


@pytest.mark.parametrize("seconds", [-1, "1", float("nan"), 301, True])
def test_slow_takes_a_number_of_seconds(api1, seconds):
    with pytest.raises(TrafficError, match="0 to 300 seconds"):
        api1.slow(seconds)


def test_two_backends_cannot_have_one_port(api1, spare):
    backend = spare(80)
    with pytest.raises(TaskError, match="api2's server ended: api2 cannot serve TCP port 80: Address already in use"):
        backend.restore()
