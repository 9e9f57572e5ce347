"""What the balancer did and does, on record: the rules in force, decisions, and the events that a capture keeps.

Part of `Balancer`: here is what can be asked, and how the history of modes and rules is kept.
"""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from labkit.balancer import describe, relaying
from labkit.balancer.decisions import decisions_table
from labkit.balancer.live import Live
from labkit.balancer.policy import L7Policy
from labkit.balancer.proxy import Proxy
from labkit.errors import EngineError, PolicyError
from labkit.wording import shown

if TYPE_CHECKING:
    import pandas as pd


class Record:
    """The part of `Balancer` that tells."""

    _lock: threading.RLock

    def _running(self) -> Live:
        raise NotImplementedError

    @property
    def rules(self) -> str:
        """What the data plane runs now, asked from it: the kernel's rules, and before them the proxy's part, if any."""
        live = self._running()
        relays = ""
        if relaying.text(live):
            try:
                relays = relaying.text(live, live.relayer.relays())
            except EngineError as error:
                relays = f"# {live.notice or error}\n"
        if live.mode == "l4":
            return describe.rules_text(relays, live.kernel.text()) if relays else live.kernel.text()
        try:
            assert isinstance(live.policy, L7Policy)
            routes = describe.routes_text(*live.proxy_of(live.policy).routes())
        except EngineError as error:
            routes = f"# {live.notice or error}\n"
        return describe.rules_text(routes + relays, live.kernel.text())

    def decisions(self) -> "pd.DataFrame":
        """Every decision since the lab started: columns time, mode, connection, read, rule, backend, request.

        ``attrs["forgotten"]``: how many are too long ago to be kept; ``attrs["lost"]``: how many of the kernel's
        reports did not reach us.
        """
        live = self._running()
        table = decisions_table([*live.kernel.decisions(), *_of_all(live, lambda proxy: proxy.events())])
        forgotten = live.kernel.forgotten + sum(proxy.forgotten for proxy in live.proxies.values())
        table.attrs |= {"forgotten": forgotten, "lost": live.kernel.lost}
        return table

    def events(self, since_ns: int) -> list[dict[str, Any]]:
        """What happened since *since_ns* (Unix time), as `labkit.recording` events in time order, complete up to now.

        First the mode and the rules that were in force then, stamped with that time. What is changed in the kernel by
        hand is stamped with the time of the next `look`. `lacks` says what is missing.
        """
        if isinstance(since_ns, bool) or not isinstance(since_ns, int) or not 0 <= since_ns < 1 << 63:
            raise PolicyError(
                f"lab.balancer.events({shown(since_ns)}): the time is Unix time in nanoseconds, as in time.time_ns()."
            )
        live = self._running()
        self.look()
        history = list(live.history)
        in_force = {event["kind"]: event for event in history if event["time_ns"] <= since_ns}
        opening = [{**event, "time_ns": since_ns} for event in in_force.values()]
        requests = _of_all(live, lambda proxy: proxy.events())
        happened = [*requests, *live.kernel.decisions(since_ns), *history, *live.health.events(since_ns)]
        secrets = _of_all(live, lambda proxy: proxy.secrets(since_ns))
        later = [event for event in happened if event["time_ns"] > since_ns] + secrets
        return [*opening, *sorted(later, key=lambda event: int(event["time_ns"]))]

    def look(self) -> None:
        """Record the rules of this moment, if somebody changed them by hand since they were last looked at."""
        live = self._running()
        with self._lock:
            live.dumps.clear()
            now, known = self._rules_event(live, time.time_ns()), live.history[-1]
            if (now["text"], now["reads"]) != (known["text"], known["reads"]):
                live.history.append(now)

    def lacks(self, since_ns: int) -> list[str]:
        """What the last `events` could not tell of the time since *since_ns* (Unix time), in words; [] if nothing."""
        live = self._running()
        return [*live.kernel.lacks(since_ns), *_of_all(live, lambda proxy: proxy.lacks(since_ns))]

    def _record(self, live: Live) -> None:
        """Put the mode and the rules that are in force from now on into the history."""
        now = time.time_ns()
        proxied = relaying.wanted(live.policy.forwards)
        engine = live.policy.engine if isinstance(live.policy, L7Policy) else "envoy" if proxied else "nftables"
        mode = {"kind": "mode", "time_ns": now, "mode": live.mode, "engine": engine}
        live.history += [mode, self._rules_event(live, now)]

    def _rules_event(self, live: Live, time_ns: int) -> dict[str, Any]:
        """Reading rules takes longer than swapping them: rules that were in force before are not read again."""
        loaded = live.loaded
        if loaded not in live.dumps:
            live.dumps[loaded] = live.kernel.dump()
        text, reads = live.dumps[loaded]
        if live.mode == "l7" and live.served:
            text = describe.rules_text(describe.routes_text(*live.served) + relaying.text(live), text)
        elif relays := relaying.text(live):
            text = describe.rules_text(relays, text)
        return {"kind": "rules", "time_ns": time_ns, "text": text, "reads": list(reads)}


def _of_all[T](live: Live, ask: Callable[[Proxy], list[T]]) -> list[T]:
    """What all proxies tell, one after the other."""
    return [told for proxy in live.proxies.values() for told in ask(proxy)]
