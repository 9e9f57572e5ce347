"""`Balancer`: the switch. It plans what is asked for, then has the engines carry it out, and keeps the record.

The rules of the kernel stand in front of the proxy, which listens all the time. So a switch is: the proxy
takes the new policy and says so (where one is needed), then one transaction swaps the kernel's rules. Whatever fails
before that swap leaves the old mode as it was. A switch runs in a thread of its own to its end, so that an
interrupt of the notebook cannot stop it halfway.
"""

import contextlib
import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from labkit.balancer import describe, lingering, relaying
from labkit.balancer.envoy.engine import EnvoyEngine
from labkit.balancer.functions.report import warning
from labkit.balancer.health import HealthChecks
from labkit.balancer.inward import Inward
from labkit.balancer.live import Live, Mode
from labkit.balancer.mitmproxy.engine import MitmproxyEngine
from labkit.balancer.nftables import NftablesEngine
from labkit.balancer.operations import Operations, out_of_rotation
from labkit.balancer.plan import plan_l4, plan_l7
from labkit.balancer.policy import Forward, L4Policy, L7Policy
from labkit.balancer.proxy import Proxy
from labkit.balancer.record import Record
from labkit.balancer.relays import passed
from labkit.balancer.rotation import Place, Rotation, in_force, routed, somebody, without
from labkit.balancer.source import source_of
from labkit.errors import LabError, LabNotRunning
from labkit.runtime.protocol import Node
from labkit.topology import Listener, Topology
from labkit.uninterrupted import uninterrupted

_READY_SECONDS = 30.0
_log = logging.getLogger(__name__)


