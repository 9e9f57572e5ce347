"""What went wrong in a function of the user's: told where it ran, as plain data, and written out in the notebook.

The lines of source are looked up in the notebook, which alone knows the cells.
"""

import os
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from labkit.wording import inert, short

Kind = Literal["raised", "late", "died"]
_OWN = str(Path(__file__).resolve().parents[2]) + os.sep  # labkit's own files
_MOST_FRAMES = 100
_MOST_CHAIN = 5
_MOST_TEXT = 4000  # characters of what an exception says
_CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a function gave no answer. error: the exception's last line; chain: the exceptions, the first one first, as
    `told` writes them; printed: what the function printed."""

    kind: Kind
    error: str
    chain: Sequence[Mapping[str, Any]] = field(default_factory=list)
    printed: str = ""


def told(error: BaseException, printed: str) -> dict[str, Any]:
    """*error* as plain data, without our own frames."""
    found = traceback.TracebackException.from_exception(error, limit=-_MOST_FRAMES, lookup_lines=False)
    chain: list[dict[str, Any]] = []
    each: traceback.TracebackException | None = found
    between = ""
    while each is not None and len(chain) < _MOST_CHAIN:
        only = "".join(each.format_exception_only())[:_MOST_TEXT]
        chain.insert(0, {"frames": _plain(each.stack), "only": _text(only), "then": between})
        if each.__cause__ is not None:
            each, between = each.__cause__, _CAUSE
        else:
            each, between = (None if each.__suppress_context__ else each.__context__), _CONTEXT
    last = "".join(found.format_exception_only()).strip().splitlines()
    return {
        "error": _text(short(last[-1] if last else type(error).__name__)),
        "chain": chain,
        "printed": _text(printed),
    }


def frames_of(stack: Iterable[tuple[FrameType, int]]) -> list[list[Any]]:
    """The frames of a call that goes on, the outermost first, from the user's function on, as plain data."""
    inner: list[tuple[FrameType, int]] = []
    for frame, line in stack:
        if frame.f_code.co_filename.startswith(_OWN):
            break
        inner.append((frame, line))
    found = traceback.StackSummary.extract(iter(inner[::-1]), limit=-_MOST_FRAMES, lookup_lines=False)
    return _plain(found)


def traceback_text(chain: Sequence[Mapping[str, Any]]) -> str:
    """The whole as Python writes it, with the lines of source that are known here."""
    parts = []
    for each in chain:
        stack = traceback.StackSummary.from_list([_frame(frame) for frame in each["frames"]])
        head = "Traceback (most recent call last):\n" if stack else ""
        parts.append(f"{head}{''.join(stack.format())}{each['only']}{each['then']}")
    return "".join(parts).rstrip("\n")


def innermost(chain: Sequence[Mapping[str, Any]]) -> tuple[int | None, str]:
    """Number and text of the line where the last exception was raised: of the user's own code, as far as that is
    known from where it is defined; None and "" where there is none."""
    if not chain or not chain[-1]["frames"]:
        return None, ""
    frames = chain[-1]["frames"]
    own = [frame for frame in frames if frame[0] == frames[0][0]]
    last = _frame(own[-1])
    return last.lineno, (last.line or "").strip()


def _plain(stack: traceback.StackSummary) -> list[list[Any]]:
    return [
        [_text(one.filename), one.lineno, _text(one.name), one.end_lineno, one.colno, one.end_colno]
        for one in stack
        if not one.filename.startswith(_OWN)
    ]


def _frame(plain: Sequence[Any]) -> traceback.FrameSummary:
    filename, line, name, end_line, column, end_column = plain
    return traceback.FrameSummary(
        filename, line, name, lookup_line=False, end_lineno=end_line, colno=column, end_colno=end_column
    )


def _text(text: str) -> str:
    """*text* as it can be sent and shown."""
    return "\n".join(inert(line) for line in text.encode("utf-8", "backslashreplace").decode().split("\n"))
