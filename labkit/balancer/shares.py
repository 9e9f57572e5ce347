"""Which algorithm is meant and what weight each backend has, from what the user asked for. Pure; it refuses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from labkit.balancer.policy import ALGORITHMS, Algorithm, Target
from labkit.balancer.turns import MOST_WEIGHT, turns
from labkit.errors import PolicyError
from labkit.wording import near_miss, shown

WEIGHTED = "weighted"  # how many call round robin with weights
_EXAMPLE = 'weights={"api1": 3}'

# What other balancers call the same.
_SAME = {
    **dict.fromkeys(("rr", "roundrobin"), "round_robin"),
    **dict.fromkeys(("wrr", "weighted_round_robin"), WEIGHTED),
    **dict.fromkeys(("ip_hash", "src_hash", "source", "source_ip", "client_ip", "sh"), "source_hash"),
    **dict.fromkeys(("5_tuple", "five_tuple", "tuple_hash", "hash"), "flow_hash"),
    **dict.fromkeys(("consistent_hash", "ring_hash", "consistent"), "maglev"),
}
_FEWEST = ("least_connections", "least_connection", "least_conn", "leastconn", "least_request", "lc", "wlc")
_NO_FEWEST = (
    "lab.balancer.l4() cannot choose the backend with the least connections: nftables' rules see one packet, and "
    "can limit how many connections there are, but not compare the counts of two backends. "
    f'Give the stronger ones more with l4("{WEIGHTED}", {_EXAMPLE}); a proxy counts its connections and can compare.'
)


def algorithm_of(asked: object, weights: object) -> Algorithm:
    """The algorithm called *asked*; "weighted" is round robin with weights. Raises PolicyError."""
    if asked == WEIGHTED:
        if not weights:
            raise PolicyError(
                f'lab.balancer.l4("{WEIGHTED}") is round robin with weights, and none were given: add {_EXAMPLE}.'
            )
        return "round_robin"
    if isinstance(asked, str) and asked in ALGORITHMS:
        return cast(Algorithm, asked)
    known = (*ALGORITHMS, WEIGHTED)
    word = asked.lower().replace("-", "_").replace(" ", "_") if isinstance(asked, str) else ""
    if word in _FEWEST:
        raise PolicyError(_NO_FEWEST)
    meant = f" (did you mean {_SAME[word]!r}?)" if word in _SAME else near_miss(word, known)
    raise PolicyError(
        f"lab.balancer.l4() does not know the algorithm {shown(asked)}{meant}: it has {', '.join(known)}."
    )


def weighed(targets: Sequence[Target], weights: object, mode: str = "l4") -> tuple[Target, ...]:
    """*targets* with the *weights* asked for (by name, 1 where none is given; None: all alike). Raises PolicyError."""
    if weights is None:
        return tuple(targets)
    if not isinstance(weights, Mapping):
        raise PolicyError(f"lab.balancer.{mode}(weights={shown(weights)}): weights go by name, as in {_EXAMPLE}.")
    names = [target.name for target in targets]
    given: dict[str, int] = {}
    for key, weight in weights.items():
        name = key if isinstance(key, str) else getattr(key, "name", key)
        if not isinstance(name, str) or name not in names:
            raise PolicyError(
                f"lab.balancer.{mode}() was given a weight for {shown(name)}, which is none of the backends "
                f"chosen{near_miss(name, names)}: they are {', '.join(names)}."
            )
        given[name] = _weight(name, weight, mode)
    found = tuple(replace(target, weight=given.get(target.name, 1)) for target in targets)
    turns([target.weight for target in found])
    return found


def _weight(name: str, weight: object, mode: str) -> int:
    about = f"lab.balancer.{mode}(weights={{{name!r}: {shown(weight)}}})"
    if isinstance(weight, bool) or not isinstance(weight, int):
        raise PolicyError(f"{about}: a weight is a whole number from 1 to {MOST_WEIGHT}, as in {_EXAMPLE}.")
    if weight == 0:
        raise PolicyError(f"{about} would send {name} nothing: leave it out of backends=[...] instead.")
    if not 1 <= weight <= MOST_WEIGHT:
        raise PolicyError(
            f"{about}: a weight is from 1 to {MOST_WEIGHT}; what counts is its share, so 2 beside 1 is 200 beside 100."
        )
    return weight
