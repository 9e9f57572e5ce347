"""Numbers as a policy holds them: judged when they are written down. Pure."""

from labkit.errors import PolicyError
from labkit.wording import shown


def whole(asker: str, value: object, least: int, most: int) -> int:
    """*value*, if it is a whole number from *least* to *most*. PolicyError naming *asker*."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise PolicyError(f"{asker}={shown(value)}: it is a whole number from {least:,} to {most:,}.")
    return value


def seconds(asker: str, value: object, least: float = 0.01, most: float = 86_400) -> float:
    """*value*, if it is a time in seconds from *least* to *most*. PolicyError naming *asker*."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise PolicyError(f"{asker}={shown(value)}: it is a time in seconds, from {least:g} to {most:,g}.")
    return float(value)
