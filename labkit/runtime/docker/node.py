"""`ContainerNode`: a host of a lab that is a container, from its creation to a running agent."""

import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labkit.errors import LabNotRunning, RuntimeUnavailable, TaskError
from labkit.runtime.greeted import GreetedNode
from labkit.runtime.loop import StreamLoop

from . import plan
from .engine import Engine
from .streams import Demultiplexer

_WIRE = ["labkit.runtime.container.wire"]
_ADMINISTER = "labkit.runtime.container.administer"
_MOMENT = 30.0  # seconds that a container of a moment may take
_CLOCKS = 1.0  # seconds by which they may differ
_KEPT = 4096  # bytes of what a container said


class ContainerNode(GreetedNode):
    """`Node` in a container. It is nobody before `begin`."""

    def __init__(
        self, name: str, spec: Mapping[str, Any], image: str, engine: Engine, on_end: Callable[[str], None]
    ) -> None:
        self._spec = spec
        self._image = image
        self._engine = engine
        self._on_loss = on_end
        self._said = bytearray()
        self._container = ""
        self.name = name

    def create(self, networks: Mapping[str, str]) -> None:
        """Have its container made, in *networks* (link -> name)."""
        self._container = self._engine.create(self._image, self._spec, networks)

    def begin(self, loop: StreamLoop, modules: Sequence[str], seconds: float) -> None:
        """Start it, meet its agent, and give it its network. RuntimeUnavailable says what went wrong there."""
        stream = self._engine.attach(self._container)
        super().__init__(self.name, stream, loop, self._on_loss, unwrap=Demultiplexer(self._printed))
        self._engine.start(self._container, self._spec["name"])
        if not self.heard(seconds) or not self.hello:
            raise RuntimeUnavailable(
                f"The container of {self.name}, of the image {self._image}, is no host of a lab: {self._last_words()}"
            )
        self.fits(self._image)
        if abs(self.ahead) > _CLOCKS:
            warnings.warn(
                f"The Docker engine's clock is {self.ahead:+.1f} s from this machine's: set one of them, or captures "
                "will miss decisions and secrets.",
                stacklevel=2,
            )
        self.load(modules)
        try:
            self._moment(_WIRE)
        except TaskError as error:
            raise RuntimeUnavailable(str(error)) from error

    def administer(self, target: str, /, *arguments: Any) -> None:
        if "NET_ADMIN" in self._spec["host"]["cap_add"]:
            self.call(target, *arguments)
        elif self.gone is not None:
            raise LabNotRunning(self.gone)
        else:
            self._moment([_ADMINISTER, target, json.dumps(arguments)])

    def _moment(self, command: list[str]) -> None:
        spec = plan.wiring(self._spec, self._container, command)
        status, said = self._engine.finish(self._engine.create(self._image, spec, {}), spec["name"], _MOMENT)
        if status:
            raise TaskError(f"The network of {self.name} cannot be changed: {said or f'status {status}'}")

    def _printed(self, said: bytes) -> None:
        """What processes of the host print (loop thread)."""
        self._said += said
        del self._said[:-_KEPT]
        if self.heard():
            sys.stderr.write(said.decode(errors="replace"))

    def _last_words(self) -> str:
        lines = self._said.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended without a word"
