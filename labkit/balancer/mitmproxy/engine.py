"""The owner's side of the proxy: starts it in lb, gives it policies, collects what it tells.

Light: mitmproxy itself is imported in the node alone. When the proxy dies, whoever waits on it is told at
once, `on_death` is called once with the reason, and `start` starts another.
"""

from collections.abc import Callable, Sequence
from typing import Any

from labkit.balancer.connections import Pair
from labkit.balancer.functions.packed import Packer
from labkit.balancer.functions.report import RuleErrors
from labkit.balancer.inward import Inward
from labkit.balancer.l7.code import LOAD_SECONDS
from labkit.balancer.mitmproxy.messages import listener_to_plain
from labkit.balancer.plain import from_plain, to_plain
from labkit.balancer.policy import L7Policy
from labkit.balancer.proxy import Served
from labkit.balancer.proxy_life import Life
from labkit.balancer.proxy_owner import Owner
from labkit.errors import EngineError, PolicyError
from labkit.runtime.protocol import Message, Node, Task
from labkit.topology import Listener

_TASK = "labkit.balancer.mitmproxy.task:main"
_KEPT_ERRORS = 1_000  # of functions


class MitmproxyEngine(Owner):
    """The inspecting L7 engine in *node*, listening on *addresses* at the ports of *listeners*.

    identity: gives certificate, key and the lab's root (PEM), asked for by `ready`; without it TLS is not spoken.
    certificate: gives certificate and key (PEM) for a further name of a policy. on_death: called with the reason, on
    the runtime's reader thread, when the proxy ends unasked. on_rule_error: called with the event, on the same thread,
    when a function of the policy failed for the first time.
    """

    name = "mitmproxy"
    remedy = "lab.balancer.l7()"

    def __init__(
        self,
        node: Node,
        addresses: Sequence[str],
        listeners: Sequence[Listener],
        on_death: Callable[[str], None],
        identity: Callable[[], Sequence[str]] | None = None,
        certificate: Callable[[str], Sequence[str]] | None = None,
        on_rule_error: Callable[[dict[str, Any]], None] = lambda event: None,
    ) -> None:
        super().__init__(node, on_death)
        self._arguments = {
            "addresses": list(addresses),
            "listeners": [listener_to_plain(listener) for listener in listeners],
        }
        self._identity = identity
        self._rule_errors = RuleErrors(_KEPT_ERRORS, on_rule_error)
        self._packer = Packer()
        self._certificate = certificate

    def _begin(self, run: Life) -> Task:
        return self._node.start(_TASK, on_event=run.take, on_exit=run.end, **self._arguments)

    def ready(self, timeout: float = 30.0) -> None:
        """Wait until the proxy listens. Raises EngineError if it died or takes longer than *timeout* seconds."""
        super().ready(timeout)
        if identity := self._identity:
            self._current().once("identity", lambda: {"identity": list(identity())})

    def inward(self, _: Sequence[Listener], http3: bool = False) -> tuple[Inward, ...]:
        """Nothing: it listens at the listeners' own ports."""
        return ()

    def apply(self, policy: L7Policy) -> Served:
        """Route by *policy*: in force for every request begun after this returns. Gives `routes` as they are then.

        Raises EngineError; and PolicyError for functions that cannot be packed, or loaded in the node: then the policy
        of before stays in force.
        """
        run = self._current()
        if policy.tls and policy.tls.names and self._certificate:
            self._certify(run, policy.tls.names, self._certificate)
        if policy.routes is not self._packer.routes:
            self._packer.take(policy.routes)
            self._rule_errors.begin()
        loading = LOAD_SECONDS if self._packer else 0.0
        reply = run.ask("policy", loading, policy=to_plain(policy, self._packer))
        if "refused" in reply:
            raise PolicyError(
                f"The functions of the routes cannot be loaded in {self._node.name} ({reply['refused']}): import what "
                "they need inside them, and see that it is installed where labkit is."
            )
        return _served(reply)

    def _certify(self, run: Life, names: Sequence[str], certificate: Callable[[str], Sequence[str]]) -> None:
        """Hand this life of the proxy, once, the certificates of *names*. Raises EngineError."""
        new = {name: list(certificate(name)) for name in names if name not in run.certified}
        if new:
            run.ask("certificates", certificates=new)
            run.certified |= new.keys()

    def pairs(self) -> tuple[list[Pair], int]:
        """The connections of each client that go on to backends, and the proxy's memory in bytes."""
        if not self._listens():
            return [], 0
        told = self._current().ask("pairs")
        return [((a, b), (c, d)) for a, b, c, d in told["pairs"]], int(told["bytes"])

    def rule_errors(self) -> tuple[list[dict[str, Any]], int]:
        """The failures of functions, oldest first, complete for what has been answered; and how many are forgotten."""
        self._fence()
        return self._rule_errors.all()

    def close_unused(self) -> None:
        """Close the proxy's idle connections to backends that no route leads to any more. EngineError."""
        self._current().ask("unused")

    def reset(self, addresses: Sequence[str]) -> int:
        """End the proxy's connections to a backend at *addresses* with a reset. How many those were. EngineError."""
        return int(self._current().ask("reset", addresses=list(addresses))["reset"])

    def routes(self) -> Served:
        """The policy the live proxy routes by, and the [address, port] it listens on, by its own word. EngineError."""
        return _served(self._current().ask("routes"))

    def events(self) -> list[dict[str, Any]]:
        """All ``request`` events so far, oldest first; of what has been answered only the `forgotten` lack."""
        self._fence()
        return list(self._told)

    def _fence(self) -> None:
        """Wait until everything is told that had been answered by now."""
        if self._listens():
            try:
                self._current().ask("flush")
            except EngineError:
                if self.alive:
                    raise

    def _take(self, message: Message) -> None:
        match message["kind"]:
            case "request":
                self._told.append(message)
            case "rule_error":
                self._rule_errors.put(message)
            case "secrets":
                self._secrets.put(message)
            case "closed":
                self._secrets.close(message["connection"], message["time_ns"])


def _served(reply: Message) -> Served:
    return from_plain(reply["policy"]), [(address, port) for address, port in reply["listening"]]
