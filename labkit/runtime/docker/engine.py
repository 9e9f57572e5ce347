"""`Engine`: the Docker engine, as far as a lab needs it.

The one file that knows the Docker SDK; its errors become ours.
"""

import io
import os
import socket
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from docker.api import APIClient
from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import IPAMConfig, IPAMPool
from docker.utils import kwargs_from_env
from requests.exceptions import ReadTimeout, RequestException
from urllib3.exceptions import ReadTimeoutError

from labkit.errors import RuntimeUnavailable

from . import context, labels
from .bridged import plain_socket

_SECONDS = 60  # for an answer of the engine's
_BUILDING = 1800
_NONE = {"test": ["NONE"]}


class Taken(RuntimeUnavailable):
    """The engine has given a subnet to somebody else meanwhile."""


class Engine:
    """A connection to the engine of DOCKER_HOST, or DOCKER_CONTEXT, or the current Docker context. Thread-safe.

    Every method raises RuntimeUnavailable, with the remedy, for what the engine refuses.
    """

    def __init__(self) -> None:
        with _speaking("say its version"):
            self._api = _client()
            self.version: dict[str, Any] = self._api.version()

    def close(self) -> None:
        self._api.close()

    # images

    def has_image(self, tag: str) -> bool:
        with _speaking("look for an image"):
            try:
                self._api.inspect_image(tag)
            except ImageNotFound:
                return False
            return True

    def build(
        self, packed: bytes, tag: str, arguments: Mapping[str, str], network: str | None, say: Callable[[str], None]
    ) -> None:
        """Build the target ``node`` of the Dockerfile in *packed*, a tar archive. *say* is told of each step."""
        with _speaking(f"build the image {tag}"):
            output = self._api.build(
                fileobj=io.BytesIO(packed),
                custom_context=True,
                dockerfile=context.DOCKERFILE,
                tag=tag,
                target="node",
                buildargs=dict(arguments),
                network_mode=network,
                rm=True,
                forcerm=True,
                timeout=_BUILDING,
                decode=True,
            )
            lines: list[str] = []
            for part in output:
                if "error" in part:
                    raise RuntimeUnavailable(
                        f"The Docker engine cannot build the image {tag}: {part['error'].strip()}. It said: "
                        f"{' … '.join(lines[-3:])}. docker/README.md says how to build with another base, or without "
                        "a registry."
                    )
                new = str(part.get("stream") or part.get("status") or "").strip().splitlines()
                lines += new
                for line in new:
                    if line.startswith("Step "):
                        say(textwrap.shorten(line, 100, placeholder=" …"))

    # networks

    def subnets(self) -> list[str]:
        """The subnets of every network of the engine."""
        with _speaking("list its networks"):
            listed = self._api.networks()
        pools = [pool for network in listed for pool in (network.get("IPAM") or {}).get("Config") or []]
        return [str(pool.get("Subnet") or "") for pool in pools]

    def create_network(self, spec: Mapping[str, Any]) -> None:
        """As of `plan.networks`. `Taken` where its subnet is somebody's."""
        pool = IPAMPool(subnet=spec["subnet"], gateway=spec["gateway"])
        with _speaking(f"create the network {spec['name']}"):
            try:
                self._api.create_network(
                    spec["name"],
                    driver="bridge",
                    ipam=IPAMConfig(pool_configs=[pool]),
                    options=dict(spec["options"]),
                    labels=dict(spec["labels"]),
                    check_duplicate=True,
                )
            except APIError as error:
                if "overlap" in str(error).lower():
                    raise Taken(f"The Docker engine has given {spec['subnet']} to another network.") from error
                raise

    def networks(self) -> list[dict[str, Any]]:
        """Every network with the label of a lab: name, labels."""
        with _speaking("list its networks"):
            listed = self._api.networks(filters={"label": labels.LAB})
        return [{"name": each["Name"], "labels": each["Labels"] or {}} for each in listed]

    def remove_network(self, name: str) -> bool:
        """Whether it is gone now; False while something is still in it."""
        try:
            with _speaking(f"remove the network {name}"):
                self._api.remove_network(name)
        except RuntimeUnavailable as error:
            return isinstance(error.__cause__, NotFound)
        return True

    # containers

    def create(self, image: str, spec: Mapping[str, Any], networks: Mapping[str, str]) -> str:
        """As of `plan.containers`, in *networks* (link -> name); returns its id. It does not run yet."""
        addresses: dict[str, str] = dict(spec.get("addresses", {}))
        with _speaking(f"create the container {spec['name']}"):
            first = next(iter(addresses), None)
            host = self._api.create_host_config(**{"network_mode": networks[first]} if first else {}, **spec["host"])
            host.update(spec["more"])
            created = self._api.create_container(
                image,
                command=spec.get("command"),
                name=spec["name"],
                hostname=spec.get("hostname"),
                environment=dict(spec["environment"]),
                labels=dict(spec["labels"]),
                host_config=host,
                stdin_open=first is not None,
                healthcheck=_NONE,
                networking_config=self._endpoint(networks[first], addresses[first]) if first else None,
            )
            container = str(created["Id"])
            for link, address in list(addresses.items())[1:]:
                self._api.connect_container_to_network(container, networks[link], ipv4_address=address)
        return container

    def _endpoint(self, network: str, address: str) -> Any:
        config = self._api.create_endpoint_config(ipv4_address=address)
        return self._api.create_networking_config({network: config})

    def attach(self, container: str) -> socket.socket:
        """The container's standard streams, as one that holds the frames of `streams`."""
        with _speaking("attach to a container"):
            wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            raw = self._api.attach_socket(container, wanted)
            return plain_socket(raw)

    def start(self, container: str, name: str) -> None:
        with _speaking(f"start the container {name}"):
            self._api.start(container)

    def finish(self, container: str, name: str, seconds: float) -> tuple[int, str]:
        """Start it, wait for its end, remove it: its exit status, and what it printed."""
        try:
            with _speaking(f"run the container {name}"):
                self._api.start(container)
                ended = self._api.wait(container, timeout=seconds)
                said = self._api.logs(container) if ended["StatusCode"] else b""
            return int(ended["StatusCode"]), said.decode(errors="replace").strip()
        finally:
            self.remove(container)

    def containers(self, lab: str | None = None) -> list[dict[str, Any]]:
        """Every container of *lab*, or of any lab: id, name, state, age (seconds), labels."""
        label = labels.LAB if lab is None else f"{labels.LAB}={lab}"
        with _speaking("list its containers"):
            listed = self._api.containers(all=True, filters={"label": label})
        return [
            {
                "id": each["Id"],
                "name": str((each["Names"] or ["?"])[0]).lstrip("/"),
                "state": each["State"],
                "age": time.time() - each["Created"],
                "labels": each["Labels"] or {},
            }
            for each in listed
        ]

    def remove(self, container: str) -> None:
        """End and remove it, if it is there. What is being removed already counts as removed."""
        with _speaking("remove a container"):
            try:
                self._api.remove_container(container, force=True, v=True)
            except APIError as error:
                if error.status_code not in (404, 409):
                    raise


