"""Sessions that stay with their backend, by a cookie. Pure.

*Inserted*: the balancer sets a cookie of its own that names the backend, and clients send it back. *Application*: the
backend's own session cookie carries the backend's name in front of its value on the client's side, ``api1~4711``; the
backend sets and sees ``4711``. Neither needs a table, so no restart and no second balancer loses a session. Whoever
names a backend that takes no requests is given another one, and a new cookie.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labkit.balancer.l7.fields import TOKEN
from labkit.errors import PolicyError
from labkit.wording import shown

INSERTED = "labkit-backend"  # how the cookie is called
MARK = "~"
Lines = list[tuple[str, str]]


@dataclass(frozen=True, slots=True, init=False)
class Sticky:
    """``sticky="cookie"`` for short: a cookie of the balancer's own. ``Sticky("session", application=True)``: the
    backends' own cookie of that name."""

    cookie: str
    application: bool

    def __init__(self, cookie: Any = INSERTED, application: Any = False) -> None:
        if not isinstance(cookie, str) or not TOKEN.fullmatch(cookie):
            raise PolicyError(
                f'Sticky({shown(cookie)}): it is a cookie\'s name, as in Sticky("session", application=True).'
            )
        if not isinstance(application, bool):
            raise PolicyError(f"Sticky(application={shown(application)}): it is True or False.")
        object.__setattr__(self, "cookie", cookie)
        object.__setattr__(self, "application", application)


def sticky_of(given: object) -> Sticky | None:
    """What ``l7(sticky=...)`` means. PolicyError for what it cannot."""
    if given is None or isinstance(given, Sticky):
        return given
    if given == "cookie":
        return Sticky()
    raise PolicyError(
        f'lab.balancer.l7(sticky={shown(given)}): write sticky="cookie", a cookie of the balancer\'s own, or '
        'Sticky("session", application=True) for the backends\' own.'
    )


def place(address: str, port: int) -> str:
    """How the inserted cookie names a backend: Envoy's way, so that sessions outlive a change of engine."""
    text = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return base64.b64encode(b"\x0a" + bytes([len(text)]) + text.encode()).decode()


def inserted(sticky: Sticky, value: str, *, secure: bool) -> str:
    """The value of Set-Cookie for a cookie of the balancer's own: for the session, and for no script."""
    return f"{sticky.cookie}={value}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"


def asked(sticky: Sticky, cookie: str | None) -> str | None:
    """The backend that the client's cookie names: by its place, or in an application's cookie by its name; or None."""
    if cookie is None:
        return None
    if not sticky.application:
        return cookie.strip('"')
    name, mark, _ = cookie.strip('"').partition(MARK)
    return name if mark else None


def forwarded(sticky: Sticky, lines: Sequence[tuple[str, str]]) -> Lines:
    """The request's *lines* as the backend is to see them: its own cookie as it set it, and not the balancer's."""
    found: Lines = []
    for name, value in lines:
        if name.lower() != "cookie":
            found.append((name, value))
        elif crumbs := [kept for crumb in value.split(";") if (kept := _forwarded(sticky, crumb.strip(" \t")))]:
            found.append((name, "; ".join(crumbs)))
    return found


def answered(sticky: Sticky, lines: Sequence[tuple[str, str]], backend: str) -> Lines:
    """The *lines* of *backend*'s answer as the client is to see them: its session cookie names it."""
    pattern = re.compile(rf'(\s*{re.escape(sticky.cookie)}\s*=\s*"?)(?!"?\s*(?:;|$))')
    return [
        (
            name,
            pattern.sub(rf"\g<1>{backend}{MARK}", value, count=1)
            if name.lower() == "set-cookie" and pattern.match(value)
            else value,
        )
        for name, value in lines
    ]


def _forwarded(sticky: Sticky, crumb: str) -> str:
    name, equals, value = crumb.partition("=")
    if name.strip() != sticky.cookie:
        return crumb
    if not sticky.application:
        return ""
    quote = '"' if value.startswith('"') else ""
    _, mark, own = value.removeprefix(quote).partition(MARK)
    return f"{name}{equals}{quote}{own}" if mark else crumb
