"""Forwarding styles on real packets: what each rewrites is what docs/l4.md says, field by field."""

import contextlib
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from labkit import Capture, Lab
from labkit.topology import direct_return
from labkit.traffic.host import Host
from labkit.views.story import l4_story
from tests import inside

pytestmark = pytest.mark.needs("netns")
STYLES = ("dnat", "full", "dsr")
FAMILIES = ("IPv4", "IPv6")
ROUND = ["api1", "api2", "images1", "images2"]


def documented() -> dict[tuple[str, ...], tuple[tuple[str, ...], str, frozenset[str]]]:
    """The table of docs/l4.md: (style, transport, IP, direction) -> path, the node that rewrites, the fields."""
    text = (Path(__file__).parent.parent / "docs" / "l4.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {
        tuple(row[:4]): (tuple(row[4].split(", ")), row[5], frozenset(row[6].split(", ")))
        for row in rows
        if row[0] in STYLES and len(row) == 7
    }


TABLE = documented()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(direct_return()) as lab:
        yield lab


def vip(lab: Lab, family: str) -> str:
    return lab.vip if family == "IPv4" else str(lab.topology.vip6)


def url(lab: Lab, family: str) -> str:
    return f"http://{lab.vip}/" if family == "IPv4" else f"http://[{vip(lab, family)}]/"


def echo(client: Host, address: str, transport: str) -> None:
    with getattr(client, transport)(address, 7) as conn:
        for text in (b"one\n", b"two\n"):
            conn.send(text)
            assert text.strip() in conn.recv()


@pytest.fixture(scope="module")
def captures(lab: Lab) -> dict[str, Capture]:
    """One capture a style: an exchange over TCP and one over UDP, by IPv4 and by IPv6."""
    found = {}
    for family in FAMILIES:
        lab.alice.get(url(lab, family))  # neighbours are known from here on
    for style in STYLES:
        lab.balancer.l4(style=style, backends=["api1"])
        with lab.capture() as cap:
            for family in FAMILIES:
                for transport in ("tcp", "udp"):
                    echo(lab.alice, vip(lab, family), transport)
        assert set(cap.loss()["dropped"]) == {0}
        found[style] = cap
    lab.balancer.l4()
    return found


@pytest.mark.parametrize(("port", "style"), [(700, "dnat"), (701, "full"), (702, "dsr")])
def test_a_clients_own_port_hides_nothing(lab: Lab, port: int, style: str) -> None:
    """Whatever port a client binds, it keeps it, and is seen at every vantage point as often."""
    lab.balancer.l4(style=style, backends=["api1"])
    way_back = ("gw:back", "gw:front") if style == "dsr" else ("lb:back", "lb:front")
    try:
        with lab.capture() as cap:
            assert lab.alice.call(inside.connect_from, port, lab.vip, 7) == port
            assert "one" in lab.alice.call(inside.ask_from, port, lab.vip, 7)
            lab.alice.call(inside.hang_up)
    finally:
        lab.balancer.l4()
    packets = cap.packets()
    for proto in ("TCP", "UDP"):
        sent, answered = (packets[(packets.proto == proto) & (packets[end] == port)] for end in ("sport", "dport"))
        assert set(sent.vantage) == {"alice", "lb:front", "lb:back", "api1"}
        assert set(answered.vantage) == {"api1", *way_back, "alice"}
        assert {len(set(some.astype(str).value_counts())) for some in (sent.vantage, answered.vantage)} == {1}


def test_the_docs_table_has_every_case_once() -> None:
    wanted = {(s, t, f, d) for s in STYLES for t in ("TCP", "UDP") for f in FAMILIES for d in ("request", "answer")}
    assert set(TABLE) == wanted


@pytest.mark.parametrize("case", sorted(TABLE), ids=" ".join)
def test_each_packet_is_rewritten_as_documented(captures: dict[str, Capture], case: tuple[str, ...]) -> None:
    style, transport, family, _ = case
    path, node, fields = TABLE[case]
    cap = captures[style]
    connections = cap.connections()
    six = connections["client"].str.contains(":") == (family == "IPv6")
    (connection,) = connections[six & (connections["proto"] == transport)]["connection"]
    assert len(connections) == 4  # one id each, however much of their addresses was rewritten
    table = cap.trajectories()
    mine = table[(table["connection"] == connection) & (table["path"].map(lambda way: way[0] == path[0]))]
    assert len(mine) >= 2
    for row in mine.itertuples():
        assert row.path == path
        assert row.certain
        changed = {way: set(hop) for way, hop in zip(pairwise(path), row.rewritten, strict=True)}
        inside = [way for way in changed if way[0].partition(":")[0] == way[1].partition(":")[0] == node]
        assert [changed.pop(way) for way in inside] == [set(fields)]
        assert set(map(frozenset, changed.values())) == {frozenset()}  # nothing changes on the wire


def test_under_direct_return_no_packet_to_the_client_is_seen_at_lb(captures: dict[str, Capture]) -> None:
    seen = captures["dsr"].connections(per="vantage")
    at_lb = seen[seen["vantage"].str.startswith("lb:")]
    assert len(at_lb) == 8
    assert set(at_lb["packets_in"]) == {0}
    assert (at_lb["packets_out"] > 0).all()
    at_gw = seen[seen["vantage"].str.startswith("gw:")]
    assert len(at_gw) == 8
    assert set(at_gw["packets_out"]) == {0}
    packets = captures["dsr"].packets()
    here = packets[packets["vantage"].isin(["lb:front", "lb:back"]) & packets["proto"].isin(["TCP", "UDP"])]
    assert set(here["src"]) == {"10.0.1.11", "fd00:10:0:1::11"}  # by the bytes, whatever connections were made of them


