"""Calls one function with the right to administer a host's network: ``… -m labkit.runtime.container.administer``.

Arguments: the function's dotted name, and its own arguments as JSON. What it raises ends up on standard error.
"""

import json
import sys

from labkit.errors import LabError
from labkit.runtime.agent.task import resolve


def main(target: str, arguments: str) -> None:
    """Call it; the exit status says whether it came back."""
    try:
        resolve(target)(*json.loads(arguments))
    except (LabError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
