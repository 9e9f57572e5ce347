"""Which backend of its pool a request goes to. The only state of L7's choices, owned by the engine; clock and dice are
the caller's.

Counts and failures belong to backends, so they outlive a change of policy; turns begin anew.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache

from labkit.balancer import maglev
from labkit.balancer.jhash import slot
from labkit.balancer.l7.balance import Balance
from labkit.balancer.policy import L7Policy, Target
from labkit.balancer.turns import turns

_SEED = 0x6C616237  # of the hash that finds a slot


class Spread:
    """Chooses among the targets of a policy's pools, and keeps count of what is under way."""

    def __init__(self, policy: L7Policy, clock: Callable[[], float], dice: random.Random | None = None) -> None:
        self._clock = clock
        self._dice = dice or random.Random()
        self._active: defaultdict[str, int] = defaultdict(int)  # requests under way, by backend
        self._in_pool: defaultdict[str, int] = defaultdict(int)  # the same by pool
        self._failures: defaultdict[str, int] = defaultdict(int)  # in a row
        self._ejected: dict[str, float] = {}  # until when
        self.use(policy)

    def use(self, policy: L7Policy) -> None:
        """Choose by *policy* from now on."""
        self._policy = policy
        self._turns = dict.fromkeys(policy.pools, 0)

    def full(self, pool: str) -> bool:
        """Whether as many requests are under way to *pool* as its circuit lets through."""
        circuit = self._policy.circuit
        return circuit is not None and self._in_pool[pool] >= circuit.requests

    def choose(self, pool: str, key: str = "", avoid: Collection[str] = ()) -> Target | None:
        """The target that is next in *pool*, not one of *avoid* if there are others; None if there is none at all.

        key: what a hash is made of, for an algorithm that has one.
        """
        targets = self._taking(pool)
        targets = [target for target in targets if target.name not in avoid] or targets
        if not targets:
            return None
        return _CHOICES[self._policy.balance.get(pool, Balance()).algorithm](self, pool, targets, key)

    def takes(self, pool: str, target: Target) -> bool:
        """Whether *target* is one of those that requests to *pool* may go to now."""
        return target in self._taking(pool)

    def begun(self, pool: str, name: str) -> None:
        """A request to the backend *name* of *pool* is under way."""
        self._active[name] += 1
        self._in_pool[pool] += 1

    def ended(self, pool: str, name: str) -> None:
        """It no longer is."""
        self._active[name] -= 1
        self._in_pool[pool] -= 1

    def judged(self, name: str, *, failed: bool) -> None:
        """The backend *name* answered, or *failed* to."""
        self._failures[name] = self._failures[name] + 1 if failed else 0
        ejection = self._policy.ejection
        if ejection and self._failures[name] >= ejection.failures:
            self._failures[name] = 0
            self._ejected[name] = self._clock() + ejection.seconds

    def _taking(self, pool: str) -> list[Target]:
        """The targets of *pool* but for those that are ejected, of which there is one, or half of the pool at most."""
        targets = self._policy.pools[pool]
        if not self._ejected:
            return list(targets)
        now = self._clock()
        self._ejected = {name: until for name, until in self._ejected.items() if until > now}
        most = max(1, len(targets) // 2) if len(targets) > 1 else 0
        out = [target.name for target in targets if target.name in self._ejected][:most]
        return [target for target in targets if target.name not in out]

    def _turn(self, pool: str, targets: Sequence[Target], _: str) -> Target:
        order = turns([target.weight for target in targets])
        turn = self._turns[pool] % len(order)
        self._turns[pool] = turn + 1
        return targets[order[turn]]

    def _random(self, _: str, targets: Sequence[Target], __: str) -> Target:
        return self._dice.choices(targets, [target.weight for target in targets])[0]

    def _least(self, pool: str, targets: Sequence[Target], key: str) -> Target:
        fewest = min(self._load(target) for target in targets)
        return self._turn(pool, [target for target in targets if self._load(target) == fewest], key)

    def _of_two(self, pool: str, targets: Sequence[Target], key: str) -> Target:
        if len(targets) == 1:
            return targets[0]
        one = self._random(pool, targets, key)
        other = self._random(pool, [target for target in targets if target != one], key)
        return min(one, other, key=self._load)

    def _hashed(self, _: str, targets: Sequence[Target], key: str) -> Target:
        owners = maglev.table((target.name, target.weight) for target in targets)
        return _by_name(tuple(targets))[owners[slot(key.encode("utf-8", "replace"), len(owners), _SEED)]]

    def _load(self, target: Target) -> float:
        return self._active[target.name] / target.weight


_CHOICES: dict[str, Callable[[Spread, str, Sequence[Target], str], Target]] = {
    "round_robin": Spread._turn,
    "random": Spread._random,
    "least_requests": Spread._least,
    "random_of_two": Spread._of_two,
    "consistent_hash": Spread._hashed,
}


@lru_cache(maxsize=32)
def _by_name(targets: tuple[Target, ...]) -> dict[str, Target]:
    return {target.name: target for target in targets}
