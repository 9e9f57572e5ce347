import networkx as nx
import pytest

from labkit.views.graph import connection_diagram
from labkit.views.palette import BLUE, GHOST, GREEN

from .labs import l4_graph, l7_graph, topology
from .parsing import NAMESPACE, count, outside, overlaps, parsed, words


def lines(svg):
    """What each drawn line says, with its colour and whether it crosses the box (x from 400 to 600)."""
    found = {}
    for node in parsed(svg).iter(f"{NAMESPACE}path"):
        title = node.find(f"{NAMESPACE}title")
        if title is not None:
            found[title.text] = (node.get("stroke"), node.get("d"), float(node.get("stroke-width")))
    return found


def test_l4_is_one_line_from_client_to_backend_that_runs_over_the_box():
    picture = connection_diagram(l4_graph(topology(2, 1)), "L4: 10 connections")
    drawn = lines(picture.svg)
    assert set(drawn) == {
        "alice → api1: 5 connections (L4, one connection, over lb)",
        "alice → images1: 5 connections (L4, one connection, over lb)",
    }
    for _, path, _ in drawn.values():
        assert path.startswith("M206 ")
        assert path.split()[-2] == "794"
        assert path.count("M") == 1  # unbroken
    assert "new label: dst → 10.0.2.11" in words(picture.svg)


def test_one_l4_connection_is_lit_and_the_rest_are_ghosts():
    drawn = lines(connection_diagram(l4_graph(topology()), "f").svg)
    colours = {said: stroke for said, (stroke, _, _) in drawn.items()}
    lit = [said for said, stroke in colours.items() if stroke == BLUE]
    assert lit == ["alice → api1: 5 connections (L4, one connection, over lb)"]
    assert sum(stroke == GHOST for stroke in colours.values()) == 7


def test_l7_lines_end_at_the_box_and_others_begin():
    picture = connection_diagram(l7_graph(topology()), "f")
    drawn = lines(picture.svg)
    front = [path for said, (stroke, path, _) in drawn.items() if stroke == BLUE]
    back = [path for said, (stroke, path, _) in drawn.items() if stroke == GREEN]
    assert (len(front), len(back)) == (2, 4)
    assert all(path.split()[-2] == "L386" for path in front)  # before the box's edge at 400, in a plug
    assert all(path.startswith("M614 ") for path in back)  # after its edge at 600
    assert count(picture.svg, "rect", width=10, height=12) == 6  # plugs
    assert "new label" not in " ".join(words(picture.svg))


def test_counts_stand_on_the_lines_and_width_follows_them():
    graph = l7_graph(topology(2, 1), front=20, back=2)
    graph.add_edge("lb", "api1", connections=8, mode="l7")  # parallel edges add up
    picture = connection_diagram(graph, "f")
    assert {"20 connections", "10 connections", "2 connections"} <= set(words(picture.svg))
    widths = {said.split(":")[0]: width for said, (_, _, width) in lines(picture.svg).items()}
    assert widths["alice → lb"] > widths["lb → api1"] > widths["lb → images1"]
    assert "lb → api1: 10 connections (L7, begins in lb)" in picture.text


def test_a_highlight_lights_both_halves_of_a_pair():
    drawn = lines(connection_diagram(l7_graph(topology()), "f", highlight=("bob", "images1")).svg)
    assert {said.split(":")[0] for said, (stroke, _, _) in drawn.items() if stroke != GHOST} == {
        "bob → lb",
        "lb → images1",
    }


def test_both_modes_in_one_graph_are_both_drawn():
    lab = topology(2)
    picture = connection_diagram(nx.compose(l4_graph(lab), l7_graph(lab)), "during a switch")
    assert "L4 and L7" in words(picture.svg)
    assert len(lines(picture.svg)) == 8
    assert overlaps(picture.svg) == []
    assert outside(picture.svg) == []


@pytest.mark.parametrize("graph", [l4_graph, l7_graph])
@pytest.mark.parametrize(("backends", "clients"), [(1, 1), (2, 2), (7, 3), (50, 2), (50, 50)])
def test_nothing_overlaps_or_leaves_the_picture(graph, backends, clients):
    picture = connection_diagram(graph(topology(backends, clients)), "L4: a finding")
    assert overlaps(picture.svg) == []
    assert outside(picture.svg) == []
    assert picture == connection_diagram(graph(topology(backends, clients)), "L4: a finding")


def test_a_graph_without_connections_says_so():
    graph = l4_graph(topology())
    graph.remove_edges_from(list(graph.edges(keys=True)))
    picture = connection_diagram(graph, "L4: no requests yet")
    assert picture.text == "L4: no requests yet\nno connections"
    assert {"alice", "api1", "no connection"} <= set(words(picture.svg))


def test_a_balancer_that_only_forwards_may_be_named_by_the_edges_alone():
    graph = nx.MultiDiGraph()
    graph.add_node("alice", role="client")
    graph.add_node("api1", role="backend")
    graph.add_edge("alice", "api1", connections=1, mode="l4", via="gate")
    picture = connection_diagram(graph, "<b>1</b>")
    assert picture.text.splitlines()[1] == "alice → api1: 1 connection (L4, one connection, over gate)"
    assert "new label" in words(picture.svg)
    assert "<b>1</b>" in words(picture.svg)


def test_a_connection_that_was_not_seen_at_a_balancer_passes_below_it():
    lab = topology(2)
    graph = l4_graph(lab)
    graph.add_edge("alice", "api1", connections=3, mode="unknown", via=None)
    picture = connection_diagram(graph, "f")
    assert "alice → api1: 3 connections (not seen at a balancer)" in picture.text.splitlines()
    box = next(node for node in parsed(picture.svg).iter(f"{NAMESPACE}rect") if node.get("rx") == "14")
    bottom = float(box.get("y")) + float(box.get("height"))
    passing = lines(picture.svg)["alice → api1: 3 connections (not seen at a balancer)"][1]
    assert float(passing.split(" L")[1].split()[1]) > bottom
    assert overlaps(picture.svg) == []


def test_a_capture_that_knows_no_balancer_shows_none():
    graph = nx.MultiDiGraph()
    graph.add_node("192.0.2.1", role="client")
    graph.add_node("192.0.2.2", role="backend")
    graph.add_edge("192.0.2.1", "192.0.2.2", connections=1, mode="unknown", via=None)
    picture = connection_diagram(graph, "1 connection")
    assert count(picture.svg, "rect", rx=14) == 0
    assert "192.0.2.1" in words(picture.svg)


def test_balancers_in_a_row_and_modes_unknown_are_said_not_invented():
    graph = nx.MultiDiGraph()
    for name, role in (("a", "client"), ("lb1", "balancer"), ("lb2", "balancer"), ("b", "backend")):
        graph.add_node(name, role=role)
    for source, target in (("a", "lb1"), ("lb1", "lb2"), ("lb2", "b")):
        graph.add_edge(source, target, connections=1, mode="unknown", via=None)
    picture = connection_diagram(graph, "3 connections")
    assert picture.text.splitlines()[1:] == [
        "a → lb1: 1 connection (ends in lb1)",
        "lb1 → lb2: 1 connection (between balancers)",
        "lb2 → b: 1 connection (begins in lb2)",
    ]
    assert {"lb1, lb2", "mode not recorded"} <= set(words(picture.svg))
