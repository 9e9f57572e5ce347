"""Boots the default lab, sends the same requests at L4 and at L7, and keeps what was captured."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.capture import Capture
from labkit.lab import Lab
from labkit.topology import Topology

from .figures import Answer, Figures, mode_figures

REQUESTS = 40


@dataclass(frozen=True, slots=True)
class Demo:
    """A run that is over: its figures, and the captures they were counted in."""

    topology: Topology
    figures: Figures
    captures: Mapping[str, Capture]


def run(out: Path, runtime: str = "auto", say: Callable[[str], None] = lambda _: None) -> Demo:
    """Run the demo; the two captures are saved in *out*, a folder that exists. *say* is told what is being done.

    Raises LabError when the lab cannot be booted or used. What the figures ought to be is not judged here.
    """
    say("booting the lab")
    began = time.perf_counter()
    with Lab(runtime=runtime) as lab:
        ready = time.perf_counter() - began
        say(f"{REQUESTS} requests at L4")
        answers, captures = {}, {}
        answers["l4"], captures["l4"] = _requests(lab)
        say("switching to L7")
        began = time.perf_counter()
        lab.balancer.l7()
        switch = time.perf_counter() - began
        say(f"{REQUESTS} requests at L7")
        answers["l7"], captures["l7"] = _requests(lab)
        name, topology = lab.runtime, lab.topology
    say("reading the captures")
    paths = {mode: out / f"{mode}.pcapng" for mode in captures}
    for mode, capture in captures.items():
        capture.save(paths[mode])
    modes = {mode: mode_figures(topology, answers[mode], capture) for mode, capture in captures.items()}
    files = {mode: str(path) for mode, path in paths.items()}
    return Demo(topology, Figures(name, ready, switch, modes, files), captures)


def _requests(lab: Lab) -> tuple[list[Answer], Capture]:
    """The requests, one after another, each on a connection of its own."""
    answers = []
    with lab.capture() as capture:
        for client, target in schedule(lab.topology):
            reply = lab.nodes[client].get(f"http://lb{target}")
            peer = (reply.received or {}).get("peer", [None])[0]
            answers.append(Answer(client, target, reply.status, reply.backend, peer))
    return answers, capture


def schedule(topology: Topology) -> list[tuple[str, str]]:
    """Who asks for what: (client, target) for each request, in order.

    A round of as many requests as there are backends for each client in turn, the pools' paths alternating; every
    client has asked once, the paths change places. So nothing that round robin does can look like routing.
    """
    clients, pools, backends = topology.clients, sorted(topology.pools), len(topology.backends)
    return [
        (
            clients[number // backends % len(clients)].name,
            f"/{pools[(number + number // (backends * len(clients))) % len(pools)]}/{number}",
        )
        for number in range(REQUESTS)
    ]