class _Client(APIClient):  # type: ignore[misc]
    """The SDK's client, which asks the engine and no proxy, and trusts whom the engine's own settings name."""

    trust_env = property(lambda self: False, lambda self, value: None)  # REQUESTS_CA_BUNDLE would replace ca.pem


def _client() -> _Client:
    if os.environ.get("DOCKER_HOST"):
        found = kwargs_from_env()
        host, tls = found.get("base_url"), found.get("tls")
    else:
        name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()  # the SDK leaves the variable to the CLI
        chosen = ContextAPI.get_context(name)
        if chosen is None:
            raise RuntimeUnavailable(
                f"The current Docker context {name!r} does not exist. Choose one: docker context use default; or where "
                "DOCKER_CONTEXT names it, change or unset that."
            )
        host, tls = chosen.Host, chosen.TLSConfig
    if host and host.startswith("ssh://"):
        raise RuntimeUnavailable(
            "A Docker engine over ssh:// cannot be attached to. Forward its socket, ssh -NL /tmp/docker.sock:/var/run/"
            f"docker.sock {host.removeprefix('ssh://')}, and set DOCKER_HOST=unix:///tmp/docker.sock."
        )
    return _Client(base_url=host, tls=tls or False, timeout=_SECONDS)


@contextmanager
def _speaking(doing: str) -> Iterator[None]:
    """What keeps the engine from *doing* that is an error of ours."""
    try:
        yield
    except (DockerException, RequestException, ValueError) as error:  # ValueError: of an address that is none
        if isinstance(error, APIError):
            text = f"The Docker engine refuses to {doing}: {error.explanation or error}."
            raise RuntimeUnavailable(text) from error
        if isinstance(error, ReadTimeout) or any(isinstance(each, ReadTimeoutError) for each in error.args):
            text = f"The Docker engine gave no answer in time, asked to {doing}. Is its machine busy? Try again."
            raise RuntimeUnavailable(text) from error
        raise RuntimeUnavailable(
            f"No Docker engine answers, asked to {doing} ({_reason(error)}). Start Docker, or set DOCKER_HOST; this "
            "user must be allowed to use it (on Linux: be in the group docker)."
        ) from error


def _reason(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return str(error) or type(error).__name__
