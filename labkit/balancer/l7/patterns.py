"""What a route may ask of a value: to be a text, to match a regular expression, to be there, not to be there. Pure.

Regular expressions are RE2's: they take linear time whatever a client sends, and every engine means the same by them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from labkit.wording import shown

_HALF = re.compile("[\ud800-\udfff]")  # half a character, as JSON may escape it; RE2 reads UTF-8, which has none
_FLAGS = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}


@dataclass(frozen=True, slots=True)
class Regex:
    """A regular expression that has to cover the whole of a value, as RE2 reads it (flags are written in front)."""

    pattern: str

    @classmethod
    def of(cls, given: "re.Pattern[str]") -> "Regex":
        """What ``re.compile(...)`` gave, to the letter. ValueError, with the reason, for what RE2 cannot do."""
        if isinstance(given.pattern, bytes):
            raise ValueError(f"{shown(given.pattern)} is of bytes, and what a route looks at is text")
        if given.flags & re.VERBOSE:
            raise ValueError("re.VERBOSE is not known to RE2: write the expression without spaces and comments")
        flags = "".join(letter for flag, letter in _FLAGS.items() if given.flags & flag)
        made = cls(f"(?{flags}){given.pattern}" if flags else given.pattern)
        made.check()
        return made

    def check(self) -> None:
        """ValueError, with the reason, if RE2 cannot do it (it has no lookaround and no back references)."""
        import re2

        try:
            re2.compile(self.pattern, _quiet())
        except re2.error as error:
            reason = error.args[0] if error.args else "not valid"
            reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
            raise ValueError(
                f"RE2 cannot do it ({reason}): there is no lookaround and there are no back references, so that "
                "every match takes linear time"
            ) from None

    def matches(self, value: str) -> bool:
        return _compiled(self.pattern).fullmatch(_HALF.sub("\ufffd", value)) is not None

    def count(self) -> int:
        """How many groups it has."""
        return int(_compiled(self.pattern).groups)

    def groups(self, value: str) -> tuple[str | None, ...] | None:
        """What the groups caught, the whole first; None if it does not match."""
        found = _compiled(self.pattern).fullmatch(value)
        return (found.group(0), *found.groups()) if found else None

    def __str__(self) -> str:
        return f"~{self.pattern}"


Test = str | Regex | bool
Tests = tuple[tuple[str, Test], ...]


def fits(test: Test, value: str | None) -> bool:
    """Whether *value* (None: it is not there) is what *test* asks for."""
    if isinstance(test, bool):
        return (value is not None) is test
    if value is None:
        return False
    return test.matches(value) if isinstance(test, Regex) else value == test


def wanted(test: Test) -> str:
    """What *test* asks for, in words that follow a name: ``is '1'``, ``matches a+``, ``is there``."""
    if isinstance(test, bool):
        return "is there" if test else "is not there"
    return f"matches {test.pattern}" if isinstance(test, Regex) else f"is {shown(test)}"


def written(separator: str, tests: Tests) -> Sequence[str]:
    """Each of *tests* as short as can be: ``x-beta: 1``, ``x-beta: ~a+``, ``x-beta``, ``no x-beta``."""
    made = []
    for name, test in tests:
        if isinstance(test, bool):
            made.append(name if test else f"no {name}")
        else:
            made.append(f"{name}{separator}{test}")
    return made


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> Any:
    import re2

    return re2.compile(pattern, _quiet())


def _quiet() -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    return options
