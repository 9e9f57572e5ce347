"""Programs and functions run inside a host, as the user holds them. The owner's side."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from labkit.errors import TaskError, TrafficError
from labkit.pickled import pickle
from labkit.runtime.protocol import Node
from labkit.traffic.remote import Line, new_key
from labkit.traffic.spec import check_seconds
from labkit.wording import encodable, shown

Command = str | Sequence[str | PurePath]
TIMEOUT = 60.0
STOPPING = 5.0


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended. returncode: its status; minus the number of the signal that ended it."""

    stdout: str
    stderr: str
    returncode: int


class Process:
    """A program running in the background inside a host. Its output is kept, the first 16 MiB of each stream."""

    def __init__(self, line: Line, command: Command) -> None:
        self._line = line
        self._key = new_key("program")
        self.command = _words(command)
        self._ask("start", self.command, timeout=TIMEOUT, give_up=self._key)

    @property
    def running(self) -> bool:
        return self._ask("look")["returncode"] is None

    @property
    def output(self) -> str:
        """What it has printed so far (standard output; see `errors`)."""
        return str(self._ask("look")["stdout"])

    @property
    def errors(self) -> str:
        """What it has printed so far on standard error."""
        return str(self._ask("look")["stderr"])

    def stop(self) -> Completed:
        """End it and its children (SIGTERM, then SIGKILL); what it printed and how it ended. Idempotent."""
        return Completed(**self._ask("stop"))

    def wait(self, timeout: float = TIMEOUT) -> Completed:
        """Wait for its end. TaskError if it still runs after *timeout* seconds; it runs on."""
        patience = check_seconds("timeout", timeout)
        return Completed(**self._ask("wait", patience, timeout=patience))

    def _ask(self, what: str, *arguments: Any, timeout: float = STOPPING, give_up: str | None = None) -> dict[str, Any]:
        return _ask(self._line, what, self._key, *arguments, command=self.command, timeout=timeout, give_up=give_up)

    def __repr__(self) -> str:
        return f"<{self.command!r} in {self._line.client}>"


def run_program(line: Line, command: Command, timeout: float) -> Completed:
    """Run *command* inside the host of *line*. TaskError if it cannot, or did not end in time (it is stopped)."""
    key = new_key("program")
    words = _words(command)
    return Completed(**_ask(line, "run", key, words, timeout, command=words, timeout=timeout + STOPPING, give_up=key))


def _words(command: Command) -> str | list[str]:
    if isinstance(command, str):
        return _word(command)
    if not isinstance(command, list | tuple) or not command:
        raise TaskError(f"a program to run is text for the shell, or a list of words, not {shown(command)}")
    return [_word(str(part) if isinstance(part, PurePath) else part) for part in command]


def _word(word: object) -> str:
    if not isinstance(word, str):
        raise TaskError(f"the words of a program to run are text or paths, not {shown(word)}: str(...) makes it text")
    if "\0" in word or not encodable(word):
        raise TaskError(f"a program to run is given no NUL and no half characters (lone surrogates): {shown(word)}")
    return word


def _ask(
    line: Line, what: str, *arguments: Any, command: str | list[str], timeout: float, give_up: str | None
) -> dict[str, Any]:
    try:
        return line.ask(f"running {command!r}", f"program:{what}", *arguments, timeout=timeout, give_up=give_up)
    except TrafficError as error:
        raise TaskError(str(error)) from error


def call_function(host: str, node: Node, function: Callable[..., Any], arguments: Sequence[Any], timeout: float) -> Any:
    """Run *function* in a process of its own inside *host*; the plain data it returns.

    TaskError: with the remote traceback if it raised; if it took too long (it is ended); if what it returned is
    not plain data; if it ended its process.
    """
    if not callable(function):
        raise TaskError(f"{host} can call a function, as in call(os.getpid), not {shown(function)}")
    name = getattr(function, "__name__", type(function).__name__)
    task = node.start("labkit.traffic.function_task:main", function=pickle(function, *arguments))
    try:
        answer = task.receive(timeout)
    except TaskError as error:
        raise TaskError(f"{name} in {host} ended without returning: {error}") from error
    except BaseException as error:  # too late, or interrupted
        task.stop(kill=True)
        if isinstance(error, TimeoutError):
            raise TaskError(f"{name} in {host} did not return within {timeout:g} s and was stopped") from None
        raise
    if "error" in answer:
        raise TaskError(f"{name} in {host} failed: {answer['error']}")
    return answer["value"]
