"""The same hosts in a real lab: own namespaces, a router between them, the balancer at L4."""

import json
import time

import pytest

from labkit import Lab
from labkit.errors import LabNotRunning, TrafficError
from tests.interrupt import interrupted

pytestmark = pytest.mark.needs("netns")


@pytest.fixture(scope="module")
def lab():
    with Lab() as lab:
        yield lab


def test_a_backend_sees_the_client_itself(lab):
    alice, api1 = lab.alice, lab.api1
    for url, address in ((f"http://{api1.address}/", alice.address), ("http://ip6-api1/", alice.addresses[1])):
        reply = alice.get(url)
        assert reply.received["peer"] == reply.local
        assert (reply.local[0], reply.backend) == (address, "api1")


def test_through_the_vip(lab):
    replies = [lab.alice.get("http://lb/api/users") for _ in range(8)]
    assert {reply.remote[0] for reply in replies} == {lab.vip}
    assert sorted(reply.backend for reply in replies) == sorted([backend.name for backend in lab.backends] * 2)
    with lab.bob.session() as session:
        assert len({session.get("http://lb/").backend for _ in range(4)}) == 1  # one connection, one backend
    with lab.bob.websocket("ws://lb/ws/chat") as ws:
        ws.send("hi")
        assert (ws.recv(), ws.remote) == ("hi", [lab.vip, 80])


def test_a_load_is_shared_evenly(lab):
    report = lab.alice.load("http://lb/", connections=8, requests=200)
    assert (report.requests, report.failed) == (200, 0)
    assert sum(report.by_backend.values()) == 200
    assert all(abs(count - 50) <= 1 for count in report.by_backend.values())


def test_udp_and_tcp_answer_across_the_router(lab):
    with lab.bob.udp("images2", 7) as sock:
        sock.send("x")
        assert json.loads(sock.recv())["peer"] == sock.local
    with lab.bob.tcp("images2", 7) as conn:
        conn.send("x")
        assert json.loads(conn.readline())["backend"] == "images2"


def test_kill_is_refused_and_restore_brings_it_back(lab):
    url = f"http://{lab.images1.address}/"
    lab.images1.kill()
    with pytest.raises(TrafficError) as failed:
        lab.alice.get(url)
    assert failed.value.cause == "refused"
    lab.images1.restore()
    assert lab.alice.get(url).backend == "images1"


def test_an_application_of_the_users(lab):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"mine"})

    lab.images2.serve(app)
    assert lab.alice.get(f"http://{lab.images2.address}/").text == "mine"
    lab.images2.serve(None)


def test_hosts_are_separate(lab):
    def addresses():
        import socket

        return [socket.gethostname(), socket.gethostbyname("lb")]

    assert lab.alice.call(addresses) == ["alice", lab.vip]
    assert lab.bob.run("cat /proc/sys/kernel/hostname").stdout == "bob\n"
    with pytest.raises(TrafficError, match="it has alice, api1, api2, bob, images1, images2, lb, localhost"):
        lab.alice.get("http://nobody/")
    with pytest.raises(TrafficError) as failed:
        lab.alice.get("http://192.0.2.1/", timeout=5)
    assert failed.value.cause in ("unreachable", "timed out")


def test_an_interrupt_leaves_the_lab_as_it_was(lab):
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), interrupted(0.3):
        lab.alice.get(f"http://{lab.api1.address}/slow/30", timeout=60)
    assert time.monotonic() - began < 10
    assert lab.alice.get("http://lb/").status == 200


def test_a_stopped_lab_says_so():
    lab = Lab()
    with pytest.raises(LabNotRunning):
        lab.alice.get("http://lb/")
    with lab:
        session = lab.alice.session()
        session.get("http://lb/")
        load = lab.alice.load("http://lb/", seconds=60, background=True)
    with pytest.raises(LabNotRunning):
        session.get("http://lb/")
    session.close()
    assert not load.running
    assert not lab.api1.serving
    with lab:
        assert lab.alice.get("http://lb/").status == 200
