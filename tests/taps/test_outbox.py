"""A slow owner holds up the outbox, never beyond its limit; a gone owner ends it."""

import queue
import threading

import pytest

from labkit.runtime.protocol import Message
from labkit.taps.outbox import Outbox


class Owner:
    """A link whose owner takes one message each time it is let."""

    node = "alice"

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.turns = threading.Semaphore(0)
        self.gone = False

    def send(self, message: Message) -> None:
        self.turns.acquire()
        if self.gone:
            raise BrokenPipeError
        self.got.append(message)

    def receive(self, timeout: float | None = None) -> Message:
        raise EOFError

    def poll(self) -> list[Message]:
        return []

    def fileno(self) -> int:
        return -1


def test_order_and_limit() -> None:
    owner = Owner()
    outbox = Outbox(owner, 10)
    sent: queue.SimpleQueue[int] = queue.SimpleQueue()

    def fill() -> None:
        for number in range(6):
            outbox.put(bytes([number]) * 5)
            sent.put(number)
        outbox.put({"captured": 6})

    filler = threading.Thread(target=fill)
    filler.start()
    assert [sent.get(timeout=5) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(queue.Empty):
        sent.get(timeout=0.05)  # 15 bytes are on their way: the next must wait
    owner.turns.release()
    assert sent.get(timeout=5) == 3
    for _ in range(10):
        owner.turns.release()
    filler.join(5)
    outbox.close()
    assert owner.got == [*(bytes([number]) * 5 for number in range(6)), {"captured": 6}]


def test_an_owner_that_goes() -> None:
    owner = Owner()
    outbox = Outbox(owner, 10)
    outbox.put(b"x" * 20)
    owner.gone = True
    threading.Timer(0.05, owner.turns.release).start()
    with pytest.raises(BrokenPipeError):
        outbox.put(b"y")
    outbox.close()
