"""What a terminal or a pipe can show: characters its encoding lacks are written in plainer ones, never an error."""

import codecs
import io
import sys

_PLAIN = {
    **{"✓": "+", "✗": "x", "…": "...", "·": "-", "•": "*", "◆": "*", "→": "->", "←": "<-", "§": "section "},
    **{"─": "-", "┄": ".", "│": "|", "║": "|", "●": "o", "▶": ">", "◀": "<", "▌": "]", "▐": "[", "✕": "X", "µ": "u"},
    **{"\u2013": "-", "\u2014": "-", "\u2212": "-", "\u00d7": "x", "\u2018": "'", "\u2019": "'"},
}
_BRAILLE = range(0x2800, 0x2900)  # what a progress spinner is drawn with


def degrade(error: UnicodeError) -> tuple[str | bytes, int]:
    """The error handler: a plainer spelling where there is one, else the character's escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = "".join(_plainer(character) for character in error.object[error.start : error.end])
    return text, error.end


def _plainer(character: str) -> str:
    if ord(character) in _BRAILLE:
        return "."
    return _PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode()


def never_fail() -> None:
    """Make standard output and error of this process write anything, whatever their encoding."""
    codecs.register_error("labkit.plainer", degrade)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="labkit.plainer")
