"""What a host is on both runtimes: names, interfaces, routes, what it may do, and that there is no way out."""

import subprocess
from ipaddress import ip_address

import pytest

from labkit import Lab

from . import inside
from .conftest import Pair
from .naming import Names

pytestmark = pytest.mark.needs("netns", "docker")

QUICKLY = 3.0  # seconds in which what cannot be reached has to fail
OUTSIDE = ("1.1.1.1", "2606:4700:4700::1111")
HOSTS = ("alice", "bob", "lb", "api1", "api2", "images1", "images2")


def of_every_host(lab: Lab, function: object, *arguments: object) -> dict[str, object]:
    return {name: host.call(function, *arguments) for name, host in lab.nodes.items()}


def test_interfaces(pair: Pair) -> None:
    """Names as in the topology, addresses of both families, MAC addresses that show them, no offload in the MTU."""
    seen = pair.same(lambda lab, names: names.plain(of_every_host(lab, inside.interfaces)))
    assert set(seen) == set(HOSTS)
    front = {"mac": "mac of alice", "mtu": 1500, "up": True, "addresses": ["alice on its net", "alice/6 on its net"]}
    assert seen["alice"]["front"] == front
    assert set(seen["lb"]) == {"lo", "front", "back"}
    assert {"lb:back on its net", "lb:back/6 on its net"} <= set(seen["lb"]["back"]["addresses"])
    assert seen["api1"]["lo"]["addresses"] == ["127.0.0.1/8", "::1/128"]


def test_mac_addresses_show_the_address(pair: Pair) -> None:
    def scenario(lab: Lab, _: Names) -> dict[str, bool]:
        told = of_every_host(lab, inside.interfaces)
        return {
            vantage: told[node.name][interface.name]["mac"] == interface.mac
            for node in lab.topology.nodes
            for vantage, interface in zip(node.vantages, node.interfaces, strict=True)
        }

    assert all(pair.same(scenario).values())


def test_routes(pair: Pair) -> None:
    """Everything goes by lb, and lb itself knows its two links alone."""
    seen = pair.same(lambda lab, names: {name: sorted(map(names.text, told)) for name, told in
                                         of_every_host(lab, inside.routes).items()})  # fmt: skip
    assert seen["alice"] == sorted(
        ["default via vip dev front", "default via vip/6 dev front", "net front dev front", "net front/6 dev front"]
    )
    assert not [route for route in seen["lb"] if route.startswith("default")]


def test_names(pair: Pair) -> None:
    """/etc/hosts has every host, and nobody else; no name server is asked."""

    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        return {name: names.text(host.call(inside.text, "/etc/hosts")).splitlines() for name, host in lab.nodes.items()}

    seen = pair.same(scenario)
    assert len({tuple(lines) for lines in seen.values()}) == 1
    assert seen["alice"][:2] == ["127.0.0.1 localhost", "::1 localhost ip6-localhost"]
    assert "vip lb" in seen["alice"]
    assert "api1/6 ip6-api1" in seen["alice"]


def test_resolving(pair: Pair) -> None:
    def scenario(lab: Lab, names: Names) -> list[str]:
        wanted = ("lb", "ip6-lb", "api1", "localhost", "example.com", "nowhere")
        return [names.text(lab.alice.call(inside.resolve, name, QUICKLY)) for name in wanted]

    assert pair.same(scenario) == ["vip", "vip/6", "api1", "127.0.0.1 ::1", "unknown", "unknown"]


def this_machine() -> list[str]:
    """The first addresses that this machine itself has: to the outside, and on a bridge of Docker's.

    Not more: lb says that it knows no way, and says that to the same host three times in a row, then only now and then.
    """
    return subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()[:2]


@pytest.mark.parametrize("host", ["alice", "lb", "api1"])
def test_there_is_no_way_out(pair: Pair, host: str) -> None:
    """Neither to the Internet nor to this machine, on any of its addresses: nobody answers, be it with a refusal."""

    def scenario(lab: Lab, names: Names) -> dict[str, str]:
        return {address: lab.nodes[host].call(inside.reach, address, 80, QUICKLY) for address in outside}

    mine = [link.subnet4 for lab in pair.labs for link in lab.topology.links]  # where they are addresses of the lab's
    outside = [*OUTSIDE, *(one for one in this_machine() if not any(ip_address(one) in subnet for subnet in mine))]
    seen = pair.same(scenario)
    assert set(seen) == set(outside)
    assert not {"open", "slow", "Connection refused"} & set(seen.values())


def neighbours_beside(lab: Lab, interface: str) -> set[str]:
    """The addresses of whoever answers lb on a link and is no host of the lab."""
    with lab.capture(f"lb:{interface}") as cap:
        lab.lb.call(inside.ask_everybody, interface)
    known = {each.mac for node in lab.topology.nodes for each in node.interfaces}
    packets = cap.packets()
    return {row.src for row in packets.itertuples() if cap.packet(row.number).src not in known}


def test_nobody_besides_is_reached_on_a_link(pair: Pair) -> None:
    """Docker's bridge is an interface of the engine's machine: what listens there must not be within reach."""

    def scenario(lab: Lab, _: Names) -> dict[str, str]:
        return {
            f"{interface} of {address}": lab.nodes[host].call(inside.reach, f"{address}%{interface}", 80, QUICKLY)
            for host, interface in (("lb", "front"), ("lb", "back"), ("alice", "front"))
            for address in neighbours_beside(lab, interface if host == "lb" else "front")
        }

    for kind, seen in pair.each(scenario).items():
        assert not {"open", "Connection refused"} & set(seen.values()), kind
        assert bool(seen) == kind.startswith("docker")
