"""What is asked for, and the policy or the lesson that comes of it."""

import copy
import pickle
from dataclasses import FrozenInstanceError, replace
from functools import partial
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from labkit.balancer.l7.auth import ClientCertificate
from labkit.balancer.l7.tls import Tls
from labkit.balancer.plan import plan_l4, plan_l7
from labkit.balancer.policy import ALGORITHMS, L7Policy, Route, Target
from labkit.errors import PolicyError
from labkit.topology import Listener, Topology, default, sized

LAB = default()
ALL = ("api1", "api2", "images1", "images2")


def l7(topology: Topology = LAB, **asked: Any) -> L7Policy:
    return plan_l7(topology, plan_l4(topology).forwards, **asked)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({}, ALL),
        ({"pool": "api"}, ("api1", "api2")),
        ({"pool": "all"}, ALL),
        ({"backends": ["images2", "api1"]}, ("images2", "api1")),
        ({"backends": (SimpleNamespace(name="api2"),)}, ("api2",)),
        ({"algorithm": "round_robin", "pool": "images"}, ("images1", "images2")),
    ],
)
def test_l4_forwards_every_listener_to_the_chosen_backends(asked: dict[str, Any], names: tuple[str, ...]) -> None:
    policy = plan_l4(LAB, **asked)
    assert [forward.listener for forward in policy.forwards] == list(LAB.listeners)
    for forward in policy.forwards:
        assert tuple(target.name for target in forward.targets) == names
        assert forward.algorithm == "round_robin"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_takes_weights_by_name_and_weighted_is_round_robin(algorithm: str) -> None:
    for asked in (algorithm, "weighted"):
        policy = plan_l4(LAB, asked, weights={"api1": 3, LAB.node("images2"): 2})
        assert {forward.algorithm for forward in policy.forwards} == {
            algorithm if asked == algorithm else "round_robin"
        }
        assert [target.weight for target in policy.forwards[0].targets] == [3, 1, 1, 2]


def test_weights_that_make_too_long_a_round_are_refused() -> None:
    topology = sized(backends=40)
    weights = {node.name: 256 - number for number, node in enumerate(topology.backends)}
    with pytest.raises(PolicyError, match=r"make rounds of 9,460 turns, and a round has at most 4,096"):
        plan_l4(topology, weights=weights)


def test_targets_carry_their_addresses_on_the_back_link() -> None:
    assert plan_l4(LAB, backends=["images1"]).forwards[0].targets == (
        Target("images1", "10.0.2.21", "fd00:10:0:2::21"),
    )


def test_l7_is_one_route_a_pool_then_everything_else_and_forwards_what_is_not_http() -> None:
    policy = l7()
    assert policy.routes == (Route("/api/*", "api"), Route("/images/*", "images"), Route("*", "all"))
    assert {pool: tuple(target.name for target in targets) for pool, targets in policy.pools.items()} == {
        "api": ("api1", "api2"),
        "images": ("images1", "images2"),
        "all": ALL,
    }
    assert [listener.port for listener in policy.listeners] == [80]
    assert [forward.listener.label for forward in policy.forwards] == ["https", "tcp-echo", "udp-echo"]


def test_l7_keeps_the_backends_that_l4_chose_for_what_is_not_http() -> None:
    policy = plan_l7(LAB, plan_l4(LAB, pool="api").forwards)
    assert [tuple(target.name for target in forward.targets) for forward in policy.forwards] == [("api1", "api2")] * 3


def test_l7_with_tls_ends_https_too_and_goes_on_in_clear_or_over_tls() -> None:
    for reencrypt in (False, True):
        policy = l7(tls=True, reencrypt=reencrypt)
        assert [listener.port for listener in policy.listeners] == [80, 443]
        assert [forward.listener.label for forward in policy.forwards] == ["tcp-echo", "udp-echo"]
        assert (policy.reencrypt, policy.http_port) == (reencrypt, 80)


def test_l7_goes_on_in_clear_to_the_port_where_the_backends_serve_http() -> None:
    secure = replace(LAB, listeners=(Listener(443, "https"), Listener(80, "http", backend_port=8080)))
    assert plan_l7(secure, (), tls=True).http_port == 8080
    assert plan_l7(replace(LAB, listeners=(Listener(443, "https"),)), (), tls=True).http_port == 80


