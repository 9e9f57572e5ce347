"""The visibility matrix of a real lab, against tables worked out by hand: what stands where, and what was done with it.

Three ways of the same request: plain HTTP through L4, HTTPS through L4 (the balancer has no keys), and HTTPS that ends
in the L7 proxy. And what a rule that somebody adds by hand changes.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import Capture, Lab

pytestmark = pytest.mark.needs("netns")
CLEAR, READ, USED, HIDDEN = "in clear, not read", "read", "read and used", "encrypted"
HEADERS = {"X-Tag": "7", "Cookie": "sid=42"}
SAID = "/api/users?id=7"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


def asked(lab: Lab, url: str, tmp_path: Path, *, http2: bool = False, by_hand: str | None = None) -> Capture:
    """A saved and loaded capture of one request; by_hand: arguments for nft inside lb, before it."""
    if by_hand:
        done = lab.lb.run(f"nft {by_hand}")
        assert done.returncode == 0, done.stderr
    with lab.capture() as cap:
        reply = lab.alice.get(f"{url}{SAID}", headers=HEADERS, http2=http2)
    assert reply.status == 200
    cap.save(tmp_path / "cap.pcapng")
    return Capture.load(tmp_path / "cap.pcapng")


def table(cap: Capture) -> dict[str, tuple[object, ...]]:
    """field -> the values at alice, lb:front, lb:back, the backend; the state; rewritten."""
    frame = cap.visibility(full=True)
    assert list(frame.columns[2:5]) == ["alice", "lb:front", "lb:back"]
    return {str(row[1]): tuple(row[2:]) for row in frame.itertuples(index=False)}


def same(value: object, state: str) -> tuple[object, ...]:
    """A field that stands the same everywhere and is rewritten nowhere."""
    return (*[value] * 4, state, False)


def addresses(lab: Lab, backend: str, port: int) -> dict[str, tuple[object, ...]]:
    """The rows of IP and TCP that everybody can work out, of a connection that NAT passes through."""
    server = lab.nodes[backend].address
    client = lab.alice.address
    return {
        "ip.src": same(client, CLEAR),
        "ip.dst": (lab.vip, lab.vip, server, server, USED, f"{lab.vip} → {server}"),
        "ip.ttl": (64, 64, 63, 63, CLEAR, "64 → 63"),
        "tcp.dport": same(port, USED),
        "tcp.sport": (),
        "tcp.seq": (),
    }


def assert_rows(found: dict[str, tuple[object, ...]], wanted: dict[str, tuple[object, ...]]) -> None:
    """Rows wanted as () have values nobody knows before: they must stand the same everywhere, unread."""
    for name, row in wanted.items():
        expected = row or same(found[name][0], CLEAR)
        assert found[name] == expected, name


HTTP_ROWS = {
    "http.method": "GET", "http.target": SAID, "http.version": "HTTP/1.1", "http.host": "lb", "http.cookie": "sid=42",
    "http.header.x-tag": "7",
}  # fmt: skip


def test_plain_http_through_l4(lab: Lab, tmp_path: Path) -> None:
    lab.balancer.l4(backends=["api1"])
    found = table(asked(lab, "http://lb", tmp_path))
    assert_rows(found, addresses(lab, "api1", 80) | {name: same(value, CLEAR) for name, value in HTTP_ROWS.items()})
    assert not [name for name in found if name.startswith("tls.")]
    assert {name for name, row in found.items() if row[4] == USED} == {"ip.dst", "ip.proto", "tcp.dport"}


def test_https_through_l4(lab: Lab, tmp_path: Path) -> None:
    lab.balancer.l4(backends=["api2"])
    found = table(asked(lab, "https://lb", tmp_path))
    wanted = addresses(lab, "api2", 443) | {name: same("encrypted", HIDDEN) for name in HTTP_ROWS}
    wanted |= {"tls.version": same("TLS 1.3", CLEAR), "tls.sni": same("lb", CLEAR), "tls.alpn": same("http/1.1", CLEAR)}
    assert_rows(found, wanted)
    assert {row[4] for name, row in found.items() if name.startswith("http.")} == {HIDDEN}


@pytest.mark.parametrize("http2", [False, True])
def test_https_that_ends_at_l7(lab: Lab, tmp_path: Path, http2: bool) -> None:
    lab.balancer.l7(tls=True)
    cap = asked(lab, "https://lb", tmp_path, http2=http2)
    found = table(cap)
    server = lab.nodes[str(cap.exchanges()["backend"][0])].address
    back = str(cap.exchanges()["back"][0]).rpartition(":")[0]
    front = (lab.alice.address, lab.alice.address)

    def inside(value: str, state: str, rewritten: str | bool = False) -> tuple[object, ...]:
        return ("encrypted", "encrypted", value, value, state, rewritten)

    def outside(value: str) -> tuple[object, ...]:
        return (value, value, None, None, READ, False)

    wanted = {
        "ip.src": (*front, back, back, READ, False),
        "ip.dst": (lab.vip, lab.vip, server, server, READ, False),
        "tcp.dport": (443, 443, 80, 80, READ, False),
        "tls.version": outside("TLS 1.3"),
        "tls.sni": outside("lb"),
        "tls.alpn": outside("h2" if http2 else "http/1.1"),
        "http.method": inside("GET", READ),
        "http.target": inside(SAID, USED),
        "http.version": inside("HTTP/1.1", READ, "HTTP/2 → HTTP/1.1" if http2 else False),
        "http.host": inside("lb", READ),
        "http.cookie": inside("sid=42", READ),
        "http.header.x-tag": inside("7", READ),
    }
    assert {name: found[name] for name in wanted} == wanted
    sequence = found["tcp.seq"]
    assert sequence[0] == sequence[1] != sequence[2] == sequence[3]
    assert sequence[4:] == (CLEAR, False)
    assert {name for name, row in found.items() if row[4] == USED} == {"http.target"}


def test_https_that_goes_on_encrypted_behind_l7(lab: Lab, tmp_path: Path) -> None:
    """Nothing of HTTP is in clear anywhere, and the balancer has read it all the same."""
    lab.balancer.l7(tls=True, reencrypt=True)
    cap = asked(lab, "https://lb", tmp_path)
    found = table(cap)
    backend = str(cap.exchanges()["backend"][0])
    states = {"http.target": USED} | dict.fromkeys(
        ("http.method", "http.host", "http.cookie", "http.header.x-tag"), READ
    )
    assert {name: found[name] for name in states} == {name: same("encrypted", state) for name, state in states.items()}
    assert found["tls.sni"] == ("lb", "lb", backend, backend, READ, False)
    assert found["tcp.dport"] == (443, 443, 443, 443, READ, False)


@pytest.mark.needs("nft")
@pytest.mark.parametrize("url", ["http://lb", "https://lb"])
def test_a_rule_by_hand_that_loads_another_field_changes_the_table(lab: Lab, tmp_path: Path, url: str) -> None:
    lab.balancer.l4(backends=["api1"])
    before = table(asked(lab, url, tmp_path))
    rule = "add rule inet labkit prerouting tcp sport 1-65535 ip ttl 1-255 counter"
    after = table(asked(lab, url, tmp_path, by_hand=rule))
    changed = {name for name in before if before[name][4] != after[name][4]}
    assert changed == {"tcp.sport", "ip.ttl"}
    assert {(before[name][4], after[name][4]) for name in changed} == {(CLEAR, READ)}


def test_a_websocket_through_l4_and_one_that_ends_at_l7(lab: Lab, tmp_path: Path) -> None:
    rows = {}
    for mode in ("l4", "l7"):
        getattr(lab.balancer, mode)()
        with lab.capture() as cap, lab.alice.websocket("ws://lb/ws/chat") as ws:
            ws.send("hello")
            assert "hello" in str(ws.recv())
        rows[mode] = table(cap)
        assert cap.follow(1).protocol == "WebSocket"
        head = [turn.head[0] for turn in cap.follow(1).turns]
        assert head[0] == "GET /ws/chat HTTP/1.1"
        assert head[1].startswith("HTTP/1.1 101")
        assert "WebSocket text, 5 bytes" in head
    for found in rows.values():
        assert found["http.header.upgrade"][:4] == ("websocket",) * 4
        assert found["websocket.opcode"] == same("text", CLEAR)
        assert found["websocket.payload_length"] == same(5, CLEAR)
    assert (rows["l4"]["http.header.upgrade"][4], rows["l7"]["http.header.upgrade"][4]) == (CLEAR, READ)
