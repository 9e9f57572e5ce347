"""What was seen: packets, decisions, proxy events, rule loads; the pcapng file that keeps them all."""

from .model import PACKET_DTYPE, Loss, Recording, Vantage

__all__ = ["PACKET_DTYPE", "Loss", "Recording", "Vantage"]
