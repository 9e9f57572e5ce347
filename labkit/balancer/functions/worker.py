"""One process of functions, as the proxy sees it: started, asked, killed. Never blocks the event loop."""

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from labkit.balancer.functions.wire import LENGTH, MOST, packed, unpacked
from labkit.balancer.l7.code import LOAD_SECONDS, Code

_CHILD = "labkit.balancer.functions.child"
_REAP_SECONDS = 0.1  # after which a killed process is gone, and waited for
_numbers = itertools.count(1)


class Died(Exception):
    """The process is over."""


class Unloadable(Exception):
    """The functions cannot be loaded; says why."""


class Worker:
    """A running process that has loaded its functions. number: which one it is; lower ones are older."""

    def __init__(self, process: "subprocess.Popen[bytes]", stream: tuple[asyncio.StreamReader, asyncio.StreamWriter]):
        self.number = next(_numbers)
        self._process = process
        self._reader, self._writer = stream

    @classmethod
    async def started(cls, codes: Sequence[Code]) -> "Worker":
        """A process that has loaded *codes*. Unloadable if it cannot."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            stream = await asyncio.open_unix_connection(sock=ours)
            try:
                worker = cls(_spawn(theirs.fileno()), stream)
            except OSError as error:
                stream[1].close()
                raise Unloadable(f"no process can be started ({error})") from error
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                answer = await worker.ask({"load": [code.data for code in codes]})
        except TimeoutError:
            worker.kill()
            raise Unloadable(f"loading them took longer than {LOAD_SECONDS:g} s") from None
        except Died:
            raise Unloadable("their process ended while it loaded them") from None
        except BaseException:
            worker.kill()
            raise
        if failure := answer.get("failure"):
            worker.kill()
            raise Unloadable(str(failure["error"]))
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be asked, as far as is known."""
        return not self._reader.at_eof() and self._process.poll() is None

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Its answer to *message*. Died if there is none; whoever is interrupted here has to kill it."""
        try:
            self._writer.write(packed(message))
            await self._writer.drain()
            return await self._read()
        except (OSError, EOFError, ValueError) as error:
            self.kill()
            raise Died from error

    async def where(self, seconds: float) -> list[Any]:
        """The frames of the call under way, if they are told within *seconds*; []: it does not say."""
        with contextlib.suppress(OSError, EOFError, ValueError, TimeoutError):
            self._process.send_signal(signal.SIGUSR1)
            async with asyncio.timeout(seconds):
                found = (await self._read()).get("where", [])
                return list(found)
        return []

    def kill(self) -> None:
        """End the process, and whatever it has started, at once. Idempotent."""
        self._writer.close()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            asyncio.get_running_loop().call_later(_REAP_SECONDS, self._process.poll)

    async def _read(self) -> dict[str, Any]:
        (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
        if length > MOST:
            raise ValueError(f"a message of {length} bytes")
        message = unpacked(await self._reader.readexactly(length))
        if not isinstance(message, dict):
            raise ValueError("no message of a process of functions")
        return message


def _spawn(fd: int) -> "subprocess.Popen[bytes]":
    """A process that has nothing of this one but the socket *fd*."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", _CHILD, str(fd), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[fd],
        start_new_session=True,  # what a function starts is killed with it
        env=os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
    )
