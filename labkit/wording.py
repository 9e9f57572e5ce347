"""How a wrong value is put into a message: pure text, for every part that refuses something."""

from collections.abc import Iterable
from difflib import get_close_matches

MOST = 60


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


def encodable(text: str) -> bool:
    """Whether *text* has no lone surrogates: halves of a character, which no encoding can send."""
    return printable(text) == text


def near_miss(wrong: object, choices: Iterable[str]) -> str:
    """`` (did you mean 'x'?)`` when one of *choices* looks like *wrong*, else nothing."""
    close = get_close_matches(wrong[:MOST], list(choices), n=1) if isinstance(wrong, str) else []
    return f" (did you mean {close[0]!r}?)" if close else ""
