"""What a started balancer consists of, and what it carries out at the moment. Changed by its owner alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from labkit.balancer.health import HealthChecks
from labkit.balancer.inward import Inward
from labkit.balancer.nftables import NftablesEngine
from labkit.balancer.policy import Forward, L4Policy, L7Policy
from labkit.balancer.proxy import Proxy, Relayer, Relaying, Served
from labkit.balancer.rotation import Rotation, in_force

Mode = Literal["l4", "l7"]
Loaded = tuple[tuple[Forward, ...], tuple[Inward, ...]]  # what the rules of the kernel are made of


@dataclass
class Live:
    """What a started balancer consists of, and what it carries out."""

    kernel: NftablesEngine
    proxies: Mapping[str, Proxy]  # by the name of the engine
    policy: L4Policy | L7Policy
    forwards: tuple[Forward, ...]  # of the last L4 policy: what is not HTTP goes on there at L7
    health: HealthChecks
    generation: int  # of the kernel's rules when they were last changed here
    relayer: Relayer  # one of the proxies
    rotation: Rotation = field(default_factory=Rotation)
    # what each proxy was last switched to: it stays in force for connections from then
    proxied: dict[str, L7Policy] = field(default_factory=dict)
    relaying: Relaying | None = None  # by its own word, when it last took anything to relay
    served: Served | None = None  # by the proxy's own word, when it took its last policy
    history: list[dict[str, Any]] = field(default_factory=list)  # of modes and rules; the last event is of rules
    dumps: dict[Loaded, tuple[str, list[str]]] = field(default_factory=dict)
    closed: tuple[Inward, ...] = ()  # ports of a proxy's own, at which the kernel refuses whoever asks there himself
    notice: str | None = None  # what is wrong, until it is mended
    unsaid: list[str] = field(default_factory=list)  # what the user has still to be warned of

    @property
    def mode(self) -> Mode:
        return "l7" if isinstance(self.policy, L7Policy) else "l4"

    @property
    def in_force(self) -> tuple[Forward, ...]:
        """What the kernel forwards at this moment: the policy, without the backends that are out of rotation."""
        return in_force(self.policy.forwards, self.rotation)

    @property
    def loaded(self) -> Loaded:
        """What the kernel's rules are made of at this moment."""
        return self.in_force, self.inward(self.policy)

    def inward(self, policy: L4Policy | L7Policy) -> tuple[Inward, ...]:
        """What the kernel sends on to the proxy of *policy*, where that does not listen at the listeners' own ports."""
        return self.proxy_of(policy).inward(policy.listeners, policy.http3) if isinstance(policy, L7Policy) else ()

    def proxy_of(self, policy: L7Policy) -> Proxy:
        """Who carries *policy* out."""
        return self.proxies[policy.engine]
