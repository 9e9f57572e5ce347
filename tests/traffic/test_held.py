"""What a worker holds by key."""

import pytest

from labkit.traffic.failure import Failure
from labkit.traffic.held import Shelf


class Thing:
    closed = 0

    def close(self):
        self.closed += 1


def test_a_key_given_up_before_it_was_put_is_closed_at_once():
    shelf, thing = Shelf(), Thing()
    shelf.close("a")
    with pytest.raises(Failure, match="interrupted"):
        shelf.put("a", thing)
    assert thing.closed == 1


def test_what_is_held_is_closed_once_and_of_its_kind():
    shelf, thing = Shelf(), Thing()
    shelf.put("a", thing)
    assert shelf.get("a", Thing) is thing
    with pytest.raises(Failure, match="closed on this side"):
        shelf.get("a", Shelf)
    shelf.close("a", for_good=False)
    shelf.close("a")
    assert thing.closed == 1
    shelf.put("b", thing)
    shelf.forget("b")
    shelf.close("b")
    assert thing.closed == 1
