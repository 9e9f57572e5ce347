import random

import numpy as np

from labkit.analysis.connections.states import EVENTS, TRANSITIONS, WORDS, state_after, states_after


def test_many_at_once_are_as_one_by_one() -> None:
    dice = random.Random(3)
    happened = [[dice.choice((-1, -1, dice.randrange(8))) for _ in EVENTS] for _ in range(3_000)]
    wanted = []
    for row in happened:
        walked = [EVENTS[turn] for turn in sorted(range(len(EVENTS)), key=lambda turn: row[turn]) if row[turn] >= 0]
        wanted.append(state_after(walked) if walked else None)
    assert states_after(np.array(happened)) == wanted
    assert states_after(np.zeros((0, len(EVENTS)), dtype=np.int64)) == []
    assert len(set(wanted)) > 7


def test_every_event_and_every_state_of_the_table_is_known() -> None:
    assert {event for _, event in TRANSITIONS} == set(EVENTS)
    assert set(WORDS) <= set(TRANSITIONS.values())


def test_nothing_leads_out_of_the_end() -> None:
    for end in ("closed", "reset"):
        assert not [key for key in TRANSITIONS if key[0] == end]


def test_every_state_can_be_reached() -> None:
    reached = {"unseen"}
    while more := {after for (state, _), after in TRANSITIONS.items() if state in reached} - reached:
        reached |= more
    assert reached == {"unseen", *TRANSITIONS.values()}
