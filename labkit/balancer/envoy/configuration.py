"""A policy as the files by which Envoy carries it out. Pure: what was needed goes in, what is needed comes out."""

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.balancer.policy import L7Policy

from . import names
from .clusters import clusters_file, endpoints_file, reached
from .discovery import File
from .listeners import Identity, listeners_file
from .routes import routes_file


@dataclass(frozen=True, slots=True)
class Configuration:
    """Files in the order in which they take effect: clusters and endpoints, then listeners, then routes that lead there
    and ask for what is set up there, then the endpoints of clusters to which none leads any more. reaches: all clusters
    there are by then. quic: whether QUIC is listened for by then."""

    version: int
    before: tuple[File, ...]
    listeners: tuple[File, ...]
    routes: tuple[File, ...]
    after: tuple[File, ...]
    reaches: tuple[names.Reach, ...]
    quic: bool


def configuration(
    policy: L7Policy,
    version: int,
    places: Sequence[names.Place],
    folder: str,
    identity: Identity | None = None,
    reaches: Sequence[names.Reach] = (),
    quic: bool = False,
) -> Configuration:
    """What carries out *policy*, the *version*-th, where clusters for *reaches* are there already.

    quic: it was listened for before, and still is: who came over it goes on, by the routes of this policy.
    """
    quic = identity is not None and (quic or policy.http3)
    places = [place for place in places if quic or not place.quic]
    wanted = reached(policy, places)
    every = tuple(dict.fromkeys([*reaches, *wanted]))
    return Configuration(
        version,
        (clusters_file(policy, folder, every, identity), *(endpoints_file(each, wanted[each]) for each in wanted)),
        (listeners_file(policy, folder, places, identity),),
        tuple(routes_file(policy, version, place) for place in places),
        tuple(endpoints_file(each, ()) for each in every if each not in wanted),
        every,
        quic,
    )
