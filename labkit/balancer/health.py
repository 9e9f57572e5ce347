"""`HealthChecks`: ``lab.balancer.health``. Which backends answer, as the balancer's own checks find.

The owner's side of `prober`: it hands the checks over, keeps what is told and says when a state has changed. What
follows from that (who is in rotation) is the balancer's business.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from labkit.balancer import rotation
from labkit.balancer.checks import Check, Place, State, checked, places, plain, unheard
from labkit.balancer.policy import Forward
from labkit.errors import LabError, PolicyError, TaskError, UnknownName
from labkit.runtime.protocol import Message, Node, Task
from labkit.wording import near_miss, shown

TARGET = "labkit.balancer.prober:main"
KEPT = 10_000  # events
LIVES_SECONDS = 1.0  # between two starts of the task, at least
_OPTIONS = ("kind", "interval", "rise", "fall", "path")


class HealthChecks(Mapping[str, str]):
    """The state of each backend by its name: ``up``, ``down``, ``partly`` (some of its ports) or ``unknown``.

    By default a TCP connect of every port that TCP is forwarded to, each 0.5 s, two results in a row (rise, fall):
    a dead backend leaves the rotation within 2 s, and so does a port where nobody has ever listened; a program that
    comes later is in rotation after two answers. UDP is checked by ``check(kind="udp")`` alone; otherwise its ports
    leave with a backend none of whose TCP ports answers any more. Checks go on at L7 for what is still forwarded there.
    """

    def __init__(self, node: Node, source: str, interface: str, on_change: Callable[[], None]) -> None:
        self._node = node
        self._source = source  # the address that checks come from
        self._interface = interface  # of the node, where it is put
        self._on_change = on_change
        self._lock = threading.RLock()
        self._check: Check | None = Check()
        self._forwards: tuple[Forward, ...] = ()
        self._places: tuple[Place, ...] = ()
        self._states: dict[rotation.Place, State] = {}
        self._served: set[rotation.Place] = set()  # where a server was seen to listen
        self._said: frozenset[rotation.Place] = frozenset()  # what `down` was when a change of it was told
        self._telling = threading.Lock()  # of the states; held for a moment only
        self._events: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._task: Task | None = None
        self._begun = 0.0

    def check(
        self,
        kind: object = "tcp",
        interval: object = 0.5,
        rise: object = 2,
        fall: object = 2,
        path: object = "/",
        **unknown: object,
    ) -> None:
        """Check so from now on. kind: "tcp" (a connect), "http" (a GET of *path*; HTTP listeners), "udp" (a datagram).

        interval: seconds between two checks of a port, and the longest that one may take. rise, fall: results in a row
        that bring a backend back and take it out. PolicyError for what cannot be.
        """
        for name in unknown:
            raise PolicyError(
                f"health.check() has no option {name!r}{near_miss(name, _OPTIONS)}; it takes {', '.join(_OPTIONS)}."
            )
        wanted = checked(kind, interval, rise, fall, path)
        with self._lock:
            self._check = wanted
            self._hand_over()

    def off(self) -> None:
        """Check nothing any more; whoever was down is in rotation again."""
        with self._lock:
            self._check = None
            self._hand_over()

    def watch(self, forwards: Sequence[Forward], served: Iterable[rotation.Place] = ()) -> None:
        """Check the backends of *forwards* from now on. served: where a server is known to listen at this moment."""
        with self._lock:
            self._served |= set(served)
            self._forwards = tuple(forwards)
            self._hand_over()

    @property
    def down(self) -> frozenset[rotation.Place]:
        """Those whose checks fail, and the UDP ports that nobody checks of a backend that died as a whole."""
        with self._telling:
            states = dict(self._states)
            failing = frozenset(at for at, state in states.items() if state == "down")
            by_connects = {
                each.key: states[each.key] for each in self._places if each.how == "tcp" and each.key in states
            }
            dead = unheard(self._forwards, by_connects, self._served)
            return failing.union(place for place in dead if place not in states)

    def events(self, since_ns: int = 0) -> list[dict[str, Any]]:
        """The ``health`` events since *since_ns* (Unix time), oldest first."""
        return [event for event in list(self._events) if event["time_ns"] > since_ns]

    def probing(self, time_ns: int, kept: bool) -> dict[str, Any]:
        """The ``probes`` event: by which address a reader knows the packets of checks, and if they are kept."""
        return {"kind": "probes", "time_ns": time_ns, "addresses": [self._source], "kept": kept}

    @property
    def expression(self) -> str:
        """The packets of checks, as a capture filter (pcap-filter(7)): sent, answered, and ARP about who sends them."""
        return f"host {self._source}"

    def stop(self) -> None:
        """End the task. Idempotent; never blocks for long."""
        with self._lock:
            task, self._task = self._task, None
        if task is not None:
            task.stop(kill=True)

    def abandon(self) -> None:
        """The node is about to end: nothing is started any more. Never blocks."""
        self._task = None

    # a mapping of names to states

    def __getitem__(self, name: str) -> str:
        found = self._by_backend()
        if name not in found:
            raise UnknownName(
                f"lab.balancer.health has no {shown(name)}{near_miss(name, found)}: there are {', '.join(found)}."
            )
        states = found[name]
        return states[0] if len(set(states)) == 1 else "partly"

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_backend())

    def __len__(self) -> int:
        return len(self._by_backend())

    def _by_backend(self) -> dict[str, list[str]]:
        with self._lock:
            found: dict[str, list[str]] = {target.name: [] for forward in self._forwards for target in forward.targets}
            for place in self._places:
                found[place.backend].append(self._states.get(place.key, "unknown"))
            return {name: states or ["unknown"] for name, states in found.items()}

    def __repr__(self) -> str:
        rows = self._rows()
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join([self._title(), *(f"{name:{width}}  {state}" for name, state in rows)])

    def _repr_html_(self) -> str:
        rows = (f"<tr><th>{escape(name)}</th><td>{escape(state)}</td></tr>" for name, state in self._rows())
        return f"<div>{escape(self._title())}</div><table>{''.join(rows)}</table>"

    def _title(self) -> str:
        check = self._check
        if check is None:
            return "health checks: off"
        how = f"GET {check.path}" if check.kind == "http" else f"{check.kind.upper()}"
        return f"health checks: {how} every {check.interval:g} s, down after {check.fall}, up after {check.rise}"

    def _rows(self) -> list[tuple[str, str]]:
        with self._lock:
            ports: dict[str, list[str]] = {name: [] for name in self}
            for place in self._places:
                state = self._states.get(place.key, "unknown")
                ports[place.backend].append(f"{place.port}/{place.transport} {state}")
            return [(name, f"{self[name]} ({', '.join(each)})" if each else self[name]) for name, each in ports.items()]

    # the task

    def _hand_over(self) -> None:
        """Tell the task (it is started for that) what to check and what is known of it: its states outlive it.

        What is not checked is in rotation, and begins as it does at the lab's start when it is checked again.
        """
        self._places = places(self._forwards, self._check) if self._check else ()
        with self._telling:
            keys = [place.key for place in self._places]
            known = {key: self._states.get(key, "up" if key in self._served else "unknown") for key in keys}
            self._states = known
        message = plain(self._check or Check(), self._places, list(known.values()))
        try:
            if self._task is None or not self._task.running:
                if not self._places:
                    return
                self._begun = time.monotonic()
                self._task = self._node.start(
                    TARGET, on_event=self._hear, on_exit=self._ended, source=self._source, interface=self._interface
                )
            self._task.send(message)
        except TaskError:
            return  # it ended this moment, and is started again
        finally:
            if self._differs():
                self._on_change()

    def _differs(self) -> bool:
        """Whether others are down now than was said last; then it is as good as said."""
        before, self._said = self._said, self.down
        return self._said != before

    def _hear(self, message: Message) -> None:
        """One message of the task (the runtime's reader thread: it must not wait)."""
        changed = message["kind"] == "health"
        told = [[message[name] for name in ("backend", "transport", "port", "state")]] if changed else message["states"]
        with self._telling:
            for backend, transport, port, state in told:
                if (backend, transport, port) in self._states:
                    self._states[backend, transport, port] = state
        if changed and "down" in (message["state"], message["was"]):  # that one answers for the first time is no event
            self._events.append(message)
        if self._differs():
            threading.Thread(target=self._on_change, name="labkit health", daemon=True).start()

    def _ended(self, reason: str | None) -> None:
        """The task is over (reader thread): another is started, unless it was stopped."""
        if reason is not None and self._task is not None:
            threading.Thread(target=self._revive, name="labkit health", daemon=True).start()

    def _revive(self) -> None:
        time.sleep(max(0.0, self._begun + LIVES_SECONDS - time.monotonic()))  # should one die at once, each time
        with self._lock, contextlib.suppress(LabError):  # the lab is over
            if self._task is not None and not self._task.running:
                self._hand_over()
