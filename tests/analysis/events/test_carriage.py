"""Which messages an exchange's own are: by stream, by order, by time, and where nobody can know."""

from labkit.analysis.events.carriage import Carried
from labkit.analysis.study import Study
from tests.analysis.messages.test_http2 import GET, Pair
from tests.analysis.tls.wires import carry
from tests.analysis.wire import HOP, Link, Talk, Wire, get, l7_wire, request

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
FRONT, BACK = Link("alice", "lb:front", 41000), Link("lb:back", "api1", 51000)


def found(wire: Wire) -> list[tuple[Carried, Carried]]:
    study = Study(wire.recording())
    return [(study.carriage.front(one), study.carriage.back(one)) for one in study.exchanges]


def tags(wire: Wire) -> list[tuple[str | None, str | None]]:
    """The tags of the requests that were found on the front and the back of each exchange."""
    return [
        tuple(side.request.header("x-tag") if side.request else None for side in sides)  # type: ignore[misc]
        for sides in found(wire)
    ]


class Proxy:
    """A client's connection, and back connections, on which requests are passed on one after the other."""

    def __init__(self, *, opened: bool = True) -> None:
        self.wire = Wire()
        self.front = Talk(self.wire, FRONT)
        if opened:
            self.front.open()
        self.backs: dict[int, Talk] = {}

    def pass_on(self, tag: int, port: int = 51000, *, target: str = "/same", tries: int = 1, **more: object) -> None:
        self.front.send(0, "PA", get(target, f"X-Tag: {tag}"))
        started = self.wire.wait()
        decided = self.wire.wait()
        way = Link("lb:back", "api1", port)
        if port not in self.backs:
            self.backs[port] = Talk(self.wire, way, seed=port).open()
        for _ in range(tries):
            self.backs[port].ask(get(target, f"X-Tag: {tag}"), OK)
        self.front.send(1, "PA", OK)
        event = request(started, decided, self.wire.wait(), FRONT, way, request=f"r{tag}", target=target)
        self.wire.events.append(event | more)


def test_the_request_and_its_answer_with_their_packets() -> None:
    wire = l7_wire(1)
    ((front, back),) = found(wire)
    study = Study(wire.recording())
    for carried in (front, back):
        assert carried.request
        assert carried.response
        assert (carried.request.target, carried.response.status) == ("/api/users", 200)
        said = b"".join(study.index.bytes_of(number - 1) for number in carried.packets)
        assert said == get() + b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
    assert not set(front.packets) & set(back.packets)


def test_equal_requests_on_several_back_connections_by_their_order() -> None:
    proxy = Proxy()
    for tag, port in enumerate((51000, 51001, 51000, 51001, 51001, 51000)):
        proxy.pass_on(tag, port)
    assert tags(proxy.wire) == [(str(tag), str(tag)) for tag in range(6)]


def test_from_the_middle_of_the_connections_by_their_times() -> None:
    proxy = Proxy()
    for tag in range(6):
        proxy.pass_on(tag, 51000 + tag % 2)
    began = [at for at, vantage, raw, *_ in proxy.wire.seen if vantage == "alice" and b"X-Tag: 3" in raw]
    proxy.wire.seen = [one for one in proxy.wire.seen if one[0] >= began[0]]
    assert tags(proxy.wire) == [(None, None)] * 3 + [(str(tag), str(tag)) for tag in (3, 4, 5)]


def test_a_request_that_nobody_recorded_shifts_no_other() -> None:
    proxy = Proxy()
    for tag in range(4):
        proxy.pass_on(tag)
    proxy.wire.events = [event for event in proxy.wire.events if event["request"] != "r1"]
    assert tags(proxy.wire) == [("0", "0"), (None, "2"), ("3", "3")]  # alice sent two that could be the second


def test_of_a_request_tried_again_the_attempt_that_was_answered() -> None:
    proxy = Proxy()
    proxy.pass_on(0)
    proxy.pass_on(1, tries=2)
    proxy.pass_on(2)
    assert tags(proxy.wire) == [("0", "0"), ("1", "1"), ("2", "2")]
    packets = [back.packets for _, back in found(proxy.wire)]
    sent = [number for number in range(1, len(proxy.wire.seen) + 1) if number in packets[1]]
    frames = sorted(proxy.wire.seen)
    twice = [place + 1 for place, one in enumerate(frames) if one[1] == "lb:back" and b"X-Tag: 1" in one[2]]
    assert len(twice) == 2
    assert twice[1] in sent
    assert twice[0] not in sent


