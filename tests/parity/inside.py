"""Functions that scenarios run inside the hosts of a lab. They travel by value: what they use, a host has."""

import contextlib
import ipaddress
import os
import pwd
import socket
import time
from pathlib import Path

from pyroute2 import IPRoute

FAMILIES = (socket.AF_INET, socket.AF_INET6)
MAIN = 254  # the table of ordinary routes
REMEMBERED = 0x200  # RTM_F_CLONED: what the kernel learned of a path


def interfaces() -> dict[str, dict[str, object]]:
    """Name -> MAC address, MTU and addresses with the length of their prefix; link-local addresses are left out."""
    with IPRoute() as route:
        links = {link["index"]: link for link in route.get_links()}
        own: dict[int, list[str]] = {index: [] for index in links}
        for family in FAMILIES:
            for one in route.get_addr(family=family):
                address = ipaddress.ip_interface(f"{one.get_attr('IFA_ADDRESS')}/{one['prefixlen']}")
                if not address.is_link_local:
                    own[one["index"]].append(str(address))
    return {
        link.get_attr("IFLA_IFNAME"): {
            "mac": link.get_attr("IFLA_ADDRESS"),
            "mtu": link.get_attr("IFLA_MTU"),
            "up": bool(link["flags"] & 1),
            "addresses": sorted(own[index]),
        }
        for index, link in links.items()
    }


def routes() -> list[str]:
    """The main table, "default via 10.0.1.10 dev front", in order of the alphabet; link-local ones are left out."""
    found = set()
    with IPRoute() as route:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in route.get_links()}
        for family in FAMILIES:
            for one in route.get_routes(family=family, table=MAIN):
                target, gateway = one.get_attr("RTA_DST"), one.get_attr("RTA_GATEWAY")
                if str(target).startswith(("fe80", "ff00")) or one["flags"] & REMEMBERED:
                    continue
                via = f" via {gateway}" if gateway else ""
                whither = f"{target}/{one['dst_len']}" if target else "default"
                found.add(f"{whither}{via} dev {names[one.get_attr('RTA_OIF')]}")
    return sorted(found)


def text(path: str) -> str:
    """The text of a file, or why it cannot be read."""
    try:
        return Path(path).read_text()
    except OSError as error:
        return str(error.strerror)


def user() -> str:
    """The name of the user that this process runs as."""
    return pwd.getpwuid(os.getuid()).pw_name


def process_tree() -> str:
    """Which tree of processes this host is in."""
    return os.readlink("/proc/self/ns/pid")


def scratch_folder() -> int:
    """Which file system /tmp is."""
    return os.stat("/tmp").st_dev


def programs() -> list[str]:
    """What is in /usr/bin."""
    return sorted(os.listdir("/usr/bin"))


def ask_everybody(interface: str) -> None:
    """An echo request to all that are on a link (ff02::1), and half a second for their answers."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as asking:
        asking.sendto(bytes([128, 0, 0, 0, 0, 7, 0, 1]), ("ff02::1", 0, 0, socket.if_nametoindex(interface)))
        time.sleep(0.5)


def may_administer() -> bool:
    """Whether this process may change this host's network: it gives the loopback an address, for a moment."""
    with IPRoute() as route:
        try:
            route.addr("add", index=1, address="127.9.9.9", prefixlen=32)
        except Exception:  # netlink's own error, which has no name that is the same everywhere
            return False
        route.addr("del", index=1, address="127.9.9.9", prefixlen=32)
    return True


def reach(address: str, port: int, seconds: float) -> str:
    """How a connection to *address* ended: "open", or the error's name; "slow" if it took more than *seconds*."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as connection:
        connection.settimeout(seconds)
        try:
            connection.connect(socket.getaddrinfo(address, port, flags=socket.AI_NUMERICHOST)[0][4])
        except TimeoutError:
            return "slow"
        except OSError as error:
            return os.strerror(error.errno or 0)
    return "open"


def resolve(name: str, seconds: float) -> str:
    """The addresses of *name*, or "unknown"; "slow" if that took more than *seconds*."""
    began = time.monotonic()
    try:
        found = sorted({str(one[4][0]) for one in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)})
        said = " ".join(found)
    except OSError:
        said = "unknown"
    return said if time.monotonic() - began < seconds else "slow"


def hold(address: str, port: int, count: int, seconds: float) -> int:
    """Open *count* connections, keep them for *seconds*; how many are still open and answer then."""
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(socket.create_connection((address, port), timeout=10)) for _ in range(count)]
        time.sleep(seconds)
        answered = 0
        for connection in kept:
            connection.sendall(b"on?\n")
        for connection in kept:
            answered += bool(connection.recv(1))
        return answered
