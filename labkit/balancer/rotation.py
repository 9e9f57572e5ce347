"""Who gets new connections: a policy's forwards and the state of each backend give the forwards in force. Pure.

The policy says who could serve a listener; the rotation, who does at this moment. A backend is out of it for one of
three reasons: it is *draining* (its connections go on), it was *removed* (they were reset), or its health checks fail
(*down*, told apart by transport and port: a backend may serve one listener and not another). Whoever carries the
result out is not known here. A listener whose backends are all out keeps an empty set of targets, which means: refuse.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from labkit.balancer.policy import Forward, L4Policy, L7Policy, Target
from labkit.errors import PolicyError
from labkit.topology import Listener

Admin = Literal["draining", "removed"]
Transport = Literal["tcp", "udp"]
Place = tuple[str, Transport, int]  # a backend's name and the port that it serves


@dataclass(frozen=True, slots=True)
class Rotation:
    """The state of the backends. out: name -> why it was taken out; down: places whose checks fail;
    weights: name -> the weight that was set since the policy was given."""

    out: Mapping[str, Admin] = field(default_factory=lambda: MappingProxyType({}))
    down: frozenset[Place] = frozenset()
    weights: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def taken_out(self, name: str, why: Admin) -> "Rotation":
        """*name* gets nothing new from now on."""
        return replace(self, out=MappingProxyType({**self.out, name: why}))

    def put_back(self, name: str) -> "Rotation":
        """*name* is no longer draining or removed."""
        return replace(self, out=MappingProxyType({one: why for one, why in self.out.items() if one != name}))

    def weighed(self, name: str, weight: int) -> "Rotation":
        """*name* gets *weight* turns where a backend of weight 1 gets one."""
        return replace(self, weights=MappingProxyType({**self.weights, name: weight}))

    def unweighed(self) -> "Rotation":
        """The policy's own weights count again."""
        return replace(self, weights=MappingProxyType({}))

    def failing(self, down: Iterable[Place]) -> "Rotation":
        """The checks of *down*, and of no other, fail."""
        return replace(self, down=frozenset(down))

    def takes(self, name: str, listener: Listener) -> bool:
        """Whether new connections of *listener* may go to the backend *name*."""
        return name not in self.out and (name, listener.transport, listener.target_port) not in self.down

    def of(self, targets: Iterable[Target], listener: Listener) -> tuple[Target, ...]:
        """Those of *targets* that take new connections of *listener*, with the weights in force."""
        return tuple(
            replace(target, weight=self.weights.get(target.name, target.weight))
            for target in targets
            if self.takes(target.name, listener)
        )


def in_force(forwards: Iterable[Forward], rotation: Rotation) -> tuple[Forward, ...]:
    """What is forwarded where, at this moment; a forward without targets refuses its clients.

    >>> in_force(policy.forwards, Rotation().taken_out("api1", "draining"))
    """
    return tuple(_in_force(forward, rotation) for forward in forwards)


def _in_force(forward: Forward, rotation: Rotation) -> Forward:
    targets, relay = rotation.of(forward.targets, forward.listener), forward.relay
    if relay:
        names = tuple(replace(one, targets=rotation.of(one.targets, forward.listener)) for one in relay.names)
        relay = replace(relay, names=names)
    return replace(forward, targets=targets, relay=relay)


def somebody(policy: L4Policy, rotation: Rotation) -> None:
    """PolicyError where every backend of a policy that is asked for was taken out: it would refuse everybody."""
    names = dict.fromkeys(target.name for forward in policy.forwards for target in forward.targets)
    if names and all(name in rotation.out for name in names):
        whys = ", ".join(f"{name} ({rotation.out[name]})" for name in names)
        raise PolicyError(
            f"lab.balancer.l4() would have no backend that takes connections: {whys}. Bring one back first, as in "
            f'lab.balancer.add("{next(iter(names))}"), or forward to others.'
        )


def without(policy: L7Policy, rotation: Rotation) -> L7Policy:
    """The L7 policy in force: pools without what was taken out or fails its health checks at a port that is asked, and
    the forwards that are in force.

    A pool may be left with nobody: its requests are answered 503.
    """
    ports = {_asked(policy, listener) for listener in policy.listeners}
    failing = {name for name, transport, port in rotation.down if transport == "tcp" and port in ports}
    pools = {
        pool: tuple(target for target in targets if target.name not in rotation.out and target.name not in failing)
        for pool, targets in policy.pools.items()
    }
    return replace(policy, pools=MappingProxyType(pools), forwards=in_force(policy.forwards, rotation))


def routed(policy: L7Policy, rotation: Rotation) -> L7Policy:
    """The same for a policy that is asked for, or stays: PolicyError where a pool would have nobody left."""
    for pool, targets in policy.pools.items():
        if targets and all(target.name in rotation.out for target in targets):
            names = ", ".join(target.name for target in policy.pools[pool])
            raise PolicyError(
                f"The pool {pool!r} would have no backend left at L7 ({names}: draining or removed): bring one back "
                f'first, as in lab.balancer.add("{policy.pools[pool][0].name}").'
            )
    return without(policy, rotation)


def _asked(policy: L7Policy, listener: Listener) -> int:
    """The port at which backends are asked what came to *listener*."""
    return policy.http_port if listener.protocol == "https" and not policy.reencrypt else listener.target_port
