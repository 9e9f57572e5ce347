"""A Compose project of a test's own: its own names, images' tag, subnets and port, and nothing of it stays."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.runtime.docker.engine import Engine
from labkit.runtime.docker.subnets import networks, placed
from labkit.topology import default
from tests.compose.command import compose_command

ROOT = Path(__file__).parents[2]
_MINUTES = 20 * 60  # images may have to be built
_SECONDS = 120


class Project:
    """The lab of docker/compose.yaml, started."""

    def __init__(self) -> None:
        self.name = f"labkittest{secrets.token_hex(4)}"
        self.token = secrets.token_hex(16)
        self.port = _free_port()
        self.subnets = _free_subnets()
        self._environment = os.environ | {
            "LABKIT_TAG": self.name,
            "LABKIT_TOKEN": self.token,
            "LABKIT_PORT": str(self.port),
            "LABKIT_FRONT": self.subnets["front"],
            "LABKIT_BACK": self.subnets["back"],
        }

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *arguments: str) -> str:
        command = [*compose_command(), "--project-name", self.name, "--file", str(ROOT / "docker/compose.yaml")]
        return _run([*command, *arguments], _MINUTES, self._environment)

    def container(self, service: str) -> str:
        return self.compose("ps", "--all", "--quiet", service).strip()

    def engine(self, *arguments: str) -> str:
        return _run(["docker", *arguments])

    def restart_alone(self, service: str, seconds: int) -> None:
        """Newer Composes would start its wiring again too."""
        self.engine("restart", "-t", str(seconds), self.container(service))

    def inspect(self, service: str, what: str) -> str:
        return self.engine("inspect", "--format", what, self.container(service))

    def begin(self, service: str, script: Path | str, *arguments: str, user: str = "") -> "subprocess.Popen[str]":
        """Run a Python script in the container of *service*."""
        text = script.read_text() if isinstance(script, Path) else script
        as_user = ["--user", user] if user else []
        command = ["docker", "exec", "--interactive", *as_user, self.container(service), "python", "-", *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, service: str, script: Path | str, *arguments: str, user: str = "") -> str:
        """The same to its end: what it printed."""
        process = self.begin(service, script, *arguments, user=user)
        said, _ = process.communicate(timeout=_SECONDS)
        assert process.returncode == 0
        return said

    def await_health(self, service: str, wanted: str = "healthy") -> None:
        deadline = time.monotonic() + _SECONDS
        while (state := self.inspect(service, "{{.State.Health.Status}}").strip()) != wanted:
            assert time.monotonic() < deadline, f"{service} is {state}:\n{self.compose('logs', service)}"
            time.sleep(0.3)

    def left(self) -> list[str]:
        """Names of what there is of the project on the engine."""
        only = ["--filter", f"label=com.docker.compose.project={self.name}"]
        listed = [
            _run(["docker", "ps", "--all", *only, "--format", "{{.Names}}"]),
            _run(["docker", "network", "ls", *only, "--format", "{{.Name}}"]),
            _run(["docker", "volume", "ls", *only, "--format", "{{.Name}}"]),
        ]
        return sorted("\n".join(listed).split())


@contextmanager
def started() -> Iterator[Project]:
    """A project, its notebook healthy. Whatever of it is there afterwards is an AssertionError."""
    project = Project()
    try:
        project.compose("up", "--detach")
        project.await_health("notebook")
        yield project
    finally:
        project.compose("down", "--timeout", "3")
        left = project.left()
        images = [f"labkit-{target}:{project.name}" for target in ("node", "notebook")]
        subprocess.run(["docker", "rmi", "--no-prune", *images], capture_output=True, timeout=_SECONDS, check=False)
        assert left == []


def _run(command: list[str], seconds: float = _SECONDS, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _free_subnets() -> dict[str, str]:
    """The first three numbers of subnets that are not the default ones, which others may want at any time."""
    engine = Engine()
    try:
        taken = networks([*engine.subnets(), "10.0.0.0/9"])
    finally:
        engine.close()
    there = placed(default(), taken)
    return {link.name: str(link.subnet4.network_address).rpartition(".")[0] for link in there.links}
