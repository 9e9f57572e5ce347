"""What a doctor says of one thing it has looked at."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. *remedy* is a command or an instruction; empty where nothing is wrong."""

    name: str
    works: bool
    detail: str
    remedy: str = ""
