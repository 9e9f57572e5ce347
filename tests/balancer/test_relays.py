"""The TCP proxy's part of a policy: which listeners it has, what is left to the kernel, how it reads as text."""

from dataclasses import replace

import pytest

from labkit.balancer.plan import plan_l4, plan_l7
from labkit.balancer.policy import Named, Relay
from labkit.balancer.relays import passed, relayed, relays_text
from labkit.balancer.rotation import Rotation, in_force
from labkit.errors import PolicyError
from labkit.topology import Listener, default

LAB = default()
NAMES = {"Shop.test": "api", "*.img.test": "images"}


def test_tcp_is_relayed_and_udp_gets_a_new_destination() -> None:
    policy = plan_l4(LAB, style="proxy", algorithm="maglev", pool="api", proxy_protocol=2)
    assert {forward.listener.label: forward.style for forward in policy.forwards} == {
        **dict.fromkeys(("http", "https", "tcp-echo"), "proxy"),
        "udp-echo": "dnat",
    }
    assert [forward.relay for forward in relayed(policy.forwards)] == [Relay(2)] * 3
    assert [forward.listener.label for forward in passed(policy.forwards)] == ["udp-echo"]


def test_names_are_asked_for_where_tls_is_spoken_alone() -> None:
    policy = plan_l4(LAB, style="proxy", backends=["api1"], sni=NAMES, weights={"images1": 3})
    http, https, *_ = policy.forwards
    assert http.relay == Relay()
    assert https.relay
    assert [(one.pattern, one.pool) for one in https.relay.names] == [("shop.test", "api"), ("*.img.test", "images")]
    assert [(target.name, target.weight) for target in https.relay.names[1].targets] == [("images1", 3), ("images2", 1)]
    assert [target.name for target in https.everyone] == ["api1", "api2", "images1", "images2"]


def test_what_l7_does_not_end_is_relayed_as_before() -> None:
    policy = plan_l7(LAB, plan_l4(LAB, style="proxy").forwards)
    assert [forward.listener.label for forward in relayed(policy.forwards)] == ["https", "tcp-echo"]


def test_where_nobody_is_left_the_kernel_refuses() -> None:
    forwards = plan_l4(LAB, style="proxy", pool="api", sni={"img.test": "images"}).forwards
    rotation = Rotation().taken_out("api1", "draining").taken_out("api2", "removed")
    left = in_force(forwards, rotation)
    assert [forward.listener.label for forward in relayed(left)] == ["https"], "names still lead somewhere"
    assert [(one.listener.label, one.style, one.targets) for one in passed(left)] == [
        ("http", "dnat", ()),
        ("tcp-echo", "dnat", ()),
        ("udp-echo", "dnat", ()),
    ]
    everything_out = in_force(forwards, rotation.taken_out("images1", "removed").taken_out("images2", "removed"))
    assert relayed(everything_out) == ()


@pytest.mark.parametrize(
    ("listeners", "words"),
    [
        ((Listener(53, "udp"),), "has no TCP listener"),
        ((Listener(8000, "tcp", through=8009),), "tcp-8000-8009 has ports 8000-8009: give each port a listener"),
    ],
)
def test_what_cannot_be_relayed_is_refused(listeners: tuple[Listener, ...], words: str) -> None:
    with pytest.raises(PolicyError, match=words):
        plan_l4(replace(LAB, listeners=listeners), style="proxy")


def test_names_need_tls() -> None:
    with pytest.raises(PolicyError, match="has no listener that carries it"):
        plan_l4(replace(LAB, listeners=(Listener(80),)), style="proxy", sni={"shop.test": "api"})


def test_the_text_says_where_it_listens_and_who_gets_what() -> None:
    (forward, *_) = plan_l4(LAB, style="proxy", backends=["api1", "api2"], weights={"api2": 2}).forwards
    named = replace(forward, relay=Relay(1, (Named("a.test", "images", ()),)))
    assert relays_text([named], [("10.0.1.10", 16080), ("fd00::10", 16080)]) == (
        "# envoy: TCP connections end on 10.0.1.10:16080 and [fd00::10]:16080; nothing of HTTP is read\n"
        "# backends are told of the client by the PROXY protocol, version 1\n"
        "http sni a.test  round robin  nobody: the connection is closed\n"
        "http             round robin  api1 10.0.2.11:80 weight 1, api2 10.0.2.12:80 weight 2\n"
    )
