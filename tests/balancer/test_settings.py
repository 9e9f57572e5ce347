"""Time-outs and limits of the balancer's namespace, to see and to set."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from labkit import Lab
from labkit.balancer.settings import SETTINGS, Setting, Settings
from labkit.errors import EngineError, LabError, PolicyError

from .small import small

pytestmark = pytest.mark.needs("netns")
ESTABLISHED = "nf_conntrack_tcp_timeout_established"


def test_settings_are_what_the_kernel_has(lab: Lab) -> None:
    settings = lab.balancer.settings
    shown = dict(settings)
    assert shown["tcp_max_tw_buckets"] == 500
    assert shown["nf_conntrack_tcp_timeout_time_wait"] == 2
    assert shown["nf_conntrack_tcp_timeout_close"] == 1
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


@pytest.fixture(scope="module")
def settings() -> Iterator[Settings]:
    with Lab(small()) as lab:
        yield lab.balancer.settings


def test_it_can_be_asked_for_what_it_does_not_have(settings: Settings) -> None:
    assert "somaxconn" in settings
    assert "somaxcon" not in settings
    assert 5 not in settings
    assert settings.get("somaxcon") is None
    with pytest.raises(
        LabError, match=r"^lab.balancer.settings has no 'somaxcon' .*did you mean 'somaxconn'"
    ) as unknown:
        settings["somaxcon"]
    assert isinstance(unknown.value, KeyError)


@pytest.mark.parametrize("value", [0, 2_147_484, 2**31 - 1])
@pytest.mark.parametrize("name", ["tcp_max_tw_buckets", "tcp_max_syn_backlog", "somaxconn"])
def test_counts_go_as_far_as_the_kernels_do(settings: Settings, name: str, value: int) -> None:
    settings[name] = value
    assert settings[name] == value


@pytest.mark.parametrize("value", [-1, 2**31])
def test_counts_go_no_further(settings: Settings, value: int) -> None:
    with pytest.raises(PolicyError, match="a whole number from 0 to 2147483647"):
        settings["tcp_max_tw_buckets"] = value


def test_seconds_have_a_limit_for_the_kernel_multiplies_them(settings: Settings) -> None:
    settings["nf_conntrack_tcp_timeout_close"] = 2_147_483
    assert settings["nf_conntrack_tcp_timeout_close"] == 2_147_483
    with pytest.raises(PolicyError, match="seconds, a whole number from 1 to 2147483"):
        settings["nf_conntrack_tcp_timeout_close"] = 2_147_484
