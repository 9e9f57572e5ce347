"""Functions and applications of the user's, as bytes that a host can load although it cannot see the user's files.

What lives in a notebook or in a module of the user's own travels by value; installed packages travel by name.
"""

import sys
import sysconfig
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

from labkit.errors import TaskError

_PLACES = ("stdlib", "platstdlib", "purelib", "platlib")
_INSTALLED = tuple({Path(sysconfig.get_path(place)).resolve() for place in _PLACES})
_OWN = Path(__file__).resolve().parent
LARGEST = 48 * 1024 * 1024  # bytes that can be sent into a host at once
_lock = threading.Lock()


def pickle(thing: Any, *arguments: Any) -> bytes:
    """(*thing*, *arguments*) as bytes. TaskError if something in it cannot leave this process."""
    import cloudpickle  # type: ignore[import-untyped]

    module = _users_module(thing)
    with _lock:
        if module is not None:
            cloudpickle.register_pickle_by_value(module)
        try:
            data: bytes = cloudpickle.dumps((thing, arguments))
        except Exception as error:  # pickling runs the objects' own code, which may raise anything
            name = getattr(thing, "__name__", type(thing).__name__)
            message = f"{name} cannot be sent into a host ({error}): open what it needs inside it, or pass plain data"
            raise TaskError(message) from error
        finally:
            if module is not None:
                cloudpickle.unregister_pickle_by_value(module)
    if len(data) > LARGEST:
        raise TaskError(f"what is to be sent into a host has {len(data)} bytes, over the {LARGEST} that can: send less")
    return data


def unpickle(data: bytes) -> tuple[Any, tuple[Any, ...]]:
    """What `pickle` packed. Raises whatever loading the user's things raises."""
    import cloudpickle

    thing, arguments = cloudpickle.loads(data)
    return thing, arguments


def _users_module(thing: Any) -> ModuleType | None:
    """The module that defines *thing*, if a host could not import it by name."""
    name = getattr(thing, "__module__", None) or type(thing).__module__
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if module is None or file is None or name == "__main__":  # cloudpickle sends __main__ by value anyway
        return None
    path = Path(file).resolve()
    installed = any(path.is_relative_to(root) for root in (*_INSTALLED, _OWN))
    return None if installed else module
