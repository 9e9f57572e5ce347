"""What was seen: packets, decisions, proxy events, rule loads; the pcapng file that keeps them all."""

from .model import PACKET_DTYPE, Loss, Recording, Vantage
from .pcapng import read_pcapng, write_pcapng

__all__ = ["PACKET_DTYPE", "Loss", "Recording", "Vantage", "read_pcapng", "write_pcapng"]
