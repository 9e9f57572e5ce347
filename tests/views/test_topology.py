import pytest

from labkit.views.palette import L4, L7
from labkit.views.topology import topology_diagram

from .labs import topology
from .parsing import count, outside, overlaps, words


def test_it_shows_every_host_link_pool_listener_and_vantage_point():
    picture = topology_diagram(topology(), "l4")
    shown = words(picture.svg)
    hosts = {"alice", "bob", "lb", "api1", "api2", "images1", "images2", "10.0.1.11"}
    rest = {"pool api", "pool images", "link front", "10.0.2.0/24", "VIP 10.0.1.10", ":80 http", ":53 udp"}
    assert hosts | rest | {"lb:front", "lb:back"} <= set(shown)
    assert count(picture.svg, "circle", r=17) == 2
    assert count(picture.svg, "circle", r=6) == 9  # 2 clients, lb's two, 4 backends, the legend


def test_the_words_say_the_same():
    picture = topology_diagram(topology(), "l7", running={"api2": "killed"}, notes=["runtime netns"])
    assert picture.title == "L7: 2 clients, 4 backends; lb ends their connections and opens its own"
    assert picture.text.splitlines() == [
        picture.title,
        "clients on link front 10.0.1.0/24: alice 10.0.1.11, bob 10.0.1.12",
        "balancer lb (L7): VIP 10.0.1.10, listeners 80/http, 53/udp",
        "backends on link back 10.0.2.0/24:",
        "  pool api: api1 10.0.2.11, api2 10.0.2.12 (killed)",
        "  pool images: images1 10.0.2.13, images2 10.0.2.14",
        "runtime netns",
    ]
    assert "10.0.2.12 killed" in words(picture.svg)
    assert count(picture.svg, "path", stroke_dasharray="4 3") == 1
    assert "runtime netns" in words(picture.svg)


@pytest.mark.parametrize(("mode", "tone"), [("l4", L4), ("l7", L7)])
def test_each_mode_has_its_own_colour_and_word(mode, tone):
    picture = topology_diagram(topology(), mode)
    assert count(picture.svg, "rect", stroke=tone.line, rx=14) == 1
    assert any(said.startswith(f"{mode.upper()} ·") for said in words(picture.svg))


def test_a_tcp_proxy_is_l4_that_ends_connections():
    picture = topology_diagram(topology(), "l4", relays=True)
    assert "L4 · passes it on unread" in words(picture.svg)
    assert picture.title.endswith("lb ends their connections, opens its own, and reads nothing")
    assert topology_diagram(topology(), "l7", relays=True).svg == topology_diagram(topology(), "l7").svg


def test_a_lab_that_does_not_run_says_so():
    picture = topology_diagram(topology(2, 1), None, vantages=False)
    assert picture.title == "default: 1 client, balancer lb, 2 backends; not running"
    assert "not running" in words(picture.svg)
    assert "lb:front" not in words(picture.svg)


@pytest.mark.parametrize("backends", [1, 2, 7, 12, 13, 50])
@pytest.mark.parametrize("clients", [1, 3, 20])
def test_nothing_overlaps_or_leaves_the_picture(backends, clients):
    picture = topology_diagram(topology(backends, clients), "l4", notes=["one", "two"])
    assert overlaps(picture.svg) == []
    assert outside(picture.svg) == []
    assert sum(said.startswith(("api", "images")) for said in words(picture.svg)) == backends


def test_the_same_lab_is_the_same_picture():
    assert topology_diagram(topology(), "l4") == topology_diagram(topology(), "l4")


def test_backends_in_no_pool_and_many_listeners_are_shown_too():
    lab = topology()
    bare = type(lab)(lab.name, lab.links, lab.nodes, {"api": ("api1",)}, lab.listeners * 5)
    picture = topology_diagram(bare, "l4")
    assert "  no pool: api2 10.0.2.12, images1 10.0.2.13, images2 10.0.2.14" in picture.text.splitlines()
    assert "and 4 more" in words(picture.svg)
    assert overlaps(picture.svg) == []
