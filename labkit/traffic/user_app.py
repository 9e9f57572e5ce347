"""The user's own ASGI application, made fit for a backend: slowed on demand, its errors shown where they are seen."""

import traceback
from collections.abc import Awaitable, Callable

from labkit.errors import TaskError
from labkit.pickled import unpickle
from labkit.traffic.answers import Receive, Scope, Send

App = Callable[[Scope, Receive, Send], Awaitable[None]]


def load(name: str, data: bytes) -> App:
    """The application in *data*. TaskError if it cannot be loaded inside the backend *name*."""
    try:
        app, _ = unpickle(data)
    except Exception as error:  # loading runs the user's own imports
        raise TaskError(f"{name} cannot load the application: {type(error).__name__}: {error}") from error
    if not callable(app):
        raise TaskError(f"{name} cannot serve a {type(app).__name__}: an ASGI application is called with (scope, ...)")
    return app  # type: ignore[no-any-return]


class Guarded:
    """*app* with a pause before each answer; an exception before the answer began becomes a 500 with its traceback."""

    def __init__(self, app: App, pause: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._pause = pause

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(event: dict[str, object]) -> None:
            nonlocal started
            started = True
            await send(event)

        await self._pause()
        try:
            await self._app(scope, receive, watched)
        except Exception:
            if started:
                raise
            body = traceback.format_exc().encode()
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 500, "headers": headers})
            await send({"type": "http.response.body", "body": body})
