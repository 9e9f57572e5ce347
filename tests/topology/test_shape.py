"""Topologies built in Python of values of a wrong kind."""

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Interface
from typing import Any

import pytest

from labkit import Lab
from labkit.errors import TopologyError
from labkit.topology import Listener, Topology, default

LAB = default()
FRONT, BACK = LAB.links
ALICE, *OTHERS = LAB.nodes
(ETH,) = ALICE.interfaces


def front(**changed: Any) -> Topology:
    return replace(LAB, links=(replace(FRONT, **changed), BACK))


def alice(**changed: Any) -> Topology:
    return replace(LAB, nodes=(replace(ALICE, **changed), *OTHERS))


def at_front(**changed: Any) -> Topology:
    return alice(interfaces=(replace(ETH, **changed),))


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        (replace(LAB, links=None), "links: None is of a wrong kind; give a tuple of two Link values."),
        (replace(LAB, links=(5, BACK)), "links[0]: 5 is of a wrong kind; write Link("),
        (replace(LAB, nodes=5), "nodes: 5 is of a wrong kind; give a tuple of Node values."),
        (replace(LAB, nodes=("alice",)), "nodes[0]: alice is of a wrong kind; write Node("),
        (replace(LAB, pools=[]), "pools: [] is of a wrong kind; give a dictionary"),
        (replace(LAB, pools={"api": 5}), "pools.api: 5 is of a wrong kind; give the names of backends"),
        (replace(LAB, pools={"api": "api1"}), "pools.api: api1 is of a wrong kind; give the names of backends"),
        (replace(LAB, pools={"api": ([],)}), "pools.api[0]: [] is of a wrong kind; name a backend"),
        (replace(LAB, listeners=Listener(80)), "is of a wrong kind; give a tuple, as in (Listener(80),)."),
        (replace(LAB, listeners=(80,)), "listeners[0]: 80 is of a wrong kind; write Listener(80)."),
        (replace(LAB, source=5), "<topology>: source: 5 is of a wrong kind; write where it comes from, as text."),
        (front(subnet4="10.0.1.0/24"), "links.front.subnet4: '10.0.1.0/24' is of a wrong kind; write IPv4Network("),
        (front(subnet4=FRONT.subnet6), "links.front.subnet4: IPv6Network"),
        (front(subnet6=5), "links.front.subnet6: 5 is of a wrong kind; write IPv6Network("),
        (alice(interfaces=None), "nodes.alice.interfaces: None is of a wrong kind"),
        (alice(interfaces=(5,)), "nodes.alice.interfaces[0]: 5 is of a wrong kind; write Interface("),
        (at_front(link=[]), "nodes.alice.interfaces[0].link: [] is of a wrong kind; name a link, as text."),
        (at_front(address4=IPv4Address("10.0.1.11")), "interfaces[0].address4: IPv4Address('10.0.1.11') is of a wrong"),
        (at_front(address4=IPv6Interface("fd00::1/64")), "interfaces[0].address4: IPv6Interface"),
        (at_front(address6="fd00::1"), "interfaces[0].address6: 'fd00::1' is of a wrong kind; write IPv6Interface("),
        (replace(LAB, listeners=(Listener(10**5000),)), "listeners[0].port: <int> is no port"),
    ],
)
def test_wrong_kinds_are_lessons(topology: Topology, message: str) -> None:
    with pytest.raises(TopologyError) as error:
        Lab(topology)
    assert message in str(error.value)


def test_lists_do_as_well_as_tuples() -> None:
    lab = replace(LAB, links=list(LAB.links), nodes=list(LAB.nodes), listeners=list(LAB.listeners))
    assert Lab(lab).topology.vantages == LAB.vantages


def test_a_path_that_cannot_be_printed_is_escaped() -> None:
    with pytest.raises(TopologyError, match=r"no\\udc80\.toml': there is no such file"):
        Lab("no\udc80.toml")
