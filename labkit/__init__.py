"""labkit: watch a load balancer work, at L4 and at L7, on real network hosts, from a notebook.

>>> from labkit import Lab
>>> with Lab() as lab:
...     with lab.capture() as cap:
...         lab.alice.get("http://lb/api/users")

Importing this package is light; scapy, pandas, mitmproxy and the widgets load when first needed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.balancer.policy import Route
    from labkit.capture import Capture
    from labkit.comparison import compare
    from labkit.errors import LabError
    from labkit.expectations import expect
    from labkit.lab import Lab
    from labkit.topology import Interface, Link, Listener, Node, Topology

__version__ = "0.1.0"

_HOMES = {
    "Capture": "labkit.capture",
    "Interface": "labkit.topology",
    "Lab": "labkit.lab",
    "LabError": "labkit.errors",
    "Link": "labkit.topology",
    "Listener": "labkit.topology",
    "Node": "labkit.topology",
    "Route": "labkit.balancer.policy",
    "Topology": "labkit.topology",
    "compare": "labkit.comparison",
    "expect": "labkit.expectations",
}

__all__ = [
    "Capture",
    "Interface",
    "Lab",
    "LabError",
    "Link",
    "Listener",
    "Node",
    "Route",
    "Topology",
    "__version__",
    "compare",
    "expect",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
