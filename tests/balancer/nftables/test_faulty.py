"""The rules of each fault in a kernel: as nft lists them, beside the rules that forward, and gone again."""

import pytest

from labkit.balancer.nftables.faulty import KINDS, table
from labkit.balancer.nftables.text import text
from labkit.balancer.nftables.values import Ruleset
from labkit.runtime.protocol import Runtime

pytestmark = pytest.mark.measured

FAULTY = "labkit.balancer.nftables.faulty:"
VIPS = ["10.0.1.10", "fd00:10:0:1::10"]
PEERS = "tests.balancer.nftables.peers:"
OPTIONS = {
    "silent": {},
    "refuse": {"vips": VIPS, "ports": [["tcp", 80, 80], ["udp", 7000, 7009]], "reset": True},
    "full": {"room": 3},
    "few_ports": {"addresses": ["10.0.2.10", "fd00:10:0:2::10"], "first": 40000, "last": 40003},
    "black_hole": {},
}


def test_every_kind_is_tried() -> None:
    assert set(OPTIONS) == set(KINDS)


@pytest.mark.needs("netns", "nft")
@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_has_the_rules_and_nft_reads_them_back(runtime: Runtime, kind: str) -> None:
    host = runtime.nodes["bob"]
    nft = f"{PEERS}program", "nft"
    host.call(*nft, "flush", "ruleset")
    host.call(f"{FAULTY}put", "x", kind, OPTIONS[kind])
    host.call(f"{FAULTY}put", "x", kind, OPTIONS[kind])  # in the place of the first
    listed = host.call(*nft, "-s", "list", "ruleset")[1]
    assert listed == text(Ruleset((table("x", kind, **OPTIONS[kind]),)))
    assert host.call(*nft, "flush", "ruleset")[0] == 0
    assert host.call(f"{PEERS}nft", listed) == ""
    assert host.call(*nft, "-s", "list", "ruleset")[1] == listed
    for _ in range(2):  # also when it is gone already
        host.call(f"{FAULTY}remove", "x")
        assert host.call(*nft, "list", "ruleset")[1] == ""


def test_what_is_not_answered_is_not_reset() -> None:
    listed = text(Ruleset((table("x", "refuse", vips=["10.0.1.10", None], ports=[["tcp", 80, 80]], reset=False),)))
    assert "drop" in listed
    assert "reject" not in listed
