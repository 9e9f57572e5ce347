"""What Envoy is started with: its listeners, which stay while it lives, and where everything else is read from."""

from collections.abc import Sequence
from typing import Any

from . import names
from .discovery import source
from .listeners import Identity, fence, listener


def bootstrap(folder: str, places: Sequence[names.Place], identity: Identity | None) -> dict[str, Any]:
    """The bootstrap of a process whose own files are in *folder*. identity: without it HTTPS is not listened for.

    Listeners are static: to change one would close the WebSockets on it, so what changes is read by routes, clusters
    and endpoints, and every filter that a route may want is there from the beginning (`filters`).
    """
    served = [place for place in places if identity or place.listener.protocol != "https"]
    together = {port: [place for place in served if (place.address, place.port) == port] for port in _ports(served)}
    return {
        "node": {"id": "lb", "cluster": "labkit"},
        "admin": {"address": {"pipe": {"path": f"{folder}/{names.ADMIN}", "mode": 0o600}}},
        "static_resources": {
            "listeners": [*(listener(folder, same, identity) for same in together.values()), fence(folder)]
        },
        "dynamic_resources": {"cds_config": source(folder, names.CLUSTERS_FILE)},
        "layered_runtime": {"layers": [{"name": "static", "static_layer": {}}, {"name": "admin", "admin_layer": {}}]},
    }


def _ports(places: Sequence[names.Place]) -> list[tuple[str, int]]:
    return list(dict.fromkeys((place.address, place.port) for place in places))
