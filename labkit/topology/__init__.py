"""What a lab is: frozen values, read from TOML, validated before anything is created."""

from .default import default, direct_return, sized
from .model import Interface, Link, Listener, Node, Topology
from .moved import moved, without_ipv6
from .reader import read
from .validate import validate

__all__ = [
    "Interface",
    "Link",
    "Listener",
    "Node",
    "Topology",
    "default",
    "direct_return",
    "moved",
    "read",
    "sized",
    "validate",
    "without_ipv6",
]
