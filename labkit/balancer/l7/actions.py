"""What becomes of a request besides going to a pool: values, judged when they are made.

An `Answer` or a `Redirect` is given by the balancer itself; an `Edit` changes header fields on their way.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from labkit.balancer.l7.fields import Pairs, names, pairs
from labkit.errors import PolicyError
from labkit.wording import encodable, shown

_URL = re.compile("https?://([^/?#]*)")
_AUTHORITY = re.compile(
    r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?:[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
)
LONGEST_ANSWER = 1 << 20  # bytes
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True, init=False)
class Answer:
    """An answer of the balancer's own: ``respond=Answer(200, "ok", headers={"x-from": "lb"})``.

    status: 200 to 599. text: sent as text/plain in UTF-8, unless headers say otherwise.
    """

    status: int
    text: str
    headers: Pairs

    def __init__(self, status: Any = 200, text: Any = "", headers: Any = ()) -> None:
        if isinstance(status, bool) or status not in [one.value for one in HTTPStatus if one >= 200]:
            raise PolicyError(f"Answer({shown(status)}): it is a final status of HTTP, such as 200 or 503.")
        if not isinstance(text, str) or not encodable(text):
            raise PolicyError(f"Answer({status}, {shown(text)}): the text of an answer is text.")
        if len(text.encode()) > LONGEST_ANSWER:
            raise PolicyError(f"Answer({status}, …): the text of an answer has at most {LONGEST_ANSWER:,} bytes.")
        if text and status in (204, 205, 304):
            raise PolicyError(f"Answer({status}, {shown(text)}): an answer {status} has no content (RFC 9110 §15).")
        object.__setattr__(self, "status", int(status))
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "headers", pairs(f"Answer({status}): headers", headers))


@dataclass(frozen=True, slots=True, init=False)
class Redirect:
    """The client is sent elsewhere: ``redirect="/v2/*"`` for short, or ``Redirect("https://lb/*", 308)``.

    to: a path, or a whole URL; each ``*`` stands for what the ``*`` of the route's path stood for, ``\\1`` for what a
    regular expression's group caught. The query is kept. status: 301, 302, 303, 307 or 308.
    """

    to: str
    status: int

    def __init__(self, to: Any, status: Any = 302) -> None:
        if not isinstance(to, str) or not (to.startswith(("/", "http://", "https://"))) or not to.isascii():
            raise PolicyError(f'Redirect({shown(to)}): it leads to a path or a URL, as in Redirect("https://lb/*").')
        if not to.isprintable() or " " in to:
            raise PolicyError(f"Redirect({shown(to)}): a URL holds no spaces or control characters: write %20.")
        if (url := _URL.match(to)) and not _AUTHORITY.fullmatch(url[1]):
            raise PolicyError(f"Redirect({shown(to)}): {shown(url[1])} is no host, with or without a port.")
        if isinstance(status, bool) or status not in _REDIRECTS:
            raise PolicyError(
                f"Redirect({shown(to)}, {shown(status)}): a redirect is {', '.join(map(str, _REDIRECTS))}."
            )
        object.__setattr__(self, "to", to)
        object.__setattr__(self, "status", status)


@dataclass(frozen=True, slots=True, init=False)
class Edit:
    """Changes of header fields: ``request=Edit(set={"x-lab": "1"}, remove=["x-debug"])``.

    First those of *remove* go, then *set* puts a value in place of all there are, then *add* puts another line beside
    them. Fields that say how a connection carries a message cannot be edited. PolicyError for what is no header field.
    """

    set: Pairs
    add: Pairs
    remove: tuple[str, ...]

    def __init__(self, set: Any = (), add: Any = (), remove: Any = ()) -> None:
        lines = pairs("Edit(set)", set)
        if len({name.lower() for name, _ in lines}) < len(lines):
            raise PolicyError(
                f"Edit(set={shown(set)}): a name is there twice, whatever its case; add= puts more lines."
            )
        object.__setattr__(self, "set", lines)
        object.__setattr__(self, "add", pairs("Edit(add)", add))
        object.__setattr__(self, "remove", names("Edit(remove)", remove))

    def made(self, lines: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """*lines* after the changes."""
        gone = {name.lower() for name in self.remove} | {name.lower() for name, _ in self.set}
        kept = [(name, value) for name, value in lines if name.lower() not in gone]
        return [*kept, *self.set, *self.add]
