"""Byte-mutants of capture files, by seed; as a program, asks everything of many of them in a process of its own.

    python -m tests.malformed.mutants FOLDER FIRST COUNT FILE...

Prints one line for each defect, and at the end how much memory it took at most (KiB).
"""

import random
import resource
import signal
import sys
import traceback
from pathlib import Path

from tests.malformed.answers import ask

SECONDS = 20  # for one file
WORDS = (b"\xff" * 4, b"\0" * 4, b"\0\0\0\x80", b"\x80\0\0\0", b"\x0c\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x06")


def mutant(content: bytes, seed: int) -> bytes:
    """*content* with a few bytes changed, removed, doubled or moved."""
    dice = random.Random(seed)
    out = bytearray(content)
    for _ in range(dice.choice([1, 1, 2, 4, 16])):
        at = dice.randrange(len(out))
        match dice.randrange(7):
            case 0:
                out[at] = dice.randrange(256)
            case 1:
                out[at] ^= 1 << dice.randrange(8)
            case 2:
                out[at - at % 4 : at - at % 4 + 4] = dice.choice(WORDS)
            case 3:
                del out[at : at + dice.choice([1, 4, 40])]
            case 4:
                out[at:at] = out[at : at + dice.choice([1, 4, 64])]
            case 5:  # a word or number of the evidence becomes another
                texts = [
                    b"null",
                    b"-1",
                    b"[]",
                    b'""',
                    b"{}",
                    b"1e400",
                    b'"\\u001b[31m"',
                    b"99999999999999999999",
                    b"true",
                ]
                start = out.find(dice.choice([b'":', b',"', b"[", b'"']), at)
                if start >= 0:
                    new = dice.choice(texts)
                    out[start + 2 : start + 2 + len(new)] = new
            case 6:
                end = min(len(out), at + dice.choice([8, 100]))
                out[at:end] = dice.randbytes(end - at)
    return bytes(out)


def _too_long(*_: object) -> None:
    raise TimeoutError("it took too long")


def main(folder: str, first: int, count: int, files: list[str]) -> None:
    """Ask everything of *count* mutants from seed *first* on, of each file in turn."""
    signal.signal(signal.SIGALRM, _too_long)
    originals = [Path(name).read_bytes() for name in files]
    for seed in range(first, first + count):
        path = Path(folder, f"mutant-{seed}")
        path.write_bytes(mutant(originals[seed % len(originals)], seed))
        signal.alarm(SECONDS)
        try:
            ask(str(path))
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(
                f"seed {seed} of {files[seed % len(files)]}: {error!r} at {where.filename}:{where.lineno}", flush=True
            )
        finally:
            signal.alarm(0)
        path.unlink()
    print("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
