"""How a wrong value is put into a message: pure text, for every part that refuses something."""

import re
from collections.abc import Iterable

MOST = 60

# What acts on the one who displays it instead of being seen: control characters (C0, DEL, C1), separators of lines,
# marks that turn the direction of writing (Unicode TR 9, TR 36), halves of characters, and what XML cannot hold.
_ACTS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)


def shown(value: object) -> str:
    """*value* as Python writes it, on one line, cut when long. Never raises."""
    try:
        text = repr(value)
    except Exception:  # a number of too many digits, or an object that cannot be written
        text = f"<{type(value).__name__}>"
    return text if len(text) <= MOST else f"{text[: MOST - 20]}…"


def short(text: str, most: int = 300) -> str:
    """*text* for a message: cut when long, and with nothing in it that cannot be printed."""
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return printable(cut)


def printable(text: str) -> str:
    """*text* with its lone surrogates escaped, so that it can be encoded."""
    return text.encode("utf-8", "backslashreplace").decode()


def inert(text: str) -> str:
    """*text* from anywhere, harmless to show: what would act on a terminal or a page is escaped, as in ``\\x1b``."""
    if text.isascii() and text.isprintable():
        return text
    return _ACTS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def encodable(text: str) -> bool:
    """Whether *text* has no lone surrogates: halves of a character, which no encoding can send."""
    return printable(text) == text


def near_miss(wrong: object, choices: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` when one of *choices* looks like *wrong*, else nothing."""
    from difflib import get_close_matches  # here, since nodes import this module and never need it

    close = get_close_matches(wrong[:MOST], list(choices), n=1) if isinstance(wrong, str) else []
    return f" (did you mean {close[0]!r}?)" if close else ""
