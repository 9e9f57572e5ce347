"""labkit: watch a load balancer work, at L4 and at L7, on real network hosts, from a notebook.

>>> from labkit import Lab
>>> with Lab() as lab:
...     with lab.capture() as cap:
...         lab.alice.get("http://lb/api/users")

Importing this package is light; scapy, pandas, mitmproxy and the widgets load when first needed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from labkit.version import VERSION

if TYPE_CHECKING:
    from labkit.balancer.l7.actions import Answer, Edit, Redirect
    from labkit.balancer.l7.auth import ApiKey, Basic, ClientCertificate, Jwt
    from labkit.balancer.l7.cors import Cors
    from labkit.balancer.l7.forwarded import Forwarded
    from labkit.balancer.l7.rates import RateLimit
    from labkit.balancer.l7.resilience import Circuit, Ejection, Retries, Timeouts
    from labkit.balancer.l7.route import Route
    from labkit.balancer.l7.sticky import Sticky
    from labkit.balancer.l7.tls import Tls
    from labkit.balancer.limits import Limits
    from labkit.capture import Capture
    from labkit.comparison import compare
    from labkit.errors import LabError
    from labkit.expectations import expect
    from labkit.lab import Lab
    from labkit.topology import Interface, Link, Listener, Node, Topology

__version__ = VERSION

_HOMES = {
    "Answer": "labkit.balancer.l7.actions",
    "ApiKey": "labkit.balancer.l7.auth",
    "Basic": "labkit.balancer.l7.auth",
    "Capture": "labkit.capture",
    "Circuit": "labkit.balancer.l7.resilience",
    "ClientCertificate": "labkit.balancer.l7.auth",
    "Cors": "labkit.balancer.l7.cors",
    "Edit": "labkit.balancer.l7.actions",
    "Ejection": "labkit.balancer.l7.resilience",
    "Forwarded": "labkit.balancer.l7.forwarded",
    "Interface": "labkit.topology",
    "Jwt": "labkit.balancer.l7.auth",
    "Lab": "labkit.lab",
    "LabError": "labkit.errors",
    "Limits": "labkit.balancer.limits",
    "Link": "labkit.topology",
    "Listener": "labkit.topology",
    "Node": "labkit.topology",
    "RateLimit": "labkit.balancer.l7.rates",
    "Redirect": "labkit.balancer.l7.actions",
    "Retries": "labkit.balancer.l7.resilience",
    "Route": "labkit.balancer.l7.route",
    "Sticky": "labkit.balancer.l7.sticky",
    "Timeouts": "labkit.balancer.l7.resilience",
    "Tls": "labkit.balancer.l7.tls",
    "Topology": "labkit.topology",
    "compare": "labkit.comparison",
    "expect": "labkit.expectations",
}

__all__ = [
    "Answer",
    "ApiKey",
    "Basic",
    "Capture",
    "Circuit",
    "ClientCertificate",
    "Cors",
    "Edit",
    "Ejection",
    "Forwarded",
    "Interface",
    "Jwt",
    "Lab",
    "LabError",
    "Limits",
    "Link",
    "Listener",
    "Node",
    "RateLimit",
    "Redirect",
    "Retries",
    "Route",
    "Sticky",
    "Timeouts",
    "Tls",
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
