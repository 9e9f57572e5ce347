"""Traffic: servers in backends, clients in hosts, load, and the objects through which a user asks for them.

The owner's side begins at `labkit.traffic.host`; what it names by dotted text runs inside the nodes. This package
itself imports nothing: the nodes would pay for it.
"""

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
