"""What a started balancer consists of, and what it carries out at the moment. Changed by its owner alone."""

from dataclasses import dataclass, field
from typing import Any, Literal

from labkit.balancer.health import HealthChecks
from labkit.balancer.mitmproxy.engine import MitmproxyEngine, Served
from labkit.balancer.nftables import NftablesEngine
from labkit.balancer.policy import Forward, L4Policy, L7Policy
from labkit.balancer.rotation import Rotation, in_force

Mode = Literal["l4", "l7"]


@dataclass
class Live:
    """What a started balancer consists of, and what it carries out."""

    kernel: NftablesEngine
    proxy: MitmproxyEngine
    policy: L4Policy | L7Policy
    forwards: tuple[Forward, ...]  # of the last L4 policy: what is not HTTP goes on there at L7
    health: HealthChecks
    generation: int  # of the kernel's rules when they were last changed here
    rotation: Rotation = field(default_factory=Rotation)
    proxied: L7Policy | None = None  # what the proxy was last switched to: it stays in force for connections from then
    served: Served | None = None  # by the proxy's own word, when it took its last policy
    history: list[dict[str, Any]] = field(default_factory=list)  # of modes and rules; the last event is of rules
    dumps: dict[tuple[Forward, ...], tuple[str, list[str]]] = field(default_factory=dict)
    notice: str | None = None  # what is wrong, until it is mended
    unsaid: list[str] = field(default_factory=list)  # what the user has still to be warned of

    @property
    def mode(self) -> Mode:
        return "l7" if isinstance(self.policy, L7Policy) else "l4"

    @property
    def in_force(self) -> tuple[Forward, ...]:
        """What the kernel forwards at this moment: the policy, without the backends that are out of rotation."""
        return in_force(self.policy.forwards, self.rotation)
