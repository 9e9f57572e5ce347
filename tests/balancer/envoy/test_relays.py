"""L4 as a TCP proxy, in a real lab: two connections a client's one, and nothing of HTTP or TLS read but a name."""

import json
import os
import signal
import socket
import ssl
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from labkit import Capture, Lab, Listener, compare, expect
from labkit.balancer import relaying
from labkit.balancer.envoy import names, relays
from labkit.balancer.plan import plan_l4
from labkit.balancer.relays import relayed
from labkit.errors import EngineError, TrafficError
from labkit.topology import default
from labkit.views import side_by_side
from tests.balancer.operated import all_in, echo, until

pytestmark = pytest.mark.needs("netns")
HTTP = Listener(80, "http", "http")


@pytest.fixture(scope="module")
def booted() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def lab(booted: Lab) -> Iterator[Lab]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        all_in(booted)
        booted.balancer.l4(style="proxy")
    return booted


@pytest.fixture(scope="module")
def seen(booted: Lab, tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """One request over the proxy, from a file."""
    booted.balancer.l4(style="proxy")
    with booted.capture() as cap:
        booted.alice.get("http://lb/api/users", cookies={"user": "a"})
    path = tmp_path_factory.mktemp("relayed") / "one.pcapng"
    cap.save(path)
    return Capture.load(path)


def test_a_cluster_is_named_by_all_that_it_is_made_of() -> None:
    ports = names.ports([HTTP], [HTTP], names.FIRST_RELAY_PORT)
    made = {}
    for how in ({}, {"algorithm": "maglev"}, {"proxy_protocol": 2}, {"backends": ["api1"]}, {"weights": {"api1": 9}}):
        forwards = plan_l4(default(), style="proxy", **how).forwards[:1]
        (way,) = relays.ways(forwards, ["10.0.1.10"])
        (cluster,) = relays.clusters([way], "/x")
        made.setdefault(way.cluster, []).append(cluster)
        (listener,) = relays.listeners(forwards, ["10.0.1.10"], ports, "/x")
        assert listener["address"]["socket_address"] == {"address": "10.0.1.10", "port_value": 16080}
        assert listener["default_filter_chain"]["filters"][-1]["typed_config"]["cluster"] == way.cluster
    assert len(made) == 3
    assert all(each == alike[0] for alike in made.values() for each in alike)


def test_the_request_takes_two_connections_that_are_paired(seen: Capture) -> None:
    front, back = seen.connections().to_dict("records")
    assert (front["paired_with"], back["paired_with"]) == ((back["connection"],), (front["connection"],))
    assert (front["seen_at"], back["seen_at"][0]) == (("alice", "lb:front"), "lb:back")
    assert (front["server"], back["client"]) == ("10.0.1.10", "10.0.2.10")
    assert seen.finding == "L4 as a TCP proxy: 1 request, 1 client connection, 1 back connection"
    backend = str(back["seen_at"][1])
    expect(seen).two_connections("alice", backend).never_seen("http.target", by="l4")


def test_two_connections_and_still_nothing_of_http_is_read(seen: Capture) -> None:
    assert seen.exchanges().empty
    (decision,) = seen.decisions().to_dict("records")
    assert (decision["mode"], decision["rule"], decision["read"]) == ("l4", "http", ("ip.dst", "tcp.dport"))
    assert seen.packets().set_index("number")["flags"][decision["packet"]] == "A", (
        "after the handshake, before a request"
    )
    rows = seen.visibility(full=True).set_index("field")
    http = rows[rows.layer == "HTTP"]
    assert {"http.target", "http.host", "http.cookie"} <= set(http.index)
    assert set(http.state) == {"in clear, not read"}
    assert (http["lb:front"] == http["lb:back"]).all(), "it lay there in clear on both connections"
    assert not http.rewritten.any()
    assert rows.state["tcp.dport"] == "read and used"


def test_pictures_show_two_connections_that_end_in_lb(seen: Capture) -> None:
    edges = {(a, b): (data["mode"], data["via"]) for a, b, data in seen.graph().edges(data=True)}
    backend = next(b for a, b in edges if a == "lb")
    assert edges == {("alice", "lb"): ("l4", None), ("lb", backend): ("l4", None)}
    ladder = str(seen.ladder())
    assert ladder.startswith("L4: one connection ends in lb, another begins there; decided on packet")
    assert str(seen.ladder(connection=2)) == ladder
    for picture in (seen.ladder(), seen.diagram()):
        assert "L4 · passes it on unread" in picture._repr_mimebundle_()["image/svg+xml"]


def test_compare_sets_it_beside_l7(lab: Lab) -> None:
    found = compare(lab, lambda lab: lab.alice.get("http://lb/api/users"), l4={"style": "proxy"})
    table = found.connections().set_index("measure")
    assert list(table.loc["TCP connections in all"]) == [2, 2]
    assert list(table.loc["requests seen"]) == [1, 1]
    states = found.visibility().set_index("field")
    assert list(states.loc["http.target", ["l4", "l7"]]) == ["in clear, not read", "read and used"]
    told = str(side_by_side(found.l4, found.l7))
    assert "L4: 2 TCP connections for one request" in told
    assert lab.balancer.relayed, "the mode before is restored"


def test_rules_connections_and_the_summary_show_both_parts(lab: Lab) -> None:
    with lab.alice.tcp("lb", 7) as connection:
        backend = echo(connection)
        rows = lab.balancer.connections()
        mine = rows[(rows.state == "ESTABLISHED") & (rows.proto == "TCP")]
        assert sorted(zip(mine.leg, mine.backend.fillna(""), strict=True)) == [("back", backend), ("front", "")]
        assert lab.balancer.decisions().backend.iloc[-1] == backend, "while the connection is open"
    rules = lab.balancer.rules
    assert "tcp-echo  round robin  api1 10.0.2.11:7, " in rules
    assert "tcp dport 7 dnat ip to 10.0.1.10:16007" in rules
    assert "udp_echo_7_api1" in rules, "UDP is passed on by the kernel"
    assert "proxy: TCP connections end here unread" in repr(lab.balancer)


@pytest.mark.parametrize("algorithm", ["source_hash", "maglev"])
def test_hashes_choose_by_the_client_or_by_the_flow(lab: Lab, algorithm: str) -> None:
    lab.balancer.l4(algorithm, style="proxy")
    backends = {lab.alice.get("http://lb/").backend for _ in range(16)}
    assert (len(backends) == 1) == (algorithm == "source_hash")
    assert "ip.src" in lab.balancer.decisions().iloc[-1].read


def test_weights_are_shares(lab: Lab) -> None:
    lab.balancer.l4("random", style="proxy", backends=["api1", "api2"], weights={"api1": 20})
    counts = Counter(lab.alice.get("http://lb/").backend for _ in range(30))
    assert counts["api1"] > counts["api2"]
    assert set(counts) <= {"api1", "api2"}


def tls_to(vip: str, asked: Sequence[str | None]) -> list[str]:
    """Runs in a client: who answers over TLS, for each name asked for."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    found = []
    for name in asked:
        with (
            socket.create_connection((vip, 443), timeout=5) as raw,
            context.wrap_socket(raw, server_hostname=name) as secure,
        ):
            secure.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda secure=secure: secure.recv(65536), b""))
            found.append(str(json.loads(answer.partition(b"\r\n\r\n")[2])["backend"]))
    return found


def test_the_name_in_tls_chooses_and_nothing_is_decrypted(lab: Lab) -> None:
    lab.balancer.l4(style="proxy", backends=["api2"], sni={"shop.test": "images", "*.img.test": "images"})
    with lab.capture() as cap:
        answered = lab.alice.call(tls_to, lab.vip, ["shop.test", "A.img.test", "img.test", None])
    assert [name.rstrip("12") for name in answered] == ["images", "images", "api", "api"]
    decisions = cap.decisions()
    assert decisions.rule.tolist() == ["https sni shop.test", "https sni *.img.test", "https", "https"]
    assert {"tls.sni"} <= set(decisions.read.iloc[0])
    assert cap.packets().set_index("number").payload_length[decisions.packet].gt(0).all(), "after the ClientHello"
    states = cap.visibility(full=True).set_index("field").state
    assert (states["tls.sni"], states["http.host"]) == ("read and used", "encrypted")
    assert lab.alice.get("http://lb/").backend == "api2", "no name is looked for where no TLS is spoken"


@pytest.mark.parametrize("version", [1, 2])
def test_backends_are_told_of_the_client_and_must_understand_it(lab: Lab, version: int) -> None:
    lab.balancer.l4(style="proxy", proxy_protocol=version)
    with lab.capture("lb:back") as cap, lab.alice.tcp("lb", 7) as connection:
        port = connection.local[1]
        connection.send(b"hello\n")
        connection.readline()
    packets = cap.packets()
    sent = packets[(packets.dport == 7) & (packets.payload_length > 0)].number.iloc[0]
    payload = bytes(cap.packet(int(sent))["TCP"].payload)
    if version == 1:
        assert payload.startswith(f"PROXY TCP4 {lab.alice.address} {lab.vip} {port} 7\r\n".encode())
    else:
        assert payload[:16].hex() == "0d0a0d0a000d0a515549540a" + "21" + "11" + "000c"
        assert payload[16:20] == socket.inet_aton(lab.alice.address)
        assert payload[24:28] == port.to_bytes(2) + (7).to_bytes(2)
    try:  # to a server that does not, it is a broken request
        told = str(lab.alice.get("http://lb/").status)
    except TrafficError as error:
        told = str(error)  # its reset may overtake its 400
    assert "400" in told or "(reset)" in told


def test_ipv6_is_relayed_over_ipv6_and_udp_is_not_relayed(lab: Lab) -> None:
    reply = lab.alice.get(f"http://[{lab.topology.vip6}]/")
    assert ":" in str(reply.received["peer"][0])
    with lab.alice.udp("lb", 7) as datagrams:
        datagrams.send(b"hello")
        assert f'"peer": ["{lab.alice.address}"' in datagrams.recv(2000).decode()
    unread, passed = lab.balancer.decisions().tail(2).to_dict("records")
    assert (unread["read"], passed["rule"]) == (("ip6.dst", "tcp.dport"), "udp-echo")


def test_one_side_may_end_before_the_other(lab: Lab) -> None:
    assert lab.alice.call(asks_and_ends, lab.vip).count(b'"data": "last') == 1


def asks_and_ends(vip: str) -> bytes:
    """Runs in a client: says that nothing follows, then reads the answer."""
    with socket.create_connection((vip, 7), timeout=5) as connection:
        connection.sendall(b"last\n")
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_a_backend_that_cannot_be_reached_is_on_record(lab: Lab) -> None:
    lab.balancer.l4(style="proxy", backends=["images2"])
    lab.balancer.health.off()
    lab.images2.kill()
    try:
        with lab.capture() as cap, pytest.raises(TrafficError):
            lab.alice.get("http://lb/")
        (event,) = cap.recording.of_kind("relay")
        assert (event["backend"], event["back"]) == ("images2", None)
        assert event["error"].startswith("the backend could not be reached")
        assert cap.decisions().backend.tolist() == ["images2"]
    finally:
        lab.images2.restore()


def test_what_the_kernel_refuses_leaves_the_proxy_as_it_was(lab: Lab) -> None:
    live = lab.balancer._live
    assert live
    before = live.relayer.relays()[0]
    others = plan_l4(lab.topology, style="proxy", algorithm="maglev", pool="api").forwards
    refused = EngineError("refused")
    with pytest.raises(EngineError, match="refused"), relaying.carried_out(live, others):
        raise refused
    assert live.relayer.relays()[0] == before
    with relaying.carried_out(live, others):
        pass
    assert live.relayer.relays()[0][: len(relayed(others))] == relayed(others)


def test_drain_and_remove_work_as_for_what_passes(lab: Lab) -> None:
    lab.balancer.l4(style="proxy", backends=["api1", "api2"])
    with lab.alice.tcp("lb", 7) as connection:
        backend = echo(connection)
        other = {"api1": "api2", "api2": "api1"}[backend]
        drain = lab.balancer.drain(backend)
        assert drain.left == 1
        assert {lab.alice.get("http://lb/").backend for _ in range(6)} == {other}
        assert echo(connection) == backend, "who is there stays"
        with lab.capture(f"{backend}") as cap:
            assert lab.balancer.remove(backend) == 1
            assert connection.recv(1) == b""
    assert "RA" in set(cap.packets()["flags"])
    lab.balancer.remove(other)
    with pytest.raises(TrafficError, match="refused"):
        lab.alice.get("http://lb/")


def test_connections_stay_with_the_style_they_began_in(lab: Lab) -> None:
    with lab.alice.tcp("lb", 7) as ended:
        backend = echo(ended)
        for how in ({"algorithm": "maglev"}, {"proxy_protocol": 1}, {"sni": {"a.test": "api"}}, {}):
            lab.balancer.l4(style="proxy", **how)
        lab.balancer.l4()
        with lab.alice.tcp("lb", 7) as passed:
            through = echo(passed)
            lab.balancer.l4(style="proxy")
            assert echo(passed) == through
        lab.balancer.l7()
        assert (lab.balancer.mode, [one.label for one in lab.balancer.relayed]) == ("l7", ["https", "tcp-echo"])
        assert echo(ended) == backend


def test_switching_under_traffic_fails_no_request(lab: Lab) -> None:
    load = lab.alice.load("http://lb/", connections=4, seconds=30, background=True, new_connections=True)
    try:
        for _ in range(3):
            lab.balancer.l4()
            lab.balancer.l4(style="proxy")
            lab.balancer.l7(engine="envoy")
            lab.balancer.l4(style="proxy")
    finally:
        report = load.stop()
    assert report.requests > 50
    assert report.failed == 0


def end_envoy() -> None:
    """Runs in lb."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "exe").endswith("/envoy"):
                os.kill(int(process.name), signal.SIGKILL)
        except OSError:
            continue


def test_its_death_is_told_with_what_starts_it_again(lab: Lab) -> None:
    lab.lb.call(end_envoy)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        until(lambda: bool(lab.balancer.mode and said))
    assert 'L4\'s TCP proxy envoy died (ended by SIGKILL): call lab.balancer.l4(style="proxy")' in str(said[0].message)
    with pytest.raises(TrafficError, match="refused"):
        lab.alice.get("http://lb/")
    lab.balancer.l4(style="proxy")
    assert lab.alice.get("http://lb/").backend
    assert "attention" not in repr(lab.balancer)
