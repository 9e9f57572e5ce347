"""HTTP/2 streams that stay open both ways, as gRPC's do: several on one connection, each its own request."""

import time
from collections.abc import Callable

import pytest

from labkit import Lab, Route

from .streaming import echo, talked

pytestmark = pytest.mark.needs("netns")

ROUTES = [Route("/api/*", pool="api"), Route("*", pool="images")]


@pytest.fixture(scope="module", autouse=True)
def echoing(lab: Lab) -> None:
    """Both backends of a pool echo."""
    for backend in (lab.api1, lab.api2):
        backend.serve(echo())


def ended(lab: Lab, path: str, how: str) -> bool:
    """Whether the stream of *path* ends so at its backend, within seconds."""
    patience = time.monotonic() + 5
    while time.monotonic() < patience:
        told = [backend.get(f"http://{backend.name}/ended").json().get(path) for backend in (lab.api1, lab.api2)]
        if how in told:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("reencrypt", [False, True])
def test_streams_of_one_connection_talk_both_ways_and_one_that_is_given_up_ends_alone(
    lab: Lab, l7: Callable[..., None], engine: str, reencrypt: bool
) -> None:
    l7(routes=ROUTES, tls=True, reencrypt=reencrypt)
    paths = [f"/api/{engine}-{reencrypt}-{number}" for number in range(4)]
    given_up = paths[1]
    told = lab.alice.call(talked, lab._authority.trust(), paths, [given_up])
    assert {about["status"] for about in told.values()} == {200}
    assert {about["backend"] for about in told.values()} == {"api1", "api2"}
    for path in paths:
        heard, how = (f"0{path} ", None) if path == given_up else (f"0{path} 1{path} 2{path} ", "whole")
        assert (told[path]["heard"], told[path]["ended"]) == (heard, how), path
        trailers = (
            {"grpc-status": "0"} if how and engine == "envoy" and reencrypt else None
        )  # else on no leg, or dropped
        assert told[path]["trailers"] == trailers, path
        assert ended(lab, path, how or "given up"), path
