"""Direct server return and full NAT as rules: as they are rendered, as the kernel keeps them, as nft lists them."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from labkit.balancer.nftables.direct import Place, is_flows
from labkit.balancer.nftables.render import render
from labkit.balancer.nftables.text import text
from labkit.balancer.nftables.wanted import beside, forwards_of, plain
from labkit.balancer.policy import ALGORITHMS, Forward
from labkit.errors import PolicyError
from labkit.runtime import Runtime
from labkit.topology import Listener, default, direct_return

from .samples import ALL, API1, API2, DNS, HTTP, OLD, VIPS

PLACE = Place("front", 99999, ALL)  # a number that is no interface's: it is written as it is
INSIDE = "tests.balancer.nftables.directly:load"
DIRECT = replace(HTTP, style="dsr", targets=(API1, API2))
UDP = Forward(Listener(7, "udp", "udp-echo"), (API1, API2), style="dsr")
FULL = replace(DNS, style="full")


def chains(*forwards: Forward, vips: tuple[str, str | None] = VIPS) -> dict[str, list[str]]:
    """The rules of each chain without comments; those of the netdev table."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text(render(vips, forwards, PLACE)).partition("table netdev labkit")[2].splitlines():
        words = line.strip()
        if words.startswith("chain "):
            name = words.split()[1]
            found[name] = []
        elif name and words not in ("", "}") and not words.startswith("comment "):
            found[name].append(words.split(" comment ")[0])
    return found


def test_a_flow_begins_with_a_syn_and_is_remembered_by_the_number_of_its_backend() -> None:
    found = chains(DIRECT, vips=(VIPS[0], None))
    assert found["arriving"] == [
        'type filter hook ingress device "front" priority filter; policy accept;',
        "ip daddr 10.0.1.10 meta l4proto tcp jump tcp4",
        "ip daddr 10.0.1.10 meta l4proto udp jump udp4",
        "ip daddr 10.0.1.10 tcp dport 80 tcp flags syn / syn,ack goto http_80",
    ]
    assert found["http_80"] == ["numgen inc mod 2 vmap { 0 : goto http_80_api1, 1 : goto http_80_api2 }"]
    flow = "ip saddr . tcp sport . tcp dport"
    assert found["http_80_api2"] == [
        "counter",
        f"meta mark set 0x00000002 add @tcp4_opening {{ {flow} . tcp sequence }} "
        f"add @tcp4 {{ {flow} timeout 1m : meta mark }} "
        'log prefix "api2 10.0.2.12" group 80 snaplen 64 fwd ip to 10.0.2.12 device 99999',
        "drop",
    ]
    numbers = ", ".join(f"0x{n:08x} : goto to_{target.name}" for n, target in enumerate(ALL, 1))
    assert found["tcp4"][0] == (
        f"tcp flags syn / syn,ack {flow} . tcp sequence != @tcp4_opening "
        f"delete @tcp4 {{ {flow} : 0x00000000 }} delete @tcp4_closing {{ {flow} : 0x00000000 }} return"
    )
    assert found["tcp4"][1] == (
        f"tcp flags syn / syn,ack meta mark set {flow} map @tcp4_closing "
        f"add @tcp4 {{ {flow} timeout 1m : meta mark }} delete @tcp4_closing {{ {flow} : meta mark }}"
    )
    assert found["tcp4"][3] == (
        f"meta mark set {flow} map @tcp4 update @tcp4 {{ {flow} : meta mark }} meta mark vmap {{ {numbers} }}"
    )


def test_no_connection_tracking_has_a_part_in_it() -> None:
    inet, netdev = render(VIPS, [DIRECT, UDP], PLACE).tables
    used = {expression.name for chain in netdev.chains for rule in chain.rules for expression in rule.expressions}
    assert not used & {"ct", "nat", "masq", "redir"}
    assert "fwd" in used
    assert [chain.name for chain in inet.chains] == ["prerouting", "forward"]  # nothing of theirs is translated


def test_every_backend_of_the_lab_is_sent_to_whoever_may_be_chosen_now() -> None:
    found = chains()
    assert [name for name in found if name.startswith("to_")] == [f"to_{target.name}" for target in ALL]
    assert is_flows("udp6")
    assert is_flows("tcp4_closing")
    assert is_flows("tcp6_opening")
    assert not is_flows("maglev")