@pytest.mark.parametrize("style", ["dnat", "full"])
def test_otherwise_every_packet_of_both_directions_passes_lb(captures: dict[str, Capture], style: str) -> None:
    seen = (
        captures[style]
        .connections(per="vantage")
        .pivot_table(index="connection", columns="vantage", values=["packets_out", "packets_in"])
    )
    assert not [name for name in seen.columns.get_level_values("vantage") if name.startswith("gw")]
    for way in ("packets_out", "packets_in"):
        assert (seen[way].nunique(axis=1) == 1).all()


@pytest.mark.parametrize("style", STYLES)
def test_the_decision_stands_on_the_first_packet_at_lb_with_its_backend(
    captures: dict[str, Capture], style: str
) -> None:
    cap = captures[style]
    made = cap.decisions().merge(cap.packets(), left_on="packet", right_on="number", suffixes=("", "_of_packet"))
    assert list(made["vantage"]) == ["lb:front"] * 4
    assert set(made["backend"]) == {"api1"}
    assert list(made["flags"][made["proto"] == "TCP"]) == ["S", "S"]
    used = {"IPv4": "ip.dst", "IPv6": "ip6.dst"}
    for row in made.itertuples():
        assert used["IPv6" if ":" in row.src else "IPv4"] in row.read
        assert f"{row.proto.lower()}.dport" in row.read
        assert not [name for name in row.read if name.startswith("http")]
    assert cap.finding == "L4: 4 connections, each running through lb to a backend"


def test_the_rows_of_direct_return_are_those_of_the_way_there(captures: dict[str, Capture]) -> None:
    seen = captures["dsr"].visibility(connection=1).set_index("field")
    assert list(seen.columns) == ["layer", "alice", "lb:front", "lb:back", "api1", "state", "rewritten"]
    assert not seen.loc["ip.dst", "rewritten"]
    assert seen.loc["ip.dst", "api1"] == "10.0.1.10"


def test_the_story_of_direct_return_has_lb_at_the_balancers_place(captures: dict[str, Capture]) -> None:
    story = l4_story(captures["dsr"])
    assert (story.balancer, story.over) == ("lb", "gw")
    assert all(step.through and step.from_client for step in story.steps)
    assert story.past >= 2


def test_a_ladder_of_direct_return_has_the_router_beside_lb(captures: dict[str, Capture]) -> None:
    words = captures["dsr"].ladder(1).text
    assert re.search(r"alice +lb:front +lb:back +gw:front +gw:back +api1", words)
    assert "from alice through lb to api1" in words


@pytest.mark.parametrize("family", FAMILIES)
def test_full_nat_loses_the_client_and_the_others_keep_it(lab: Lab, family: str) -> None:
    own = {"IPv4": ("10.0.1.11", "10.0.2.10"), "IPv6": ("fd00:10:0:1::11", "fd00:10:0:2::10")}[family]
    for style, peer in (("dnat", own[0]), ("full", own[1]), ("dsr", own[0])):
        lab.balancer.l4(style=style)
        reply = lab.alice.get(url(lab, family))
        assert reply.received is not None
        assert reply.received["peer"][0] == peer
        assert (reply.local[0], reply.remote[0]) == (own[0], vip(lab, family))


def test_a_source_port_that_is_taken_is_replaced_under_full_nat(lab: Lab) -> None:
    lab.balancer.l4(style="full", backends=["api1"])
    with lab.capture("lb:back") as cap:
        for host in (lab.alice, lab.bob):
            assert host.call(inside.connect_from, 33333, lab.vip, 7) == 33333
        for host in (lab.alice, lab.bob):
            host.call(inside.hang_up)
    syns = cap.packets().query("flags == 'S'")
    assert set(syns["src"]) == {"10.0.2.10"}
    assert len(syns["sport"].unique()) == 2
    assert 33333 in set(syns["sport"])


@pytest.mark.parametrize("family", FAMILIES)
def test_connections_outlive_every_switch_of_styles_and_of_modes(lab: Lab, family: str) -> None:
    there = url(lab, family)
    with contextlib.ExitStack() as stack:
        held = []
        for style in STYLES:
            lab.balancer.l4(style=style)
            session = stack.enter_context(lab.alice.session())
            held.append((session, session.get(there)))
        switches = [
            lambda: lab.balancer.l4(style="dsr", algorithm="maglev", backends=["images1"]),
            lambda: lab.balancer.l7(),
            lambda: lab.balancer.l4(style="full", backends=["images2"]),
            lambda: lab.balancer.l4(),
        ]
        for switch in switches:
            switch()
            for session, first in held:
                again = session.get(there)
                assert (again.backend, again.local) == (first.backend, first.local)
                assert again.received["peer"] == first.received["peer"]


def test_turns_are_taken_under_direct_return_too(lab: Lab) -> None:
    lab.balancer.l4(style="dsr")
    names = [lab.alice.get(url(lab, "IPv4")).backend for _ in range(8)]
    first = ROUND.index(str(names[0]))
    assert names == [ROUND[(first + turn) % 4] for turn in range(8)]


@pytest.mark.needs("nft")
@pytest.mark.parametrize("style", STYLES)
def test_rules_are_listed_as_nft_does(lab: Lab, style: str) -> None:
    lab.balancer.l4(style=style, weights={"api1": 3})
    lab.alice.get(url(lab, "IPv6"))  # also with a flow that is remembered
    assert lab.balancer.rules == lab.lb.run("nft -s list ruleset").stdout


def test_the_balancer_says_its_style(lab: Lab) -> None:
    lab.balancer.l4(style="dsr")
    assert re.search(r"style +dsr: nothing is translated", repr(lab.balancer))
