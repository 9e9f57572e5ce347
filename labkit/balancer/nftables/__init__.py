"""L4 in the kernel: nftables rules over netlink, and the decisions they made, from connection tracking."""

from .engine import NftablesEngine

PRELOAD = ("labkit.balancer.nftables.task",)

__all__ = ["PRELOAD", "NftablesEngine"]
