"""From a topology to what is asked of the engine: networks and containers, as plain data. Pure.

No container but the balancer's may administer its network: what that takes is done once, by a container that shares
the host's network and ends (`wiring`).
"""

import json
from collections.abc import Mapping
from typing import Any

from labkit.runtime.container.order import ORDER
from labkit.runtime.container.orders import orders
from labkit.topology import Topology

from .labels import Owner, labels
from .subnets import gateway

PLAIN_NETWORK = {
    "com.docker.network.bridge.inhibit_ipv4": "true",  # the engine's machine has no address in it
    "com.docker.network.bridge.enable_ip_masquerade": "false",
    # Else engine 28 drops what comes to a container from another segment, as it does at L4. Before 27 nobody reads it.
    "com.docker.network.bridge.gateway_mode_ipv4": "routed",
    # Else engine 28 announces a hardware address that a host has no longer once it is wired.
    "com.docker.network.advertise_addr_nmsgs": "0",
}
_BECOMING = ["SETGID", "SETPCAP", "SETUID"]  # until a container has become the user it stays
_SYSCTLS = {
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.ipv6.conf.all.disable_ipv6": "0",
}
_KEPT_FROM_WRITING = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger"]
_KEPT_OF_SYS = [f"/proc/sys/{folder}" for folder in ("abi", "debug", "dev", "fs", "kernel", "user", "vm")]
_PROCESSES = 4096  # threads too; what runs away in a host must not take the engine's machine along
_SCRATCH = {"/tmp": "rw,nosuid,nodev,size=256m,mode=1777", "/run": "rw,nosuid,nodev,size=256m,mode=1777"}


def networks(topology: Topology, lab: str, owner: Owner) -> dict[str, dict[str, Any]]:
    """By link: name, subnet, gateway, options, labels."""
    return {
        link.name: {
            "name": f"labkit-{lab}-{link.name}",
            "subnet": str(link.subnet4),
            "gateway": gateway(topology, link),
            "options": PLAIN_NETWORK,
            "labels": labels(lab, owner),
        }
        for link in topology.links
    }


def containers(topology: Topology, lab: str, owner: Owner) -> dict[str, dict[str, Any]]:
    """By node: name, hostname, command, environment, labels, addresses by link, and the settings of its host."""
    found = {}
    for name, order in orders(topology).items():
        administers = "net_admin" in order["rights"]
        found[name] = {
            "name": f"labkit-{lab}-{name}",
            "hostname": name,
            "command": ["python", "-m", "labkit.runtime.container"],
            "environment": {ORDER: json.dumps(order)},
            "labels": labels(lab, owner, name),
            "addresses": {each["link"]: each["addresses"][0][0] for each in order["network"]["interfaces"]},
            "host": {
                "cap_drop": ["ALL"],
                "cap_add": sorted([*(right.upper() for right in order["rights"]), *_BECOMING]),
                "security_opt": ["no-new-privileges"],
                "sysctls": sysctls(order["network"]["sysctls"], ipv6=topology.vip6 is not None),
                "tmpfs": _SCRATCH,
                "pids_limit": _PROCESSES,
                "dns": ["127.0.0.1"],
                "init": True,
                "auto_remove": True,
                "log_config": {"type": "none"},  # its standard output is the agent's stream
            },
            "more": {"ReadonlyPaths": [*_KEPT_FROM_WRITING, *_KEPT_OF_SYS]} if administers else {},
        }
    return found


def wiring(spec: Mapping[str, Any], container: str, command: list[str]) -> dict[str, Any]:
    """A container for a moment, in the network of *container*, that runs ``python -m`` *command* with NET_ADMIN."""
    return {
        "name": f"{spec['name']}-wiring",
        "command": ["python", "-m", *command],
        "environment": spec["environment"],
        "labels": spec["labels"],
        "host": {
            "cap_drop": ["ALL"],
            "cap_add": ["NET_ADMIN"],
            "security_opt": ["no-new-privileges"],
            "network_mode": f"container:{container}",
            "log_config": {"type": "json-file"},
        },
        "more": {"ReadonlyPaths": [*_KEPT_FROM_WRITING, *_KEPT_OF_SYS]},
    }


def sysctls(wanted: Mapping[str, str], *, ipv6: bool = True) -> dict[str, str]:
    """Those of a node, for a container: its interfaces are there already when they are set, so all of them are told.

    Without *ipv6* none of it is named: a kernel that lacks it would refuse.
    """
    everybody = {name.replace(".default.", ".all."): value for name, value in wanted.items() if _of_ipv6(name)}
    told = {**wanted, **everybody, **_SYSCTLS}
    return told if ipv6 else {name: value for name, value in told.items() if not _of_ipv6(name)}


def _of_ipv6(name: str) -> bool:
    return name.startswith("net.ipv6.")
