"""What an engine refuses by name."""

from typing import Any

import pytest

from labkit import Edit, Forwarded, Limits, Route
from labkit.balancer.l7.abilities import lacks
from labkit.balancer.plan import plan_l7
from labkit.balancer.policy import L7Policy
from labkit.errors import PolicyError
from labkit.topology import default


def odd(_):
    return True


@pytest.mark.parametrize("argument", ["when", "transform_request", "transform_response"])
def test_envoy_runs_no_python_and_says_what_to_use(argument):
    policy = L7Policy((), (Route("/a", pool="api"), Route("/b", pool="api", name="second", **{argument: odd})))
    (reason,) = lacks("envoy", policy)
    assert reason.startswith(f"Route('second', {argument}=odd): the engine envoy runs no Python.")
    assert 'lab.balancer.l7(engine="mitmproxy")' in reason
    assert lacks("mitmproxy", policy) == []


def test_all_else_both_can():
    policy = L7Policy((), (Route("/a", pool="api", body="x", request=Edit(set={"x-a": "1"})),))
    assert lacks("envoy", policy) == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"limits": Limits(line_bytes=100)}, ["line_bytes", "head_bytes"]),
        ({"forwarded": Forwarded(trust=["fd00::/64"])}, ["fd00::/64", "name the addresses"]),
        ({"routes": [Route("/a/*", redirect="/b/*?c=1")]}, ["'/b/*?c=1'", "Leave the query out"]),
        ({"routes": [Route("/a", pool="api", max_body=0)]}, ["max_body=0"]),
    ],
)
def test_what_envoy_cannot_is_refused_by_name_and_mitmproxy_can(asked: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(PolicyError) as error:
        plan_l7(default(), (), **{"routes": [Route("*", pool="all")], **asked}, engine="envoy")
    for word in (*words, "engine"):
        assert word in str(error.value)
    assert plan_l7(default(), (), **{"routes": [Route("*", pool="all")], **asked})
