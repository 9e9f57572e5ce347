"""A function of the user's as a policy carries it out of the notebook: its name, and bytes that a worker can load."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A packed function. name: what it is called in messages."""

    name: str
    data: bytes

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, *_: object) -> object:
        raise TypeError(f"{self.name} is packed: a worker has to load it")
