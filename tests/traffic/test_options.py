"""Options that a call does not take: each is named, with what was probably meant and what there is."""

import pytest

from labkit.errors import LabNotRunning, TrafficError
from labkit.topology import default
from labkit.traffic.host import Host
from labkit.traffic.options import REQUEST, UDP, refuse_unknown


def not_running():
    raise LabNotRunning("the lab was not started")


ALICE = Host(default().node("alice"), not_running)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "proxy",
            "get() has no option 'proxy': it is not built yet; it takes headers, cookies, body, timeout, http2, http3,",
        ),
        ("header", "get() has no option 'header' (did you mean 'headers'?); it takes headers, cookies, body, timeout"),
        ("verify", "certificates are always verified, by the lab's own CA"),
        ("cert", "certificate=True shows this host's own, by the lab's CA"),
        ("sni", "the name in the URL is what the certificate is asked for"),
        ("json", "body=json.dumps(...)"),
        ("colour", "no option 'colour'; it takes headers"),
        ("\udc80", r"no option '\udc80'; it takes"),
    ],
)
def test_what_is_said(name, words):
    with pytest.raises(TrafficError) as error:
        refuse_unknown("get", {name: 1}, REQUEST)
    assert words in str(error.value)
    with pytest.raises(TrafficError, match="it takes none"):
        refuse_unknown("udp", {name: 1}, UDP)


def test_what_is_taken_is_not_refused():
    refuse_unknown("get", dict.fromkeys(REQUEST), REQUEST)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda: ALICE.get("http://lb/", http3=True), r"http3=True is for https:// URLs"),
        (lambda: ALICE.websocket("ws://lb/", http3=True), r"websocket\(\) has no option 'http3': it is not built yet"),
        (lambda: ALICE.get("http://lb/", http2=True), r"http2=True is for https:// URLs"),
        (lambda: ALICE.get("https://lb/", http2="yes"), r"trusts no certificate authority|True or False"),
        (
            lambda: ALICE.get("https://lb/", tls="1.1"),
            r"""tls is the version of TLS to speak, "1.2" or "1.3", not '1.1'""",
        ),
        (lambda: ALICE.get("http://lb/", tls="1.2"), r"tls='1.2' is for https:// and wss:// URLs"),
        (lambda: ALICE.get("http://lb/", certificate=True), r"certificate=True is for https:// and wss:// URLs"),
        (lambda: ALICE.get("https://lb/", certificate="alice"), r"certificate is True or False, not 'alice'"),
        (lambda: ALICE.websocket("ws://lb/", certificate=True), r"certificate=True is for https:// and wss:// URLs"),
        (lambda: ALICE.websocket("ws://lb/", tls="1.3"), r"tls='1.3' is for https:// and wss:// URLs"),
        (lambda: ALICE.load("https://lb/"), r"alice: load over https:// is not built yet"),
        (lambda: ALICE.get("http://lb/", method="HEAD"), r"get\(\) has no option 'method'"),
        (lambda: ALICE.post("http://lb/", data="x"), r"post\(\) has no option 'data'"),
        (lambda: ALICE.request("GET", "http://lb/", json={}), r"request\(\) has no option 'json'"),
        (lambda: ALICE.websocket("ws://lb/", cookies={}), r"websocket\(\) has no option 'cookies'"),
        (lambda: ALICE.tcp("lb", 7, tls=True), r"tcp\(\) has no option 'tls': it is not built yet"),
        (lambda: ALICE.udp("lb", 7, timeout=1), r"udp\(\) has no option 'timeout'"),
        (lambda: ALICE.run("true", time_out=1), "did you mean 'timeout'"),
        (lambda: ALICE.call(print, a=1), r"call\(\) has no option 'a'"),
        (lambda: ALICE.load("http://lb/", rps=5), r"load\(\) has no option 'rps'"),
    ],
)
def test_every_call_refuses_before_anything_else(use, words):
    with pytest.raises(TrafficError, match=words):
        use()
