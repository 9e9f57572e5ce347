"""Where a request goes: the choice in its pool, by the client's cookie or else by the algorithm, and its way there."""

import time

from mitmproxy import http

from labkit.balancer.l7 import sticky
from labkit.balancer.l7.balance import Balance
from labkit.balancer.l7.request import Watched
from labkit.balancer.l7.spread import Spread
from labkit.balancer.policy import L7Policy, Target
from labkit.topology import Listener


class Upstream:
    """Chooses targets for requests and addresses them. `use` replaces the policy at any time."""

    def __init__(self, policy: L7Policy) -> None:
        self.spread = Spread(policy, time.monotonic)
        self.use(policy)

    def use(self, policy: L7Policy) -> None:
        """Choose by *policy* from the next request on."""
        self._policy = policy
        self.spread.use(policy)

    def choose(
        self, pool: str, watched: Watched, listener: Listener, tried: frozenset[str] = frozenset()
    ) -> Target | None:
        """The target of *pool* for a request, not one of *tried* if there are others; None if there is none."""
        kept = None if tried else self._kept(pool, watched, listener)
        return kept or self.spread.choose(pool, self._key(pool, watched), tried)

    def cookie(self, watched: Watched, target: Target, listener: Listener) -> str | None:
        """The cookie that keeps a session at *target*, if the balancer has to set one: the client's names another."""
        policy = self._policy
        if policy.sticky is None or policy.sticky.application:
            return None
        here = self._place(target, watched, listener)
        if sticky.asked(policy.sticky, watched.unwatched.cookies.get(policy.sticky.cookie)) == here:
            return None
        return sticky.inserted(policy.sticky, here, secure=watched.unwatched.secure)

    def address(self, request: http.Request, target: Target, watched: Watched, listener: Listener) -> None:
        """Have *request* go to *target*, in clear or over TLS as the policy says."""
        host, port = self._endpoint(target, watched, listener)
        request.data.host, request.data.port = host, port
        inside_tls = listener.protocol == "https" and self._policy.reencrypt
        request.data.scheme = b"https" if inside_tls else b"http"

    def _kept(self, pool: str, watched: Watched, listener: Listener) -> Target | None:
        policy = self._policy
        if policy.sticky is None:
            return None
        asked = sticky.asked(policy.sticky, watched.cookie(policy.sticky.cookie))
        for target in policy.pools[pool] if asked else ():
            name = target.name if policy.sticky.application else self._place(target, watched, listener)
            if name == asked and self.spread.takes(pool, target):
                return target
        return None

    def _place(self, target: Target, watched: Watched, listener: Listener) -> str:
        return sticky.place(*self._endpoint(target, watched, listener))

    def _endpoint(self, target: Target, watched: Watched, listener: Listener) -> tuple[str, int]:
        """The target's address in the client's address family, if it has one there, and the port that is served."""
        six = ":" in watched.unwatched.client and target.address6
        inside_tls = listener.protocol == "https" and self._policy.reencrypt
        in_clear = listener.protocol == "https" and not inside_tls
        return six or target.address4, self._policy.http_port if in_clear else listener.target_port

    def _key(self, pool: str, watched: Watched) -> str:
        balance = self._policy.balance.get(pool, Balance())
        if balance.algorithm != "consistent_hash":
            return ""
        kind, _, name = balance.by.partition(":")
        if kind == "client":
            return watched.client
        return (watched.header(name) if kind == "header" else watched.cookie(name)) or ""
