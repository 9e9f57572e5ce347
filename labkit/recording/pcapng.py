"""The capture file in one place: `write_pcapng` keeps a recording, `read_pcapng` brings one back (docs/pcapng.md)."""

from .pcapng_reader import MOST_PACKETS, read_pcapng
from .pcapng_writer import write_pcapng

__all__ = ["MOST_PACKETS", "read_pcapng", "write_pcapng"]
