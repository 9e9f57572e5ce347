"""How a host gets the socket that it listens on: from its wiring, which makes it where owners look for it.

The two share a network and no file. They meet at a `Door`: an abstract address, which belongs to the network (unix(7)).
So a host never sees the place where the sockets of all hosts are.
"""

import contextlib
import os
import secrets
import socket
import struct
import time
from pathlib import Path

from labkit.errors import RuntimeUnavailable

_BACKLOG = 128
_PATIENCE, _PAUSE = 5.0, 0.02  # short: who gives up is run again (docker/compose.yaml), in its host's network of then
_MOMENT = 1.0
_TAKEN = b"\0"


class Door:
    """Where a host takes sockets to listen on. From root and from its own user: nobody else may say who is served."""

    def __init__(self, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(f"\0{name}")
        self._socket.listen()

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def take(self) -> socket.socket | None:
        """The socket that whoever is at the door hands in; None if it is nobody who may, or hands nothing."""
        with contextlib.suppress(OSError), self._socket.accept()[0] as visitor:
            visitor.settimeout(_MOMENT)
            if _user(visitor) in (0, os.getuid()):
                _, handed, _, _ = socket.recv_fds(visitor, len(_TAKEN), 1)
                listening = _listening(handed[0]) if handed else None
                if listening:
                    _tell(visitor)
                return listening
        return None


def hand(door: str, path: Path, seconds: float = _PATIENCE) -> None:
    """Make a socket at *path*, for whoever can see it, and have the host behind *door* listen there.

    It replaces what was there before once it is taken. RuntimeUnavailable if that is not within *seconds*, or if none
    can be made.
    """
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(str(new))
            new.chmod(0o666)
            listening.listen(_BACKLOG)
            if not _taken(door, listening, time.monotonic() + seconds):
                raise RuntimeUnavailable(f"Its host took no socket to listen on within {seconds:g} s: is it running?")
        new.rename(path)
    except OSError as error:
        raise RuntimeUnavailable(f"No socket can be made at {path}: {error.strerror or error}.") from error
    finally:
        new.unlink(missing_ok=True)


def _taken(door: str, listening: socket.socket, late: float) -> bool:
    while time.monotonic() < late:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor, contextlib.suppress(OSError):
            visitor.settimeout(_MOMENT)
            visitor.connect(f"\0{door}")
            socket.send_fds(visitor, [_TAKEN], [listening.fileno()])
            if visitor.recv(len(_TAKEN)) == _TAKEN:
                return True
        time.sleep(_PAUSE)
    return False


def _listening(handed: int) -> socket.socket | None:
    """The socket that was handed in; None, and closed, if it is something else or does not listen."""
    try:
        made = socket.socket(fileno=handed)
    except OSError:
        os.close(handed)
        return None
    if not made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        made.close()
        return None
    made.set_inheritable(False)
    return made


def _tell(visitor: socket.socket) -> None:
    with contextlib.suppress(OSError):  # who does not wait for the answer may hand in another one
        visitor.sendall(_TAKEN)


def _user(visitor: socket.socket) -> int:
    credentials = visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    user: int = struct.unpack("3i", credentials)[1]
    return user
