"""Settings of the balancer's kernel: which names there are, and how far their values go."""

from collections.abc import Iterator

import pytest

from labkit import Lab
from labkit.balancer.settings import Settings
from labkit.errors import LabError, PolicyError
from tests.balancer.small import small

pytestmark = pytest.mark.needs("netns")


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
