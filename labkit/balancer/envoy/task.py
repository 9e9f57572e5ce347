"""The task in lb that keeps an Envoy: starts it, hands it the files that its owner made, holds what it wrote.

An order is ``{"op", "id", …}``, the answer ``{"kind": "reply", "id", …}``, with ``error`` where Envoy refuses:

===========  ================================  ====================================================================
op           with                              the reply has
===========  ================================  ====================================================================
``apply``    ``steps``: lists of files         nothing; each step is in force before the next one is begun
``state``                                      ``versions`` of what is in force, ``listening``
``log``      ``start``                         ``lines`` of requests from that serial number on, ``start`` of the first,
                                               ``next``: where to go on, ``more``: whether now
``keys``     ``start``: of front and of back   ``front``, ``back``: the same of the key logs, with times
``memory``                                     ``bytes`` that it has to itself
``reset``    ``addresses``                     ``reset``: how many connections to there were reset
===========  ================================  ====================================================================

A file is ``[name, version, text, told by]`` (`discovery.File`). ``log`` asked from 0 or any other number begins with a
fence: what has been answered by then is in it. Lines are kept until a later ``log`` begins after them. When Envoy ends,
those that are left are sent as ``lines`` with the ``start`` of the first, then its end as ``over``.
"""

import contextlib
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from labkit.balancer import memory
from labkit.balancer.envoy import admin, names, pipes, process, sockets
from labkit.errors import EngineError
from labkit.runtime.protocol import Message, TaskLink

FLUSH_MS = 10
KEPT_LINES, KEPT_KEYS = 50_000, 100_000
A_REPLY = 5_000  # lines
PATIENCE = 4.0  # seconds for what takes milliseconds
PAUSE = 0.001
_FENCE = b'{"fence":'


def main(link: TaskLink, binary: str, folder: str, bootstrap: str, files: Sequence[Sequence[str]]) -> None:
    """Serve until stopped or until the owner is gone. *folder* is made for Envoy's files, and removed afterwards."""
    os.mkdir(folder, 0o700)
    try:
        envoy = Envoy(binary, folder, bootstrap, files)
        try:
            _serve(link, envoy)
        finally:
            envoy.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(link: TaskLink, envoy: "Envoy") -> None:
    if envoy.wait_ready():
        link.send({"kind": "ready"})
        waiting = select.poll()
        for fd in (link.fileno(), envoy.pidfd):
            waiting.register(fd, select.POLLIN)
        while envoy.runs:
            waiting.poll()
            for order in link.poll():
                link.send({"kind": "reply", "id": order["id"], **envoy.answer(order)})
    reason = envoy.last_words()
    first, lines = envoy.left()
    for place in range(0, len(lines), A_REPLY):
        link.send({"kind": "lines", "start": first + place, "lines": lines[place : place + A_REPLY]})
    link.send({"kind": "over", "reason": reason})