def test_l7_without_anything_to_end_is_refused() -> None:
    with pytest.raises(PolicyError, match="HTTPS is opened with tls=True alone"):
        plan_l7(replace(LAB, listeners=(Listener(443, "https"),)), ())
    with pytest.raises(PolicyError, match=r'has none: give it one, as in Listener\(443, "https"\)'):
        plan_l7(replace(LAB, listeners=(Listener(80),)), (), tls=True)


def test_a_redirect_needs_something_to_redirect_and_leads_to_the_first_https_listener() -> None:
    tls = Tls(redirect=True)
    with pytest.raises(PolicyError, match=r"has no HTTP listener: give it one, as in Listener\(80\)"):
        plan_l7(replace(LAB, listeners=(Listener(443, "https"),)), (), tls=tls)
    lab = replace(LAB, listeners=(Listener(80), Listener(8443, "https"), Listener(443, "https")))
    policy = plan_l7(lab, (), tls=tls)
    assert (policy.tls, policy.https_port) == (tls, 8443)
    assert (l7().tls, l7(tls=True).tls, l7().https_port) == (None, Tls(), 443)


def test_l7_takes_routes_in_order_and_only_the_pools_they_name() -> None:
    routes = [Route("/b/*", "images"), Route("/a/*", "images"), Route("*", pool="api")]
    policy = l7(routes=routes, engine="mitmproxy")
    assert policy.routes == tuple(routes)
    assert set(policy.pools) == {"images", "api"}


