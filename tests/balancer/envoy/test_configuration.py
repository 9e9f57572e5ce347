"""A policy as Envoy's files: what changes with it, what stays, and in which order it takes effect."""

import json
from dataclasses import replace
from typing import Any

import pytest

from labkit.balancer.envoy import names, refused
from labkit.balancer.envoy.configuration import configuration
from labkit.balancer.envoy.discovery import File
from labkit.balancer.envoy.listeners import Identity
from labkit.balancer.l7.tls import Tls
from labkit.balancer.limits import Limits
from labkit.balancer.policy import L7Policy, Route, Target
from labkit.topology import Listener

PLAIN, SECURE = Listener(80, "http"), Listener(443, "https")
API1, API2 = Target("api1", "10.0.2.11", "fd00::11"), Target("api2", "10.0.2.12")
POLICY = L7Policy((PLAIN,), (Route("/api/*", "api"), Route("*", "all")), {"api": (API1,), "all": (API1, API2)})
PLACES = names.places(["10.0.1.10", "fd00::10"], names.ports([PLAIN, SECURE], [PLAIN, SECURE]))
IDENTITY = Identity("chain", "key", "root")
REFUSALS = len(refused.routes())  # the first routes everywhere


def resources(file: File) -> list[dict[str, Any]]:
    return list(json.loads(file.text)["resources"])


def test_routes_of_every_place_lead_to_clusters_that_are_there_before_them() -> None:
    made = configuration(POLICY, 3, PLACES, "/x", IDENTITY)
    there = {each["name"] for file in made.before if file.name == names.CLUSTERS_FILE for each in resources(file)}
    assert there == {"api_80_clear_ip4", "all_80_clear_ip4", "api_80_clear_ip6", "all_80_clear_ip6"}
    assert [file.name for file in made.routes] == [
        *("routes_http_80_ip4.json", "routes_https_443_ip4_h2.json", "routes_https_443_ip4.json"),
        *("routes_http_80_ip6.json", "routes_https_443_ip6_h2.json", "routes_https_443_ip6.json"),
    ]
    for file in made.routes:
        (resource,) = resources(file)
        routes = resource["virtual_hosts"][0]["routes"]
        assert list(dict.fromkeys(route["name"] for route in routes[REFUSALS:])) == ["3:0", "3:1", "3:none"]
        assert all(route["name"].startswith(names.REFUSED) for route in routes[:REFUSALS])
        assert {route["route"]["cluster"] for route in routes[REFUSALS : REFUSALS + 2]} <= there


def test_clients_over_ipv6_are_served_by_who_has_such_an_address_over_it() -> None:
    made = configuration(POLICY, 1, PLACES, "/x", IDENTITY)
    (ends,) = [resources(file)[0] for file in made.before if file.name == "endpoints_all_80_clear_ip6.json"]
    addresses = [
        (end["endpoint"]["hostname"], end["endpoint"]["address"]["socket_address"]["address"])
        for end in ends["endpoints"][0]["lb_endpoints"]
    ]
    assert addresses == [("api1", "fd00::11"), ("api2", "10.0.2.12")]


def test_what_does_not_change_has_the_same_version_and_clusters_outlive_their_routes() -> None:
    first = configuration(POLICY, 1, PLACES, "/x", IDENTITY)
    again = configuration(POLICY, 2, PLACES, "/x", IDENTITY, first.reaches)
    assert [file.version for file in again.before] == [file.version for file in first.before]
    assert not {file.version for file in again.routes} & {file.version for file in first.routes}
    less = replace(POLICY, routes=POLICY.routes[:1])
    later = configuration(less, 3, PLACES, "/x", IDENTITY, first.reaches)
    assert later.before[0].version == first.before[0].version, "no cluster goes: who uses it goes on"
    assert {file.name for file in later.after} == {
        "endpoints_all_80_clear_ip4.json",
        "endpoints_all_80_clear_ip6.json",
    }
    assert all(resources(file)[0]["endpoints"] == [{"lb_endpoints": []}] for file in later.after)


