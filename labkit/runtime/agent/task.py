"""What happens in a task's own process: find the function by name, call it, say how it ended."""

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

from . import names
from .link import SocketLink


def resolve(target: str) -> Callable[..., Any]:
    """The function that ``"package.module:function"`` names. ImportError or AttributeError if there is none."""
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def run(link: SocketLink, target: str, arguments: dict[str, Any]) -> NoReturn:
    """Call the task's function and end this process: status 0, or 1 after telling the owner why."""
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, _ignore)
    names.set_name(names.of_target(target))
    status = 0
    try:
        resolve(target)(link, **arguments)
    except (SystemExit, EOFError, BrokenPipeError):
        pass  # stopped, or the owner is gone: a good end
    except BaseException as error:
        status = 1
        _tell(link, "".join(traceback.format_exception(error)))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _tell(link: SocketLink, reason: str) -> None:
    try:
        link.fail(reason)
    except OSError:
        print(reason, file=sys.stderr)  # no owner left to tell


def _ignore(number: int, _: FrameType | None) -> None:
    """A handler, unlike SIG_IGN, is not handed on to the programs that a task executes."""


def _terminate(number: int, _: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # once: clean-up must not be interrupted by a second one
    raise SystemExit(0)
