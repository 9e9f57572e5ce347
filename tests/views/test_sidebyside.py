import pandas as pd
import pytest

from labkit.errors import CaptureError
from labkit.views import side_by_side
from labkit.views.story import flag_words, l4_story, l7_story

from .captures import Tables, direct_capture, l4_capture, l7_capture
from .parsing import words


def test_at_l4_every_packet_runs_through_and_the_first_one_decides():
    story = l4_story(l4_capture())
    assert [(flag_words(step.row), step.through, step.from_client) for step in story.steps] == [
        ("SYN", True, True),
        ("SYN+ACK", True, False),
        ("ACK", True, True),
        ("PSH+ACK 87 B", True, True),
        ("PSH+ACK 310 B", True, False),
    ]
    assert (story.client, story.balancer, story.backend) == ("alice", "lb", "api1")
    assert (story.decided, story.held, story.connections) == (0, 0, 1)


def test_under_direct_return_the_answers_pass_the_balancer_by():
    story = l4_story(direct_capture())
    assert [(flag_words(step.row), step.through, step.from_client) for step in story.steps] == [
        ("SYN", True, True),
        ("PSH+ACK 87 B", True, True),
    ]
    assert (story.client, story.balancer, story.backend, story.decided) == ("alice", "lb", "api1", 0)
    assert (story.past, story.over) == (2, "gw")
    picture = side_by_side(direct_capture(), l7_capture())
    said = "2 packets from api1 to alice past lb, over gw"
    assert said in picture.text
    assert said in words(picture.svg)
    assert "past" not in side_by_side(l4_capture(), l7_capture()).text


def test_a_router_is_never_taken_for_the_balancer():
    capture = direct_capture()
    seen = capture.packets()
    beside = seen[~seen["vantage"].str.startswith("lb:")]
    unseen = capture.decisions().assign(packet=None, vantage=None)
    with pytest.raises(CaptureError, match="vantage points"):
        l4_story(Tables(beside, unseen, None, None))


def test_at_l7_packets_end_at_the_balancer_and_the_request_decides():
    story = l7_story(l7_capture())
    assert [(step.front is not None, step.back is not None) for step in story.steps] == [(True, False)] * 5 + [
        (False, True)
    ] * 4 + [(True, False)]
    assert (story.client, story.decided, story.held, story.connections) == ("alice", 3, 87, 2)


def test_without_a_named_packet_the_time_tells_where_the_decision_fell():
    capture = l7_capture()
    decisions = capture.decisions().drop(columns=["packet", "vantage"])
    story = l7_story(Tables(capture.packets(), decisions, capture.exchanges(), capture.visibility()))
    assert (story.decided, story.held) == (4, 87)


def test_a_packet_that_the_balancer_did_not_pass_on_ends_there():
    capture = l4_capture()
    seen = capture.packets()
    lost = seen[~((seen["vantage"].isin(["lb:back", "api1"])) & (seen["flags"] == "A"))]
    story = l4_story(Tables(lost, capture.decisions(), capture.exchanges(), capture.visibility()))
    assert [step.through for step in story.steps] == [True, True, False, True, True]


def test_a_retransmission_is_two_packets():
    capture = l4_capture()
    seen = capture.packets()
    again = seen[seen["number"] <= 4].assign(
        number=lambda f: f["number"] + 100, time=lambda f: f["time"] + pd.Timedelta(1)
    )
    story = l4_story(Tables(pd.concat([seen, again]), capture.decisions(), None, None))
    assert [flag_words(step.row) for step in story.steps][:2] == ["SYN", "SYN"]
    assert all(step.through for step in story.steps)


def test_the_picture_says_where_the_decision_fell_and_what_was_held():
    picture = side_by_side(l4_capture(), l7_capture())
    assert picture.title == (
        "L4 decided on packet 1, holding 0 bytes of the request; L7 decided after packet 4, holding 87"
    )
    shown = words(picture.svg)
    assert "◆ decided on packet 1, holding 0 bytes of the request" in shown
    assert "http-80 → api1; read ip.dst, tcp.dport" in shown
    assert "◆ decided after packet 4, holding 87 bytes of the request" in shown
    assert "dst 10.0.1.10 → 10.0.2.11" in shown
    assert shown.count("same packet") == 5
    assert shown.count("seq 1000") == 3  # twice at L4: the same number in front and behind; once at L7
    assert "in clear, not read (sent later)" in shown
    assert "L7: 2 TCP connections for one request" in shown
    assert "  1. alice → lb → api1: SYN" in picture.text.splitlines()
    assert "  6. lb → api1: SYN" in picture.text.splitlines()
    assert picture == side_by_side(l4_capture(), l7_capture())


def test_more_packets_than_fit_are_counted():
    capture = l7_capture()
    seen = capture.packets()
    copies = [seen.assign(number=seen["number"] + 100 * i, time=seen["time"] + pd.Timedelta(i, "s")) for i in range(3)]
    picture = side_by_side(
        l4_capture(), Tables(pd.concat(copies), capture.decisions(), capture.exchanges(), capture.visibility())
    )
    assert "… 12 more packets" in words(picture.svg)


@pytest.mark.parametrize(
    ("tell", "remedy"), [(l4_story, r"lab\.balancer\.l4\(\)"), (l7_story, r"lab\.balancer\.l7\(\)")]
)
def test_a_capture_of_the_other_mode_is_refused_with_the_remedy(tell, remedy):
    other = l7_capture() if tell is l4_story else l4_capture()
    with pytest.raises(CaptureError, match=remedy):
        tell(other)


@pytest.mark.parametrize(("tell", "made"), [(l4_story, l4_capture), (l7_story, l7_capture)])
def test_a_capture_without_the_balancers_vantage_points_is_refused(tell, made):
    capture = made()
    seen = capture.packets()
    ends = seen[~seen["vantage"].str.contains(":")]
    with pytest.raises(CaptureError, match="vantage points"):
        tell(Tables(ends, capture.decisions(), capture.exchanges(), capture.visibility()))


def test_a_datagram_has_no_flags_and_no_sequence_number():
    capture = l4_capture()
    seen = capture.packets()[:8].astype({"seq": "Int64", "ack": "Int64", "flags": object})
    udp = seen.assign(proto="UDP", flags=None, seq=pd.NA, ack=pd.NA, payload_length=[30] * 4 + [90] * 4)
    made = Tables(udp, capture.decisions(), capture.exchanges(), capture.visibility())
    assert [flag_words(step.row) for step in l4_story(made).steps] == ["UDP 30 B", "UDP 90 B"]
    assert l4_story(made).held == 30
    assert not any("seq" in said and "NA" in said for said in words(side_by_side(made, l7_capture()).svg))
