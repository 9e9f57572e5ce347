"""Time-outs and limits of the balancer's namespace, to see and to set."""

from dataclasses import replace
from typing import Any

import pytest

from labkit import Lab
from labkit.balancer.settings import SETTINGS, Setting
from labkit.errors import EngineError, PolicyError

pytestmark = pytest.mark.needs("netns")
ESTABLISHED = "nf_conntrack_tcp_timeout_established"


def test_settings_are_what_the_kernel_has(lab: Lab) -> None:
    settings = lab.balancer.settings
    shown = dict(settings)
    assert shown["tcp_max_tw_buckets"] == 500
    assert shown["nf_conntrack_tcp_timeout_time_wait"] == 2
    assert shown["ip_local_port_range"] == (10000, 65000)
    assert lab.alice.run("cat /proc/sys/net/ipv4/tcp_max_tw_buckets").stdout.strip() == "500"
    settings["ip_local_port_range"] = (20000, 60000)
    assert lab.lb.run("cat /proc/sys/net/ipv4/ip_local_port_range").stdout.split() == ["20000", "60000"]
    settings["ip_local_port_range"] = shown["ip_local_port_range"]
    assert len(settings) == len(shown) > 20
    assert "nf_conntrack_tcp_timeout_time_wait" in repr(settings)
    assert "set by the lab" in settings._repr_html_()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("nf_conntrack_tcp_timeout_establishd", 2, "did you mean 'nf_conntrack_tcp_timeout_established'"),
        (5, 2, "has no 5"),
        (ESTABLISHED, 0, "seconds, a whole number from 1"),
        (ESTABLISHED, 1.5, "seconds, a whole number from 1"),
        (ESTABLISHED, True, "seconds, a whole number from 1"),
        (ESTABLISHED, "2", "seconds, a whole number from 1"),
        ("nf_conntrack_acct", 2, "from 0 to 1"),
        ("ip_local_port_range", 5, "a pair of ports"),
        ("ip_local_port_range", (5, 4), "a pair of ports"),
        ("nf_conntrack_max", 5, "read-only"),
        ("nf_conntrack_count", 5, "it is what the kernel counts"),
    ],
)
def test_settings_refuse_in_words(lab: Lab, name: Any, value: Any, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        lab.balancer.settings[name] = value


def test_a_value_that_the_kernel_refuses_is_told_by_name(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, "nf_conntrack_max", replace(SETTINGS["nf_conntrack_max"], fixed=""))
    with pytest.raises(EngineError, match=r"kernel of lb refuses nf_conntrack_max = 5: (Permission|Operation)"):
        lab.balancer.settings["nf_conntrack_max"] = 5
    monkeypatch.setitem(SETTINGS, "nf_conntrack_none", Setting("netfilter", "count", ""))
    with pytest.raises(EngineError, match="This kernel has no setting nf_conntrack_none"):
        lab.balancer.settings["nf_conntrack_none"]
    assert "nf_conntrack_none" not in list(lab.balancer.settings)
    with pytest.raises(PolicyError, match="set another value"):
        del lab.balancer.settings[ESTABLISHED]
