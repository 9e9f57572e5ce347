"""What an engine needs to build the image of a node: the Dockerfile, its lock and labkit's own sources, as bytes.

Nothing here talks to an engine; the runtime sends the bytes. In a clone the files are read from ``docker/``, in an
installed labkit from the copies its wheel carries. Both give the same bytes, so both find the same image again.
"""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from labkit.errors import RuntimeUnavailable

DOCKERFILE = "docker/Dockerfile"
"""The Dockerfile's name within the context."""

_PACKAGE = Path(__file__).resolve().parents[2]
_IN_CLONE = _PACKAGE.parent / "docker"
_IN_WHEEL = Path(__file__).resolve().parent / "files"


def shipped(name: str) -> Path:
    """Where the file *name* of ``docker/`` is here: Dockerfile, requirements-node.lock, seccomp.json."""
    folder = _IN_CLONE if (_PACKAGE.parent / "pyproject.toml").is_file() else _IN_WHEEL
    if not (path := folder / name).is_file():
        raise RuntimeUnavailable(
            f"labkit's own file {name} is not in {folder}. This installation is damaged; install labkit again."
        )
    return path


def tar(target: str = "node") -> bytes:
    """The build context for *target* as a tar archive: the same bytes for the same contents, wherever they lie.

    Only the node's image can be built from what an installed labkit holds; others raise RuntimeUnavailable.
    """
    if target != "node":
        raise RuntimeUnavailable(
            f"labkit builds the image node by itself, not {target!r}. "
            f"In a clone of its repository: docker build --target {target} --file {DOCKERFILE} ."
        )
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in sorted(_entries()):
            content = path.read_bytes()
            entry = tarfile.TarInfo(name)  # of root, mode 0644, of the year 1970
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def sources() -> str:
    """A short name for what :func:`tar` packs: 12 hexadecimal digits that change when any of it does."""
    return hashlib.sha256(tar()).hexdigest()[:12]


def _entries() -> Iterator[tuple[str, Path]]:
    """Name within the context, and where it is here."""
    for name in ("Dockerfile", "requirements-node.lock"):
        yield f"docker/{name}", shipped(name)
    for path in _PACKAGE.rglob("*.py"):
        yield f"labkit/{path.relative_to(_PACKAGE).as_posix()}", path
