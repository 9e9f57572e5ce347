"""The four stages of a request's headers, and what happened between them."""

from typing import Any

import pytest

from labkit.analysis.events.carriage import Carried
from labkit.analysis.evidence.headerdiff import HeaderDiff, diff
from labkit.analysis.messages.http import Request

Pairs = list[tuple[str, str]]
EVENT: dict[str, Any] = {
    "request": "r1",
    "method": "GET",
    "target": "/a",
    "host": "lb",
    "version": "HTTP/1.1",
    "back": {},
}


def sent(headers: Pairs, version: str = "HTTP/1.1", target: str = "/a", authority: str | None = None) -> Carried:
    return Carried(Request("GET", target, version, tuple(headers), b"", True, authority))


def way(*stages: Pairs, **event: Any) -> HeaderDiff:
    """Of the headers as sent, seen, forwarded and received."""
    one, two, three, four = stages
    return diff(EVENT | {"headers_received": two, "headers_forwarded": three} | event, sent(one), sent(four))


def changes(found: HeaderDiff) -> dict[str, str]:
    frame = found.frame
    return {name: change for name, change in zip(frame["name"], frame["change"], strict=True) if change}


def test_added_removed_changed_and_moved() -> None:
    before = [("Host", "lb"), ("A", "1"), ("B", "2"), ("Connection", "x"), ("C", "3")]
    after = [("Host", "lb"), ("C", "3"), ("A", "1"), ("B", "two"), ("Via", "lb")]
    found = way(before, before, after, after)
    assert changes(found) == {
        "b": "changed (forwarded)", "connection": "removed (forwarded)", "c": "moved (forwarded)",
        "via": "added (forwarded)",
    }  # fmt: skip
    assert (found.added, found.removed, found.changed, found.moved) == (["via"], ["connection"], ["b"], ["c"])
    assert list(found.frame.columns) == ["name", "sent", "seen", "forwarded", "received", "change"]
    assert found.frame.set_index("name").loc["b"].tolist() == ["2", "2", "two", "two", "changed (forwarded)"]
    assert found.frame["name"].tolist() == [
        "(method)",
        "(target)",
        "(version)",
        "host",
        "a",
        "b",
        "connection",
        "c",
        "via",
    ]


def test_nothing_changed_and_case_is_no_change() -> None:
    found = way(
        [("Host", "lb"), ("X-A", "1")],
        [("host", "lb"), ("x-a", "1")],
        [("HOST", "lb"), ("X-a", "1")],
        [("Host", "lb"), ("x-A", "1")],
    )
    assert changes(found) == {}
    assert found.lacks == ()


def test_lines_of_the_same_name_are_known_by_their_values() -> None:
    both, one = [("X", "1"), ("X", "2")], [("X", "2")]
    found = way(both, both, one, one)
    rows = [row for row in found.rows if row.name == "x"]
    assert [row.values for row in rows] == [("1", "1", None, None), ("2", "2", "2", "2")]
    assert [row.changes for row in rows] == [(("removed", "forwarded"),), ()]
    assert changes(way(both, both, both[::-1], both[::-1])) == {"x": "moved (forwarded)"}


def test_a_header_that_goes_and_comes_back_is_one_row() -> None:
    with_it, without = [("X", "1")], list[tuple[str, str]]()
    assert changes(way(with_it, with_it, without, with_it)) == {"x": "removed (forwarded), added (received)"}


def test_what_the_proxy_says_and_the_wire_does_not_is_shown() -> None:
    """The record and the packets are two witnesses: where they differ, it is seen."""
    assert changes(way([("A", "1")], [("A", "2")], [("A", "2")], [("A", "2")])) == {"a": "changed (seen)"}


def test_http2_s_authority_is_the_host_and_its_crumbs_are_one_cookie() -> None:
    event = EVENT | {
        "version": "HTTP/2", "front_stream": 1, "headers_received": [("cookie", "a=1"), ("x", "1"), ("cookie", "b=2")],
        "headers_forwarded": [("Host", "lb"), ("cookie", "a=1; b=2"), ("x", "1")],
    }  # fmt: skip
    front = sent([("cookie", "a=1"), ("x", "1"), ("cookie", "b=2")], "HTTP/2", authority="lb")
    found = diff(event, front, sent([("Host", "lb"), ("Cookie", "a=1; b=2"), ("X", "1")]))
    assert changes(found) == {"(version)": "changed (received)"}
    assert found.frame.set_index("name").loc["host"].tolist() == ["lb"] * 4 + [""]


def test_http2_behind_the_proxy_has_a_host_that_its_record_does_not_tell() -> None:
    event = EVENT | {"headers_received": [("Host", "lb")], "headers_forwarded": [("x", "1")], "back_stream": 1}
    found = diff(event, sent([("Host", "lb")]), sent([("x", "1")], "HTTP/2", authority="lb"))
    assert found.frame.set_index("name").loc["host"].tolist() == ["lb", "lb", None, "lb", ""]


def test_the_target_and_a_host_that_is_gone() -> None:
    event = EVENT | {"headers_received": [("Host", "lb")], "headers_forwarded": []}
    found = diff(event, sent([("Host", "lb")]), sent([], target="/b"))
    assert changes(found) == {"(target)": "changed (received)", "host": "removed (forwarded)"}


def test_a_request_that_the_balancer_answered() -> None:
    event = EVENT | {"back": None, "headers_received": [("Host", "lb")], "headers_forwarded": None}
    found = diff(event, sent([("Host", "lb")]), Carried())
    assert found.stages == ("sent", "seen")
    assert found.lacks == ("the balancer answered this request itself: nothing was passed on",)


def test_what_was_not_captured_or_recorded_is_said() -> None:
    found = diff(EVENT, Carried(), Carried(), ["sent: encrypted: TLS 1.3, and this file has no keys for it"])
    assert found.stages == ()
    assert [lack.partition(":")[0] for lack in found.lacks] == ["sent", "seen", "forwarded", "received", "sent"]
    assert changes(found) == {}


def test_a_record_of_some_headers_is_no_stage_and_makes_none_of_them_added_or_removed() -> None:
    pairs = [("Host", "lb"), ("X-Odd", "1")]
    event = EVENT | {"headers_received": [["host", "lb"]], "headers_partly": True, "headers_forwarded": None}
    found = diff(event, sent(pairs), sent(pairs))
    assert (found.stages, changes(found)) == (("sent", "received"), {})
    assert found.lacks[0] == "seen: the proxy recorded only some of the headers it received"


@pytest.mark.parametrize("text", ["\x1b[31m", "\u202e", "<script>"])
def test_texts_off_the_wire_are_inert(text: str) -> None:
    found = diff(EVENT | {"headers_received": []}, sent([("a", text)]), Carried())
    shown = str(found.frame.set_index("name").loc["a", "sent"])
    assert ("\x1b" in shown, "\u202e" in shown) == (False, False)
