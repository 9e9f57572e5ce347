"""Recordings out of a seeded generator, for round trips."""

import random

import numpy as np

from labkit.recording import PACKET_DTYPE, Loss, Recording, Vantage

NAMES = ("alice", "lb:front", "bücher:後ろ", "🦊", "n" * 300, "a b'\"<>&", "ли\u0301")
LARGEST_TIME = 2**63 - 1


def make(seed: int, packets: int = 40, vantages: int = 4) -> Recording:
    """A recording in which everything that a file can keep is set."""
    dice = random.Random(seed)
    names = dice.sample(NAMES, vantages)
    points = tuple(
        Vantage(
            name,
            node=f"node {name}",
            interface=dice.choice(["front", ""]),
            description=dice.choice(["", f"at {name}"]),
            filter=dice.choice(["", "tcp port 80"]),
        )
        for name in names
    )
    data = dice.randbytes(4096)
    rows = np.zeros(packets, PACKET_DTYPE)
    time_ns = dice.choice([0, 1_700_000_000_000_000_000, LARGEST_TIME - 10**6])
    for index in range(packets):
        time_ns = min(LARGEST_TIME, time_ns + dice.choice([0, 1, 999, 10**4]))
        captured = dice.choice([0, 1, 2, 3, 4, 60, 1514])
        offset = dice.randrange(len(data) - captured + 1)
        original = captured + dice.choice([0, 0, 7])
        rows[index] = (time_ns, dice.randrange(max(1, vantages)), offset, captured, original, dice.randrange(3))
    counts = np.bincount(rows["vantage"], minlength=vantages).tolist()
    loss = {point.name: Loss(count, dice.choice([None, 0, 12])) for point, count in zip(points, counts, strict=True)}
    events = [
        {"kind": "mode", "time_ns": min(LARGEST_TIME, time_ns + 1), "mode": "l4", "engine": "nftables"},
        {
            "kind": "request",
            "time_ns": min(LARGEST_TIME, time_ns + 2),
            "target": "/ü\ud800\0",
            "back": None,
            "read": ["ip.dst"],
            "n": 2**70,
        },
    ]
    said = sorted(dice.sample(range(1, packets + 1), packets // 9))
    comments = {number: dice.choice(["", "look", "zwei\nZeilen", "後ろ"]) for number in said}
    lacks = tuple(dice.sample(["one thing", "another"], dice.randrange(3)))
    return Recording(points, rows, data, loss, events, lacks=lacks, comments=comments)
