"""A file put in place in one step: written beside its target and renamed, so that a failure damages nothing."""

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from labkit.errors import CaptureError
from labkit.wording import printable

_REMEDIES: Final[Mapping[int, str]] = {
    errno.ENOSPC: "the disk is full; free some space or save to another disk",
    errno.EDQUOT: "your quota is used up; free some space or save to another disk",
    errno.EFBIG: "the file would be larger than allowed here; save to another disk or capture less",
    errno.EACCES: "you may not write there; choose a folder of your own",
    errno.EPERM: "you may not write there; choose a folder of your own",
    errno.EROFS: "that disk is read-only; choose another folder",
    errno.ENOENT: "its folder does not exist; create the folder first",
    errno.ENOTDIR: "a part of its path is a file, not a folder; choose another path",
    errno.EISDIR: "that is a folder; add a file name",
    errno.ENAMETOOLONG: "its name is too long; choose a shorter one",
}


def write_atomically(path: str | os.PathLike[str], pieces: Iterable[bytes]) -> Path:
    """Write *pieces* to *path* and give it back; an existing file stays whole until all are written.

    CaptureError with the remedy when it cannot be written.
    """
    target = Path(path)
    try:
        _replace(Path(os.path.realpath(target)), pieces)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        number = error.errno if isinstance(error, OSError) else None
        remedy = _REMEDIES.get(number or 0, f"{getattr(error, 'strerror', None) or error}; choose another path")
        raise CaptureError(f"The capture was not saved to {printable(str(target))}: {remedy}.") from error
    return target


def _replace(target: Path, pieces: Iterable[bytes]) -> None:
    mode = _mode_of_existing(target)
    beside = target.parent / f".labkit-{secrets.token_hex(6)}.part"
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with open(handle, "wb", buffering=0) as file:
            if mode is not None:
                os.chmod(beside, mode)
            for piece in pieces:
                _write_all(file.fileno(), piece)
        os.replace(beside, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(beside)
        raise


def _mode_of_existing(target: Path) -> int | None:
    """Permissions to keep when a file is replaced. Only ordinary files may be: never a folder, never /dev/null."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise OSError(errno.EISDIR if stat.S_ISDIR(mode) else errno.ENOTSUP, "what is there is not an ordinary file")
    return stat.S_IMODE(mode)


def _write_all(handle: int, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[os.write(handle, view) :]
