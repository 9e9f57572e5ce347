"""What the kernel is asked without asking for anything."""

import os
import subprocess
import sys

from labkit.runtime.netns.process import refused_by_filter

FILTERED = """
import ctypes, struct
from labkit.runtime.netns.process import refused_by_filter

LOAD, EQUAL, RETURN, ALLOW, REFUSE = 0x20, 0x15, 0x06, 0x7FFF0000, 0x50000 | {errno}
program = [(LOAD, 0, 0, 0)]
for number in {numbers}:
    program += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE)]
program += [(RETURN, 0, 0, ALLOW)]
packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))

class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("lines", ctypes.c_void_p)]

prctl = ctypes.CDLL(None, use_errno=True).prctl
assert prctl(38, 1, 0, 0, 0) == 0  # no new privileges, without which none but root may set a filter
assert prctl(22, 2, ctypes.byref(Program(len(program), ctypes.addressof(packed))), 0, 0) == 0
print(refused_by_filter())
"""
MOUNT_SETATTR = 442  # of these calls the one whose number is the same everywhere


def under_a_filter(errno: int) -> str:
    program = FILTERED.format(errno=errno, numbers=[MOUNT_SETATTR])
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    ).stdout.strip()


def test_without_a_filter_nothing_is_refused_and_nothing_done():
    before = os.readlink("/proc/self/ns/mnt"), os.readlink("/proc/self/ns/net")
    assert refused_by_filter() == []
    assert (os.readlink("/proc/self/ns/mnt"), os.readlink("/proc/self/ns/net")) == before


def test_a_refusal_by_the_filter_is_seen_and_another_error_is_not():
    assert under_a_filter(errno=1) == "['mount_setattr']"
    assert under_a_filter(errno=38) == "[]"  # as where the kernel is older than the call