class Envoy:
    """One Envoy process, its files and its pipes."""

    def __init__(self, binary: str, folder: str, bootstrap: str, files: Sequence[Sequence[str]]) -> None:
        self._folder = folder
        self._texts: dict[str, Sequence[str]] = {}
        for file in files:
            self._write(file)
        path = f"{folder}/bootstrap.json"
        with open(path, "w") as out:
            out.write(bootstrap)
        self._log, self._keys = pipes.Kept(KEPT_LINES), {name: pipes.Kept(KEPT_KEYS) for name in ("front", "back")}
        self._fenced = self._fences = 0
        self._complaints: list[str] = []
        reading: dict[int, Callable[[list[bytes]], None]] = {
            pipes.make(f"{folder}/{names.LOG}"): self._logged,
            pipes.make(f"{folder}/{names.FRONT_KEYS}"): lambda lines: self._keys["front"].add(time.time_ns(), lines),
            pipes.make(f"{folder}/{names.BACK_KEYS}"): lambda lines: self._keys["back"].add(time.time_ns(), lines),
        }
        self._process: subprocess.Popen[bytes] = process.spawn(binary, path, FLUSH_MS)
        self.pidfd = os.pidfd_open(self._process.pid)
        assert self._process.stderr
        reading[self._process.stderr.fileno()] = self._complained
        self._reader = pipes.Reader(reading)
        self._admin = admin.Unix(f"{folder}/{names.ADMIN}")
        self._fence = admin.Unix(f"{folder}/{names.FENCE}")
        self._over = False
        self._refused = ""
        self._operations: dict[str, Callable[..., dict[str, Any]]] = {
            "apply": self._apply,
            "state": lambda: {"versions": admin.versions(self._admin), "listening": admin.listening(self._admin)},
            "log": self._read_log,
            "keys": self._read_keys,
            "memory": lambda: {"bytes": memory.of(self._process.pid)},
            "reset": lambda addresses: {"reset": sockets.reset(self._process.pid, addresses)},
        }

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self) -> bool:
        """Wait until it listens; False if it ended before, or cannot."""
        _, version, _, told_by = self._texts[names.LISTENERS_FILE]
        while self.runs:
            with contextlib.suppress(OSError):
                if self._admin.get("/ready")[0] == 200 and admin.versions(self._admin).get(told_by) == version:
                    self._forget_keys()
                    return True
            if refused := self._refusals(0):
                self._refused = refused[0]
                self._process.kill()
            time.sleep(2 * PAUSE)
        return False

    def answer(self, order: Message) -> dict[str, Any]:
        """Carry out one order."""
        arguments = {name: value for name, value in order.items() if name not in ("op", "id")}
        try:
            return self._operations[order["op"]](**arguments)
        except EngineError as error:
            return {"error": str(error)}
        except OSError as error:
            return {"error": f"its process does not answer ({error})"}

    def stop(self) -> None:
        """End it. Idempotent."""
        if self.runs:
            self._process.kill()  # nothing of it is to be kept
            self._process.wait()
        self._finish()

    def last_words(self) -> str:
        """Why it ended; by then all it wrote has been read."""
        self._finish()
        end = process.end_of(self._process.wait())
        if self._refused:
            return self._refused
        return self._complaints[-1] if self._complaints and not end.startswith("ended by") else end

    def left(self) -> tuple[int, list[bytes]]:
        """What it logged and nobody is known to have taken: the first one's serial number, and the lines."""
        first, lines = self._log.since(0, KEPT_LINES)
        return first, [line for _, line in lines]

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            self._reader.finish()
            os.close(self.pidfd)

    def _logged(self, lines: list[bytes]) -> None:
        marks = [line for line in lines if line.startswith(_FENCE)]
        if marks:
            lines = [line for line in lines if not line.startswith(_FENCE)]
            self._fenced = max(int(mark.rpartition(b"/")[2].rstrip(b'"}')) for mark in marks)
        self._log.add(0, lines)

    def _complained(self, lines: list[bytes]) -> None:
        self._complaints += [line.decode(errors="replace").strip() for line in lines if line.strip()]
        del self._complaints[:-100]

    def _read_log(self, start: int) -> dict[str, Any]:
        self._fences += 1
        number = self._fences
        self._fence.get(f"/{number}")
        if not self._log.wait(lambda: self._fenced >= number, PATIENCE):
            raise EngineError(f"its log did not come within {PATIENCE:g} s")
        self._log.drop(start)
        begin, lines = self._log.since(start, A_REPLY)
        following = begin + len(lines)
        more = following < self._log.total
        return {"start": begin, "lines": [line for _, line in lines], "next": following, "more": more}

    def _read_keys(self, start: dict[str, int]) -> dict[str, Any]:
        time.sleep(2 * FLUSH_MS / 1000)  # key logs have no fence: this is how long a line may be held back
        found: dict[str, Any] = {}
        for leg, kept in self._keys.items():
            begin, lines = kept.since(start[leg], A_REPLY)
            found[leg] = {"lines": [list(line) for line in lines], "next": begin + len(lines)}
        return found

    def _apply(self, steps: Sequence[Sequence[Sequence[str]]]) -> dict[str, Any]:
        before = dict(self._texts)
        try:
            for files in steps:
                self._step([file for file in files if self._texts.get(file[0], ["", ""])[1] != file[1]])
        except EngineError:
            for file in before.values():
                if self._texts[file[0]] != file:
                    self._write(file)
            raise
        return {}

    def _step(self, files: Sequence[Sequence[str]]) -> None:
        said = len(self._complaints)
        for file in sorted(files, key=lambda file: file[0] == names.CLUSTERS_FILE):  # they are looked for by clusters
            self._write(file)
        wanted = {told_by: version for _, version, _, told_by in files}
        deadline = time.monotonic() + PATIENCE
        while wanted and not wanted.items() <= admin.versions(self._admin).items():
            if refused := self._refusals(said):
                raise EngineError(refused[0])
            if time.monotonic() > deadline:
                raise EngineError(f"what was written is not in force after {PATIENCE:g} s")
            time.sleep(PAUSE)
        self._forget_keys()

    def _forget_keys(self) -> None:
        """Listeners that are in force are not read again, and private keys are among them."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._folder}/{names.LISTENERS_FILE}")

    def _refusals(self, said: int) -> list[str]:
        """What it has refused since it had complained *said* times."""
        return [line for line in self._complaints[said:] if "reject" in line]

    def _write(self, file: Sequence[str]) -> None:
        """Put a file in the place of what has its name: Envoy notices that, and never sees half of one."""
        name, _, text, _ = file
        new = os.open(f"{self._folder}/.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # private keys are in some
        with open(new, "w") as out:
            out.write(text)
        os.rename(f"{self._folder}/.new", f"{self._folder}/{name}")
        self._texts[name] = file
