"""Header fields as a policy holds them: judged when they are written down. Pure."""

import re
from collections.abc import Iterable, Mapping

from labkit.errors import PolicyError
from labkit.wording import shown

Pairs = tuple[tuple[str, str], ...]
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_VALUE = re.compile(r"[\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff\t]*[\x21-\x7e\x80-\xff])?|")
LONGEST = 8192  # characters of a value; no larger one fits into most peers' idea of a head
# What says where a message ends, where it goes, and what is only between two ends of a connection: not for editing.
FRAMING = frozenset(
    [
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)


def pairs(asker: str, given: object) -> Pairs:
    """*given* (name -> value) as pairs. PolicyError, naming *asker*, for what is no header field."""
    if isinstance(given, Mapping):
        given = tuple(given.items())
    if not isinstance(given, tuple) or not all(isinstance(pair, tuple) and len(pair) == 2 for pair in given):
        raise PolicyError(f'{asker}={shown(given)}: header fields are name and value, as in {{"x-lab": "1"}}.')
    for name, value in given:
        check_name(asker, name)
        if not isinstance(value, str) or len(value) > LONGEST or not _VALUE.fullmatch(value):
            raise PolicyError(
                f"{asker}: {name} cannot have the value {shown(value)}: it is one line of text, no blanks around it, "
                f"at most {LONGEST:,} characters."
            )
    return given


def names(asker: str, given: object) -> tuple[str, ...]:
    """*given* (names of header fields) as a tuple. PolicyError, naming *asker*, for what is none."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise PolicyError(f'{asker}={shown(given)}: it is a list of names, as in ["x-lab"].')
    found = tuple(given)
    for name in found:
        check_name(asker, name)
    return found


def check_name(asker: str, name: object) -> None:
    """PolicyError, naming *asker*, where *name* is none of a header field that may be edited."""
    if not isinstance(name, str) or not TOKEN.fullmatch(name):
        raise PolicyError(f"{asker}: {shown(name)} is not a header field's name: it is one word, such as x-lab.")
    if name.lower() in FRAMING:
        raise PolicyError(
            f"{asker}: {name} says how this connection carries the message, or which host is meant (RFC 9110 §7.6.1): "
            "the balancer sets it itself."
        )
