"""Programs run inside a host: call targets that start one, wait for it, look at it and stop it, by key.

Runs in a node's worker. A program gets a session of its own, so that stopping it stops its children too.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from typing import IO, Any

from labkit.traffic.failure import Failure, reported
from labkit.traffic.held import shelf

MOST = 16 * 1024 * 1024  # two of them go into one message
GRACE = 1.0
LAST_WORDS = 0.5
LAST_CHARACTERS = 300


class Drain(threading.Thread):
    """Reads a pipe to its end; keeps the first `MOST` bytes and says so if there were more."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._kept = bytearray()
        self._left_out = 0
        self.start()

    def run(self) -> None:
        with self._pipe:
            while data := os.read(self._pipe.fileno(), 65536):
                room = MOST - len(self._kept)
                self._kept += data[:room]
                self._left_out += len(data[room:])

    @property
    def text(self) -> str:
        text = bytes(self._kept).decode(errors="replace")
        return text + f"\n[{self._left_out} more bytes were left out]\n" if self._left_out else text


class Program:
    """A running program and its output so far."""

    def __init__(self, command: str | list[str]) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                shell=isinstance(command, str),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise Failure("no such program", f"there is no program called {command[0]!r} in this host") from error
        except PermissionError as error:
            raise Failure("not a program", f"{command[0]!r} cannot be run: it is not executable") from error
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._out, self._err = Drain(self._process.stdout), Drain(self._process.stderr)

    def state(self) -> dict[str, Any]:
        """{"stdout", "stderr": str so far, "returncode": int or None while it runs}; negative: minus the signal."""
        return {"stdout": self._out.text, "stderr": self._err.text, "returncode": self._process.poll()}

    def wait(self, timeout: float) -> None:
        """Wait for its end, then briefly for its last output. subprocess.TimeoutExpired."""
        self._process.wait(timeout)
        until = time.monotonic() + LAST_WORDS  # a child left in the background may hold the pipes open
        for drain in (self._out, self._err):
            drain.join(max(until - time.monotonic(), 0))

    def close(self) -> None:
        """SIGTERM to all of it, SIGKILL after `GRACE` seconds."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(GRACE)
                return


@reported
def run(key: str, command: str | list[str], timeout: float) -> dict[str, Any]:
    """Call target: run *command* (text: by /bin/sh) to its end, or stop it after *timeout* seconds."""
    program = Program(command)
    shelf.put(key, program)
    try:
        program.wait(timeout)
    except subprocess.TimeoutExpired:
        program.close()
        printed = (program.state()["stdout"] + program.state()["stderr"])[-LAST_CHARACTERS:].strip()
        last = f"; it last printed: {printed}" if printed else ""
        raise Failure("timed out", f"it did not end within {timeout:g} s and was stopped{last}") from None
    finally:
        shelf.forget(key)
    return program.state()


@reported
def start(key: str, command: str | list[str]) -> dict[str, Any]:
    """Call target: start *command* (text: by /bin/sh) and hold it under *key*."""
    shelf.put(key, Program(command))
    return {}


@reported
def wait(key: str, timeout: float) -> dict[str, Any]:
    """Call target: wait for the end of the program *key*. See `Program.state`; Failure "timed out" if it runs on."""
    program = shelf.get(key, Program)
    try:
        program.wait(timeout)
    except subprocess.TimeoutExpired:
        raise Failure("timed out", f"it still runs after {timeout:g} s") from None
    return program.state()


@reported
def look(key: str) -> dict[str, Any]:
    """Call target: the program *key* as it is now. See `Program.state`."""
    return shelf.get(key, Program).state()


@reported
def stop(key: str) -> dict[str, Any]:
    """Call target: stop the program *key*, if it runs, and return its last state; it stays to be looked at."""
    program = shelf.get(key, Program)
    program.close()
    return program.state()