def test_ipv6_clients_are_refused_where_a_target_has_no_ipv6() -> None:
    forward = replace(DIRECT, targets=(OLD,))
    ruleset = render(VIPS, [forward], replace(PLACE, backends=(OLD,)))
    assert "ip6 daddr fd00:10:0:1::10 tcp dport 80 reject with tcp reset" in text(ruleset)
    assert not [line for line in chains_of(ruleset) if "ip6" in line and "http_80" in line]


def chains_of(ruleset: Any) -> list[str]:
    return text(ruleset).partition("table netdev")[2].splitlines()


def test_direct_return_without_a_place_for_it_is_refused() -> None:
    with pytest.raises(PolicyError, match=r"needs a router beside lb: start the lab with direct_return\(\)"):
        render(VIPS, [DIRECT])


def test_listeners_that_would_share_a_chain_with_a_backend_are_refused() -> None:
    odd = Forward(Listener(1, "tcp", "to-api"), (API1,), style="dsr")
    with pytest.raises(PolicyError, match="would share a chain"):
        render(VIPS, [odd], replace(PLACE, backends=(API1, replace(API2, name="api_1"))))


def test_only_a_topology_with_a_router_has_a_place() -> None:
    assert beside(default()) is None
    found = beside(direct_return())
    assert found is not None
    assert (found["front"], found["back"]) == ("front", "back")
    assert [each["address4"] for each in found["backends"]] == [target.address4 for target in ALL]


def test_full_nat_is_dnat_and_one_rule_more_where_the_packet_leaves() -> None:
    lines = [line.strip().split(" comment ")[0] for line in text(render(VIPS, [FULL])).splitlines()]
    assert "meta l4proto udp dnat ip to 10.0.2.11:5353" in lines
    assert [line for line in lines if "masquerade" in line] == [
        "ct original ip daddr 10.0.1.10 meta l4proto udp ct original proto-dst 53 ct status dnat masquerade",
        "ct original ip6 daddr fd00:10:0:1::10 meta l4proto udp ct original proto-dst 53 ct status dnat masquerade",
    ]
    ranged = Forward(Listener(8000, "tcp", through=8009), (API1,), style="full")
    assert "ct original proto-dst 8000-8009 ct status dnat masquerade" in text(render(VIPS, [ranged]))
    assert "postrouting" not in text(render(VIPS, [HTTP]))


def test_styles_travel_into_the_node() -> None:
    assert forwards_of(plain([DIRECT, FULL, HTTP])) == [DIRECT, FULL, HTTP]


@pytest.mark.needs("netns", "nft")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_all_styles_list_as_nft_does_also_after_a_refill(runtime: Runtime, algorithm: Any) -> None:
    mixed = [replace(each, algorithm=algorithm) for each in (DIRECT, FULL, UDP)]
    lots = [plain(mixed), plain([HTTP]), [], plain(mixed)]
    targets = [asdict(target) for target in ALL]
    for listed, ours, rendered, _ in runtime.nodes["bob"].call(INSIDE, list(VIPS), targets, "front", *lots):
        assert ours == listed
        assert rendered
        assert "table netdev labkit" in listed


@pytest.mark.needs("netns", "nft")
def test_nft_loads_its_listing_again(runtime: Runtime) -> None:
    """IPv4 alone: nft 1.0.6 aborts on any rule that stores into a map by an IPv6 address and ports."""
    targets = [asdict(replace(target, address6=None)) for target in ALL]
    mixed = [replace(each, targets=tuple(replace(t, address6=None) for t in each.targets)) for each in (DIRECT, UDP)]
    full = [replace(FULL, targets=mixed[0].targets)]
    lots = [plain([*mixed, *full]), plain(full), plain(mixed)]
    for listed, _, _, said in runtime.nodes["bob"].call(INSIDE, [VIPS[0], None], targets, "front", *lots):
        assert said == ""
        assert "map tcp4" in listed
        assert "typeof ip saddr . tcp sport . tcp dport . tcp sequence\n" in listed


@pytest.mark.needs("netns", "nft")
def test_a_refill_that_fails_leaves_everything_as_it_was(runtime: Runtime) -> None:
    targets = [asdict(target) for target in ALL]
    call = "tests.balancer.nftables.directly:refill_that_fails"
    error, before, after = runtime.nodes["bob"].call(call, list(VIPS), targets, "front", plain([DIRECT]))
    assert error.startswith("The kernel refuses the removal of chain nowhere: ")
    assert after == before
