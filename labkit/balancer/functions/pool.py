"""The processes that run the functions of one policy: a call takes one, and gives it back if it is still good.

There are `AT_ONCE`, and the oldest that is free is taken: calls that come one after another meet the same process. One
that takes too long is killed, and another is started.
"""

import asyncio
import bisect
from collections.abc import Coroutine, Sequence
from operator import attrgetter
from typing import Any, Literal

from labkit.balancer.functions.failure import Failure
from labkit.balancer.functions.worker import Died, Unloadable, Worker
from labkit.balancer.l7.code import RULE_SECONDS, Code

AT_ONCE = 2
_WAIT_SECONDS = 10.0  # for a process, while others have them all
_WHERE_SECONDS = 0.1  # to say where a call is that takes too long


class Pool:
    """Runs *codes*. An empty one starts nothing."""

    def __init__(self, codes: Sequence[Code] = ()) -> None:
        self.codes = tuple(codes)
        self._numbers = {code: number for number, code in enumerate(self.codes)}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._idle: list[Worker] = []  # the oldest first
        self._busy: set[Worker] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._retired = False

    async def start(self) -> None:
        """Load the functions. Unloadable if that fails; then nothing is left."""
        if self.codes:
            self._idle.append(await Worker.started(self.codes))
            self._refill()

    async def call(self, code: Code, kind: Literal["when", "transform"], given: dict[str, Any]) -> "Any | Failure":
        """What *code* answers to *given* (a request, a message, as plain data), or why it does not."""
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            return Failure("late", f"no process was free for it within {_WAIT_SECONDS:g} s")
        try:
            message = {"call": self._numbers[code], "kind": kind, "given": given}
            try:
                return await self._asked(message)
            except Died:  # perhaps before it was asked: somebody killed it
                return await self._asked(message)
        except Died:
            return Failure("died", "its process ended during the call")
        except Unloadable as error:
            return Failure("died", f"it cannot be loaded again: {error}")
        finally:
            self._turns.release()

    def retire(self) -> None:
        """No request begins with these functions any more; those under way still may call them."""
        self._retired = True
        for worker in self._idle:
            worker.kill()
        self._idle.clear()
        for task in self._starting:
            task.cancel()

    def close(self) -> None:
        """End every process."""
        self.retire()
        for worker in self._busy:
            worker.kill()

    async def _asked(self, message: dict[str, Any]) -> "Any | Failure":
        worker = await self._taken()
        self._busy.add(worker)
        good = False
        try:
            async with asyncio.timeout(RULE_SECONDS):
                answer = await worker.ask(message)
            good = True
        except TimeoutError:
            frames = await worker.where(_WHERE_SECONDS)
            error = f"it took longer than {RULE_SECONDS:g} s, and was ended"
            return Failure("late", error, [{"frames": frames, "only": f"{error}\n", "then": ""}])
        finally:
            self._busy.discard(worker)
            self._give_back(worker, good)
        if failure := answer.get("failure"):
            return Failure("raised", failure["error"], failure["chain"], failure["printed"])
        return answer.get("value")

    async def _taken(self) -> Worker:
        while self._idle:
            worker = self._idle.pop(0)
            if worker.alive:
                return worker
            worker.kill()
        return await Worker.started(self.codes)

    def _give_back(self, worker: Worker, good: bool) -> None:
        if good and not self._retired and len(self._idle) < AT_ONCE:
            bisect.insort(self._idle, worker, key=attrgetter("number"))
        else:
            worker.kill()
            self._refill()

    def _refill(self) -> None:
        """Have another process start in the background, if one is missing."""
        if not self._retired and len(self._idle) + len(self._busy) + len(self._starting) < AT_ONCE:
            self._in_background(self._one_more())

    async def _one_more(self) -> None:
        try:
            worker = await Worker.started(self.codes)
        except Unloadable:
            return  # a call that needs one tries again, and says why
        if self._retired or len(self._idle) >= AT_ONCE:
            worker.kill()
        else:
            bisect.insort(self._idle, worker, key=attrgetter("number"))

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
