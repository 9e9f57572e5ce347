"""Mutants of capture files, by seed; as a program, asks everything of many of them in a process of its own.

    python -m tests.malformed.mutants bytes|events FOLDER FIRST COUNT FILE...

Prints one line for each defect, and at the end how much memory it took at most (KiB).
"""

import copy
import random
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from labkit.recording import read_pcapng
from tests.malformed.answers import ask
from tests.recording import foreign

SECONDS = 20  # for one file
WORDS = (b"\xff" * 4, b"\0" * 4, b"\0\0\0\x80", b"\x80\0\0\0", b"\x0c\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x06")
TEXTS = (b"null", b"-1", b"[]", b'""', b"{}", b"1e400", b'"\\u001b[31m"', b"99999999999999999999", b"true")
ODD: tuple[Any, ...] = (
    *("", "x", "\x1b[31m", "<script>alert(1)</script>", "\u202e", "\ud800", "\u00b2"),
    *("10.0.1.11", "l4", "l7", "ip.src", "TCP", "9" * 5000),
    *(0, 1, 80, 65535, 65536, -1, 2**31, 2**62, 2**63 - 1, 2**63, 2**70),
    *(None, True, False, 1.5, float("inf"), float("nan")),
    *([], [[]], [None], [1], ["a", "b"], ["x", 1], [["a", "b"]]),
    *({}, {"a": {}}, {"client": None}, {"client": ["x", 1], "server": ["y", 2]}),
)  # fmt: skip


def bytes_mutant(path: Path, seed: int) -> bytes:
    """The file with a few bytes changed, removed, doubled or overwritten."""
    dice = random.Random(seed)
    out = bytearray(path.read_bytes())
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
                start = out.find(dice.choice([b'":', b',"', b"[", b'"']), at)
                if start >= 0:
                    new = dice.choice(TEXTS)
                    out[start + 2 : start + 2 + len(new)] = new
            case 6:
                end = min(len(out), at + dice.choice([8, 100]))
                out[at:end] = dice.randbytes(end - at)
    return bytes(out)


def events_mutant(path: Path, seed: int) -> bytes:
    """The file, whole, with values of its events removed, doubled, or replaced by odd ones, mostly of the same type."""
    dice = random.Random(seed)
    recording = read_pcapng(path)
    events = copy.deepcopy(list(recording.events))
    for _ in range(dice.choice([1, 1, 2, 4])):
        event = dice.choice(events)
        places = list(_places(event))
        if not places:
            continue
        holder, key = dice.choice(places)
        kind = dice.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        else:
            alike = [value for value in ODD if type(value) is type(holder[key])]
            holder[key] = copy.deepcopy(dice.choice(alike or ODD if kind < 5 else ODD))
    return foreign.as_pcapng(replace(recording, events=events), dice.choice("<>"))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) inside a value of JSON."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def _too_long(*_: object) -> None:
    raise TimeoutError("it took too long")


def main(kind: str, folder: str, first: int, count: int, files: list[str]) -> None:
    """Ask everything of *count* mutants from seed *first* on, of each file in turn."""
    signal.signal(signal.SIGALRM, _too_long)
    mutant = {"bytes": bytes_mutant, "events": events_mutant}[kind]
    for seed in range(first, first + count):
        original = Path(files[seed % len(files)])
        path = Path(folder, f"mutant-{seed}")
        path.write_bytes(mutant(original, seed))
        signal.alarm(SECONDS)
        try:
            ask(str(path))
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            print(f"seed {seed} of {original.name}: {error!r:.200} at {where.filename}:{where.lineno}", flush=True)
        finally:
            signal.alarm(0)
        path.unlink()
    print("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
