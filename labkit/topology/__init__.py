"""What a lab is: frozen values, read from TOML, validated before anything is created."""

from .model import Interface, Link, Listener, Node, Topology

__all__ = ["Interface", "Link", "Listener", "Node", "Topology"]
