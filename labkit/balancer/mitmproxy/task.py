"""The proxy as a task in lb. Imports nothing heavy until it is called, in its own process."""

from labkit.balancer.mitmproxy.messages import listener_from_plain
from labkit.runtime.protocol import TaskLink


def main(link: TaskLink, addresses: list[str], listeners: list[list[object]]) -> None:
    """Serve on every address at every listener's port until stopped or until the owner is gone.

    addresses: the VIP, IPv4 and IPv6, as text. listeners: as `messages.listener_to_plain` writes them.
    Raises OSError when a port cannot be bound.
    """
    from labkit.balancer.mitmproxy.serving import serve

    serve(link, addresses, [listener_from_plain(listener) for listener in listeners])
