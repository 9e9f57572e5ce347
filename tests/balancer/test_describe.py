"""The balancer in words."""

from dataclasses import replace

from labkit.balancer.describe import as_html, as_text, routes_text, summary
from labkit.balancer.l7.route import Route
from labkit.balancer.l7.tls import Tls
from labkit.balancer.plan import plan_l4, plan_l7
from labkit.topology import Listener, default

LAB = default()
L4 = plan_l4(LAB, pool="api")


def test_routes_as_the_proxy_serves_them() -> None:
    policy = plan_l7(LAB, L4.forwards, [Route("/images/*", "images"), Route("*", "api")])
    assert routes_text(policy, [("10.0.1.10", 80), ("fd00:10:0:1::10", 80)]) == (
        "# mitmproxy: routes on 10.0.1.10:80 and [fd00:10:0:1::10]:80; the first match wins, backends take turns\n"
        "/images/*  images  images1 10.0.2.21, images2 10.0.2.22\n"
        "*          api     api1 10.0.2.11, api2 10.0.2.12\n"
        "no match   404     answered here, no backend is contacted\n"
    )


def test_routes_say_how_backends_are_chosen_where_they_do_not_simply_take_turns() -> None:
    routes = [Route("/images/*", "images"), Route("*", "api")]
    hashed = {"images": "consistent_hash", "api": "least_requests"}
    policies = [
        plan_l7(LAB, L4.forwards, routes, weights={"api2": 3}),
        plan_l7(LAB, L4.forwards, routes, algorithm=hashed, hash_on="cookie:user"),
    ]
    weighted, balanced = (
        [line.split("  ")[-1].strip() for line in routes_text(each, []).splitlines()[:3]] for each in policies
    )
    assert weighted[0].endswith("; the first match wins")
    assert weighted[1:] == [
        "images1 10.0.2.21, images2 10.0.2.22: round robin",
        "api1 10.0.2.11 (weight 1), api2 10.0.2.12 (weight 3): round robin",
    ]
    assert balanced[1:] == [
        "images1 10.0.2.21, images2 10.0.2.22: consistent hash of cookie:user",
        "api1 10.0.2.11, api2 10.0.2.12: least requests",
    ]


def test_summary_at_l4() -> None:
    assert as_text(summary(LAB, L4, None)).splitlines() == [
        "balancer          lb at 10.0.1.10 and fd00:10:0:1::10",
        "mode              l4: connections pass through, only addresses are rewritten",
        "engine            nftables in the kernel",
        "http (80/tcp)     forwarded: round robin over api1, api2",
        "https (443/tcp)   forwarded: round robin over api1, api2",
        "tcp-echo (7/tcp)  forwarded: round robin over api1, api2",
        "udp-echo (7/udp)  forwarded: round robin over api1, api2",
    ]


def test_where_nobody_is_left_clients_are_refused() -> None:
    nobody = replace(L4, forwards=tuple(replace(forward, targets=()) for forward in L4.forwards))
    rows = dict(summary(LAB, nobody, None))
    assert rows["http (80/tcp)"] == "refused: none of its backends takes connections"


def test_summary_names_algorithm_weights_and_ranges() -> None:
    lab = replace(LAB, listeners=(Listener(8000, "tcp", through=8009),))
    rows = dict(summary(lab, plan_l4(lab, "source_hash", pool="api", weights={"api2": 3}), None))
    assert rows["tcp-8000-8009 (8000-8009/tcp)"] == "forwarded: source hash over api1 (weight 1), api2 (weight 3)"


def test_summary_at_l7_says_what_stays_forwarded_and_that_it_is_no_measurement() -> None:
    rows = dict(summary(LAB, plan_l7(LAB, L4.forwards), "something died <here>"))
    assert rows["attention"] == "something died <here>"
    assert rows["engine"] == "mitmproxy (inspecting engine: not a speed measurement)"
    assert rows["http (80/tcp)"] == "ends here: /api/* → api, /images/* → images, * → all"
    assert rows["udp-echo (7/udp)"] == "not HTTP, stays forwarded: round robin over api1, api2"
    assert rows["https (443/tcp)"] == "TLS, not opened without tls=True, stays forwarded: round robin over api1, api2"
    assert "something died &lt;here&gt;" in as_html(list(rows.items()))


def test_where_tls_ends_and_how_it_goes_on_is_said() -> None:
    plain = plan_l7(LAB, L4.forwards, tls=True)
    again = plan_l7(LAB, L4.forwards, tls=True, reencrypt=True)
    routes = "/api/* → api, /images/* → images, * → all"
    for policy, onwards in (
        (plain, "to the backends in clear, port 80"),
        (again, "to the backends over TLS again, port 443"),
    ):
        rows = dict(summary(LAB, policy, None))
        assert rows["https (443/tcp)"] == f"TLS ends here ({onwards}), and HTTP ends here: {routes}"
        text = routes_text(policy, [("10.0.1.10", 80), ("10.0.1.10", 443)])
        assert text.startswith("# mitmproxy: routes on 10.0.1.10:80 and 10.0.1.10:443; the first match wins")
        assert f"\n# TLS ends on port 443; {onwards}\n" in text
    closed = routes_text(plan_l7(LAB, L4.forwards), [("10.0.1.10", 80), ("10.0.1.10", 443)])
    assert "443" not in closed, "what the proxy is ready to end but does not is no part of the rules"


def test_what_else_is_said_of_tls() -> None:
    tls = Tls(names=["shop.test", "api.test"], redirect=True, hsts=60, clients="optional")
    policy = plan_l7(LAB, L4.forwards, tls=tls)
    lines = [
        "further certificates, chosen by SNI: shop.test, api.test",
        "client certificates of the lab's CA are optional",
        "requests in clear are answered 308, to https://",
        "answers over TLS say Strict-Transport-Security: max-age=60",
    ]
    assert dict(summary(LAB, policy, None))["TLS"] == "; ".join(lines)
    assert "".join(f"\n# {line}" for line in lines) in routes_text(policy, [("10.0.1.10", 443)])
    assert "TLS" not in dict(summary(LAB, plan_l7(LAB, L4.forwards, tls=True), None))
