"""Fields that are meant for one connection and go no further (RFC 9110 §7.6.1). Pure."""

from collections.abc import Sequence

Lines = list[tuple[str, str]]
_ALWAYS = frozenset(
    {"connection", "proxy-connection", "keep-alive", "te", "upgrade", "proxy-authenticate", "proxy-authorization"}
)
_KEPT = frozenset({"host", "content-length", "transfer-encoding", "cookie", "set-cookie", "authorization"})


def without(lines: Sequence[tuple[str, str]]) -> Lines:
    """*lines* without the fields of this connection, and those that Connection names.

    An offer of another protocol is made to the next connection too (§7.8). What frames a message or says whom it is for
    cannot be named away.
    """
    named = {
        token.strip().lower() for name, value in lines if name.lower() == "connection" for token in value.split(",")
    }
    gone = (_ALWAYS | named) - _KEPT
    kept = [(name, value) for name, value in lines if name.lower() not in gone]
    offered = [value for name, value in lines if name.lower() == "upgrade"] if "upgrade" in named else []
    return [*kept, ("Connection", "Upgrade"), ("Upgrade", ", ".join(offered))] if offered else kept
