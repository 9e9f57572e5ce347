"""What the nodes see of the file system: neither the user's home nor the host's /run, /tmp and devices.

What Python needs is put back where it was, and so are the symbolic links that lead to it. All of it is read-only, but
for scratch folders of the lab's own, which end with it, and for what is exposed on purpose. One view for the whole lab,
made by its init.
"""

import contextlib
import os
import pwd
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .process import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_REC, mount, set_read_only

_SCRATCH = ("/run", "/tmp", "/var/tmp", "/dev/shm")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}  # name -> within /proc/self


def hidden_folders(homes: Iterable[str]) -> list[str]:
    """Folders to cover with an empty file system, parents before children. *homes*: the user's."""
    wanted = {os.path.realpath(path) for path in (*_SCRATCH, *homes) if path and Path(path).is_dir()} - {"/"}
    return sorted(path for path in wanted if not any(_within(path, other) for other in wanted - {path}))


def user_homes() -> list[str]:
    """The home folders of the user who runs this: by the environment, and by the user database."""
    homes = [os.environ.get("HOME", "")]
    with contextlib.suppress(KeyError):  # a uid without an entry has no other home
        homes.append(pwd.getpwuid(os.getuid()).pw_dir)
    return homes


def python_folders() -> list[str]:
    """What this Python needs to run and to import labkit: its prefixes, library folders, and our package."""
    package = str(Path(__file__).parents[2])
    libraries = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    return [sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *libraries, package]


def exposed_folders(text: str) -> list[str]:
    """Folders that *text* lists as PATH does: the nodes may see them and write to them."""
    return [os.path.realpath(path) for path in text.split(os.pathsep) if path and Path(path).is_dir()]


def kept_folders(hidden: Sequence[str], needed: Iterable[str]) -> list[str]:
    """Those of *needed* that *hidden* would cover and that don't uncover one of them again, parents first."""
    real = {os.path.realpath(path) for path in needed if path and Path(path).is_dir()}
    covered = sorted(path for path in real if any(_within(path, cover) and path != cover for cover in hidden))
    return [path for path in covered if not any(_within(path, other) for other in covered if other != path)]


def steps_to(paths: Iterable[str], hidden: Sequence[str]) -> dict[str, str]:
    """What leads to *paths* inside *hidden*: symbolic links with their targets; folders before a ``..``, with none."""
    steps = [step for path in paths if path and Path(path).exists() for step in _steps(path)]
    return {place: target for place, target in steps if any(_within(place, cover) for cover in hidden)}


def _steps(path: str) -> Iterator[tuple[str, str]]:
    """Those of one absolute path, each in its real folder, in the order in which the kernel follows them."""
    here, names = "/", [*reversed(Path(path).parts)]
    while names:
        name = names.pop()
        place = os.path.join(here, name)  # "/", with which an absolute target begins, is the root again
        if name == "..":
            yield here, ""
            here = os.path.dirname(here)
        elif Path(place).is_symlink():
            target = os.readlink(place)
            yield place, target
            names += reversed(Path(target).parts)
        else:
            here = place


def detach() -> None:
    """In a mount namespace of our own: from now on no mount reaches the one that it was copied from, nor comes here."""
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def make_proc() -> None:
    """A /proc of this pid namespace, with /proc/sys writable; refused where parts of the old one are covered."""
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def make_view(hidden: Sequence[str], kept: Sequence[str], writable: Sequence[str] = ()) -> None:
    """Once detached: cover *hidden*, put *kept* back, let only *writable* be written to."""
    back = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in (*kept, *writable)]
    base = getattr(sys, "_base_executable", "")  # where an environment's was made from
    steps = steps_to((sys.executable, base, *python_folders()), hidden)
    _make_devices()
    for path in hidden:
        mount("labkit", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=256m")
    for path, descriptor in back:
        Path(path).mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{descriptor}", path, flags=MS_BIND | MS_REC)
        os.close(descriptor)
    for place, target in steps.items():
        if not os.path.lexists(place):
            _make_step(Path(place), target)
    set_read_only("/", True)
    for path in ("/proc", *hidden, *writable):
        set_read_only(path, False)
    for path in kept:
        set_read_only(path, True)


def _make_step(place: Path, target: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if target:
        place.symlink_to(target)
    else:
        place.mkdir()


def _make_devices() -> None:
    """A /dev without disks and memory, which root could read; with terminals of its own."""
    there = [path for name in _DEVICES if (path := Path("/dev", name)).exists()]
    devices = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in there]
    mount("labkit", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k")
    for path, descriptor in devices:
        path.touch()
        mount(f"/proc/self/fd/{descriptor}", str(path), flags=MS_BIND)
        os.close(descriptor)
    for name, target in _DEVICE_LINKS.items():
        Path("/dev", name).symlink_to(f"/proc/self/{target}")
    for name in ("shm", "pts"):
        Path("/dev", name).mkdir()
    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    Path("/dev/ptmx").symlink_to("pts/ptmx")


def cover_file(path: str, text: str, scratch: Path) -> None:
    """Let *path* read as *text* in this mount namespace; left alone where it does not exist."""
    if Path(path).exists():
        stand_in = scratch / Path(path).name
        stand_in.write_text(text)
        mount(str(stand_in), os.path.realpath(path), flags=MS_BIND)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
