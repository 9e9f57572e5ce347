"""The capture file in one place: `write_pcapng` keeps a recording, `read_pcapng` brings one back (docs/pcapng.md)."""

from .pcapng_reader import read_pcapng
from .pcapng_writer import write_pcapng

__all__ = ["read_pcapng", "write_pcapng"]
