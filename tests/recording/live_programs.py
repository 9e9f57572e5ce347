"""Programs that capture, all at once on one loopback, while frames of many kinds are sent over it.

    unshare --user --map-user=1000 --net --keep-caps python -m tests.recording.live_programs FOLDER

Not as root of the namespace, for tcpdump would want to become somebody else then, and may not.
"""

import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from tests.taps.namespace import set_up
from tests.taps.test_filters import sample

LIVE = {
    "tcpdump": "tcpdump -i lo -U --immediate-mode -B 32768 -w {}",
    "nanoseconds": "tcpdump -i lo -U --immediate-mode -B 32768 --time-stamp-precision nano -w {}",
    "snapped": "tcpdump -i lo -U --immediate-mode -B 32768 -s 40 -w {}",
    "cooked v1": "tcpdump -i any -y LINUX_SLL -U --immediate-mode -B 32768 -w {}",
    "cooked v2": "tcpdump -i any -y LINUX_SLL2 -U --immediate-mode -B 32768 -w {}",
    "dumpcap": "dumpcap -q -i lo -w {}",
    "two interfaces": "dumpcap -q -i lo -f udp -i any -w {}",
}


def traffic() -> list[bytes]:
    """Frames with tags, extension headers and pieces, besides the usual ones."""
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    tcp, udp = TCP(sport=40000, dport=80, flags="S"), UDP(sport=40000, dport=53) / Raw(b"question")
    ip, ip6 = IP(src="10.0.1.11", dst="10.0.1.10"), IPv6(src="fd00::1", dst="fd00::2")
    made = [
        ether / Dot1Q(vlan=7) / ip / tcp,
        ether / Dot1Q(vlan=7, type=0x86DD) / ip6 / udp,
        ether / ip6 / IPv6ExtHdrDestOpt() / tcp,
        ether / ip6 / IPv6ExtHdrFragment(offset=0, m=1, id=5) / udp,
        ether / ip6 / IPv6ExtHdrFragment(offset=3, m=0, id=5) / Raw(b"a later piece"),
    ]
    return [*sample(), *map(bytes, made)]


def record(folder: str) -> dict[str, str]:
    """Files of all programs in *folder*, named as they are with dots for spaces; what those say that fail."""
    set_up("lo")
    running, failed = {}, {}
    for name, command in LIVE.items():
        words = command.format(Path(folder, name.replace(" ", "."))).split()
        running[name] = subprocess.Popen(
            [shutil.which(words[0]) or words[0], *words[1:]], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
    deadline = time.monotonic() + 20
    while len(Path("/proc/net/packet").read_text().splitlines()) < 1 + len(LIVE) + 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("lo", 0))
        for frame in traffic():
            sender.send(frame)
            time.sleep(0.002)
    time.sleep(1.5)  # dumpcap looks once a second
    for name, process in running.items():
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        if process.returncode:
            failed[name] = said.decode()
    return failed


if __name__ == "__main__":
    failures = record(sys.argv[1])
    sys.exit("\n".join(map(str, failures.items())) or 0)
