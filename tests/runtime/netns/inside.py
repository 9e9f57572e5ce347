"""Calls that the tests run inside a host of a lab, to see with its eyes."""

import array
import ctypes
import fcntl
import os
import socket
import struct
from typing import Any

import labkit


def identity() -> dict[str, Any]:
    return {
        "host": os.uname().nodename,
        "uid": os.getuid(),
        "interfaces": sorted(name for _, name in socket.if_nameindex()),
        "netns": os.readlink("/proc/self/ns/net"),
        "pidns": os.readlink("/proc/self/ns/pid"),
    }


def resolve(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
    except socket.gaierror:
        return []
    return [str(address[4][0]) for address in found]


def accept_one(address: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        listener.settimeout(5)
        connection, peer = listener.accept()
        with connection:
            connection.sendall(b"hello")
        return str(peer[0])


def connect(address: str, port: int) -> str:
    for _ in range(50):
        try:
            with socket.create_connection((address, port), timeout=5) as connection:
                return connection.recv(100).decode()
        except ConnectionRefusedError:
            import time

            time.sleep(0.05)  # the other side is about to listen
    return "refused"


def failure_to_connect(address: str) -> str:
    try:
        socket.create_connection((address, 80), timeout=5).close()
    except OSError as error:
        return str(error)
    return "connected"


def listing(folders: list[str]) -> dict[str, list[str] | None]:
    return {folder: sorted(os.listdir(folder)) if os.path.isdir(folder) else None for folder in folders}


def try_to_write_into_labkit() -> str:
    return try_to_write([os.path.dirname(labkit.__file__)])[0]


def try_to_write(folders: list[str]) -> list[str]:
    return [_try_to_write(folder) for folder in folders]


def _try_to_write(folder: str) -> str:
    path = os.path.join(folder, "intruder")
    try:
        with open(path, "w"):
            pass
    except OSError as error:
        return error.strerror or ""
    os.unlink(path)
    return "written"


def can_signal(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return open(f"/proc/{pid}/cmdline", "rb").read() == b""


def environment() -> dict[str, str]:
    return dict(os.environ)


def offloads(interface: str) -> dict[str, int]:
    commands = {"tx": 0x16, "tso": 0x1E, "gso": 0x23, "gro": 0x2B}  # ETHTOOL_G*
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for name, command in commands.items():
            value = array.array("B", struct.pack("II", command, 9))
            fcntl.ioctl(handle, 0x8946, struct.pack("16sP", interface.encode(), value.buffer_info()[0]))
            found[name] = struct.unpack("II", value.tobytes())[1]
    return found


def try_to_uncover(paths: list[str]) -> dict[str, str]:
    """Everything that would show what lies under the lab's mounts: attempt -> what came of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    detach, bind, recursive, remount = 2, 4096, 16384, 32

    def outcome(status: int) -> str:
        return "done" if status == 0 else os.strerror(ctypes.get_errno())

    def mount(source: str, target: str, flags: int) -> str:
        return outcome(libc.mount(source.encode(), target.encode(), None, ctypes.c_ulong(flags), None))

    tried = {f"umount {path}": outcome(libc.umount2(path.encode(), detach)) for path in paths}
    os.makedirs("/tmp/under", exist_ok=True)
    tried["bind the root without what is mounted on it"] = mount("/", "/tmp/under", bind)
    tried["make the root writable"] = mount("", "/", bind | remount)
    tried["enter the first process's mounts"] = _enter("/proc/1/ns/mnt")
    child = os.fork()
    if child == 0:  # with new users and mounts of its own
        try:
            os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNS)
            done = [libc.umount2(path.encode(), detach) for path in paths]
            os._exit(0 if all(done) else 1)
        except OSError:
            os._exit(0)
    tried["umount as somebody new"] = ("Invalid argument", "done")[os.waitpid(child, 0)[1] != 0]
    tried["see the root with all that is mounted on it"] = mount("/", "/tmp/under", bind | recursive)
    hidden = [path for path in paths if os.path.isdir("/tmp/under" + path) and path != "/proc"]
    shown = {path: sorted(os.listdir("/tmp/under" + path)) for path in hidden}
    same = all(shown[path] == sorted(os.listdir(path)) for path in hidden if path != "/tmp")
    tried["and that shows what it hid"] = "no" if same else "yes"
    libc.umount2(b"/tmp/under", detach)
    return tried


def _enter(namespace: str) -> str:
    """Whether setns leads anywhere else than where this process is."""
    mine = os.readlink("/proc/self/ns/mnt")
    child = os.fork()
    if child == 0:
        try:
            with open(namespace) as handle:
                os.setns(handle.fileno(), os.CLONE_NEWNS)
            os._exit(1 if _mounted_under_tmp() else 0)
        except OSError:
            os._exit(0)
    different = os.waitpid(child, 0)[1] != 0
    return "done" if different else f"nothing is gained ({mine[:3]})"


def _mounted_under_tmp() -> bool:
    """Whether the mounts here are without the cover of /tmp."""
    with open("/proc/self/mountinfo") as lines:
        return not any(line.split()[4] == "/tmp" for line in lines)


def hosts_file() -> str:
    with open("/etc/hosts") as file:
        return file.read()