CERTIFIED = Route("/admin/*", "api", auth=ClientCertificate(["alice"]))
PATH = (
    "L4 cannot route by path: it chooses the backend on the SYN, before the client has sent a path. "
    "Use lab.balancer.l7(routes=[...])."
)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"routes": [Route("*", "api")]}, [PATH]),
        ({"route": "/api/*"}, [PATH]),
        ({"headers": {"x": "1"}}, ["cannot route by header", "SYN", "L7"]),
        ({"header": "x"}, ["cannot route by header"]),
        ({"cookies": {}}, ["cannot route by cookie", "SYN"]),
        ({"host": "shop"}, ["cannot route by host", "SYN"]),
        ({"body": "x"}, ["cannot route by body", "SYN"]),
        ({"sticky": "cookie"}, ["cannot keep a session by cookie", "SYN"]),
        ({"tls": True}, ["cannot end TLS", "unopened"]),
        ({"reencrypt": True}, ["never decrypts"]),
        ({"mtls": True}, ["no say in TLS"]),
        ({"ciphers": "AES"}, ["no say in TLS"]),
        ({"sni": "lb"}, ["cannot route by SNI", "SYN", "ClientHello"]),
        ({"http3": True}, ["QUIC", "no backend speaks HTTP/3", 'l7(tls=Tls(http3=True), engine="envoy")']),
        ({"websocket": True}, ["WebSocket"]),
        ({"engine": "mitmproxy"}, ["no engine to choose", "nftables"]),
        ({"weight": {"api1": 2}}, ["did you mean 'weights'?"]),
        ({"seed": 1}, ["has no seed yet", "algorithm, backends, pool, weights"]),
        ({"style": "dsr"}, ["has no router beside lb", "direct_return()", 'role = "router"']),
        ({"style": "tcp-proxy"}, ["did you mean 'proxy'?"]),
        (
            {"sni": {"shop.test": "api"}},
            ["cannot route by SNI", "SYN", "l4(style=\"proxy\", sni={'shop.test': 'api'})"],
        ),
        ({"proxy_protocol": 1, "style": "full"}, ["'full' cannot add a PROXY header", 'style="proxy"']),
        ({"proxy_protocol": 3, "style": "proxy"}, ["versions 1", "and 2"]),
        ({"proxy_protocol": True, "style": "proxy"}, ["versions 1", "and 2"]),
        ({"algorithm": "flow_hash", "style": "proxy"}, ["no packet passes a proxy", '"maglev"']),
        ({"sni": {}, "style": "proxy"}, ["names of hosts lead to pools"]),
        ({"sni": "shop.test", "style": "proxy"}, ["names of hosts lead to pools"]),
        ({"sni": {"*": "api"}, "style": "proxy"}, ["'*'", "is no host's name"]),
        ({"sni": {"a.*.test": "api"}, "style": "proxy"}, ["is no host's name"]),
        ({"sni": {7: "api"}, "style": "proxy"}, ["is no host's name"]),
        ({"sni": {"a.test": "api", "A.test": "images"}, "style": "proxy"}, ["twice", "case makes no difference"]),
        ({"sni": {"a.test": "apy"}, "style": "proxy"}, ["the pool 'apy'", "did you mean 'api'?"]),
        ({"sni": {"a.test": ["api1"]}, "style": "proxy"}, ["the pool ['api1']"]),
        ({"style": "snat"}, ["'snat'", "did you mean 'full'?"]),
        ({"style": "Direct-Routing"}, ["did you mean 'dsr'?"]),
        ({"style": "ful"}, ["did you mean 'full'?", "it has dnat, full, dsr"]),
        ({"style": None}, ["does not know the style None"]),
        ({"styles": "full"}, ["did you mean 'style'?"]),
        ({"backend": ["api1"]}, ["did you mean 'backends'?"]),
        ({"colour": "red"}, ["no argument 'colour'", "it takes algorithm, backends, pool"]),
        ({"topology": 1}, ["no argument 'topology'"]),
        ({"algorithm": "rondom"}, ["'rondom'", "did you mean 'random'?", "it has round_robin, random, source_hash"]),
        ({"algorithm": "Maglev"}, ["did you mean 'maglev'?"]),
        ({"algorithm": "ip_hash"}, ["did you mean 'source_hash'?"]),
        ({"algorithm": "Ring-Hash"}, ["did you mean 'maglev'?"]),
        ({"algorithm": ["round_robin"]}, ["round_robin"]),
        ({"algorithm": "least_connections"}, ["one packet", "not compare the counts", 'weights={"api1": 3}']),
        ({"algorithm": "leastconn"}, ["least connections", "one packet"]),
        ({"algorithm": "weighted"}, ["none were given", 'weights={"api1": 3}']),
        ({"algorithm": "weighted", "weights": {}}, ["none were given"]),
        ({"weights": [3, 1]}, ["weights go by name", 'weights={"api1": 3}']),
        (
            {"weights": {"api3": 3}},
            ["a weight for 'api3'", "did you mean 'api", "they are api1, api2, images1, images2"],
        ),
        ({"weights": {"images1": 3}, "pool": "api"}, ["none of the backends chosen", "they are api1, api2."]),
        ({"weights": {7: 3}}, ["a weight for 7"]),
        ({"weights": {"api1": True}}, ["'api1': True", "a whole number from 1 to 256"]),
        ({"weights": {"api1": 1.5}}, ["a whole number from 1 to 256"]),
        ({"weights": {"api1": "3"}}, ["a whole number from 1 to 256"]),
        ({"weights": {"api1": 0}}, ["would send api1 nothing", "backends=[...]"]),
        ({"weights": {"api1": -1}}, ["from 1 to 256", "2 beside 1"]),
        ({"weights": {"api1": 257}}, ["from 1 to 256"]),
        ({"weights": {"api1": 10**5000}}, ["from 1 to 256"]),
        ({"backends": ["api1"], "pool": "api"}, ["both backends and pool"]),
        ({"backends": []}, ["nowhere to send to"]),
        ({"backends": "api1"}, ["a list of names"]),
        ({"backends": {"api1": 1}}, ["a list of names"]),
        ({"backends": ["ap1"]}, ["no backend 'ap1'", "did you mean 'api1'?", "api1, api2, images1, images2"]),
        ({"backends": [7]}, ["no backend 7", "there are api1"]),
        ({"backends": ["alice"]}, ["alice is a client, not a backend"]),
        ({"backends": ["lb"]}, ["lb is a balancer, not a backend"]),
        ({"backends": ["api1", "api1"]}, ["api1 is named twice"]),
        ({"pool": "apy"}, ["the pool 'apy'", "did you mean 'api'?", "there are api, images, all"]),
        ({"pool": ["api"]}, ["the pool ['api']"]),
    ],
)
def test_l4_refuses_with_a_lesson(asked: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(PolicyError) as error:
        plan_l4(LAB, **asked)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"engine": "nginx"}, ["'nginx'", "built now are mitmproxy, envoy"]),
        ({"routes": []}, ["404", 'Route("/api/*", pool="api")']),
        ({"routes": Route("*", "api")}, ["a list of Route values"]),
        ({"routes": "/api/*"}, ["a list of Route values"]),
        ({"routes": {"/api/*": "api"}}, ["a list of Route values"]),
        ({"routes": [("/api/*", "api")]}, ["is not a Route", 'Route("/api/*", pool="api")']),
        ({"routes": [Route("/x/*", "imagse")]}, ["Route('/x/*')", "'imagse'", "did you mean 'images'?"]),
        ({"routes": [Route("", "api")]}, ["empty pattern"]),
        ({"routes": [Route("api/*", "api")]}, ["begins with '/'"]),
        ({"routes": [Route("http://lb/api", "api")]}, ["begins with '/'"]),
        ({"routes": [Route("/api?x=1", "api")]}, ["query is not part of the path"]),
        ({"routes": [Route("/a b", "api")]}, ["spaces"]),
        ({"routes": [Route("/a\n", "api")]}, ["control characters"]),
        ({"routes": [Route("/café", "api")]}, ["Percent-encode"]),
        ({"routes": [Route("/50%", "api")]}, ["%25"]),
        ({"routes": [Route("/api/../x", "api")]}, ["§5.2.4"]),
        ({"routes": [Route("/api/%2E%2e", "api")]}, ["§5.2.4"]),
        ({"routes": [Route(7, "api")]}, ["not int"]),  # type: ignore[arg-type]
        ({"routes": [Route("*", "api", when="x")]}, ["when='x': it is a function of the request"]),
        (
            {"routes": [Route("*", "api", transform_request=b"x")]},
            ["transform_request=b'x'", "function of the message"],
        ),
        ({"routes": [Route("*", respond=200, transform_response=str)]}, ["for requests that go to a pool"]),
        ({"tls": "1.2"}, ["tls is True or False", "certificates are the lab's own"]),
        ({"reencrypt": 1, "tls": True}, ["reencrypt is True or False"]),
        ({"reencrypt": True}, ["without tls=True nothing is", "l7(tls=True, reencrypt=True)"]),
        ({"mtls": True}, ["asks clients for certificates", 'l7(tls=Tls(clients="required"))']),
        ({"client_certificates": True}, ["asks clients for certificates"]),
        ({"hsts": True}, ["tls= takes what", "l7(tls=Tls(hsts=True))"]),
        ({"tls": Tls(names=["LB"])}, ["'lb'", "is a host of this lab already", "such as shop.test"]),
        ({"tls": Tls(names=["ip6-api1"])}, ["is a host of this lab already"]),
        ({"tls": Tls(names=["localhost"])}, ["is a host of this lab already"]),
        ({"routes": [CERTIFIED]}, ["that no client is asked for", 'add tls=Tls(clients="optional")']),
        ({"routes": [CERTIFIED], "tls": True}, ["that no client is asked for"]),
        ({"routes": [CERTIFIED], "tls": Tls(names=["shop.test"])}, ['tls=Tls(clients="optional")']),
        ({"ciphers": "AES"}, ["choice of ciphers", "AES-GCM", "get(tls='1.2')"]),
        ({"min_version": "1.3"}, ["chooses TLS versions"]),
        ({"certificate": "x.pem"}, ["by the lab's own CA", 'l7(tls=Tls(names=["shop.test"]))']),
        ({"http2": True}, ["offer it by ALPN"]),
        ({"http3": True}, ["QUIC", "l7(tls=Tls(http3=True))"]),
        ({"tls": Tls(http3=True)}, ["mitmproxy speaks HTTP/1.1 and HTTP/2", 'tls=Tls(http3=True), engine="envoy"']),
        (
            {"tls": Tls(http3=True, clients="optional"), "engine": "envoy"},
            ["asks for no client certificates over QUIC", "Leave one of them out"],
        ),
        ({"sni": {}}, ["chooses the certificate by SNI", 'l7(tls=Tls(names=["shop.test"]))']),
        ({"ssl": True}, ["did you mean 'tls'?"]),
        ({"sticky": "client"}, ['sticky="cookie"', "application=True"]),
        ({"weights": {"api3": 1}}, ["lab.balancer.l7() was given a weight", "'api3'", "did you mean 'api2'?"]),
        ({"algorithm": "leastconn"}, ["did you mean 'least_requests'?"]),
        ({"algorithm": {"apis": "random"}}, ["no route leads to a pool 'apis'", "did you mean 'api'?"]),
        ({"hash_on": "user"}, ['"header:NAME"']),
        ({"forwarded": "yes"}, ["forwarded=True"]),
        ({"request_id": 1}, ["request_id is True or False"]),
        ({"backends": ["api1"]}, ["a request goes where its route says"]),
        ({"pool": "api"}, ["a request goes where its route says"]),
        ({"route": []}, ["did you mean 'routes'?"]),
        ({"forwards": ()}, ["no argument 'forwards'"]),
    ],
)
def test_l7_refuses_with_a_lesson(asked: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(PolicyError) as error:
        l7(**asked)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cookie": "a"}, "Route() has no argument 'cookie' (did you mean 'cookies'?)"),
        ({"header": "a"}, "(did you mean 'headers'?)"),
        ({"sticky": "cookie"}, "Route() has no sticky: it takes path, pool"),
        ({"weights": {}}, 'as in Route("/api/*", pool="api")'),
        ({"pol": "api"}, "Route() has no argument 'pol' (did you mean 'pool'?)"),
        ({"\udc80": 1}, r"no argument '\udc80'"),
        ({}, 'This Route names no pool to send to: write it as in Route("/api/*", pool="api").'),
    ],
)
def test_a_route_takes_a_path_and_a_pool(given: dict[str, Any], words: str) -> None:
    with pytest.raises(PolicyError) as error:
        Route("/api/*", **given)
    assert words in str(error.value)


