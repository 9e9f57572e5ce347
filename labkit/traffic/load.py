"""The load task: sends one request again and again until the time or the number is reached, and tells the counts.

Runs in a process of its own inside a client. Sends {"started": True} or {"failed": {"cause", "detail"}} first, then
{"progress": counts} ten times a second, and {"report": counts} at the end. Takes {"op": "stop"}: begin no more
requests. What was begun is always waited for, at most its time-out.
"""

import time
from typing import Any

from labkit.runtime.protocol import TaskLink
from labkit.traffic.failure import Failure
from labkit.traffic.load_engine import Engine, Tally
from labkit.traffic.message import compose
from labkit.traffic.sockets import allow_many_files
from labkit.traffic.target import parse_url, resolve

TICK = 0.1
TURNS = 64
PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def main(
    link: TaskLink,
    url: str,
    headers: list[list[str]],
    cookies: dict[str, str],
    connections: int,
    seconds: float,
    requests: int | None,
    timeout: float,
    new_connections: bool,
) -> None:
    """Task target: GET *url* over *connections* connections for *seconds*, or until *requests* were sent."""
    allow_many_files()
    try:
        target = parse_url(url)
        request = compose(target, "GET", headers, cookies)
        family, address = resolve(target.host, target.port)[0]
    except Failure as error:
        link.send({"failed": {"cause": error.cause, "detail": error.detail}})
        return
    link.send({"started": True})
    engine = Engine(family, address, request, connections, requests, timeout, new_connections)
    try:
        taken = drive(engine, link, seconds)
    finally:
        engine.close()
    link.send({"report": counts(engine.tally, taken) | {"latency": percentiles(engine.tally)}})


def drive(engine: Engine, link: TaskLink, seconds: float) -> float:
    """Turn *engine* until it is done; the seconds that took. EOFError when the owner is gone."""
    started = time.monotonic()
    told = started
    begin = True
    under_way = True
    while under_way:
        for _ in range(TURNS):
            now = time.monotonic()
            begin = begin and now - started < seconds
            under_way = engine.turn(begin, min(TICK, max(started + seconds - now, 0.001) if begin else TICK))
            if not under_way or now - told > TICK:
                break
        if link.poll():
            begin = False
        if now - told > TICK:
            link.send({"progress": counts(engine.tally, now - started)})
            told = now
    return time.monotonic() - started


def counts(tally: Tally, seconds: float) -> dict[str, Any]:
    """The counts as plain data: requests (all that ended), failed, seconds, by_backend, by_status, errors."""
    return {
        "requests": tally.finished,
        "failed": tally.failed,
        "seconds": seconds,
        "by_backend": dict(sorted(tally.by_backend.items())),
        "by_status": dict(sorted(tally.by_status.items())),
        "errors": dict(sorted(tally.errors.items())),
    }


def percentiles(tally: Tally) -> dict[str, float | None]:
    """Latency by nearest rank, in seconds; None if nothing was answered."""
    ordered = sorted(tally.latencies)
    last = len(ordered) - 1
    return {name: ordered[round(share * last)] if ordered else None for name, share in PERCENTILES.items()}
