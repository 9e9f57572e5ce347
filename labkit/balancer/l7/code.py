"""Functions of the user's in a policy: how one is carried out of the notebook, and how far it may go. Pure."""

import inspect
from dataclasses import dataclass
from typing import Any

RULE_SECONDS = 1.0  # for one call; whatever takes longer is ended
LOAD_SECONDS = 10.0  # for a process to start and to import what the functions need
HELD_MESSAGE = 1024 * 1024  # bytes of a body, coded or not, that is held for a function that changes it


@dataclass(frozen=True, slots=True)
class Code:
    """A packed function: its name, as it is called in messages, and bytes that a worker can load."""

    name: str
    data: bytes

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, *_: object) -> object:
        raise TypeError(f"{self.name} is packed: a worker has to load it")


def called(function: Any) -> str:
    """What *function* is called in messages."""
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__


def verdict(answer: object) -> bool:
    """What a rule's *answer* means: True, False, a whole number or None. TypeError for anything else."""
    if answer is None or isinstance(answer, int):
        return bool(answer)
    _refuse_coroutine(answer)
    raise TypeError(f"it returned a {_kind(answer)}: a rule answers with True or False")


def content(answer: object) -> bytes | None:
    """The body that a transform's *answer* makes; None for none. TypeError for what is no body."""
    if answer is None or isinstance(answer, bytes):
        return answer
    if isinstance(answer, bytearray | memoryview):
        return bytes(answer)
    if isinstance(answer, str):
        try:
            return answer.encode()
        except UnicodeEncodeError:
            raise TypeError("it returned text with half a character (a lone surrogate) in it") from None
    _refuse_coroutine(answer)
    raise TypeError(f"it returned a {_kind(answer)}: a transform gives bytes, text, or None (unchanged)")


def _kind(answer: object) -> str:
    """The name of its type, with where it comes from: a numpy.bool is no bool."""
    kind = type(answer)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _refuse_coroutine(answer: object) -> None:
    if inspect.iscoroutine(answer):
        answer.close()
        raise TypeError("it is asynchronous, and returned a coroutine: write it with def, not async def")
