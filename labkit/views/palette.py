"""The one visual language of every picture: who has which colour and shape, and which words say the same.

Colours are Okabe-Ito, which people with colour-blindness tell apart; colour never stands alone, each thing
also has its own shape and its own word. Pictures carry their own paper, so that they read the same on a
light and on a dark page. What is drawn with this is the business of the other modules.
"""

from dataclasses import dataclass

BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
VERMILION = "#D55E00"

PAPER = "#FDFDFB"
INK = "#1D222B"
MUTED = "#565D6B"
GHOST = "#BFC5CE"
HAIRLINE = "#DCDFE4"

SANS = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"


@dataclass(frozen=True, slots=True)
class Tone:
    """How one kind of thing is drawn: outline, pale fill, and a dark shade for words (4.5:1 on the paper)."""

    line: str
    fill: str
    word: str


CLIENT = Tone(BLUE, "#DCEBF5", "#005A8E")
BACKEND = Tone(PURPLE, "#F7E7F0", "#8A3B68")
L4 = Tone(ORANGE, "#FDF1D8", "#7A5200")
L7 = Tone(GREEN, "#DDF2EB", "#00694D")
IDLE = Tone("#8A91A0", "#EEF0F3", MUTED)
REWRITTEN = Tone(VERMILION, "#FBE6DA", "#A14300")

ROLES: dict[str, Tone] = {"client": CLIENT, "backend": BACKEND}
MODES: dict[str | None, Tone] = {"l4": L4, "l7": L7, None: IDLE}
MODE_WORDS: dict[str | None, str] = {"l4": "L4", "l7": "L7", None: "not running"}


@dataclass(frozen=True, slots=True)
class Mark:
    """How a visibility state is shown: the shape's name (see `shapes.state_shape`), the words, and the CSS."""

    shape: str
    word: str
    css: str


_HATCH = "background:repeating-linear-gradient(45deg,rgba(128,128,128,.30) 0 3px,rgba(128,128,128,.06) 3px 7px)"

# Keyed by how the state's words begin; "read and used" stands before "read".
STATES: dict[str, Mark] = {
    "encrypted": Mark("lock", "encrypted", _HATCH),
    "in clear": Mark("ring", "in clear, not read", "opacity:.68"),
    "read and used": Mark("dot", "read and used for the decision", "font-weight:700"),
    "read": Mark("half", "read", ""),
}
UNKNOWN = Mark("question", "unknown", "")


def mark(state: str) -> Mark:
    """The mark of a visibility state; one with a question mark for words that are none of the four."""
    words = state.strip().lower()
    return next((found for start, found in STATES.items() if words.startswith(start)), UNKNOWN)
