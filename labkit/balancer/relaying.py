"""Has the TCP proxy relay what a policy wants relayed, before the kernel sends anybody there."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from labkit.balancer.inward import Inward
from labkit.balancer.live import Live
from labkit.balancer.policy import Forward
from labkit.balancer.proxy import Relaying
from labkit.balancer.relays import relayed, relays_text

_READY_SECONDS = 30.0


def wanted(forwards: Iterable[Forward]) -> bool:
    """Whether any of *forwards* is to be relayed."""
    return any(forward.style == "proxy" for forward in forwards)


def begin(live: Live, forwards: Iterable[Forward]) -> None:
    """Start the proxy if *forwards* need it and it does not run, and wait until it listens. EngineError."""
    if wanted(forwards):
        live.relayer.start()
        live.relayer.ready(_READY_SECONDS)


@contextmanager
def carried_out(live: Live, forwards: Sequence[Forward]) -> Iterator[tuple[Inward, ...]]:
    """Relay what is to be relayed of *forwards*; gives what the kernel must send there. EngineError.

    Where the kernel then refuses, what was relayed before is relayed again. Without any the proxy stays as it is, for
    those who came there before.
    """
    here = relayed(forwards)
    if not here:
        yield ()
        return
    before = live.relayer.relay(here)
    try:
        yield live.relayer.relays_inward(here)
    except BaseException:
        live.relayer.relay(before)
        raise
    live.relaying = live.relayer.relays()


def text(live: Live, told: Relaying | None = None) -> str:
    """What the proxy relays in the mode of now, in its own language; empty if it relays nothing new.

    told: by its own word; what it said when it last took anything to relay, unless given.
    """
    forwards, listening = told or live.relaying or ((), [])
    here = {one.listener for one in relayed(live.in_force)}
    now = [forward for forward in forwards if forward.listener in here]
    ports = {inward.port for inward in live.relayer.relays_inward(now)}
    return relays_text(now, [one for one in listening if one[1] in ports]) if now else ""
