"""What labkit decrypts is what tshark decrypts, from the saved file alone."""

import ssl
import subprocess
from pathlib import Path

import pytest

from labkit import Capture
from labkit.recording import read_pcapng

from .handshakes import contexts, talk
from .wires import on_wire

pytestmark = pytest.mark.needs("tshark")
SAID = [
    (0, b"GET /a HTTP/1.1\r\nHost: lb\r\nCookie: a=1\r\n\r\n"),
    (1, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer"),
    (0, b"POST /b HTTP/1.1\r\nHost: lb\r\nContent-Length: 3000\r\n\r\n" + b"q" * 3000),
    (1, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
]
CASES = [
    (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES128-GCM-SHA256", "rsa"),
    (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-CHACHA20-POLY1305", "ecdsa"),
    (ssl.TLSVersion.TLSv1_2, "ECDHE-RSA-AES256-SHA384", "rsa"),
    (ssl.TLSVersion.TLSv1_2, "AES256-CCM8", "rsa"),
    (ssl.TLSVersion.TLSv1_2, "DHE-RSA-AES128-SHA", "rsa"),
    (ssl.TLSVersion.TLSv1_3, None, "ecdsa"),
]


def tshark(path: Path, *arguments: str) -> list[str]:
    command = ["tshark", "-n", "-r", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize(("version", "cipher", "kind"), CASES)
def test_both_find_the_same(version: ssl.TLSVersion, cipher: str | None, kind: str, tmp_path: Path) -> None:
    conversation = talk(*contexts(version, cipher, kind), SAID)
    path = tmp_path / "a.pcapng"
    Capture(on_wire(conversation.pieces, keys=conversation.keys).recording()).save(path)
    names = ("http.request.method", "http.request.uri", "http.cookie", "http.content_length", "http.response.code")
    seen = tshark(path, "-Y", "http", "-T", "fields", *(part for name in names for part in ("-e", name)))
    fields = [line.split("\t") for line in seen]
    assert [(line[0] or line[4], line[2], line[3]) for line in fields] == [
        ("GET", "a=1", ""), ("200", "", "6"), ("POST", "", "3000"), ("404", "", "0")
    ]  # fmt: skip
    followed = Capture(read_pcapng(path)).follow(1)
    assert (followed.client, followed.server) == tuple(
        b"".join(text for by, text in SAID if by == side) for side in (0, 1)
    )
    assert followed.why is None
