"""The user's functions, asked for a request: the answer, or what the client is told instead; and the report of it."""

import time
from collections.abc import Callable
from typing import Any

from labkit.balancer.functions.failure import Failure
from labkit.balancer.functions.pool import Pool
from labkit.balancer.functions.worker import Unloadable
from labkit.balancer.l7.admission import Reply
from labkit.balancer.l7.code import Code
from labkit.balancer.l7.message import Message
from labkit.balancer.l7.request import Request
from labkit.balancer.l7.route import FUNCTIONS, Route
from labkit.balancer.mitmproxy.journal import Exchange
from labkit.balancer.policy import L7Policy

__all__ = ["Functions", "Unloadable"]


class Functions:
    """Those of the policy in force. send: tells the owner."""

    def __init__(self, send: Callable[[Any], None]) -> None:
        self.pool = Pool()
        self._send = send

    async def prepared(self, policy: L7Policy) -> Pool:
        """What runs the functions of *policy*, all of them loaded. Unloadable if one is not; then nothing changes."""
        found = [getattr(route, argument) for route in policy.routes for argument in FUNCTIONS]
        codes = tuple(dict.fromkeys(code for code in found if isinstance(code, Code)))
        if codes == self.pool.codes:
            return self.pool
        pool = Pool(codes)
        await pool.start()
        return pool

    def use(self, pool: Pool) -> None:
        """Requests that begin from now on call the functions of *pool*."""
        if pool is not self.pool:
            self.pool.retire()
            self.pool = pool

    async def matches(self, pool: Pool, route: Route, request: Request, exchange: Exchange) -> bool | Reply:
        """What the function of *route* says of *request*; a `Reply` if it fails. pool: of the route's policy."""
        given = {
            "method": request.method,
            "target": request.target,
            "lines": list(request.lines),
            "authority": request.authority,
            "body": request.body,
            "client": request.client,
            "secure": request.secure,
        }
        answer = await self._asked(pool, route, "when", given, exchange)
        return answer if isinstance(answer, Reply) else bool(answer)

    async def transformed(
        self, pool: Pool, route: Route, argument: str, message: Message, exchange: Exchange
    ) -> bytes | Reply | None:
        """The new body that the function *argument* of *route* makes of *message*; None: it stays; a `Reply` if it
        fails. pool: of the policy by which the request was decided."""
        given = {
            "headers": list(message.headers.items()),
            "body": message.body,
            "method": message.method,
            "target": message.target,
            "status": message.status,
        }
        answer: bytes | Reply | None = await self._asked(pool, route, argument, given, exchange)
        return answer

    async def _asked(self, pool: Pool, route: Route, argument: str, given: dict[str, Any], exchange: Exchange) -> Any:
        code = getattr(route, argument)
        assert isinstance(code, Code)
        answer = await pool.call(code, "when" if argument == "when" else "transform", given)
        if not isinstance(answer, Failure):
            return answer
        exchange.error = answer.error
        self._report(code, route, answer, exchange)
        status = 500 if answer.kind == "raised" else 503 if argument == "when" else 502
        said = f"raised {answer.error}" if answer.kind == "raised" else f"failed: {answer.error}"
        return Reply(status, f"the function {code.name} of the route {route.label} {said}")

    def _report(self, code: Code, route: Route, failure: Failure, exchange: Exchange) -> None:
        self._send(
            {
                "kind": "rule_error",
                "time_ns": time.time_ns(),
                "rule": route.label,
                "function": code.name,
                "request": f"{exchange.method} {exchange.target}",
                "error": failure.error,
                "chain": list(failure.chain),
                "printed": failure.printed,
            }
        )
