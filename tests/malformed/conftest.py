"""Small real captures, cut out of those that come with labkit, in every format that is read."""

from dataclasses import replace
from pathlib import Path

import pytest

from labkit.recording import Recording, read_pcapng, write_pcapng
from tests.recording import foreign

CAPTURES = Path(__file__).parents[2] / "captures"
PACKETS = 30
_MOST_OF_A_KIND = 2


def small(mode: str) -> Recording:
    """The first packets of a capture, and the events that go with them; a comment and some text outside ASCII."""
    whole = read_pcapng(CAPTURES / f"{mode}.pcapng")
    counts: dict[str, int] = {}
    events = []
    for event in whole.events:
        counts[event["kind"]] = counts.get(event["kind"], 0) + 1
        if counts[event["kind"]] <= _MOST_OF_A_KIND:
            events.append({**event, "text": event["text"][:200]} if "text" in event else event)
    return replace(whole, packets=whole.packets[:PACKETS], events=events, comments={3: "look: ü 後ろ", 4: "here\ntoo"})


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """pcapng of labkit, pcapng and pcap of both byte orders."""
    folder = tmp_path_factory.mktemp("originals")
    found = []
    for mode in ("l4", "l7"):
        recording = small(mode)
        found.append(write_pcapng(recording, folder / f"{mode}.pcapng"))
        for order, name in (("<", "little"), (">", "big")):
            for kind, write in (("pcapng", foreign.as_pcapng), ("pcap", foreign.as_pcap)):
                found.append(folder / f"{mode}-{name}.{kind}")
                found[-1].write_bytes(write(recording, order))
    return found
