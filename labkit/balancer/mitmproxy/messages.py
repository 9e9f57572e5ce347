"""What owner and proxy say to each other, as plain data; both sides read and write it here.

Owner to proxy: ``{"op": "policy", "id", "policy"}``, whose reply says in ``refused`` why its functions cannot be
loaded, if so; ``{"op": "routes", "id"}``, ``{"op": "flush", "id"}``,
``{"op": "identity", "id", "identity"}``: what `tls.Tls` takes, before any listener of HTTPS is used;
``{"op": "certificates", "id", "certificates": {name: [certificate, key]}}``: for further names, before a policy that
has them; ``{"op": "unused", "id"}``: idle connections that no route leads to are to be closed;
``{"op": "pairs", "id"}``: the reply has ``pairs``, of ends of connections that belong together, and ``bytes``;
``{"op": "reset", "id", "addresses"}``: of the backend whose connections end now; the reply says how many in ``reset``.
Proxy to owner: ``{"kind": "ready", "listening": [[ip, port]]}``; one ``{"kind": "reply", "id", ...}`` to every
operation; ``rule_error``: a function of a route failed (``time_ns``, ``rule``, ``function``, ``request``, ``error``,
and ``chain`` and ``printed`` as in `functions.failure`); ``request`` events and the messages of `tls`, the former as
`labkit.recording.model` writes them.
"""

from typing import Any

from labkit.topology import Listener


def listener_to_plain(listener: Listener) -> list[Any]:
    return [listener.port, listener.protocol, listener.name, listener.backend_port]


def listener_from_plain(plain: list[Any]) -> Listener:
    return Listener(*plain)
