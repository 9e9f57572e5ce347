"""``expect(cap)``: what a capture shall show, in sentences that tests and lessons read.

>>> expect(cap).one_connection("alice", "api1").rewritten("ip.dst", at="lb").never_seen("http.cookie", by="l4")

Each check gives the chain back, or raises `NotAsExpected` (an AssertionError) with the numbers of the packets that
contradict it. What the capture shows nothing about does not pass. Names that it does not know are CaptureErrors.
The judging is `labkit.analysis.evidence`'s.
"""

from html import escape
from numbers import Integral
from operator import index
from typing import Self

from labkit.analysis.evidence import field_verdicts, verdicts
from labkit.analysis.evidence.case import Case, Verdict, named, span
from labkit.capture import Capture
from labkit.errors import CaptureError, NotAsExpected
from labkit.wording import near_miss, printable, shown


def expect(capture: Capture) -> "Expectation":
    """Checks on *capture*, which has ended. CaptureError for anything else."""
    if not isinstance(capture, Capture):
        raise CaptureError(f"expect() takes a capture, as in expect(cap), not {shown(capture)}.")
    capture.recording  # noqa: B018  (raises while it is still being made)
    return Expectation(capture)


class Expectation:
    """A chain of checks on one capture; `passed` says which held."""

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._case = Case(capture._study, capture._routes)
        self._passed: list[str] = []

    @property
    def passed(self) -> tuple[str, ...]:
        """The sentences that held so far, each with the packets that show it."""
        return tuple(self._passed)

    def one_connection(self, client: str | None = None, backend: str | None = None) -> Self:
        """One TCP connection runs from *client* to *backend*; without names it is the only one in the capture."""
        return self._keep(verdicts.one_connection(self._case, self._host(client), self._host(backend)))

    def two_connections(self, client: str | None = None, backend: str | None = None) -> Self:
        """The requests of *client* to *backend* took two: one that ends in the balancer, one that begins there."""
        return self._keep(verdicts.two_connections(self._case, self._host(client), self._host(backend)))

    def connections(self, count: int) -> Self:
        """There are *count* TCP connections; one that runs through the balancer counts once."""
        return self._keep(verdicts.connections(self._case, _whole("connections", count)))

    def rewritten(self, field: str, at: str | None = None) -> Self:
        """*field* ("ip.dst", "http.header.x-forwarded-for") was changed on its way over *at*, on every connection.

        Every packet in at least one of its directions was changed: NAT changes ip.dst one way and ip.src the other.
        """
        return self._keep(field_verdicts.rewritten(self._case, self._case.header_field(field), self._host(at)))

    def not_rewritten(self, field: str, at: str | None = None) -> Self:
        """No packet had *field* changed on its way (over *at*)."""
        return self._keep(field_verdicts.not_rewritten(self._case, self._case.header_field(field), self._host(at)))

    def never_seen(self, field: str, by: str) -> Self:
        """The balancer never looked at *field*, though it was there. by: "l4", "l7" or the balancer's name.

        Judged by the record of what it held, loaded and used; a field that no traffic had shows nothing.
        """
        if not isinstance(field, str) or ("." not in field and field != "payload"):
            raise CaptureError(f"A field is named as in cap.visibility(full=True), 'http.cookie', not {shown(field)}.")
        return self._keep(field_verdicts.never_seen(self._case, self._capture._routes, field, by))

    def answered_by(self, *backends: str) -> Self:
        """What reached a backend reached these and no other, each of them at least once."""
        if not backends:
            raise CaptureError("answered_by() takes the names of backends, as in answered_by('api1').")
        return self._keep(verdicts.answered_by(self._case, [self._case.host(name) for name in backends]))

    def decided_on(self, moment: str) -> Self:
        """The last packet the balancer held when it chose: "SYN", "request" (TCP with content) or "datagram" (UDP)."""
        return self._keep(verdicts.decided_on(self._case, moment))

    def joined(self) -> Self:
        """Every packet was recognised at every vantage point it was seen at, none by guessing."""
        return self._keep(verdicts.joined(self._case))

    def retransmissions(self, count: int) -> Self:
        """There are *count* retransmitted segments, counted where the clients are."""
        return self._keep(verdicts.retransmissions(self._case, _whole("retransmissions", count)))

    def no_reset(self) -> Self:
        """No connection was reset."""
        return self._keep(verdicts.no_reset(self._case))

    def no_loss(self) -> Self:
        """No packet was lost by the capture itself, and every vantage point says so."""
        return self._keep(verdicts.no_loss(self._case))

    def _host(self, name: str | None) -> str | None:
        return None if name is None else self._case.host(name)

    def _keep(self, verdict: Verdict) -> Self:
        if verdict.holds:
            where = span(verdict.packets)
            self._passed.append(printable(f"{verdict.claim} ({where})" if where else verdict.claim))
            return self
        packets = tuple(sorted(set(verdict.packets)))
        against = f" Packets against it: {named(packets)}." if packets else ""
        error = NotAsExpected(printable(f"Expected {verdict.claim}, but {verdict.because}.{against}"))
        error.packets = packets
        raise error

    def __getattr__(self, name: str) -> object:
        checks = [check for check in dir(type(self)) if not check.startswith("_")]
        raise AttributeError(f"expect(cap) has no check {name!r}{near_miss(name, checks)}; it has {', '.join(checks)}")

    def __repr__(self) -> str:
        return "\n".join(f"✓ {sentence}" for sentence in self._passed) or "nothing was expected yet"

    def _repr_html_(self) -> str:
        return "<br>".join(escape(line) for line in repr(self).splitlines())


def _whole(what: str, count: int) -> int:
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 0:
        raise CaptureError(f"{what}() takes a number from 0, not {shown(count)}.")
    return index(count)
