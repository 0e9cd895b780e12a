"""Our own routes of a running vLLM server: `--middleware shared.engines.vllm_routes.Routes`.

- `POST /reload {"model": NAME, "folder": PATH}`: serves another checkpoint (`shared.engines.vllm_reload`).
- `POST /line_breaks {}`: which tokens hold a newline (`shared.engines.vllm_lines`).

Each answers with JSON; one that fails with 500 and `{"error": WORDS}`. The server listens on the loopback only.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from shared.engines.vllm_lines import line_breaks
from shared.engines.vllm_reload import reload

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]
ROUTES: dict[str, Callable[[Any, dict[str, Any]], Awaitable[dict[str, Any]]]] = {"/reload": reload, "/line_breaks": line_breaks}
"""Path -> what answers: from the state of vLLM's application and the request's JSON to the answer's."""


class Routes:
    """ASGI middleware: the routes above, and all else goes on to vLLM."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        """Handles one request."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in ROUTES:
            await self._app(scope, receive, send)
            return
        content = b""
        while (part := await receive())["type"] == "http.request":
            content += part.get("body", b"")
            if not part.get("more_body"):
                break
        try:
            status, answer = 200, await ROUTES[scope["path"]](scope["app"].state, json.loads(content))
        except Exception as error:
            status, answer = 500, {"error": f"{type(error).__name__}: {error}"}
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})
