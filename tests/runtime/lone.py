"""An agent without a lab around it: ``python -m tests.runtime.lone FD [ends-first]``. Its exit status is 7.

ends-first: of what happens in one round the end of a task is heard before its last words.
"""

import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from labkit.runtime.agent.serve import Agent


def main(number: str, order: str = "") -> int:
    agent = Agent(socket.socket(fileno=int(number)), "n1")
    if order == "ends-first":
        agent._selector.select = ends_first(agent._selector.select)  # type: ignore[method-assign]
    agent.serve()
    return 7


def ends_first(select: Callable[[], list[Any]]) -> Callable[[], list[Any]]:
    """*select* with the events of some time in one round; a task's end, of the newest descriptor, comes first."""

    def later() -> list[Any]:
        select()
        time.sleep(0.05)
        return sorted(select(), key=lambda event: -event[0].fd)

    return later


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
