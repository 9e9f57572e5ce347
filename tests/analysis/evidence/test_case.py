import pytest

from labkit.analysis.evidence.case import Case, named, span
from labkit.analysis.routes import Routes
from labkit.analysis.study import Study
from labkit.errors import CaptureError
from tests.analysis.wire import Wire, l4_wire, l7_wire


def case(wire: Wire) -> Case:
    study = Study(wire.recording())
    return Case(study, Routes(study))


@pytest.mark.parametrize(
    ("numbers", "one_by_one", "in_short"),
    [
        ((), "", ""),
        ((7,), "#7", "#7"),
        ((5, 1, 9), "#5, #1, #9", "#1…#9"),
        (range(1, 13), ", ".join(f"#{n}" for n in range(1, 13)), "#1…#12"),
        (range(1, 14), ", ".join(f"#{n}" for n in range(1, 13)) + " and 1 more", "#1…#13"),
        (range(1, 2013), ", ".join(f"#{n}" for n in range(1, 13)) + " and 2,000 more", "#1…#2012"),
        ((3, 3), "#3, #3", "#3"),
    ],
)
def test_packets_in_words(numbers: range | tuple[int, ...], one_by_one: str, in_short: str) -> None:
    assert named(iter(numbers)) == one_by_one
    assert span(iter(numbers)) == in_short


def test_hops_lead_over_a_node() -> None:
    shown = case(l4_wire(1))
    assert {hop.way for hop in shown.hops("lb")} == {("lb:front", "lb:back"), ("lb:back", "lb:front")}
    assert [len(shown.hops(node)) for node in ("lb", "alice", None)] == [10, 0, 30]
    first = shown.hops("lb")[0]
    assert (first.connection, first.before, first.after) == (1, 2, 3)
    assert first.changed["ip.dst"] == ("10.0.1.10", "10.0.2.11")
    ends = Wire(("alice", "api1"))
    ends.events = l4_wire(1).events
    ends.seen = [one for one in l4_wire(1).seen if one[1] in ends.vantages]
    assert len(case(ends).hops("lb")) == 10  # from client to backend it can only have been there
    assert case(l7_wire(1)).hops("lb") == []


def test_names_that_are_not_there_are_refused() -> None:
    shown = case(l4_wire(1))
    assert (shown.host("api1"), shown.header_field("ip.dst"), shown.header_field("http.header.Via")) == (
        "api1", "ip.dst", "http.header.via"
    )  # fmt: skip
    for wrong, words in (("api3", "did you mean 'api"), (7, "no host 7: it has alice, bob")):
        with pytest.raises(CaptureError, match=words):
            shown.host(wrong)
    with pytest.raises(CaptureError, match=r"no field 'ip.dest' \(did you mean 'ip.dst'"):
        shown.header_field("ip.dest")
