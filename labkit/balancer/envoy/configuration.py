"""A policy as the files by which Envoy carries it out. Pure: what was needed goes in, what is needed comes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from labkit.balancer.policy import Forward, L7Policy
from labkit.topology import Listener

from . import names, relays
from .clusters import clusters_file, endpoints_file, reached
from .discovery import File
from .listeners import Identity, listeners_file
from .routes import routes_file


@dataclass(frozen=True, slots=True)
class Relaying:
    """What is relayed unread: the forwards, on which addresses, at which port each."""

    forwards: tuple[Forward, ...] = ()
    addresses: tuple[str, ...] = ()
    ports: Mapping[Listener, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Files in the order in which they take effect: clusters and endpoints, then listeners, then routes that lead there
    and ask for what is set up there, then the endpoints of clusters to which none leads any more. reaches, ways: all
    clusters there are by then. quic: whether QUIC is listened for by then."""

    version: int
    before: tuple[File, ...]
    listeners: tuple[File, ...]
    routes: tuple[File, ...]
    after: tuple[File, ...]
    reaches: tuple[names.Reach, ...]
    ways: tuple[relays.Way, ...] = ()
    quic: bool = False


def configuration(
    policy: L7Policy,
    version: int,
    places: Sequence[names.Place],
    folder: str,
    identity: Identity | None = None,
    reaches: Sequence[names.Reach] = (),
    relaying: Relaying | None = None,
    ways: Sequence[relays.Way] = (),
    quic: bool = False,
) -> Configuration:
    """What carries out *policy*, the *version*-th, and *relaying* beside it, where clusters for *reaches* and *ways*
    are there already.

    quic: it was listened for before, and still is: who came over it goes on, by the routes of this policy.
    """
    relaying = relaying or Relaying()
    ends = relays.ways(relaying.forwards, relaying.addresses)
    every_way = tuple(dict.fromkeys([*ways, *ends]))
    quic = identity is not None and (quic or policy.http3)
    places = [place for place in places if quic or not place.quic]
    wanted = reached(policy, places)
    every = tuple(dict.fromkeys([*reaches, *wanted]))
    return Configuration(
        version,
        (
            clusters_file(policy, folder, every, identity, relays.clusters(every_way, folder)),
            *(endpoints_file(each, wanted[each]) for each in wanted),
            *(relays.endpoints_file(way, targets) for way, targets in ends.items()),
        ),
        (
            listeners_file(
                policy,
                folder,
                places,
                identity,
                relays.listeners(relaying.forwards, relaying.addresses, relaying.ports, folder),
            ),
        ),
        tuple(routes_file(policy, version, place) for place in places),
        (
            *(endpoints_file(each, ()) for each in every if each not in wanted),
            *(relays.endpoints_file(way, ()) for way in every_way if way not in ends),
        ),
        every,
        every_way,
        quic,
    )
