"""The image of a lab's hosts: the one that fits this labkit, built when the engine does not have it.

Variables of the environment: ``LABKIT_IMAGE`` names another image, which is taken as it is; ``LABKIT_BASE`` the base
to build on (``python:3.13-slim`` where labkit runs on Python 3.13); ``LABKIT_BUILD_NETWORK`` the network that the
build may use.
"""

import os
import re
import sys
from collections.abc import Callable

from labkit.errors import RuntimeUnavailable

from . import context
from .engine import Engine

IMAGE, BASE, NETWORK = "LABKIT_IMAGE", "LABKIT_BASE", "LABKIT_BUILD_NETWORK"
_LONGEST = 140  # characters of a name with its tag; a tag may have 128


def tag() -> str:
    """The image's name: another for every change of what is in it, and for every base."""
    base = re.sub(r"[^a-zA-Z0-9.]+", "-", base_image())
    return os.environ.get(IMAGE) or f"labkit-node:{context.sources()}-{base}"[:_LONGEST]


def base_image() -> str:
    return os.environ.get(BASE) or f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"


def ensure(engine: Engine, say: Callable[[str], None] = lambda _: None) -> str:
    """The image's name, once the engine has it; *say* is told of the building. RuntimeUnavailable if that fails."""
    name = tag()
    if not engine.has_image(name):
        if os.environ.get(IMAGE):
            raise RuntimeUnavailable(f"The Docker engine has no image {name}, which {IMAGE} names. Build or load it.")
        say(f"building the image {name} on {base_image()}; the first time this takes minutes")
        arguments = {"BASE": base_image(), "SOURCES": context.sources()}
        engine.build(context.tar(), name, arguments, os.environ.get(NETWORK), say)
    return name
