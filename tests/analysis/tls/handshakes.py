"""Real TLS connections by OpenSSL, in memory or on loopback: both streams as they went over the wire, and the keys."""

import datetime
import functools
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dh, ec, rsa

# RFC 7919 A.1
FFDHE2048 = int(
    "FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695A9E13641146433FBCC939DCE249B3EF97D2FE363630C75D8"
    "F681B202AEC4617AD3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935984F0C70E0E68B77E2A689DAF3EFE872"
    "1DF158A136ADE73530ACCA4F483A797ABC0AB182B324FB61D108A94BB2C8E3FBB96ADAB760D7F4681D4F42A3DE394DF4AE56EDE76372BB19"
    "0B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F619172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005"
    "C58EF1837D1683B2C6F34A26C1B2EFFA886B423861285C97FFFFFFFFFFFFFFFF", 16,
)  # fmt: skip


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []


@dataclass
class Conversation:
    """client, server: what each side put on the wire, in pieces. keys: the lines of the key log."""

    pieces: list[tuple[int, bytes]] = field(default_factory=list)  # 0: by the client, 1: by the server
    keys: list[str] = field(default_factory=list)
    cipher: str = ""
    version: str = ""

    @property
    def client(self) -> bytes:
        return b"".join(piece for by, piece in self.pieces if by == 0)

    @property
    def server(self) -> bytes:
        return b"".join(piece for by, piece in self.pieces if by == 1)


@functools.cache
def certificate(kind: str) -> Path:
    """A folder with cert.pem (key and certificate, "rsa" or "ecdsa") and dh.pem."""
    kept = tempfile.TemporaryDirectory(prefix="tls-tests-")  # until the tests end
    _FOLDERS.append(kept)
    folder = Path(kept.name)
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lb.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "cert.pem").write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    parameters = dh.DHParameterNumbers(FFDHE2048, 2).parameters()
    (folder / "dh.pem").write_bytes(
        parameters.parameter_bytes(serialization.Encoding.PEM, serialization.ParameterFormat.PKCS3)
    )
    return folder


def contexts(
    version: ssl.TLSVersion, ciphers: str | None = None, kind: str = "rsa", alpn: Sequence[str] = ()
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The client's and the server's."""
    both = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    both[0].check_hostname, both[0].verify_mode = False, ssl.CERT_NONE
    for context in both:
        context.set_ciphers(f"{ciphers or 'ALL'}:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
        if alpn:
            context.set_alpn_protocols(list(alpn))
    folder = certificate(kind)
    both[1].load_cert_chain(folder / "cert.pem")
    both[1].load_dh_params(folder / "dh.pem")
    return both


def talk(
    client: ssl.SSLContext, server: ssl.SSLContext, said: Sequence[tuple[int, bytes]],
    session: ssl.SSLSession | None = None, keep: Callable[[ssl.SSLSession], None] | None = None,
) -> Conversation:  # fmt: skip
    """A handshake and what both sides say after it, in memory. said: (0 for the client or 1, plain text)."""
    conversation = Conversation()
    with tempfile.NamedTemporaryFile("r", prefix="tls-tests-") as log:
        client.keylog_filename = log.name
        bios = [(ssl.MemoryBIO(), ssl.MemoryBIO()) for _ in range(2)]
        ends = [
            client.wrap_bio(*bios[0], server_hostname="lb.test", session=session),
            server.wrap_bio(*bios[1], server_side=True),
        ]

        def step(by: int) -> bool:
            try:
                ends[by].do_handshake()
                return True
            except ssl.SSLWantReadError:
                return False
            finally:
                carry(by)

        def carry(by: int) -> None:
            if piece := bios[by][1].read():
                conversation.pieces.append((by, piece))
                bios[1 - by][0].write(piece)

        done = [False, False]
        while not all(done):
            done = [step(by) for by in (0, 1)]
        for by, text in said:
            ends[by].write(text)
            carry(by)
            got = b""
            while len(got) < len(text):
                got += ends[1 - by].read(len(text))
            assert got == text
        if keep and ends[0].session:
            keep(ends[0].session)
        for by in (0, 1):
            try:
                ends[by].unwrap()
            except ssl.SSLWantReadError:
                carry(by)
        cipher = ends[0].cipher()
        assert cipher
        conversation.cipher, conversation.version = cipher[0], ends[0].version() or ""
        conversation.keys = Path(log.name).read_text().splitlines()
        client.keylog_filename = None
    return conversation


class Programs:
    """openssl s_server, and openssl s_client after s_client through a relay on loopback that keeps what passes."""

    def __init__(self, *options: str) -> None:
        self._to = _free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="tls-tests-")
        accept = ["openssl", "s_server", "-accept", f"127.0.0.1:{self._to}", "-cert", certificate("rsa") / "cert.pem"]
        self._server = _started([*accept, "-quiet", *options], stderr=subprocess.DEVNULL)

    def __enter__(self) -> "Programs":
        return self

    def __exit__(self, *_: object) -> None:
        _stopped(self._server)
        self._folder.cleanup()

    def talk(self, said: Sequence[tuple[bytes, bytes]], *options: str, until: Path | None = None) -> Conversation:
        """said: what the client is given on its standard input, and the line that must then come out of the server.

        A line that the server never sees (K and k: update the keys) is waited for in the client's own words.
        until: a file that the client writes, waited for before the client is told to end.
        """
        conversation = Conversation()
        log = Path(self._folder.name, "keys.log")
        log.unlink(missing_ok=True)
        relay = _Relay(self._to, conversation)
        connect = ["openssl", "s_client", "-connect", f"127.0.0.1:{relay.port}", "-keylogfile", str(log)]
        client = _started([*connect, *options], stderr=subprocess.PIPE)
        watchdog = threading.Timer(30, lambda: (client.kill(), self._server.kill()))
        watchdog.start()
        try:
            for line, wanted in said:
                client.stdin.write(line)
                client.stdin.flush()
                if wanted:
                    assert self._server.stdout.readline() == wanted
                else:
                    while (heard := client.stderr.readline()) != b"KEYUPDATE\n":
                        assert heard, "the client ended"
            while until and not (until.exists() and until.stat().st_size):
                assert client.poll() is None, "the client ended"
                time.sleep(0.01)
            client.stdin.close()
            client.wait(10)
            relay.close()
        finally:
            watchdog.cancel()
            _stopped(client)
            relay.close()
        conversation.keys = log.read_text().splitlines()
        return conversation


def _started(command: Sequence[str | Path], stderr: int) -> Any:
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)


def _stopped(process: Any) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Relay:
    """Passes one connection on to *port* and keeps both directions."""

    def __init__(self, port: int, conversation: Conversation) -> None:
        self._to, self._conversation = port, conversation
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            front, _ = self._listening.accept()
        except OSError:
            return  # closed before anybody came
        back = self._connect()
        with front, back:
            other = threading.Thread(target=self._pass, args=(1, back, front), daemon=True)
            other.start()
            self._pass(0, front, back)
            other.join(10)

    def _connect(self) -> socket.socket:
        for _ in range(200):
            try:
                return socket.create_connection(("127.0.0.1", self._to))
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise ConnectionRefusedError("openssl s_server did not begin to listen")

    def _pass(self, by: int, source: socket.socket, target: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                self._conversation.pieces.append((by, piece))
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        self._thread.join(10)
        self._listening.close()
