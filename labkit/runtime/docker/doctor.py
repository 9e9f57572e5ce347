"""What of the Docker runtime works here, found by doing it: an engine, the image of hosts, a small lab, rules, packets.

The image is not built for this, which takes minutes: without it, what comes after is not tried.
"""

from collections.abc import Iterator

from labkit.errors import LabError
from labkit.runtime.finding import Finding
from labkit.topology import sized

from . import image
from .engine import Engine
from .runtime import DockerRuntime

RUNTIME = "docker runtime"
_ENGINE, _IMAGE, _LAB = "Docker engine", "image of a lab's hosts", "containers and networks"
_TRIALS = {
    "nftables NAT rules in a container": ("lb", "labkit.runtime.container.trials:nat_rule"),
    "packet capture in a container": ("client1", "labkit.runtime.container.trials:packet_socket"),
}
_PATIENCE = 10.0  # seconds; where a rule may not be loaded, the kernel's answer may never come
_START = "start Docker, or set DOCKER_HOST, as a user who may use it (on Linux: of the group docker)"
_BUILD = "labkit build"


def findings() -> list[Finding]:
    """One thing after the other, up to the first that does not work; the last says whether the runtime can be used."""
    found = list(_tried())
    last = found[-1]
    if last.works:
        return [*found, Finding(RUNTIME, True, 'ready: Lab(runtime="docker").start() works here')]
    return [*found, Finding(RUNTIME, False, f"not available: see {last.name}", last.remedy)]


def _tried() -> Iterator[Finding]:
    """What was tried, up to the first that does not work."""
    try:
        engine = Engine()
    except LabError as error:
        yield Finding(_ENGINE, False, str(error).partition(". ")[0], _START)
        return
    try:
        yield Finding(_ENGINE, True, f"{engine.version['Version']}, API {engine.version['ApiVersion']}")
        tag = image.tag()
        if not engine.has_image(tag):
            yield Finding(
                _IMAGE, False, f"{tag} is not built yet; this, or the first lab, builds it, in some minutes", _BUILD
            )
            return
        yield Finding(_IMAGE, True, tag)
    except LabError as error:
        yield Finding(_IMAGE, False, str(error), _BUILD)
        return
    finally:
        engine.close()
    yield from _in_a_lab()


def _in_a_lab() -> Iterator[Finding]:
    runtime, name = DockerRuntime(), _LAB
    try:
        runtime.start(sized(backends=1, clients=1))
        yield Finding(name, True, "works")
        for name, (node, target) in _TRIALS.items():
            runtime.nodes[node].call(target, timeout=_PATIENCE)
            yield Finding(name, True, "works")
    except LabError as error:
        yield Finding(name, False, str(error), "docker/README.md says what an engine has to allow")
    finally:
        runtime.stop()
