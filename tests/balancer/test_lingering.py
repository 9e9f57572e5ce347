"""Who came at L7 and stays at L4: drained and removed backends are out for them too."""

from contextlib import ExitStack

import pytest

from labkit import Lab, Route
from labkit.errors import TrafficError

from .operated import resets, until

pytestmark = pytest.mark.needs("netns")


def test_a_session_from_l7_avoids_who_is_drained_at_l4_and_what_goes_on_there_counts(lab: Lab) -> None:
    lab.balancer.l7(routes=[Route("*", pool="api")])
    with ExitStack() as stack:
        websocket = stack.enter_context(lab.alice.websocket("ws://lb/ws/chat"))  # api1 has it
        session = stack.enter_context(lab.alice.session())
        assert {session.get("http://lb/").backend for _ in range(4)} == {"api1", "api2"}
        lab.balancer.l4()
        drain = lab.balancer.drain("api1")
        assert {session.get("http://lb/").backend for _ in range(4)} == {"api2"}
        until(lambda: drain.left == 1)
        websocket.send("on")
        assert (websocket.recv(), drain.drained) == ("on", False)
        lab.balancer.drain("api2")  # at L4 two are left; of the session's pool nobody is
        reply = session.get("http://lb/")
        assert (reply.status, reply.backend) == (503, None)
        assert "no backend of the pool api takes requests" in reply.text
        lab.balancer.add("api2")
        assert session.get("http://lb/").backend == "api2"
        websocket.close()
        assert drain.wait(20)


def test_removal_at_l4_resets_what_came_at_l7_and_nothing_else(lab: Lab) -> None:
    lab.balancer.l7(routes=[Route("*", pool="api")])
    with ExitStack() as stack:
        first, second = (stack.enter_context(lab.bob.websocket("ws://lb/ws/chat")) for _ in range(2))
        lab.balancer.l4()
        with lab.capture("api1", "api2") as cap:
            assert lab.balancer.remove("api1") == 1
        reset = resets(cap)
        back = str(lab.topology.balancer.interface(lab.topology.back.name).address4.ip)
        assert reset[["vantage", "src"]].astype(str).values.tolist() == [["api1", back]]
        with pytest.raises(TrafficError, match="closed"):
            first.recv()
        second.send("on")
        assert second.recv() == "on"
        assert lab.balancer.remove("api1") == 0


def test_connections_kept_to_a_drained_backend_are_closed_in_http2_and_over_tls_too(lab: Lab) -> None:
    lab.balancer.l7(routes=[Route("*", pool="api")], tls=True, reencrypt=True)
    for version in ("HTTP/2", "HTTP/1.1"):
        with lab.alice.session() as session:
            answers = [session.get("https://lb/", http2=version == "HTTP/2") for _ in range(2)]
            assert {(answer.backend, answer.received["version"]) for answer in answers} == {
                ("api1", version),
                ("api2", version),
            }
            kept = lab.balancer.connections().query("leg == 'back' and state == 'ESTABLISHED'")
            assert set(kept.backend) == {"api1", "api2"}
            drain = lab.balancer.drain("api1")
            assert drain.wait(5)
            assert session.get("https://lb/", http2=version == "HTTP/2").backend == "api2"
            lab.balancer.add("api1")
