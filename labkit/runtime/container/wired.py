"""Whether a container has the network of a host: its interfaces bear a mark once `wire` has done all it does."""

from pathlib import Path
from typing import Any

MARK = "wired"  # their alias
_INTERFACES = Path("/sys/class/net")


def wired(node: dict[str, Any], interfaces: Path = _INTERFACES) -> bool:
    """For *node*, as of `plan`."""
    aliases = [interfaces / interface["name"] / "ifalias" for interface in node["interfaces"]]
    return all(alias.exists() and alias.read_text().strip() == MARK for alias in aliases)
