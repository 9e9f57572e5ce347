"""Traffic: servers in backends, clients in hosts, load, and the objects through which a user asks for them.

`Host` and `Backend` are the owner's side; every other name used there by dotted text runs inside the nodes.
"""

from labkit.traffic.host import Backend, Host
from labkit.traffic.reply import Headers, Reply
from labkit.traffic.report import Load, LoadReport

PRELOAD = (
    "labkit.traffic.server",
    "labkit.traffic.load",
    "labkit.traffic.http",
    "labkit.traffic.socket_client",
    "labkit.traffic.websocket_client",
    "labkit.traffic.program",
    "labkit.traffic.crafted",
    "labkit.traffic.function_task",
    "cloudpickle",
    "uvicorn.lifespan.off",
    "uvicorn.lifespan.on",
)
"""Modules that every node should have imported before its first task: what servers and clients need."""

__all__ = ["PRELOAD", "Backend", "Headers", "Host", "Load", "LoadReport", "Reply"]
