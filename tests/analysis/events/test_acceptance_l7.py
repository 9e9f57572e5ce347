"""Exchanges of a real proxy under real traffic: each is found on the connections, and in the packets, that carried it.

The truth comes from elsewhere: every request has a tag, the client knows its own socket for it, and the backend tells
which peer it came from.
"""

import itertools
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labkit import Capture, Lab
from labkit.traffic.open_things import Session

pytestmark = pytest.mark.needs("netns")
POOLS = ("api", "images")


@dataclass(frozen=True)
class Truth:
    """By the word of those who took part: the client's end, the proxy's end towards the backend, the backend."""

    client: str
    proxy: str
    backend: str


def ask(session: Session, tag: int, *, secure: bool, http2: bool) -> tuple[int, Truth]:
    scheme = "https" if secure else "http"
    method = "POST" if tag % 7 == 0 else "GET"
    reply = session.request(
        method, f"{scheme}://lb/{POOLS[tag % 2]}/{tag}", headers={"X-Tag": str(tag)}, http2=http2, timeout=60,
        body=f"body {tag}" if method == "POST" else None,
    )  # fmt: skip
    assert reply.status == 200
    assert reply.received
    client, proxy = reply.local, reply.received["peer"]
    return tag, Truth(f"{client[0]}:{client[1]}", f"{proxy[0]}:{proxy[1]}", str(reply.backend))


def traffic(lab: Lab, requests: int) -> dict[int, Truth]:
    """Sessions of alice and bob: two in HTTP/1.1 in clear, one in HTTP/1.1 over TLS, one in HTTP/2 on many streams."""
    tags = itertools.count()
    found: dict[int, Truth] = {}
    kinds = [
        (lab.alice, False, False, 1),
        (lab.bob, False, False, 1),
        (lab.bob, True, False, 1),
        (lab.alice, True, True, 8),
    ]
    while len(found) < requests:
        share = min(100, -(-(requests - len(found)) // len(kinds)))
        jobs = []
        with ThreadPoolExecutor(16) as pool:
            sessions = [host.session() for host, *_ in kinds]
            for session, (_, secure, http2, threads) in zip(sessions, kinds, strict=True):
                mine = [next(tags) for _ in range(share)]
                for turn in range(threads):
                    some = mine[turn::threads]
                    jobs.append(
                        pool.submit(
                            lambda session, some, secure, http2: [
                                ask(session, tag, secure=secure, http2=http2) for tag in some
                            ],
                            session, some, secure, http2,
                        )
                    )  # fmt: skip
            for job in jobs:
                found.update(job.result())
            for session in sessions:
                session.close()
    return found


def captured(requests: int, path: Path) -> dict[int, Truth]:
    with Lab() as lab:
        lab.balancer.l7(tls=True)
        with lab.capture() as cap:
            truth = traffic(lab, requests)
        cap.save(path)
    return truth


def assert_paired(cap: Capture, truth: dict[int, Truth]) -> None:
    """Every exchange: its connections are those of its sockets, and what stands on them bears its tag."""
    exchanges, connections = cap.exchanges(), cap.connections().set_index("connection")
    assert len(exchanges) == len(truth)
    study = cap._study
    seen = set()
    for row, exchange in zip(exchanges.itertuples(), study.exchanges, strict=True):
        tag = int(row.target.rpartition("/")[2])
        seen.add(tag)
        wanted = truth[tag]
        front, back = connections.loc[row.front_connection], connections.loc[row.back_connection]
        assert (row.front, row.back, row.backend) == (wanted.client, wanted.proxy, wanted.backend)
        assert f"{front['client']}:{front['client_port']}" == wanted.client
        assert f"{back['client']}:{back['client_port']}" == wanted.proxy
        for carried in (study.carriage.front(exchange), study.carriage.back(exchange)):
            assert carried.request is not None, tag
            assert carried.request.header("x-tag") == str(tag)
            assert carried.response is not None
            assert carried.response.status == 200
            assert f'/{tag}"' in carried.response.body.decode(), tag  # the backend tells the target it was asked for
            assert carried.packets
    assert seen == set(truth)


def reuse(cap: Capture) -> tuple[int, int]:
    """The most requests on one back connection, and the most back connections of one client connection."""
    exchanges = cap.exchanges()
    back = exchanges["back_connection"].value_counts()
    front: dict[Any, set[Any]] = defaultdict(set)
    for row in exchanges.itertuples():
        front[row.front_connection].add(row.back_connection)
    return int(back.max()), max(map(len, front.values()))


def test_a_few_exchanges_of_every_kind(tmp_path: Path) -> None:
    truth = captured(120, tmp_path / "l7.pcapng")
    cap = Capture.load(tmp_path / "l7.pcapng")
    assert_paired(cap, truth)
    assert set(cap.exchanges()["version"]) == {"HTTP/1.1", "HTTP/2"}


@pytest.mark.slow
def test_five_thousand_exchanges(tmp_path: Path) -> None:
    truth = captured(5000, tmp_path / "l7.pcapng")
    cap = Capture.load(tmp_path / "l7.pcapng")
    assert cap.loss()["dropped"].sum() == 0
    assert_paired(cap, truth)
    versions = Counter(cap.exchanges()["version"])
    assert versions["HTTP/2"] >= 1000
    assert versions["HTTP/1.1"] >= 3000
    most, spread = reuse(cap)
    assert most >= 20
    assert spread >= 4
