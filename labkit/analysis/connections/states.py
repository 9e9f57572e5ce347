"""TCP's states as an onlooker can tell them: a table of events and where they lead (RFC 9293 §3.3.2).

Pure: `tcp` finds the events in packets. The table is all there is to know; a diagram can be drawn from it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Events. "client" and "server" say who sent it; an "acked_" event: that side's FIN was acknowledged.
EVENTS = (
    "syn", "syn_ack", "ack", "went_on", "other", "acked_client", "acked_server", "fin_client", "fin_server", "rst",
)  # fmt: skip

# Onlooker's states; "+": the client closed first, "-": the server did.
TRANSITIONS: dict[tuple[str, str], str] = {
    ("unseen", "syn"): "syn_sent",
    ("unseen", "syn_ack"): "syn_received",
    ("unseen", "other"): "established",  # captured from the middle
    ("syn_sent", "syn_ack"): "syn_received",
    ("syn_sent", "went_on"): "established",  # the answer takes another way, or was missed
    ("syn_received", "ack"): "established",
    ("syn_received", "fin_client"): "half_closed+",
    ("syn_received", "fin_server"): "half_closed-",
    ("established", "fin_client"): "half_closed+",
    ("established", "fin_server"): "half_closed-",
    ("half_closed+", "acked_client"): "half_closed+acked",
    ("half_closed+", "fin_server"): "closing",
    ("half_closed+acked", "fin_server"): "last_ack-",
    ("half_closed-", "acked_server"): "half_closed-acked",
    ("half_closed-", "fin_client"): "closing",
    ("half_closed-acked", "fin_client"): "last_ack+",
    ("closing", "acked_client"): "last_ack-",
    ("closing", "acked_server"): "last_ack+",
    ("last_ack+", "acked_client"): "closed",
    ("last_ack-", "acked_server"): "closed",
    **{
        (state, "rst"): "reset"
        for state in (
            "unseen", "syn_sent", "syn_received", "established", "half_closed+", "half_closed+acked",
            "half_closed-", "half_closed-acked", "closing", "last_ack+", "last_ack-",
        )
    },
}  # fmt: skip
# The words of the `state` column, for the states that have others inside.
WORDS = {
    "half_closed+": "half_closed", "half_closed-": "half_closed",
    "half_closed+acked": "half_closed", "half_closed-acked": "half_closed",
    "last_ack+": "closing", "last_ack-": "closing",
}  # fmt: skip

_STATES = ("unseen", *dict.fromkeys(TRANSITIONS.values()))


def state_after(events: Sequence[str]) -> str:
    """The state after *events* in order; an event that the table does not know in a state changes nothing."""
    state = "unseen"
    for event in events:
        state = TRANSITIONS.get((state, event), state)
    return WORDS.get(state, state)


def _table() -> npt.NDArray[np.int8]:
    """`TRANSITIONS` by number: [state, event], where the last event is none."""
    table = np.repeat(np.arange(len(_STATES), dtype=np.int8)[:, None], len(EVENTS) + 1, axis=1)
    for (state, event), after in TRANSITIONS.items():
        table[_STATES.index(state), EVENTS.index(event)] = _STATES.index(after)
    return table


def states_after(happened: npt.NDArray[np.integer]) -> list[str | None]:
    """`state_after` for many at once; None where nothing happened.

    happened: one row each, one column an event of `EVENTS`: when it first happened, -1 never. Of what happened at once
    the table's order decides: an acknowledgement counts before a FIN.
    """
    order = np.argsort(happened, axis=1, kind="stable").astype(np.int8)
    did = np.take_along_axis(happened, order, axis=1) >= 0
    order[~did] = len(EVENTS)
    table, state = _table(), np.zeros(len(happened), dtype=np.int8)
    for turn in range(len(EVENTS)):
        state = table[state, order[:, turn]]
    words = np.array([WORDS.get(name, name) for name in _STATES], dtype=object)
    said = words[state]
    said[~did.any(axis=1)] = None
    return list(said)
