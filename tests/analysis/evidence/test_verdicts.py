"""Each claim about connections, on captures that show it and on captures that do not. In words: `test_expectations`."""

from collections.abc import Callable, Sequence

import pytest

from labkit.analysis.evidence import field_verdicts, verdicts
from labkit.analysis.evidence.case import Case, Verdict
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study
from labkit.errors import CaptureError
from labkit.recording import Loss, Recording
from tests.analysis import ladders as made
from tests.analysis.wire import l4_wire, l7_wire

COUNTED = {"alice": Loss(9, 0), "bob": Loss(0, 0), "lb:front": Loss(9, 0), "lb:back": Loss(9, 0), "api1": Loss(9, 0),
           "api2": Loss(0, 0)}  # fmt: skip
L4, L4_TWO, L7 = (wire.recording() for wire in (l4_wire(1), l4_wire(2), l7_wire(1)))
TROUBLED, DATAGRAMS, REFUSED = (wire.recording() for wire in (made.troubled(), made.datagrams(), made.refused()))
EVERY = tuple(range(1, 41))  # ten packets at four vantage points
EVERY_L7 = tuple(range(1, 39))  # nine and ten, at two each


def case(recording: Recording) -> Case:
    study = Study(recording)
    return Case(study, Routes(study))


@pytest.mark.parametrize(
    ("recording", "claim", "arguments", "holds", "packets"),
    [
        (L4, verdicts.one_connection, ("alice", "api1"), True, EVERY),
        (L4, verdicts.one_connection, (None, None), True, EVERY),
        (L4, verdicts.one_connection, ("bob", "api1"), False, (1,)),
        (L4_TWO, verdicts.one_connection, (None, None), False, (41,)),
        (L4_TWO, verdicts.one_connection, ("bob", "api2"), True, range(41, 81)),
        (L7, verdicts.one_connection, ("alice", "api1"), False, (1, 9)),
        (L7, verdicts.two_connections, ("alice", "api1"), True, EVERY_L7),
        (L7, verdicts.two_connections, ("alice", "api2"), False, None),
        (L4, verdicts.two_connections, ("alice", "api1"), False, (1,)),
        (REFUSED, verdicts.two_connections, (None, None), False, (1,)),
        (L4, verdicts.connections, (1,), True, (1,)),
        (L4, verdicts.connections, (2,), False, (1,)),
        (L7, verdicts.connections, (2,), True, (1, 9)),
        (L4_TWO, verdicts.connections, (1,), False, (41,)),
        (DATAGRAMS, verdicts.connections, (0,), True, ()),
        (L4_TWO, verdicts.answered_by, (["api1", "api2"],), True, range(1, 81)),
        (L4_TWO, verdicts.answered_by, (["api1"],), False, (41,)),
        (L4, verdicts.answered_by, (["api1", "api2"],), False, (1,)),
        (REFUSED, verdicts.answered_by, (["api1"],), False, ()),
        (L4, verdicts.decided_on, ("SYN",), True, (2,)),
        (L4, verdicts.decided_on, ("request",), False, (2,)),
        (L7, verdicts.decided_on, ("request",), True, (8,)),
        (DATAGRAMS, verdicts.decided_on, ("datagram",), True, (2,)),
        (DATAGRAMS, verdicts.decided_on, ("SYN",), False, (2,)),
        (made.without_events(l4_wire(1), "alice"), verdicts.decided_on, ("SYN",), False, ()),
        (l4_wire(1).recording(loss=COUNTED), verdicts.no_loss, (), True, ()),
        (l4_wire(1).recording(loss={**COUNTED, "api1": Loss(9, 2)}), verdicts.no_loss, (), False, ()),
        (L4, verdicts.no_loss, (), False, ()),  # nobody counted
        (L4, verdicts.no_reset, (), True, EVERY),
        (TROUBLED, verdicts.no_reset, (), False, (32, 33, 34, 35)),
        (DATAGRAMS, verdicts.no_reset, (), False, ()),
        (L4, verdicts.joined, (), True, EVERY),
        (L7, verdicts.joined, (), True, EVERY_L7),
        (made.only(l4_wire(1), "alice"), verdicts.joined, (), False, ()),
        (L4, verdicts.retransmissions, (0,), True, (1,)),
        (L4, verdicts.retransmissions, (1,), False, (1,)),
        (TROUBLED, verdicts.retransmissions, (1,), True, (16,)),
        (DATAGRAMS, verdicts.retransmissions, (0,), False, ()),
        (L4, field_verdicts.rewritten, ("ip.dst", "lb"), True, None),
        (L4, field_verdicts.rewritten, ("tcp.seq", "lb"), False, None),
        (L4, field_verdicts.rewritten, ("ip.dst", "alice"), False, (1,)),  # no packet runs over alice
        (L7, field_verdicts.rewritten, ("ip.dst", "lb"), False, (1, 9)),  # nothing runs through
        (L4, field_verdicts.not_rewritten, ("tcp.seq", "lb"), True, None),
        (L4, field_verdicts.not_rewritten, ("ip.dst", "lb"), False, None),
        (L7, field_verdicts.not_rewritten, ("http.host", "lb"), True, EVERY_L7),
        (L7, field_verdicts.rewritten, ("http.host", "lb"), False, EVERY_L7),
        (L4, field_verdicts.not_rewritten, ("http.host", "lb"), True, None),
    ],
)  # fmt: skip
def test_a_claim_holds_where_it_is_shown(
    recording: Recording, claim: Callable[..., Verdict], arguments: tuple[object, ...], holds: bool,
    packets: Sequence[int] | None,
) -> None:  # fmt: skip
    found = claim(case(recording), *arguments)
    assert found.holds is holds, found
    assert bool(found.because) is not holds
    if packets is not None:
        assert found.packets == tuple(packets)


@pytest.mark.parametrize(
    ("recording", "field", "by", "holds"),
    [
        (L4, "http.target", "l4", True),
        (L4, "http.target", "lb", True),
        (L4, "ip.dst", "l4", False),
        (L7, "http.target", "l7", False),
        (L7, "http.target", "l4", False),  # it handled nothing
        (L4, "http.cookie", "l4", False),  # there is none, so nothing is shown
    ],
)
def test_never_seen(recording: Recording, field: str, by: str, holds: bool) -> None:
    shown = case(recording)
    assert field_verdicts.never_seen(shown, Routes(shown.study), field, by).holds is holds


def test_wrong_words_are_refused() -> None:
    shown = case(L4)
    with pytest.raises(CaptureError, match="SYN, request, datagram, not 'sin'"):
        verdicts.decided_on(shown, "sin")
    with pytest.raises(CaptureError, match="seen by l4, l7 or the balancer, not by 'l5'"):
        field_verdicts.never_seen(shown, Routes(shown.study), "ip.dst", "l5")
