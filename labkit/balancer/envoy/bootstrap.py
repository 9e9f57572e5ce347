"""What Envoy is started with: where everything else is read from, and the fence."""

from typing import Any

from . import names
from .discovery import source
from .listeners import fence

_SETTINGS = {
    # Several lines of one name are one value, joined by commas (RFC 9110 §5.3), and not as many values to match.
    "envoy.reloadable_features.match_headers_individually": False,
    # Envoy would take regular expressions of up to 100 instructions, and a route may have any that RE2 compiles.
    "re2.max_program_size": {"error_level": (1 << 31) - 1, "warn_level": (1 << 31) - 1},
}


def bootstrap(folder: str) -> dict[str, Any]:
    """The bootstrap of a process whose own files are in *folder*."""
    return {
        "node": {"id": "lb", "cluster": "labkit"},
        "admin": {"address": {"pipe": {"path": f"{folder}/{names.ADMIN}", "mode": 0o600}}},
        "static_resources": {"listeners": [fence(folder)]},
        "dynamic_resources": {
            "lds_config": source(folder, names.LISTENERS_FILE),
            "cds_config": source(folder, names.CLUSTERS_FILE),
        },
        "layered_runtime": {
            "layers": [{"name": "static", "static_layer": _SETTINGS}, {"name": "admin", "admin_layer": {}}]
        },
    }
