"""Who is in rotation: pure values in, pure values out."""

import pytest

from labkit import Listener, Route
from labkit.balancer.policy import Forward, L7Policy, Target
from labkit.balancer.rotation import Rotation, in_force, routed
from labkit.errors import PolicyError

API1, API2 = Target("api1", "10.0.2.11"), Target("api2", "10.0.2.12", weight=2)
WEB, ECHO = Forward(Listener(80), (API1, API2), "random"), Forward(Listener(7, "udp"), (API1, API2))


def names(forwards: tuple[Forward, ...]) -> list[list[str]]:
    return [[target.name for target in forward.targets] for forward in forwards]


def test_nothing_said_leaves_the_policy_as_it_is() -> None:
    assert in_force((WEB, ECHO), Rotation()) == (WEB, ECHO)


@pytest.mark.parametrize("why", ["draining", "removed"])
def test_who_is_taken_out_gets_nothing_of_any_listener_until_put_back(why: str) -> None:
    out = Rotation().taken_out("api1", why)  # type: ignore[arg-type]
    assert names(in_force((WEB, ECHO), out)) == [["api2"], ["api2"]]
    assert in_force((WEB, ECHO), out.put_back("api1")) == (WEB, ECHO)
    assert out.put_back("api2") == out


def test_failing_checks_count_for_their_transport_alone() -> None:
    echo = Forward(Listener(7, "tcp"), (API1, API2))
    assert names(in_force((echo, ECHO), Rotation().failing([("api1", "tcp", 7)]))) == [["api2"], ["api1", "api2"]]


def test_failing_checks_count_for_their_port_alone_and_the_last_word_holds() -> None:
    failing = Rotation().failing([("api1", "tcp", 80)])
    assert names(in_force((WEB, ECHO), failing)) == [["api2"], ["api1", "api2"]]
    assert names(in_force((WEB, ECHO), failing.failing([("api2", "udp", 7)]))) == [["api1", "api2"], ["api1"]]


def test_a_backend_that_was_put_back_is_still_out_while_its_checks_fail() -> None:
    both = Rotation().failing([("api1", "tcp", 80)]).taken_out("api1", "draining")
    assert names(in_force((WEB,), both.put_back("api1"))) == [["api2"]]
    assert names(in_force((WEB,), both.failing([]))) == [["api2"]]


def test_the_port_on_the_backend_counts_not_the_listeners() -> None:
    moved = Forward(Listener(80, backend_port=8080), (API1, API2))
    assert names(in_force((moved,), Rotation().failing([("api1", "tcp", 8080)]))) == [["api2"]]
    assert names(in_force((moved,), Rotation().failing([("api1", "tcp", 80)]))) == [["api1", "api2"]]


def test_weights_in_force_are_those_set_last_and_the_algorithm_stays() -> None:
    weighed = Rotation().weighed("api1", 5).weighed("api1", 3)
    (web,) = in_force((WEB,), weighed)
    assert [target.weight for target in web.targets] == [3, 2]
    assert (web.algorithm, web.listener) == ("random", WEB.listener)
    assert in_force((WEB,), weighed.unweighed()) == (WEB,)


def test_when_all_are_out_the_forward_stays_and_has_nobody() -> None:
    nobody = Rotation().taken_out("api1", "draining").failing([("api2", "tcp", 80), ("api2", "udp", 7)])
    assert names(in_force((WEB, ECHO), nobody)) == [[], []]


def test_pools_lose_who_was_taken_out_and_whose_checks_fail() -> None:
    policy = L7Policy((Listener(80),), (Route("*", "api"),), {"api": (API1, API2)}, (ECHO,))
    found = routed(policy, Rotation().taken_out("api1", "draining").failing([("api2", "tcp", 80)]))
    assert (found.pools["api"], names(found.forwards)) == ((), [["api2"]])
    elsewhere = routed(
        policy, Rotation().taken_out("api1", "draining").failing([("api2", "tcp", 8080), ("api2", "udp", 80)])
    )
    assert elsewhere.pools["api"] == (API2,)
    assert policy.pools["api"] == (API1, API2)


def test_a_pool_without_anybody_is_refused_with_the_remedy() -> None:
    policy = L7Policy((Listener(80),), (Route("*", "api"),), {"api": (API1,)})
    with pytest.raises(
        PolicyError, match=r"pool 'api' would have no backend left at L7 .*lab.balancer.add\(\"api1\"\)"
    ):
        routed(policy, Rotation().taken_out("api1", "removed"))
