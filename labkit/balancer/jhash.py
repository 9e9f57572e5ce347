"""The kernel's hash of bytes, in Python: what nftables' ``jhash … mod m seed s`` gives.

Bob Jenkins' lookup3 (public domain, https://burtleburtle.net/bob/c/lookup3.c, ``hashlittle``) as the kernel has it
in include/linux/jhash.h. With it the choice of a hashing rule can be foretold. Pure.
"""

import struct

_ALL = 0xFFFFFFFF
_START = 0xDEADBEEF
_MIX = (4, 6, 8, 16, 19, 4)
_FINAL = (14, 11, 25, 16, 4, 14, 24)


def jhash(data: bytes, seed: int = 0) -> int:
    """The 32-bit hash of *data*."""
    a = b = c = (_START + len(data) + seed) & _ALL
    while len(data) > 12:
        words = struct.unpack_from("<III", data)
        a, b, c = _mixed((a + words[0]) & _ALL, (b + words[1]) & _ALL, (c + words[2]) & _ALL)
        data = data[12:]
    if not data:
        return c
    words = struct.unpack("<III", data.ljust(12, b"\0"))
    return _last((a + words[0]) & _ALL, (b + words[1]) & _ALL, (c + words[2]) & _ALL)


def slot(data: bytes, modulus: int, seed: int = 0) -> int:
    """``jhash DATA mod MODULUS seed SEED``: 0 to *modulus* - 1. The kernel scales the hash, it does not divide it."""
    return (jhash(data, seed) * modulus) >> 32


def _rotated(number: int, by: int) -> int:
    return (number << by | number >> (32 - by)) & _ALL


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    """Each of the six steps: a = (a - c) ^ (c rotated), c = c + b; then the names move on by one."""
    for by in _MIX:
        a, c = (a - c) & _ALL ^ _rotated(c, by), (c + b) & _ALL
        a, b, c = b, c, a
    return a, b, c


def _last(a: int, b: int, c: int) -> int:
    """Each of the seven steps: c = (c ^ b) - (b rotated); then the names move on by one."""
    for by in _FINAL:
        a, b, c = b, ((c ^ b) - _rotated(b, by)) & _ALL, a
    return b
