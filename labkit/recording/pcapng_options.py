"""The options of many packet blocks: direction (epb_flags) and comments, all packets walked in step."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import pcapng_format as pcapng

MOST_OPTIONS: Final = 64  # of one packet that are looked at
MOST_COMMENT_BYTES: Final = 1 << 26  # of one file
_OURS: Final = 24  # bytes of the options that `pcapng_writer` gives a packet without a comment: flags, packet id, end
Integers = npt.NDArray[Any]


def read(
    data: Any, words: Integers, order: str, at: Integers, end: Integers
) -> tuple[npt.NDArray[np.uint8], dict[int, bytes]]:
    """Direction of each packet, and its comments (joined by line feeds) by the packet's place in *at*.

    Its options stand in [at, end), multiples of 4. *words*: the whole file as 32-bit words of that byte order.
    """
    found = np.zeros(len(at), np.uint8)
    comments: dict[int, bytes] = {}
    index = np.flatnonzero(at + 4 <= end)
    at, end = at[index], end[index]
    for _ in range(MOST_OPTIONS):
        if not len(index):
            break
        head = words[at >> 2]
        code, length = (head & 0xFFFF, head >> 16) if order == "<" else (head >> 16, head & 0xFFFF)
        length = length.astype(np.int64)
        whole = at + 4 + length <= end
        flags = (code == pcapng.OPT_FLAGS) & (length == 4) & whole
        found[index[flags]] = _direction(words[(at[flags] >> 2) + 1])
        for place in np.flatnonzero((code == pcapng.OPT_COMMENT) & whole).tolist():
            start, number = int(at[place]) + 4, int(index[place])
            said = bytes(data[start : start + int(length[place])])
            comments[number] = comments[number] + b"\n" + said if number in comments else said
        after = at + 4 + (length + 3 & ~3)
        more = (code != pcapng.OPT_END) & whole & (after + 4 <= end)
        index, at, end = index[more], after[more], end[more]
    return found, comments


def ours(options: Integers, room: Integers, order: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint8]]:
    """Which packets have the options of the writer's own layout, and the direction that those say.

    options: the last six words of each packet's; room: how many bytes its options take in all.
    """
    plain = (options[:, 0] == _head(pcapng.OPT_FLAGS, 4, order)) & (room == _OURS)
    plain &= options[:, 2] == _head(pcapng.OPT_PACKET_ID, 8, order)
    return plain, _direction(options[:, 1])


def _head(code: int, length: int, order: str) -> int:
    return code | length << 16 if order == "<" else code << 16 | length


def _direction(flags: Integers) -> npt.NDArray[np.uint8]:
    value = flags.astype(np.uint8) & np.uint8(3)
    value[value == 3] = 0
    return value
