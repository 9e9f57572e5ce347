"""`Fault`: something that is broken for as long as a ``with`` block lasts.

What it does is a list of steps, each with the step that takes it back. Undoing a step that was never done, or was
undone already, does no harm: so whatever fails half-way, and whatever happened to the lab meanwhile, is put back.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from typing import Self

from labkit.errors import FaultError, LabNotRunning
from labkit.uninterrupted import uninterrupted


@dataclass(frozen=True, slots=True)
class Step:
    """*do* breaks something, *undo* mends it; undo may be called at any time, and more than once."""

    do: Callable[[], object]
    undo: Callable[[], object]


class Fault:
    """A fault of the lab, caused by ``with`` and put back at the block's end. It may be caused again afterwards.

    name: which it is, as in ``lab.faults``. explanation: what happens. look_for: what a capture shows of it.
    touches: what it breaks; of two faults that touch the same only one can be in force, or they would undo each other.
    told: called with ("begun" | "ended", this fault) when it is so; may refuse a beginning by raising.
    check: called before anything else; raises what keeps it from having an effect.
    """

    def __init__(
        self,
        name: str,
        words: tuple[str, str],
        touches: Iterable[str],
        steps: Sequence[Step],
        told: Callable[[str, "Fault"], None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.touches = frozenset(touches)
        self.explanation, self.look_for = (f"{text[0].upper()}{text[1:]}" for text in words)
        self._steps = tuple(steps)
        self._told = told
        self._check = check
        self._active = False
        self._abandoned = False  # it was interrupted before it had begun
        self._acting = threading.RLock()  # a beginning that a second interrupt left behind goes on in its thread

    @property
    def active(self) -> bool:
        """Whether it is in force."""
        return self._active

    def __enter__(self) -> Self:
        """Whatever fails, nothing is left of it.

        FaultError if it is in force already or cannot have an effect, LabNotRunning without a lab.
        """
        if self._active:
            raise FaultError(f"{self.name} is in force already: leave its with block first.")
        self._abandoned = False
        try:
            uninterrupted(self._begin)
        except KeyboardInterrupt:  # it came when all was done, or a second one before that
            self._abandoned = True
            uninterrupted(self._end)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Put everything back. A lab that has ended meanwhile has nothing to put back."""
        uninterrupted(self._end)

    def forget(self) -> None:
        """The lab has ended, and there is nothing left to put back."""
        if self._active:
            self._active = False
            self._told("ended", self)

    def _begin(self) -> None:
        with self._acting:
            if self._abandoned:
                return
            self._check()
            self._told("begun", self)
            self._active = True
            try:
                for step in self._steps:
                    step.do()
            except BaseException:
                with suppress(Exception):  # what went wrong first says more
                    self._end()
                raise

    def _end(self) -> None:
        """Undo every step, the last one first, also when one fails; the first failure is raised at the end."""
        failed: list[Exception] = []
        with self._acting:
            if not self._active:
                return
            for step in reversed(self._steps):
                try:
                    step.undo()
                except LabNotRunning:
                    continue
                except Exception as error:
                    failed.append(error)
            self._active = False
            self._told("ended", self)
        if failed:
            raise FaultError(
                f"What {self.name} did could not be put back ({failed[0]}): stop the lab and start it again."
            ) from failed[0]

    def __str__(self) -> str:
        return f"{self.name}: {self.explanation}\nLook for: {self.look_for}"

    def __repr__(self) -> str:
        state = "in force" if self.active else "not in force: use it in a with block"
        return f"<fault {self.name}, {state}>\n{self}"

    def _repr_html_(self) -> str:
        state = "in force" if self.active else "not in force"
        return (
            f"<p><b>{escape(self.name)}</b> ({state})<br>{escape(self.explanation)}<br>"
            f"<i>Look for:</i> {escape(self.look_for)}</p>"
        )
