"""What a layer sends in one go, as one piece for each connection.

mitmproxy writes whatever it is told to send at once. A message in tens of thousands of frames would be as many writes,
and while the other side reads more slowly asyncio adds up all that wait at each of them: nobody else is served then.
"""

from collections.abc import Generator, Iterable
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layer import Layer

Commands = Generator[commands.Command, Any, None]


class Gathering(Layer):
    """A layer whose commands to send are `gathered`."""

    def handle_event(self, event: events.Event) -> Commands:
        yield from gathered(super().handle_event(event))


def gathered(made: Iterable[commands.Command]) -> Commands:
    """*made*, with successive pieces for the same connection joined; also those before an exception are sent."""
    to: Connection | None = None
    held: list[bytes] = []
    try:
        for command in made:
            if not isinstance(command, commands.SendData):
                yield from _sent(to, held)
                yield command
                continue
            if command.connection is not to:
                yield from _sent(to, held)
                to = command.connection
            held.append(command.data)
    except Exception:
        yield from _sent(to, held)
        raise
    yield from _sent(to, held)


def _sent(to: Connection | None, held: list[bytes]) -> Commands:
    if to and held:
        data = held[0] if len(held) == 1 else b"".join(held)
        held.clear()
        yield commands.SendData(to, data)
