"""A task that runs one Python function of the user's inside a host, and hands back what it returned.

It has a process of its own: whatever the function does, the host's worker goes on, and it can be stopped.
Sends {"value": plain data} or {"error": text}.
"""

import traceback
from collections.abc import Callable
from typing import Any

from labkit.pickled import unpickle
from labkit.runtime.protocol import TaskLink
from labkit.wording import encodable, printable, shown

PLAIN = (type(None), bool, int, float, str, bytes)
DEEPEST = 100


def main(link: TaskLink, function: bytes) -> None:
    """Task target: call the pickled *function* with its pickled arguments."""
    link.send(run(function))


def run(function: bytes) -> dict[str, Any]:
    """The message to send back."""
    try:
        target, arguments = unpickle(function)
        value = _call(target, arguments)
    except Exception as error:  # the user's own code: any exception is an answer
        return {"error": printable("".join(traceback.format_exception(error)).rstrip())}
    foreign = first_foreign(value)
    if foreign is None:
        return {"value": value}
    kinds = "numbers, text, bytes, lists and dictionaries"
    return {"error": f"it returned {printable(foreign)}; only plain data comes back: {kinds}"}


def _call(target: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return target(*arguments)


def first_foreign(value: Any, where: str = "", depth: int = 0) -> str | None:
    """The first thing in *value* that is no plain data, in words; None if all is plain. Tuples count as lists."""
    if type(value) in PLAIN:
        return _unsendable(value)
    if depth == DEEPEST:
        return f"a value with more than {DEEPEST} levels"
    if type(value) in (list, tuple):
        parts = ((part, f"{where}[{index}]") for index, part in enumerate(value))
    elif type(value) is dict:
        odd = next((key for key in value if type(key) is not str), None)
        if odd is not None:
            return f"a dictionary with a key that is no text ({shown(odd)})"
        if not all(map(encodable, value)):
            return "a dictionary with half a character (a lone surrogate) in a key"
        parts = ((part, f"{where}[{key!r}]") for key, part in value.items())
    else:
        kind = type(value)
        return f"a {kind.__module__}.{kind.__qualname__}" + (f" (at {where})" if where else "")
    return next((found for part, place in parts if (found := first_foreign(part, place, depth + 1))), None)


def _unsendable(value: Any) -> str | None:
    """What keeps a plain *value* from travelling, in words."""
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return "a whole number of more than 64 bits (str(...) makes text of it)"
    if isinstance(value, str) and not encodable(value):
        return f"text with half a character (a lone surrogate) in it ({shown(value)})"
    return None
