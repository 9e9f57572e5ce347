"""Direct server return: requests pass lb, answers go by the router beside it."""

import pytest

from labkit import Lab

from . import seeing
from .conftest import Pair
from .naming import Names

pytestmark = pytest.mark.needs("netns", "docker")


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_one_request(direct_pair: Pair, family: str) -> None:
    def scenario(lab: Lab, names: Names) -> dict[str, object]:
        lab.balancer.l4(style="dsr", backends=["api1"])
        host = "lb" if family == "IPv4" else "ip6-lb"
        lab.alice.get(f"http://{host}/")
        with lab.capture() as cap:
            reply = lab.alice.get(f"http://{host}/api/users")
        return {
            "answered by": (reply.status, reply.backend),
            "received": names.plain(reply.received),
            "connections": seeing.connections(cap, names),
            "trajectories": seeing.trajectories(cap, names),
            "decisions": seeing.decisions(lab, names, 1),
            "rules": seeing.rules(lab, names),
        }

    seen = direct_pair.same(scenario)
    six = "/6" if family == "IPv6" else ""
    assert seen["answered by"] == (200, "api1")
    assert (seen["received"]["peer"], seen["received"]["local"]) == (f"alice{six}:port", f"vip{six}:80")
    ways = seen["trajectories"]["ways"]
    assert set(ways) == {"alice lb:front lb:back api1", "api1 gw:back gw:front alice"}
    assert not {"ip.dst", "ip6.dst"} & set(ways["alice lb:front lb:back api1"]["lb:front → lb:back"])
    assert ways["api1 gw:back gw:front alice"]["gw:back → gw:front"]["eth.dst"] == {"mac of gw:back → mac of alice"}
