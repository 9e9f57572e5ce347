"""What is done to backends while they serve: drain, remove, add, weigh; and what can be asked about that.

Part of `Balancer`: here is what the user asks for and what is refused; `rotation` decides what follows from it, and the
balancer puts that in force.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from labkit.balancer import lingering
from labkit.balancer.connections import Pair, backends_by_address, connections_table, open_at
from labkit.balancer.drain import Drain
from labkit.balancer.functions.report import table
from labkit.balancer.health import HealthChecks
from labkit.balancer.l7.explain import Explanation, explanation, request_of
from labkit.balancer.live import Live
from labkit.balancer.policy import L7Policy
from labkit.balancer.rotation import Rotation
from labkit.balancer.settings import Settings
from labkit.balancer.turns import MOST_WEIGHT
from labkit.errors import PolicyError
from labkit.runtime.protocol import Node
from labkit.topology import Topology
from labkit.uninterrupted import uninterrupted
from labkit.wording import near_miss, shown

if TYPE_CHECKING:
    import pandas as pd


class Operations:
    """The part of `Balancer` that changes who is in rotation. A backend is given by its name, or as the host itself."""

    _topology: Topology
    _lock: threading.RLock
    _node: Callable[[], Node]
    _foreign: Callable[[object], bool]

    def _running(self) -> Live:
        raise NotImplementedError

    def _rotate(self, live: Live, rotation: Rotation) -> None:
        raise NotImplementedError

    def drain(self, backend: object) -> Drain:
        """Nothing new goes to *backend* from now on; its connections go on. The answer tells how many are left.

        At L7 new requests avoid it, also on connections that clients keep, and the proxy closes those of its own
        connections to it that nothing is asked over. It stays so, over switches too, until `add`.
        """
        name = self._backend("drain", backend)
        live = self._running()
        uninterrupted(lambda: self._drain(live, name))
        return Drain(name, lambda: self._left(name), lambda: name in self._running().rotation.out)

    def remove(self, backend: object) -> int:
        """Take *backend* out at once: its connections are reset on both sides, no others. How many those were.

        All of them, in whatever mode and style they began. Nothing new goes to it until `add`. Of a connection that
        ends in the proxy the side to the backend is reset; its client keeps the other, and has 502 for an answer that
        was under way; a WebSocket ends. Of direct server return those are counted that their clients have not
        begun to end. UDP knows no resets: its next datagrams go elsewhere. PolicyError at L7 where a pool would have
        nobody left.
        """
        name = self._backend("remove", backend)
        live = self._running()
        addresses = [address for address, owner in backends_by_address(self._topology).items() if owner == name]
        return uninterrupted(lambda: self._cut(live, name, addresses))

    def add(self, backend: object) -> None:
        """*backend* takes connections again, if its health checks do not fail."""
        name = self._backend("add", backend)
        live = self._running()
        uninterrupted(lambda: self._change(live, lambda now: now.put_back(name)))

    def weigh(self, backend: object, weight: object) -> None:
        """From now on *backend* gets *weight* new connections where one of weight 1 gets one.

        No connection that exists is disturbed. It holds until the next `l4`. PolicyError at L7, where `l7` takes
        weights, for a backend that `l4` was not told to forward to, and for what is no weight.
        """
        name = self._backend("weigh", backend)
        if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= MOST_WEIGHT:
            raise PolicyError(
                f"lab.balancer.weigh({name!r}, {shown(weight)}): a weight is a whole number from 1 to {MOST_WEIGHT}; "
                f"lab.balancer.drain({name!r}) sends nothing there."
            )
        live = self._running()
        if live.mode == "l7":
            raise PolicyError(
                f"lab.balancer.weigh({name!r}, {weight}) weighs forwarded connections; at L7 shares belong to the "
                f"policy. Give them there, as in lab.balancer.l7(weights={{{name!r}: {weight}}})."
            )

        def weighed(now: Rotation) -> Rotation:
            names = dict.fromkeys(target.name for forward in live.policy.forwards for target in forward.everyone)
            if name not in names:
                raise PolicyError(
                    f"lab.balancer.weigh({name!r}, {weight}): lab.balancer.l4() was not told to forward to "
                    f"{name}, only to {', '.join(names)}. Name it there, as in l4(backends={[*names, name]})."
                )
            return now.weighed(name, weight)

        uninterrupted(lambda: self._change(live, weighed))

    def connections(self, *, probes: bool = False) -> "pd.DataFrame":
        """The connections at this moment, from the kernel's connection tracking: one row each, oldest first.

        Columns: proto; leg ("through": forwarded, one entry for both sides; "front", at L7 and at L4 with style
        "proxy": ends in the proxy; "back": the proxy's own; "routed": passes by without a choice; "direct": direct
        server return, see below); state (conntrack's word; UDP has UNREPLIED, REPLIED, ASSURED); backend (or None); the
        original tuple as the client sent it and the reply tuple as the answer comes; packets_out, packets_in,
        bytes_out, bytes_in (out: from who opened it; bytes with their IP headers); age_seconds; timeout_seconds (until
        the kernel forgets it, if nothing comes). probes: health checks' too. The kernel tracks nothing that is passed
        on directly: the rules remember whose it is. Its state is OPEN, or CLOSING when the client has sent a FIN or
        RST; lb sees no answers, and counts and age are not known.

        paired_with: of a front or a back connection the row of the other, as the proxy tells, or None. What is relayed
        (style "proxy") has a pair; at L7 mitmproxy keeps a client's connections to backends for that client (of several
        the front names the first), and Envoy shares them, so that only WebSockets have pairs there. socket_bytes: what
        the kernel holds in buffers for the balancer's own socket; what passes through has none.
        ``attrs["proxy_bytes"]``: the memory of each proxy that runs, by engine.
        """
        live = self._running()
        pairs: list[Pair] = []
        sizes: dict[str, int] = {}
        for proxy in live.proxies.values():
            told, size = proxy.pairs()
            pairs += told
            sizes |= {proxy.name: size} if size else {}
        held = {((a, b), (c, d)): size for a, b, c, d, size in self._node().call("labkit.balancer.sock_diag:weighed")}
        table = connections_table(live.kernel.flows(), self._topology, probes, pairs, held)
        table.attrs["proxy_bytes"] = sizes
        return table

    def explain(
        self,
        request: object,
        *,
        headers: object = None,
        cookies: object = None,
        body: object = None,
        client: object = None,
    ) -> Explanation:
        """Which rule ``"GET /api/x"`` would match, and why not those before it; nothing is sent.

        request: method and path, or a whole URL. headers, cookies: name -> value; body: text, bytes, or a dictionary
        that goes as JSON; client: whose address it comes from, the first client's unless given. Functions of routes are
        asked here, in this process. PolicyError at L4, where no request is read.
        """
        live = self._running()
        self._own("explain", (node.name for node in self._topology.nodes if node.role == "client"), client)
        if not isinstance(live.policy, L7Policy):
            raise PolicyError(
                f"lab.balancer.explain({shown(request)}): at L4 no rule looks at a request: the backend is chosen on "
                "the SYN, before there is one. Use lab.balancer.l7() first."
            )
        asked = request_of(request, headers, cookies, body, self._address_of(client))
        return explanation(live.policy.routes, asked, live.policy.tls, live.policy.https_port)

    def rule_errors(self) -> "pd.DataFrame":
        """Each time that a function of a route failed, oldest first; the last 1,000.

        Columns: time, rule, function, request ("GET /x"), error (the exception's last line), line and source (where in
        the function), traceback (the whole text), printed (what the function printed). ``attrs["forgotten"]``: how many
        are too long ago to be kept.
        """
        return table(*self._running().proxies["mitmproxy"].rule_errors())

    @property
    def settings(self) -> Settings:
        """Time-outs and limits of the balancer's network namespace: a mapping; assignment sets one at once."""
        return Settings(self._node)

    @property
    def health(self) -> HealthChecks:
        """The state of each backend by its name, and how that is checked: ``health.check(...)``, ``health.off()``."""
        return self._running().health

    def _address_of(self, client: object) -> str:
        """The address of the client that is meant: its own, its name, or the host itself; of the first if None."""
        nodes = {node.name: node for node in self._topology.nodes if node.role == "client"}
        name = next(iter(nodes), None) if client is None else getattr(client, "name", client)
        if isinstance(name, str) and name in nodes:
            address = nodes[name].interfaces[0].address4
            return str(address.ip)
        try:
            return str(ip_address(name if isinstance(name, str) else ""))
        except ValueError:
            raise PolicyError(
                f"lab.balancer.explain(client={shown(client)}): it is a client or its address{near_miss(name, nodes)}; "
                f"there are {', '.join(nodes)}."
            ) from None

    def _left(self, name: str) -> int:
        """How many connections lead to *name*."""
        live = self._running()
        return len(open_at(live.kernel.flows(), self._topology, name))

    def _change(self, live: Live, changed: Callable[[Rotation], Rotation]) -> None:
        with self._lock:
            self._rotate(live, changed(live.rotation))

    def _drain(self, live: Live, name: str) -> None:
        with self._lock:
            self._rotate(live, live.rotation.taken_out(name, "draining"))
            lingering.close_unused(live)

    def _cut(self, live: Live, name: str, addresses: list[str]) -> int:
        with self._lock:
            self._rotate(live, live.rotation.taken_out(name, "removed"))
            return lingering.reset(live, addresses) + live.kernel.cut(addresses)["connections"]

    def _backend_names(self) -> list[str]:
        return [node.name for node in self._topology.backends]

    def _own(self, asker: str, fitting: Iterable[str], *given: object) -> None:
        """PolicyError if a host among what was *given*, or in a collection of that, is one of another lab.

        fitting: who could be named instead.
        """
        for each in given:
            for thing in each if isinstance(each, Sequence | Mapping) else [each]:
                if self._foreign(thing):
                    name = getattr(thing, "name", "")
                    raise PolicyError(
                        f"lab.balancer.{asker}(): {name} is a host of another lab; give one of this lab, or a name: "
                        f"there are {', '.join(fitting)}."
                    )

    def _backend(self, asker: str, given: object) -> str:
        """The name of the backend that is meant."""
        names = self._backend_names()
        name = given if isinstance(given, str) else getattr(given, "name", None)
        self._own(asker, names, given)
        if not isinstance(name, str) or name not in names:
            raise PolicyError(
                f"lab.balancer.{asker}({shown(given)}): there is no such backend{near_miss(name, names)}; "
                f"there are {', '.join(names)}."
            )
        return name


def out_of_rotation(rotation: Rotation) -> list[tuple[str, str]]:
    """Lines for the display: who is out, and why."""
    reasons = {name: str(why) for name, why in rotation.out.items()}
    for name in sorted({name for name, _, _ in rotation.down}):
        ports = ", ".join(f"{port}/{transport}" for one, transport, port in sorted(rotation.down) if one == name)
        reasons.setdefault(name, f"its health checks fail ({ports})")
    weights = ", ".join(f"{name} {weight}" for name, weight in rotation.weights.items())
    rows = [("out of rotation", f"{name}: {why}") for name, why in reasons.items()]
    return [*rows, *([("weights", weights)] if weights else [])]
