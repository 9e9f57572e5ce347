"""Which backend of a pool gets a request: the algorithm, as a value. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from labkit.balancer.l7.fields import TOKEN
from labkit.errors import PolicyError
from labkit.wording import near_miss, shown

Algorithm = Literal["round_robin", "random", "least_requests", "random_of_two", "consistent_hash"]
ALGORITHMS: tuple[str, ...] = get_args(Algorithm)
_SAME = {
    **dict.fromkeys(("rr", "roundrobin", "weighted", "weighted_round_robin"), "round_robin"),
    **dict.fromkeys(("least_connections", "least_conn", "leastconn", "least_request", "lc"), "least_requests"),
    **dict.fromkeys(("two_choices", "power_of_two_choices", "p2c", "random_two"), "random_of_two"),
    **dict.fromkeys(("hash", "maglev", "ring_hash", "source_hash", "uri_hash", "consistent"), "consistent_hash"),
}
_HASHED = re.compile(r"client|(header|cookie):.+")


@dataclass(frozen=True, slots=True)
class Balance:
    """An algorithm, and what a hash is made of: ``client`` (its address), ``header:NAME``, ``cookie:NAME``."""

    algorithm: Algorithm = "round_robin"
    by: str = "client"


def balance_of(algorithm: object, hash_on: object, pools: Mapping[str, object]) -> dict[str, Balance]:
    """The balance of each of *pools*. algorithm: a name for all, or by pool. PolicyError for what is not known."""
    by = _hashed(hash_on)
    if not isinstance(algorithm, Mapping):
        return dict.fromkeys(pools, _balance(algorithm, by))
    for pool in algorithm:
        if pool not in pools:
            raise PolicyError(
                f"lab.balancer.l7(algorithm={shown(algorithm)}): no route leads to a pool {shown(pool)}"
                f"{near_miss(pool, pools)}: there are {', '.join(pools)}."
            )
    return {pool: _balance(algorithm.get(pool, "round_robin"), by) for pool in pools}


def _balance(asked: Any, by: str) -> Balance:
    if isinstance(asked, str) and asked in ALGORITHMS:
        return Balance(asked, by)  # type: ignore[arg-type]
    word = asked.lower().replace("-", "_").replace(" ", "_") if isinstance(asked, str) else ""
    meant = f" (did you mean {_SAME[word]!r}?)" if word in _SAME else near_miss(word, ALGORITHMS)
    raise PolicyError(
        f"lab.balancer.l7() does not know the algorithm {shown(asked)}{meant}: it has {', '.join(ALGORITHMS)}."
    )


def _hashed(given: object) -> str:
    if given is None:
        return "client"
    if (
        not isinstance(given, str)
        or not _HASHED.fullmatch(given)
        or not TOKEN.fullmatch(given.partition(":")[2] or "x")
    ):
        raise PolicyError(
            f'lab.balancer.l7(hash_on={shown(given)}): it is "client", "header:NAME" or "cookie:NAME", '
            'as in l7(algorithm="consistent_hash", hash_on="header:x-user").'
        )
    return given