def test_quic_is_listened_for_once_it_is_asked_for_and_then_goes_on() -> None:
    policy = replace(POLICY, listeners=(PLAIN, SECURE))
    without = configuration(policy, 1, PLACES, "/x", IDENTITY)
    assert not without.quic
    assert not [file.name for file in without.routes if "h3" in file.name]
    asked = configuration(replace(policy, tls=Tls(http3=True)), 2, PLACES, "/x", IDENTITY)
    listeners = {each["name"]: each for each in resources(asked.listeners[0])}
    assert set(listeners) - {each["name"] for each in resources(without.listeners[0])} == {
        *("https_443_ip4_h3", "https_443_ip6_h3")
    }
    quic, tcp = listeners["https_443_ip4_h3"], listeners["https_443_ip4"]
    assert quic["address"]["socket_address"] == {"address": "10.0.1.10", "port_value": 15443, "protocol": "UDP"}
    assert tcp["address"]["socket_address"] == {"address": "10.0.1.10", "port_value": 15443}
    after = configuration(policy, 3, PLACES, "/x", IDENTITY, asked.reaches, quic=asked.quic)
    assert {file.name for file in after.routes} > {"routes_https_443_ip4_h3.json", "routes_https_443_ip6_h3.json"}
    assert not configuration(replace(policy, tls=Tls(http3=True)), 1, PLACES, "/x", None).quic, "without certificates"


def test_an_empty_pool_is_answered_for_and_no_cluster_is_asked() -> None:
    made = configuration(replace(POLICY, pools={**POLICY.pools, "api": ()}), 1, PLACES, "/x", IDENTITY)
    first = resources(made.routes[0])[0]["virtual_hosts"][0]["routes"][REFUSALS]
    assert first["direct_response"]["status"] == 503
    assert "route" not in first


def test_reencrypted_requests_go_to_the_listeners_own_port_over_tls_and_others_to_the_clear_one() -> None:
    policy = replace(POLICY, listeners=(PLAIN, SECURE), reencrypt=True, http_port=8080)
    both, secure, quic = (place for place in PLACES if place.listener == SECURE and place.family == 4)
    assert names.reach(policy, "api", quic) == names.reach(policy, "api", both)
    assert names.reach(policy, "api", secure).cluster == "api_443_tls_ip4"
    assert names.reach(policy, "api", both).cluster == "api_443_h2_ip4"
    assert names.reach(replace(policy, reencrypt=False), "api", secure).cluster == "api_8080_clear_ip4"
    made = configuration(policy, 1, PLACES, "/x", IDENTITY)
    clusters = {each["name"]: each for each in resources(made.before[0])}
    assert "transport_socket" in clusters["api_443_tls_ip6"]
    assert "transport_socket" not in clusters["api_80_clear_ip6"]


def test_without_an_identity_https_is_not_listened_for() -> None:
    (file,) = configuration(POLICY, 1, PLACES, "/x", None).listeners
    assert [each["name"] for each in resources(file)] == ["http_80_ip4", "http_80_ip6"]


def test_its_own_ports_are_none_of_the_labs() -> None:
    other = Listener(1080, "http")
    taken = (PLAIN, other, Listener(15080, "tcp", through=15082))
    assert names.ports((PLAIN, other), taken) == {PLAIN: 15083, other: 15084}


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (5, "5.000s"),
        (0.05, "0.050s"),
        (1e-9, "0.001s"),
        (86_399.999, "86399.999s"),
        (5e6, "5000000.000s"),
        (1e12, "315360000.000s"),
    ],
)
def test_times_are_written_as_envoy_reads_them(seconds: float, written: str) -> None:
    limits = Limits(header_seconds=seconds, idle_seconds=seconds, fields=1 << 40)
    (file,) = configuration(replace(POLICY, limits=limits), 1, PLACES, "/x", IDENTITY).listeners
    manager = resources(file)[0]["filter_chains"][0]["filters"][0]["typed_config"]
    options = manager["common_http_protocol_options"]
    assert (manager["request_headers_timeout"], options["idle_timeout"]) == (written, written)
    assert options["max_headers_count"] < 1 << 32
