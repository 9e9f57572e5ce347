"""What Envoy reads while it runs: resources in files, each with a version that it tells when it has taken them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

TYPES = "type.googleapis.com/"
LISTENER = f"{TYPES}envoy.config.listener.v3.Listener"
ROUTES = f"{TYPES}envoy.config.route.v3.RouteConfiguration"
CLUSTER = f"{TYPES}envoy.config.cluster.v3.Cluster"
ENDPOINTS = f"{TYPES}envoy.config.endpoint.v3.ClusterLoadAssignment"


@dataclass(frozen=True, slots=True)
class File:
    """One file of resources. told_by: the name of the statistic in which Envoy says which version is in force."""

    name: str
    version: str
    text: str
    told_by: str

    def plain(self) -> list[str]:
        """As it travels to the task."""
        return [self.name, self.version, self.text, self.told_by]


def file(name: str, kind: str, resources: Sequence[dict[str, Any]], told_by: str) -> File:
    """The same resources have the same version, so that what has not changed is not read again."""
    listed = [{"@type": kind, **resource} for resource in resources]
    version = hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()[:16]
    return File(name, version, json.dumps({"version_info": version, "resources": listed}), told_by)


def source(folder: str, name: str) -> dict[str, Any]:
    """Where to read a file from, and that it may be replaced by another of the same name."""
    return {
        "path_config_source": {"path": f"{folder}/{name}"},  # followed when another file takes its place
        "resource_api_version": "V3",
        "initial_fetch_timeout": "5s",
    }
