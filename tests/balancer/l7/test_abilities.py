"""What an engine refuses by name."""

import pytest

from labkit import Edit, Route
from labkit.balancer.l7.abilities import lacks
from labkit.balancer.policy import L7Policy


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
