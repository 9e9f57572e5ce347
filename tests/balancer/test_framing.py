"""Every payload of the table through the framer alone: what it gives is the same however the bytes are split."""

import random
from collections.abc import Iterable
from itertools import batched

import pytest

from labkit.balancer.framing import Data, End, Framer, Head, Refusal
from labkit.balancer.limits import Limits

from .framing_table import AFTER, TABLE, Payload

_SHORT = 700  # bytes; of longer ones not every split is tried


def framed(parts: Iterable[bytes], limits: Limits | None = None, *, ended: bool = False) -> list[object]:
    """What comes of *parts*: heads, bodies in one piece, refusals."""
    framer = Framer(limits or Limits())
    found: list[object] = []
    for part in parts:
        framer.feed(part)
        while piece := framer.next():
            match piece:
                case Head(raw=raw):
                    found += [raw, b""]
                case Data(content=content):
                    found[-1] += content  # type: ignore[operator]
                case Refusal(status, rule, head):
                    found.append((status, rule, head.method, head.target, head.fields))
                case End():
                    found.append("end")
    if ended and (refusal := framer.end()):
        found.append((refusal.status, refusal.rule))
    return found


def statuses(found: list[object]) -> list[int]:
    return [200 if one == "end" else one[0] for one in found if one == "end" or isinstance(one, tuple)]


@pytest.mark.parametrize("payload", TABLE, ids=lambda payload: f"{payload.group}: {payload.name}")
def test_what_is_right_passes_and_what_is_wrong_is_refused_however_it_is_split(payload: Payload) -> None:
    raw = payload.raw + (AFTER if payload.whole else b"")
    whole = framed([raw], ended=not payload.whole)
    after = [200] if payload.whole and payload.expected == "ok" else []
    assert statuses(whole) == [status for status in payload.answers if status >= 200] + after
    for found in whole:
        if isinstance(found, tuple):
            assert found[1].startswith("RFC ")
    one_by_one = framed((bytes(part) for part in batched(raw, 1)), ended=not payload.whole)
    assert one_by_one == whole
    for position in range(1, len(raw)) if len(raw) < _SHORT else ():
        assert framed([raw[:position], raw[position:]], ended=not payload.whole) == whole


def test_random_damage_is_read_alike_however_it_is_split() -> None:
    chance = random.Random(7)
    raws = [payload.raw + AFTER for payload in TABLE if len(payload.raw) < _SHORT]
    for _ in range(1000):
        raw = bytearray(chance.choice(raws))
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(raw))
            raw[place : place + chance.randrange(3)] = bytes(
                chance.choices(b"\x00\r\n \t:;,\x0b\xff0a/#", k=chance.randrange(3))
            )
        cut = chance.randrange(len(raw))
        whole = framed([bytes(raw)])
        assert framed([bytes(raw[:cut]), bytes(raw[cut:])]) == whole
        assert framed(bytes([byte]) for byte in raw) == whole


def test_the_table_is_large_and_names_are_unique() -> None:
    assert len(TABLE) >= 70
    assert len({(payload.group, payload.name) for payload in TABLE}) == len(TABLE)
    assert sum(payload.expected == "refused" and not payload.repairable for payload in TABLE) >= 45


def test_extensions_and_trailers_are_read_and_left_out() -> None:
    framer = Framer(Limits())
    framer.feed(
        b"POST / HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0;c\r\nX: 1\r\n\r\nrest"
    )
    head, data, end = framer.next(), framer.next(), framer.next()
    assert isinstance(head, Head)
    assert head.raw == b"POST / HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (data, end) == (Data(b"abc", b"3\r\nabc\r\n"), End(b"0\r\n\r\n"))
    assert (framer.between, framer.unread, framer.rest(), framer.unread) == (True, 4, b"rest", 0)


def test_a_target_without_a_path_gets_one_before_its_query() -> None:
    framer = Framer(Limits())
    framer.feed(b"GET http://lb?a=/b HTTP/1.1\r\nHost: lb\r\n\r\n")
    head = framer.next()
    assert isinstance(head, Head)
    assert head.raw.startswith(b"GET http://lb/?a=/b HTTP/1.1\r\n")
    assert head.target == b"http://lb?a=/b"


def test_what_it_waits_for_and_what_it_says_when_that_is_late() -> None:
    framer = Framer(Limits())
    seen = []
    for part in (b"\r\n", b"GET", b" / HTTP/1.1\r\n", b"Host: lb\r\nContent-Length: 2\r\n\r\n", b"a", b"b"):
        framer.feed(part)
        while framer.next():
            pass
        seen.append(framer.waiting)
    assert seen == ["idle", "head", "head", "body", "body", "idle"]
    framer.feed(b"GET")
    framer.next()
    late = framer.late()
    assert (late.status, late.rule) == (408, "RFC 9110 §15.5.9: the request's head did not come in time")
    framer.feed(b" / HTTP/1.1\r\nHost: lb\r\n\r\n")
    assert framer.next() is None, "nothing follows a refusal"


@pytest.mark.parametrize(
    ("limits", "raw", "status"),
    [
        (Limits(body_bytes=3), b"POST / HTTP/1.1\r\nHost: lb\r\nContent-Length: 4\r\n\r\n", 413),
        (
            Limits(body_bytes=3),
            b"POST / HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n",
            413,
        ),
        (Limits(line_bytes=20), b"GET /123456 HTTP/1.1\r\nHost: lb\r\nX: 345678901234567890\r\n\r\n", 431),
        (Limits(line_bytes=20), b"GET /1234567 HTTP/1.1\r\nHost: lb\r\n\r\n", 414),
        (Limits(head_bytes=28), b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n", 200),
        (Limits(head_bytes=27), b"GET / HTTP/1.1\r\nHost: lb\r\n\r\n", 431),
        (Limits(fields=1), b"GET / HTTP/1.1\r\nHost: lb\r\nX: 1\r\n\r\n", 431),
        (
            Limits(fields=2),
            b"POST / HTTP/1.1\r\nHost: lb\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: 1\r\nB: 1\r\nC: 1\r\n\r\n",
            431,
        ),
    ],
)
def test_limits_hold_to_the_byte(limits: Limits, raw: bytes, status: int) -> None:
    assert statuses(framed([raw], limits)) == [status]
    assert framed([raw], limits) == framed((bytes(part) for part in batched(raw, 1)), limits)
