"""How a fault in a topology is put into words. What is a fault, `reader` and `validate` say."""

import re
from collections.abc import Iterable

from labkit import wording
from labkit.errors import TopologyError
from labkit.wording import printable

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


def error(source: str, place: str, wrong: str, remedy: str) -> TopologyError:
    """The one shape of every message about a topology: file, place in it, what is wrong, what to do."""
    file = source if source and source.isprintable() else repr(source)
    end = "" if remedy.endswith("?") else "."
    return TopologyError(": ".join(part for part in (file, place, f"{printable(wrong)}; {remedy}{end}") if part))


def shown(text: object) -> str:
    """*text* for a message: as it is if it is a plain name, else quoted, control characters escaped, cut when long."""
    if isinstance(text, str) and _PLAIN.fullmatch(text):
        return text
    return wording.shown(text)


def listed(names: Iterable[object], word: str = "or") -> str:
    """``'a', 'b' or 'c'``."""
    *rest, last = (repr(name) for name in names)
    return f"{', '.join(rest)} {word} {last}" if rest else last
