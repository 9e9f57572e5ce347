"""Which styles a topology can have; what cannot be had is refused with the remedy."""

from dataclasses import replace

import pytest

from labkit.balancer.plan import plan_l4, plan_l7
from labkit.balancer.policy import STYLES
from labkit.errors import PolicyError
from labkit.topology import Listener, default, direct_return


@pytest.mark.parametrize("style", STYLES)
def test_every_forward_has_the_style_that_was_asked_for(style: str) -> None:
    policy = plan_l4(direct_return(), style=style, algorithm="maglev")
    assert {(forward.style, forward.algorithm) for forward in policy.forwards} == {(style, "maglev")}


def test_dnat_is_what_nobody_has_to_ask_for() -> None:
    assert {forward.style for forward in plan_l4(default()).forwards} == {"dnat"}


def test_what_is_not_ended_at_l7_keeps_its_style() -> None:
    policy = plan_l7(default(), plan_l4(default(), style="full").forwards)
    assert {forward.style for forward in policy.forwards} == {"full"}


def test_direct_return_rewrites_no_port() -> None:
    topology = replace(direct_return(), listeners=(Listener(53, "udp", "dns", backend_port=5353),))
    with pytest.raises(PolicyError, match="backends must serve dns on port 53 itself, not on 5353: remove its back"):
        plan_l4(topology, style="dsr")
    plan_l4(topology, style="full")
