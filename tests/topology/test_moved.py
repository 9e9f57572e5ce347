"""A topology on other subnets is the same lab: host parts, names, IPv6 and pools stay."""

from ipaddress import IPv4Network

from labkit.topology import default, direct_return, moved, validate, without_ipv6

ELSEWHERE = {"front": IPv4Network("10.7.1.0/24"), "back": IPv4Network("10.7.2.0/24")}


def test_every_host_keeps_its_part_of_the_address():
    there = moved(default(), ELSEWHERE)
    validate(there)
    assert [node.address for node in there.nodes] == [
        "10.7.1.11",
        "10.7.1.12",
        "10.7.1.10",
        "10.7.2.11",
        "10.7.2.12",
        "10.7.2.21",
        "10.7.2.22",
    ]
    assert str(there.balancer.interface("back").address4) == "10.7.2.10/24"
    assert str(there.vip4) == "10.7.1.10"


def test_what_is_not_ipv4_stays():
    here, there = default(), moved(default(), ELSEWHERE)
    assert there.vip6 == here.vip6
    assert [link.subnet6 for link in there.links] == [link.subnet6 for link in here.links]
    assert (there.pools, there.listeners, there.name) == (here.pools, here.listeners, here.name)


def test_links_that_are_not_named_stay_where_they_are():
    there = moved(direct_return(), {"back": ELSEWHERE["back"]})
    assert (str(there.vip4), there.node("gw").address) == ("10.0.1.10", "10.0.1.1")
    assert str(there.node("gw").interface("back").address4) == "10.7.2.1/24"


def test_without_ipv6_nothing_of_it_is_left():
    there = without_ipv6(default())
    validate(there)
    assert there.vip6 is None
    assert all(link.subnet6 is None for link in there.links)
    assert all(interface.address6 is None for node in there.nodes for interface in node.interfaces)
    assert there.vip4 == default().vip4