def test_a_route_without_a_path_is_none() -> None:
    for given in ({}, {"pool": "api"}):
        with pytest.raises(PolicyError, match="This Route says no path to match"):
            Route(**given)


def test_a_route_is_a_frozen_value() -> None:
    route = Route("/api/*", "api")
    assert route == Route(path="/api/*", pool="api") != Route("*", "api")
    assert len({route, Route("/api/*", pool="api")}) == 1
    assert repr(route) == "Route(path='/api/*', pool='api')"
    assert pickle.loads(pickle.dumps(route)) == copy.copy(route) == replace(route, pool="api") == route
    assert Route.__match_args__[:2] == ("path", "pool")
    with pytest.raises(FrozenInstanceError):
        route.path = "*"  # type: ignore[misc]


ODD = (5, [], {}, object(), b"x", float("nan"), 10**5000, "\udc80", "x" * 10**5, "", [[]])


def test_odd_values_are_lessons_in_few_words() -> None:
    for odd in ODD:
        for act in (
            *(partial(plan_l4, LAB, **{name: odd}) for name in ("algorithm", "backends", "pool")),
            partial(plan_l4, LAB, weights=[odd]),
            partial(plan_l4, LAB, weights={"nobody": odd}),
            partial(plan_l4, LAB, weights={"api1": [odd]}),
            *(partial(l7, **{name: odd}) for name in ("routes", "engine")),
            partial(plan_l4, LAB, backends=[odd]),
            partial(l7, routes=[odd]),
            partial(l7, routes=[Route(odd, "api")]),  # type: ignore[arg-type]
            partial(l7, routes=[Route("*", odd)]),  # type: ignore[arg-type]
        ):
            with pytest.raises(PolicyError) as error:
                act()
            assert len(str(error.value).encode()) < 400


@pytest.mark.parametrize("pattern", ["*", "/", "/*", "*.png", "/a/*/b", "/caf%C3%A9/*", "/.well-known/*", "/a..b"])
def test_good_patterns_are_taken(pattern: str) -> None:
    assert l7(routes=[Route(pattern, "api")]).routes == (Route(pattern, "api"),)


def test_topologies_that_leave_nothing_to_do_are_refused() -> None:
    with pytest.raises(PolicyError, match="no HTTP listener"):
        l7(replace(LAB, listeners=(Listener(6379, "tcp"),)))
    with pytest.raises(PolicyError, match="'empty', which has no backends"):
        plan_l4(replace(LAB, pools=MappingProxyType({"empty": ()})), pool="empty")
    with pytest.raises(PolicyError, match="reserved name"):
        plan_l4(replace(LAB, pools=MappingProxyType({"all": ("api1",)})))
