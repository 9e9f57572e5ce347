"""Which connections belong together at L7, and what they cost the balancer."""

from collections.abc import Callable

import pytest

from labkit import Lab, Route

pytestmark = pytest.mark.needs("netns")


def test_a_websocket_is_two_connections_that_know_of_each_other(lab: Lab, l7: Callable[..., None], engine: str) -> None:
    l7(routes=[Route("/ws/*", pool="api", websocket=True), Route("*", pool="images")])
    with lab.alice.websocket("ws://lb/ws/chat") as alice, lab.bob.websocket("ws://lb/ws/chat") as bob:
        for ws in (alice, bob):
            ws.send("hi")
            assert ws.recv() == "hi"
        table = lab.balancer.connections()
        fronts = table[(table["leg"] == "front") & table["paired_with"].notna()]
        assert set(fronts["original_src"]) >= {lab.alice.address, lab.bob.address}
        for row, front in fronts.iterrows():
            back = table.loc[int(front["paired_with"])]
            assert (back["leg"], back["backend"] in ("api1", "api2")) == ("back", True)
            assert int(back["paired_with"]) == row
            assert front["socket_bytes"] >= 0
            assert back["socket_bytes"] >= 0
        assert table.attrs["proxy_bytes"][engine] > 10_000_000


def test_what_passes_through_has_no_socket_and_no_pair(lab: Lab) -> None:
    lab.balancer.l4()
    with lab.alice.websocket("ws://lb/ws/chat") as ws:
        ws.send("hi")
        assert ws.recv() == "hi"
        table = lab.balancer.connections()
        (through,) = [row for _, row in table.iterrows() if row["leg"] == "through" and row["proto"] == "TCP"][-1:]
        assert through["socket_bytes"] != through["socket_bytes"]  # not a number
        assert through["paired_with"] is None or through["paired_with"] != through["paired_with"]
