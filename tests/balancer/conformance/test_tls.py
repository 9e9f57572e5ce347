"""TLS that ends at the balancer: names, versions and ciphers, redirects, HSTS, client certificates."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from labkit import ApiKey, ClientCertificate, Edit, Lab, LabError, Route, Tls
from labkit.certificates import Authority
from labkit.traffic.host import Host

from .handshakes import shaken

pytestmark = pytest.mark.needs("netns")

NAMES = Tls(names=["shop.test", "API.test"])
ROUTES = [Route("*", pool="images", host="shop.test"), Route("*", pool="api")]


def outcomes(lab: Lab, *attempts: dict[str, Any]) -> list[dict[str, Any]]:
    """What alice makes of these handshakes."""
    told: list[dict[str, Any]] = lab.alice.call(shaken, lab._authority.trust(), list(attempts))
    return told


def told_user(reply: Any) -> list[str]:
    return [value for name, value in reply.received["headers"] if name.lower() == "x-user"]


def back(cap: Any) -> int:
    """How many packets on the back link open a connection or carry anything; one from before may still be closing."""
    packets = cap.packets(at="lb:back")
    of_tcp = packets[packets["proto"] == "TCP"]
    return int(((of_tcp["flags"] == "S") | (of_tcp["payload_length"] > 0)).sum())


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_a_name_is_reached_by_its_url_and_routed_by_it(lab: Lab, l7: Callable[..., None], http2: bool) -> None:
    l7(routes=ROUTES, tls=NAMES)
    assert lab.alice.get("https://shop.test/", http2=http2).backend in ("images1", "images2")
    reply = lab.bob.get("https://api.test/x?y=1", http2=http2)
    assert reply.backend in ("api1", "api2")
    assert (reply.received["target"], reply.received["tls"]) == ("/x?y=1", None)
    assert lab.alice.get("https://lb/", http2=http2).backend in ("api1", "api2")
    assert lab.api1.get("https://shop.test/", http2=http2).status == 200
    with lab.alice.websocket("wss://shop.test/ws/chat") as chat:
        chat.send("hi")
        assert chat.recv() == "hi"


def test_every_name_has_a_certificate_of_its_own_which_sni_chooses(
    lab: Lab, l7: Callable[..., None], engine: str
) -> None:
    l7(routes=ROUTES, tls=NAMES)
    own = ["lb", "ip6-lb"]
    wanted = {"shop.test": ["shop.test"], "api.test": ["api.test"], "SHOP.test": ["shop.test"], "lb": own, None: own}
    if engine == "envoy":
        del wanted["SHOP.test"]  # it compares letter by letter, and clients send small ones
    told = outcomes(lab, *({"name": name} for name in wanted))
    assert [each["names"] for each in told] == list(wanted.values())
    assert {each["status"] for each in told} == {"200"}
    unknown = outcomes(lab, {"name": "unknown.test"})
    assert unknown == [{"refused": "CERTIFICATE_VERIFY_FAILED"}]  # for the VIP's names, not for that
    l7(routes=ROUTES, tls=True)
    assert outcomes(lab, {"name": "shop.test"}) == unknown


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_a_host_that_the_connections_certificate_is_not_for_is_misdirected(
    lab: Lab, l7: Callable[..., None], http2: bool
) -> None:
    l7(routes=ROUTES, tls=NAMES)
    with lab.capture("lb:front", "lb:back") as cap:
        for url, host in (("shop.test", "api.test"), ("shop.test", "lb"), ("lb", "shop.test"), (lab.vip, "shop.test")):
            reply = lab.alice.get(f"https://{url}/", headers={"host": host}, http2=http2)
            assert (reply.status, reply.backend) == (421, None), (url, host)
    assert back(cap) == 0
    for url, host in (("shop.test", "SHOP.test:443"), ("lb", "other.test"), (lab.vip, lab.vip)):
        assert lab.alice.get(f"https://{url}/", headers={"host": host}, http2=http2).status == 200, (url, host)
    assert lab.alice.get("http://lb/", headers={"host": "shop.test"}).status == 200


def test_what_comes_in_clear_is_sent_to_https_and_reaches_no_backend(lab: Lab, l7: Callable[..., None]) -> None:
    l7(
        routes=[Route("/private", pool="api", auth=ApiKey({"alice": "k-1"})), *ROUTES],
        tls=Tls(names=NAMES.names, redirect=True),
    )
    asked = {
        ("GET", "http://shop.test/a/b?x=1&y=%20"): "https://shop.test/a/b?x=1&y=%20",
        ("POST", "http://lb/form"): "https://lb/form",
        ("HEAD", f"http://{lab.vip}:80/private"): f"https://{lab.vip}/private",
        ("GET", "http://API.test//evil.test/"): "https://api.test//evil.test/",
    }
    with lab.capture("lb:front", "lb:back") as cap:
        for (method, url), location in asked.items():
            reply = lab.alice.request(method, url, body=b"x" * 1000 if method == "POST" else None)
            assert (reply.status, reply.headers["location"], reply.backend) == (308, location, None)
        with pytest.raises(LabError, match="308"):
            lab.alice.websocket("ws://lb/ws/chat")
    assert back(cap) == 0
    told = cap.exchanges()
    assert (list(told["status"]), set(told["rule"].isna()), set(told["backend"].isna())) == ([308] * 5, {True}, {True})
    assert lab.alice.get("https://lb/form").status == 200
    assert "308, see https://shop.test/x" in str(lab.balancer.explain("GET http://shop.test/x"))
    assert lab.balancer.explain("GET https://shop.test/x").pool == "images"


def test_an_absolute_target_says_the_host_itself(lab: Lab, l7: Callable[..., None]) -> None:
    """RFC 9112 §3.2.2; where the Host field beside it says another one, it is refused, or goes no further."""

    def asked(target: str, host: str) -> str:
        with lab.alice.tcp("lb", 80) as connection:
            connection.send(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            received = b""
            while piece := connection.recv():
                received += piece
        return received.decode("latin-1").lower()

    l7(routes=[Route("*", respond=204, host="shop.test"), Route("*", respond=410)], tls=NAMES)
    assert asked("http://shop.test/x", "shop.test").startswith("http/1.1 204 ")
    assert asked("http://lb/x", "lb").startswith("http/1.1 410 ")
    assert asked("http://shop.test/x", "lb").startswith(("http/1.1 400 ", "http/1.1 204 "))
    l7(tls=Tls(redirect=True))
    assert "location: https://shop.test/x?y=1\r\n" in asked("http://shop.test/x?y=1", "shop.test")


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_hsts_is_said_over_tls_alone_and_once(lab: Lab, l7: Callable[..., None], http2: bool) -> None:
    backends_own = Edit(set={"strict-transport-security": "max-age=1"})  # as if the backend had said so
    routes = [
        Route("/own", pool="api", response=backends_own),
        Route("/key", pool="api", auth=ApiKey({"alice": "k-1"})),
        Route("/api/*", pool="api"),
    ]
    l7(routes=routes, tls=Tls(hsts=86400))
    for path, status in (("/api/x", 200), ("/own", 200), ("/key", 401), ("/none", 404)):
        secure = lab.alice.get(f"https://lb{path}", http2=http2)
        assert (secure.status, secure.headers["strict-transport-security"]) == (status, "max-age=86400"), path
        clear = lab.alice.get(f"http://lb{path}")
        assert (clear.status, "strict-transport-security" in clear.headers) == (status, False), path
    l7(routes=routes, tls=True)
    assert lab.alice.get("https://lb/own", http2=http2).headers["strict-transport-security"] == "max-age=1"
    assert "strict-transport-security" not in lab.alice.get("https://lb/api/x", http2=http2).headers


HOW = [{"tls": "1.2"}, {"tls": "1.3"}, {"tls": "1.2", "http2": True}, {"tls": "1.3", "http2": True}]


@pytest.mark.parametrize("how", HOW, ids=["1.2-http1", "1.3-http1", "1.2-http2", "1.3-http2"])
def test_where_certificates_are_optional_a_route_may_ask_for_one(
    lab: Lab, l7: Callable[..., None], how: dict[str, Any]
) -> None:
    routes = [
        Route("/admin/*", pool="api", auth=ClientCertificate(["alice"], user="x-user")),
        Route("/any/*", pool="api", auth=ClientCertificate(user="x-user")),
        Route("*", pool="api"),
    ]
    l7(routes=routes, tls=Tls(clients="optional"))
    alice, bob = lab.alice, lab.bob
    with lab.capture("lb:front", "lb:back") as cap:
        for host, shows in ((alice, False), (bob, False), (bob, True)):
            refused = host.get("https://lb/admin/x", certificate=shows, headers={"x-user": "alice"}, **how)
            assert (refused.status, refused.backend) == (403, None)
            assert ("is for bob, who may not ask here" if shows else "asks for a client certificate") in refused.text
        assert lab.alice.get("http://lb/admin/x").status == 403
    assert back(cap) == 0
    assert told_user(alice.get("https://lb/admin/x", certificate=True, headers={"x-user": "root"}, **how)) == ["alice"]
    assert told_user(bob.get("https://lb/any/x", certificate=True, **how)) == ["bob"]
    assert bob.get("https://lb/any/x", **how).status == 403
    assert bob.get("https://lb/", **how).status == 200


@pytest.mark.parametrize("how", HOW, ids=["1.2-http1", "1.3-http1", "1.2-http2", "1.3-http2"])
def test_where_certificates_are_required_nobody_comes_in_without(
    lab: Lab, l7: Callable[..., None], how: dict[str, Any], engine: str
) -> None:
    l7(routes=[Route("*", pool="api", auth=ClientCertificate(["alice"]))], tls=Tls(clients="required"))
    with lab.capture("lb:front", "lb:back") as cap:
        for body in (None, b"x" * 300_000):
            with pytest.raises(LabError, match=WHY[engine]):
                lab.alice.request("POST", "https://lb/", body=body, **how)
        assert lab.bob.get("https://lb/", certificate=True, **how).status == 403
    assert back(cap) == 0
    assert lab.alice.get("https://lb/", certificate=True, **how).status == 200
    with lab.alice.session() as session:
        locals_ = [session.get("https://lb/", certificate=True, **how).local for _ in range(2)]
        assert locals_[0] == locals_[1]
        with pytest.raises(LabError):
            session.get("https://lb/", **how)  # the connection with the certificate is not used for this
    if "http2" not in how:
        with lab.alice.websocket("wss://lb/ws/chat", certificate=True, tls=how["tls"]) as chat:
            chat.send("hi")
            assert chat.recv() == "hi"
        with pytest.raises(LabError, match=WHY[engine]):
            lab.alice.websocket("wss://lb/ws/chat", tls=how["tls"])


@pytest.mark.parametrize("clients", ["optional", "required"])
def test_certificates_of_another_ca_and_for_servers_are_refused(
    lab: Lab, l7: Callable[..., None], clients: str, engine: str
) -> None:
    l7(routes=[Route("*", pool="api")], tls=Tls(clients=clients))
    stranger, signer = Authority(lab.topology), lab._authority
    shown = [signer.client("alice"), stranger.client("alice"), signer.serving("api1")]
    versions = ("TLSv1_2", "TLSv1_3")
    told = outcomes(lab, *({"certificate": each, "version": version} for version in versions for each in shown))
    alerts = ["TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"]
    for version, each in zip(versions, (told[:3], told[3:]), strict=True):
        assert each[0]["status"] == "200"
        refused = [one["refused"] for one in each[1:]]
        if engine == "mitmproxy" or version == "TLSv1_2":
            assert refused == alerts
        else:  # the client of 1.3 has its handshake behind it when it is refused: see `WHY`
            assert all(
                one in (alert, "BrokenPipeError", "ConnectionResetError")
                for one, alert in zip(refused, alerts, strict=True)
            )


# Envoy closes at once behind its alert, and a client that is still sending may hear of the reset alone.
WHY = {
    "mitmproxy": r"asks for .*certificate.*certificate=True shows",
    "envoy": r"asks for .*certificate.*certificate=True shows|\(reset\)|\(closed\)|ENOTCONN|Broken pipe",
}
OLD = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"


def test_old_versions_and_ciphers_without_forward_secrecy_are_refused_by_the_other_side(
    lab: Lab, l7: Callable[..., None]
) -> None:
    """The words are those of the alerts that come from there: what the client itself would not send, has others."""
    l7(routes=[Route("*", pool="api")], tls=NAMES)
    for version in ("TLSv1", "TLSv1_1"):
        (told,) = outcomes(lab, {"version": version, "ciphers": OLD})
        assert told == {"refused": "TLSV1_ALERT_PROTOCOL_VERSION"}, version
    weak = ["AES128-SHA", "AES256-SHA", "AES128-GCM-SHA256", "DHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA"]
    weak += ["ECDHE-ECDSA-AES256-SHA384", "ECDHE-RSA-AES128-SHA", "ADH-AES128-SHA", "AECDH-AES128-SHA"]
    weak += ["NULL-SHA256", "AECDH-NULL-SHA"]
    told = outcomes(lab, *({"version": "TLSv1_2", "ciphers": f"{each}:@SECLEVEL=0"} for each in weak))
    assert dict(zip(weak, told, strict=True)) == {each: {"refused": "SSLV3_ALERT_HANDSHAKE_FAILURE"} for each in weak}
    good = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"]
    told = outcomes(lab, *({"version": "TLSv1_2", "ciphers": each, "name": "shop.test"} for each in good))
    assert [(each["cipher"], each["version"], each["resumed"]) for each in told] == [
        (each, "TLSv1.2", False) for each in good
    ]
    (told,) = outcomes(lab, {"version": "TLSv1_3"})
    assert (told["version"], told["resumed"]) == ("TLSv1.3", False)


def test_a_certificate_of_another_ca_at_the_vip_is_not_believed(lab: Lab, l7: Callable[..., None]) -> None:
    stranger = Authority(lab.topology)
    lab._authority._made["host forged.test"] = stranger._issuer().sign("forged.test", ["forged.test"], ())
    l7(routes=[Route("*", pool="api")], tls=Tls(names=["forged.test", "real.test"]))
    with pytest.raises(LabError, match=r"^alice: GET https://forged.test/ failed \(bad certificate\)"):
        lab.alice.get("https://forged.test/")
    assert lab.alice.get("https://real.test/").status == 200
    fooled = Host(lab.topology.node("alice"), lambda: lab._node("alice"), stranger.trust)
    assert fooled.get("https://forged.test/").status == 200  # so that is what alice's own trust has spared her
    code = "import urllib.request; urllib.request.urlopen('https://real.test/')"
    done = lab.alice.run([sys.executable, "-c", code])  # with the machine's own trust store, which has heard of no lab
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr


def test_ending_tls_and_passing_it_through_look_different_on_the_wire(lab: Lab, l7: Callable[..., None]) -> None:
    """The same request to the same pool: at L7 in clear behind the balancer, at L4 the same bytes on both links."""
    seen: dict[str, tuple[list[bytes], list[bytes]]] = {}
    for how in ("passed through", "ended"):
        if how == "ended":
            l7(routes=[Route("*", pool="api")], tls=True)
        else:
            lab.balancer.l4(pool="api")
        with lab.capture("lb:front", "lb:back", filter="tcp") as cap:
            reply = lab.alice.get("https://lb/a-secret")
        assert (reply.status, reply.backend in ("api1", "api2")) == (200, True)
        seen[how] = (payloads(cap, "lb:front"), payloads(cap, "lb:back"))
        connections = cap.connections()
        assert len(connections) == (1 if how == "passed through" else 2)
    front, behind = seen["passed through"]
    assert front == behind
    assert not any(b"a-secret" in each for each in (*front, *behind))
    front, behind = seen["ended"]
    assert not any(b"a-secret" in each for each in front)
    assert behind[0].startswith(b"GET /a-secret HTTP/1.1\r\n")
    assert front[0][:1] == b"\x16"  # a handshake record (RFC 8446 §5.1)


def payloads(cap: Any, vantage: str) -> list[bytes]:
    """What TCP carried there, segment by segment."""
    packets = cap.packets(at=vantage)
    packets = packets[packets["payload_length"] > 0]
    return [
        cap.recording.frame(int(number))[-int(length) :]
        for number, length in zip(packets["number"], packets["payload_length"], strict=True)
    ]


def test_a_connection_from_before_certificates_were_required_is_sent_to_a_new_one(
    lab: Lab, l7: Callable[..., None]
) -> None:
    routes = [Route("*", pool="api")]
    l7(routes=routes, tls=True)
    with lab.alice.session() as session:
        assert session.get("https://lb/").status == 200
        l7(routes=routes, tls=Tls(clients="required"))
        assert session.get("https://lb/").status == 421
        l7(routes=routes, tls=True)
        assert session.get("https://lb/").status == 200


def test_the_record_tells_whose_certificate_it_was_and_that_it_was_read(lab: Lab, l7: Callable[..., None]) -> None:
    tls = Tls(names=["shop.test"], clients="optional")
    l7(routes=[Route("/a", pool="api", auth=ClientCertificate(["alice"])), Route("*", pool="api")], tls=tls)
    with lab.capture("lb:front") as cap:
        lab.alice.get("https://shop.test/a", certificate=True)
        lab.alice.get("https://shop.test/b", certificate=True)
        lab.alice.get("https://shop.test/b")
    told = {event["target"]: event for event in cap.recording.of_kind("request") if "certificate" in event["front"]}
    assert {target: event["front"]["certificate"] for target, event in told.items()} == {
        "/a": ["alice"],
        "/b": ["alice"],
    }
    assert "tls.client_certificate" in told["/a"]["read"]
    assert "tls.client_certificate" not in told["/b"]["read"]
    assert all("tls.client_certificate" in event["held"] for event in told.values())
    assert {"http.host", "tls.sni"} <= set(told["/b"]["read"])
