"""How long a lab takes to boot and to stop, beside bare namespaces made by a plain script of `ip` commands.

    .venv/bin/python benchmarks/boot.py [--rounds 5] [--docker]

Ours is timed in a warm process, as in a notebook: from ``Lab().start()`` to the first answered request, with
every server answering; and the stop. The script makes the same hosts, bridges, cables, addresses and routes with
no servers; it needs `ip` and `unshare` and is left out where they are missing. With --docker the same labs on a Docker
engine stand beside them, its image being there. All alternate, round by round.
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from labkit import Lab, Topology
from labkit.topology import default, sized


def ours(topology: Topology, runtime: str = "netns") -> tuple[float, float]:
    """Seconds to the first answered request, and to stop."""
    started = time.perf_counter()
    lab = Lab(topology, runtime=runtime)
    lab.start()
    lab.clients[0].get("http://lb/")
    booted = time.perf_counter()
    lab.stop()
    return booted - started, time.perf_counter() - booted


def script(topology: Topology) -> tuple[str, str]:
    """Shell lines that make the same network with `ip`, and that remove it."""
    make = ["set -e", "mount -t tmpfs none /run"]
    remove = []
    for link in topology.links:
        make += [f"ip link add {link.name} type bridge", f"ip link set {link.name} up"]
        remove.append(f"ip link del {link.name}")
    balancer = topology.balancer
    for number, node in enumerate(topology.nodes):
        make += [f"ip netns add {node.name}", f"ip -n {node.name} link set lo up"]
        remove.append(f"ip netns del {node.name}")
        for index, interface in enumerate(node.interfaces):
            outside, inside = f"v{number}.{index}", interface.name
            make += [
                f"ip link add {outside} master {interface.link} type veth peer name {inside} netns {node.name}",
                f"ip link set {outside} up",
                *(
                    f"ip -n {node.name} addr add {address} dev {inside} {'nodad' if ':' in str(address) else ''}"
                    for address in (interface.address4, interface.address6)
                    if address
                ),
                f"ip -n {node.name} link set {inside} up",
            ]
        if node is not balancer:
            gateway = balancer.interface(node.interfaces[0].link)
            make.append(f"ip -n {node.name} route add default via {gateway.address4.ip}")
            if gateway.address6:
                make.append(f"ip -n {node.name} -6 route add default via {gateway.address6.ip}")
    make.append(f"ip netns exec {balancer.name} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'")
    return "\n".join(make), "\n".join(remove)


def theirs(topology: Topology) -> tuple[float, float]:
    """Seconds that the script takes to make the network, and to remove it."""
    make, remove = script(topology)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bare.sh")
        path.write_text(f"{make}\ndate +%s.%N > {folder}/made\n{remove}\ndate +%s.%N > {folder}/removed\n")
        started = time.time()
        subprocess.run(["unshare", "-rnm", "sh", str(path)], check=True, stderr=subprocess.DEVNULL)
        made, removed = (float(Path(folder, name).read_text()) for name in ("made", "removed"))
        return made - started, removed - made


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count, after one that does not")
    parser.add_argument("--docker", action="store_true", help="labs of containers too")
    asked = parser.parse_args()
    rounds = asked.rounds
    with_script = bool(shutil.which("ip") and shutil.which("unshare"))
    table = Table(title=f"Boot and stop, medians of {rounds} rounds, in seconds")
    for heading in (
        "topology",
        "nodes",
        "labkit: first answer",
        "labkit: stop",
        "ip script: made",
        "ip script: removed",
        *(("docker: first answer", "docker: stop") if asked.docker else ()),
    ):
        table.add_column(heading, justify="left" if heading == "topology" else "right")
    ours(default())  # warm: what a notebook imports with its first lab is not the boot
    if asked.docker:
        ours(default(), "docker")
    for name, topology in (("default lab", default()), ("50 backends", sized(backends=50))):
        rows = []
        for _ in range(rounds):
            bare = theirs(topology) if with_script else (float("nan"), float("nan"))
            rows.append((*ours(topology), *bare, *(ours(topology, "docker") if asked.docker else ())))
        medians = [statistics.median(column) for column in zip(*rows, strict=True)]
        table.add_row(name, str(len(topology.nodes)), *(f"{value:.2f}" for value in medians))
    Console().print(table)
    if not with_script:
        print("`ip` or `unshare` is missing here, so there is nothing to compare with.")


if __name__ == "__main__":
    main()