class Balancer(Operations, Record):
    """The balancer of a lab: ``lab.balancer``. All methods are thread-safe.

    node: gives the balancer's node, or raises LabNotRunning when the lab does not run. identity: gives certificate,
    key and the lab's root as PEM text, asked for where the topology has HTTPS listeners. certificate: gives certificate
    and key for a further name of the VIP. know: has every host of the lab find such names at the VIP. foreign: tells
    whether something is a host of another lab.
    """

    def __init__(
        self,
        node: Callable[[], Node],
        topology: Topology,
        identity: Callable[[], Sequence[str]] | None = None,
        certificate: Callable[[str], Sequence[str]] | None = None,
        know: Callable[[Sequence[str]], None] | None = None,
        foreign: Callable[[object], bool] = lambda _: False,
    ) -> None:
        self._node = node
        self._topology = topology
        self._identity = identity
        self._certificate = certificate
        self._know = know
        self._foreign = foreign
        self._lock = threading.RLock()
        self._live: Live | None = None

    def settle(self, topology: Topology) -> None:
        """The lab is about to begin with other addresses than it was described with."""
        self._topology = topology

    def start(self) -> None:
        """Begin in L4, round robin over all backends; mitmproxy warms up, Envoy begins when it is asked for."""
        with self._lock:
            node, topology = self._node(), self._topology
            kernel = NftablesEngine(node, topology, self._kernel_task_died)
            addresses = [str(address) for address in (topology.vip4, topology.vip6) if address]
            listeners = [listener for listener in topology.listeners if listener.protocol in ("http", "https")]
            secure = any(listener.protocol == "https" for listener in listeners)
            identity = self._identity if secure else None
            died = partial(self._died, "mitmproxy")
            mitmproxy = MitmproxyEngine(
                node, addresses, listeners, died, identity, self._certificate, self._rule_failed
            )
            died = partial(self._died, "envoy")
            envoy = EnvoyEngine(node, addresses, listeners, died, identity, self._certificate, topology.listeners)
            policy = plan_l4(topology)
            _, generation = kernel.apply(policy.forwards)
            back = topology.balancer.interface(topology.back.name)
            health = HealthChecks(node, source_of(topology), back.name, self._health_changed)
            proxies: dict[str, Proxy] = {"mitmproxy": mitmproxy, "envoy": envoy}
            self._live = Live(kernel, proxies, policy, policy.forwards, health, generation, envoy)
            self._record(self._live)
            if listeners:
                mitmproxy.start()

    def begin_checks(self, served: Iterable[Place] = ()) -> None:
        """Check the health of every backend that a listener may be forwarded to, whatever the policy.

        served: (backend, transport, port) where a server is known to listen at this moment.
        """
        self._running().health.watch(plan_l4(self._topology).forwards, served)

    def forget(self) -> None:
        """The node is about to end, or has: what ran in it is no longer this balancer's concern. Never blocks."""
        live, self._live = self._live, None
        if live:
            for proxy in live.proxies.values():
                proxy.abandon()
            live.health.abandon()

    def l4(
        self,
        algorithm: object = "round_robin",
        backends: object = None,
        pool: object = None,
        weights: object = None,
        style: object = "dnat",
        proxy_protocol: object = None,
        sni: object = None,
        **unknown: object,
    ) -> None:
        """Forward connections without reading them, from the next connection on; those that exist go on as they are.

        algorithm: ``"round_robin"``, ``"random"``, ``"source_hash"`` (a client keeps its backend), ``"flow_hash"``
        (addresses, protocol and ports), ``"maglev"`` (the same, and most flows keep theirs when backends change).
        backends: names, all unless given; or pool: the name of one. weights: shares by name, as in ``{"api1": 3}``,
        for any algorithm; 1 unless given. style: ``"dnat"``, ``"full"`` (the client's address is replaced too),
        ``"dsr"`` (direct server return: nothing is translated, and answers bypass lb), or ``"proxy"`` (TCP connections
        end here unread, and others lead to the backends); see docs/l4.md. For ``"proxy"`` alone: proxy_protocol, 1 or
        2: backends are told of the client by a header before everything else; sni: pools by the name that TLS asks for,
        as in ``{"shop.test": "api", "*.img.test": "images"}``, others go to the backends chosen.
        Raises PolicyError for what L4 cannot do, and where all of the backends are draining or removed.
        """
        self._own("l4", self._backend_names(), backends, weights)
        policy = plan_l4(self._topology, algorithm, backends, pool, weights, style, proxy_protocol, sni, **unknown)
        live = self._running()
        somebody(policy, live.rotation)
        relaying.begin(live, policy.forwards)

        def switch() -> None:
            with self._lock:
                somebody(policy, live.rotation)
                self._to_l4(live, policy)

        uninterrupted(switch)

    def l7(
        self,
        routes: object = None,
        engine: object = "mitmproxy",
        tls: object = False,
        reencrypt: object = False,
        sticky: object = None,
        algorithm: object = "round_robin",
        weights: object = None,
        hash_on: object = None,
        forwarded: object = False,
        request_id: object = False,
        compress: object = False,
        retries: object = None,
        timeouts: object = None,
        ejection: object = None,
        circuit: object = None,
        limits: object = None,
        **unknown: object,
    ) -> None:
        """End connections here and route each request, from the next connection on; those that exist go on as they are.

        routes: a list of `Route`, the first match wins; unless given, ``/<pool>/*`` for each pool and then everything
        else over all backends. engine: ``"mitmproxy"``, which inspects, or ``"envoy"``, which is made for speed (see
        docs/engines.md). tls: end TLS too, with the lab's own certificate, on HTTPS listeners; without it they stay
        forwarded. A `Tls` says more: further names, a redirect of what comes in clear, HSTS, client certificates.
        reencrypt: what came over TLS goes on over TLS to the backends, not in clear.

        sticky: ``"cookie"``, sessions stay with their backend by a cookie of the balancer's; or a `Sticky`. algorithm:
        of every pool, or by pool: ``"round_robin"``, ``"random"``, ``"least_requests"``, ``"random_of_two"``,
        ``"consistent_hash"``, made of hash_on (``"client"``, ``"header:NAME"``, ``"cookie:NAME"``). weights: shares by
        name, as in ``{"api1": 3}``. forwarded: backends are told of the client (X-Forwarded-For, -Proto, -Host), or a
        `Forwarded`. request_id: and get an X-Request-Id, the number of the exchange in the record. compress: text goes
        to who takes gzip as gzip. When backends fail: retries (`Retries`), timeouts (`Timeouts`), ejection
        (`Ejection`), circuit (`Circuit`). limits: what a client may ask of the balancer's patience and memory
        (`Limits`). See docs/l7.md.

        Starts the proxy if it does not run. Raises PolicyError for what cannot be done, EngineError if the proxy does
        not come up; then the mode stays what it was.
        """
        asked = {name: value for name, value in locals().items() if name not in ("self", "unknown")} | unknown
        self._own("l7", self._backend_names(), weights)
        wanted = plan_l7(self._topology, (), **asked)  # what is wrong is said also when no lab runs
        live = self._running()
        _begin(live.proxy_of(wanted))
        relaying.begin(live, live.forwards)

        def switch() -> None:
            with self._lock:
                self._to_l7(live, plan_l7(self._topology, live.forwards, **asked))

        uninterrupted(switch)

    @property
    def mode(self) -> Mode:
        """``"l4"`` or ``"l7"``. Warns once if the L7 engine died."""
        return self._running().mode

    @property
    def forwarded(self) -> tuple[Listener, ...]:
        """The listeners whose connections pass through unopened now: all at L4 but those of the TCP proxy, and
        those that are not ended at L7."""
        return tuple(one.listener for one in self._running().policy.forwards if one.style != "proxy")

    @property
    def relayed(self) -> tuple[Listener, ...]:
        """The listeners whose TCP connections end here unread now, and go on by others (style "proxy")."""
        return tuple(one.listener for one in self._running().policy.forwards if one.style == "proxy")

    @property
    def direct(self) -> tuple[Listener, ...]:
        """Those of the `forwarded` whose packets are passed on as they are, past connection tracking (style "dsr")."""
        return tuple(forward.listener for forward in self._running().policy.forwards if forward.style == "dsr")

    def __repr__(self) -> str:
        return describe.as_text(self._summary())

    def _repr_html_(self) -> str:
        return describe.as_html(self._summary())

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Whatever is switched within, the policy of before is in force again afterwards, also after an interrupt.

        Raises what switching raises, if it cannot be; a lab that has ended meanwhile has nothing to put back.
        """
        live = self._running()
        policy, forwards, weights = live.policy, live.forwards, live.rotation.weights
        try:
            yield
        finally:
            if self._live is live and self._lab_runs():
                uninterrupted(lambda: self._put_back(live, policy, forwards, weights))

    def _put_back(
        self, live: Live, policy: L4Policy | L7Policy, forwards: tuple[Forward, ...], weights: Mapping[str, int]
    ) -> None:
        with self._lock:
            if live.policy is policy:
                return
            if isinstance(policy, L7Policy):
                _begin(live.proxy_of(policy))
                live.rotation = replace(live.rotation, weights=weights)
                self._to_l7(live, policy)
            else:
                relaying.begin(live, policy.forwards)
                self._to_l4(live, policy, weights)
            live.forwards = forwards

    def _to_l4(self, live: Live, policy: L4Policy, weights: Mapping[str, int] = MappingProxyType({})) -> None:
        with self._lock:  # who is out of rotation may change at any time, so it is looked at here and not before
            rotation = replace(live.rotation.failing(live.health.down), weights=weights)
            self._apply(live, in_force(policy.forwards, rotation), ())
            live.policy, live.forwards, live.rotation = policy, policy.forwards, rotation
            live.notice = None if relaying.wanted(policy.forwards) else live.notice
            self._record(live)

    def _to_l7(self, live: Live, policy: L7Policy) -> None:
        with self._lock:
            proxy, wanted = live.proxy_of(policy), routed(policy, live.rotation)
            if policy.tls and policy.tls.names and self._know:
                self._know(policy.tls.names)
            served = proxy.apply(wanted)
            try:
                self._apply(live, wanted.forwards, live.inward(policy))
            except BaseException:
                if (before := live.proxied.get(policy.engine)) is not None:
                    proxy.apply(without(before, live.rotation))
                raise
            live.policy, live.served, live.notice = policy, served, None
            live.proxied[policy.engine] = policy
            self._record(live)

    def _rotate(self, live: Live, rotation: Rotation) -> None:
        """Put a new state of the backends in force: in one transaction, new connections alone notice."""
        with self._lock:
            before = live.in_force
            if (rotation.out, rotation.down) != (live.rotation.out, live.rotation.down):
                lingering.route(live, rotation)
            forwards = in_force(live.policy.forwards, rotation)
            if forwards != before:
                self._apply(live, forwards, live.inward(live.policy))
            live.rotation = rotation
            if forwards != before or live.mode == "l7":
                live.history.append(self._rules_event(live, time.time_ns()))

    def _apply(self, live: Live, forwards: Sequence[Forward], inward: Sequence[Inward]) -> None:
        """Into the kernel. Where somebody else has changed rules since we last did, what was read before is stale."""
        with relaying.carried_out(live, forwards) as relayed:
            closed = live.relayer.closed()
            before, after = live.kernel.apply(passed(forwards), (*inward, *relayed, *closed))
        if before != live.generation or closed != live.closed:
            live.dumps.clear()
        live.closed = closed
        live.generation = after

    def _running(self) -> Live:
        """The engines, if the lab runs; says once what is wrong with them."""
        self._node()
        live = self._live
        if live is None:
            raise LabNotRunning("The balancer was not started: call lab.start().")
        while live.unsaid:
            warnings.warn(live.unsaid.pop(0), RuntimeWarning, stacklevel=3)
        return live

    def _died(self, engine: str, reason: str) -> None:
        """A proxy ended unasked (the runtime's reader thread)."""
        live = self._live
        if live is None or not self._lab_runs():
            return  # it went with its lab, which has more to say
        remedy, what = live.proxies[engine].remedy, "L7 engine"
        if engine == live.relayer.name and live.mode == "l4" and relaying.wanted(live.policy.forwards):
            remedy, what = 'lab.balancer.l4(style="proxy")', "L4's TCP proxy"
        live.notice = f"{what} {engine} died ({reason}): call {remedy} to start it again."
        live.unsaid.append(live.notice)
        _log.warning(live.notice)

    def _rule_failed(self, event: dict[str, Any]) -> None:
        """A function of a route failed, for the first time (the runtime's reader thread)."""
        live = self._live
        if live is not None:
            live.unsaid.append(warning(event))

    def _health_changed(self) -> None:
        """A check found a backend down, or up again (a thread of the checks')."""
        live = self._live
        if live is None or not self._lab_runs():
            return
        try:
            with self._lock:
                self._rotate(live, live.rotation.failing(live.health.down))
        except LabError as error:
            if self._lab_runs():
                text = f"A backend's health changed, and the rules could not follow: {error}"
                live.unsaid.append(text)
                _log.warning(text)

    def _kernel_task_died(self, reason: str) -> None:
        """The L4 engine's task ended unasked, and another runs (a thread of the engine's)."""
        live = self._live
        if live is not None and self._lab_runs():
            text = (
                f"L4 engine's task died ({reason}) and was started again: the kernel went on forwarding, but the "
                "decisions it had recorded are lost."
            )
            live.unsaid.append(text)
            _log.warning(text)

    def _lab_runs(self) -> bool:
        try:
            self._node()
        except LabNotRunning:
            return False
        return True

    def _summary(self) -> describe.Rows:
        live = self._live
        if live is None or not self._lab_runs():
            return [("balancer", f"{self._topology.balancer.name} of {self._topology.name}: the lab does not run")]
        policy = replace(live.policy, forwards=live.in_force)
        return [*describe.summary(self._topology, policy, live.notice), *out_of_rotation(live.rotation)]


def _begin(proxy: Proxy) -> None:
    """Start it, unless it runs, and wait until it listens."""
    proxy.start()
    proxy.ready(_READY_SECONDS)