def test_a_request_tried_again_on_another_connection_is_on_the_one_that_the_proxy_names() -> None:
    proxy = Proxy()
    proxy.pass_on(0, 51000)
    failed = Talk(proxy.wire, Link("lb:back", "api1", 51009), seed=3).open()
    failed.send(0, "PA", get("/same", "X-Tag: 1"))
    failed.send(1, "RA")
    proxy.pass_on(1, 51000)
    assert tags(proxy.wire) == [("0", "0"), ("1", "1")]


def test_several_that_could_be_it_are_none() -> None:
    proxy = Proxy(opened=False)  # so that order tells nothing
    for tag in range(2):
        proxy.front.send(0, "PA", get("/same", f"X-Tag: {tag}"))
    proxy.pass_on(2)
    assert tags(proxy.wire) == [(None, "2")]


def test_a_request_with_another_name_is_not_it() -> None:
    proxy = Proxy()
    proxy.pass_on(0, target="/other", method="PUT")
    assert tags(proxy.wire) == [(None, None)]


def test_an_answer_by_the_balancer_has_no_back() -> None:
    wire = Wire()
    Talk(wire, FRONT).open().ask(get("/none"), b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
    wire.events.append(request(wire.now, wire.now, wire.wait(), FRONT, None, target="/none", status=404))
    ((front, back),) = found(wire)
    assert front.response
    assert front.response.status == 404
    assert back == Carried()


def test_streams_of_http2_on_both_sides() -> None:
    wire = Wire()
    pairs = [Pair(), Pair()]
    tagged = [[*GET[:-1], ("x-tag", str(tag))] for tag in range(3)]
    for tag, headers in enumerate(tagged):
        pairs[0].ask(2 * tag + 1, headers)
    for tag in (2, 0, 1):
        pairs[1].ask(1 + 2 * (2, 0, 1).index(tag), tagged[tag])
    for pair, streams in ((pairs[0], (5, 1, 3)), (pairs[1], (1, 3, 5))):
        for stream in streams:
            pair.answer(stream, body=f"of {stream}".encode())
    carry(Talk(wire, FRONT, seed=1).open(), [(0, pairs[0].said[0])])
    decided = wire.wait()
    carry(Talk(wire, BACK, seed=2).open(), [(0, pairs[1].said[0]), (1, pairs[1].said[1])])
    for tag in range(3):
        wire.events.append(
            request(
                decided - HOP, decided, wire.wait(), FRONT, BACK, request=f"r{tag}", target="/a", version="HTTP/2",
                front_stream=2 * tag + 1, back_stream=1 + 2 * (2, 0, 1).index(tag),
            )
        )  # fmt: skip
    assert tags(wire) == [("0", "0"), ("1", "1"), ("2", "2")]
    answers = [back.response.body for _, back in found(wire) if back.response]
    assert answers == [b"of 3", b"of 5", b"of 1"]


def test_streams_that_nobody_numbered_are_told_by_their_targets_and_equal_ones_only_one_after_the_other() -> None:
    for overlapping in (False, True):
        wire = Wire()
        pair = Pair()
        for stream, target in ((1, "/same"), (3, "/other"), (5, "/same")):
            asked = [(name, target if name == ":path" else value) for name, value in GET]
            pair.ask(stream, [*asked[:-1], ("x-tag", f"{stream} {target}")])
            pair.answer(stream)
        carry(Talk(wire, FRONT, seed=1).open(), [(0, pair.said[0]), (1, pair.said[1])])
        decided = [wire.wait() for _ in range(3)]
        ended = [wire.wait()] * 3 if overlapping else [*decided[1:], wire.wait()]
        for number, target in enumerate(("/same", "/other", "/same")):
            made = request(
                decided[number] - HOP, decided[number], ended[number], FRONT, None, request=f"r{number}", target=target,
                version="HTTP/2",
            )  # fmt: skip
            wire.events.append(made)
        assert [front for front, _ in tags(wire)] == (
            [None, "3 /other", None] if overlapping else ["1 /same", "3 /other", "5 /same"]
        )
