"""An OpenAI-compatible server in a thread, which answers, or misbehaves, as a test scripts it and keeps what it was asked."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECE = 16
"""Bytes of a slow body that come together."""


@dataclass
class Reply:
    """One answer: `body` as JSON (text or bytes: as they are), or a connection cut."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    """Closes the connection without a word."""
    half: bool = False
    """Closes it in the middle of the body."""
    slow: float = 0.0
    """Seconds before each piece of the body."""


def choices(*texts: str, prompt_tokens: int = 10, **more: Any) -> dict[str, Any]:
    """A completion's body: one choice a text; a token a text."""
    found = [{"text": text, "finish_reason": "stop", **more} for text in texts]
    return {"choices": found, "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": len(texts)}}


def chat(content: str | None, **message: Any) -> dict[str, Any]:
    """A chat completion's body with one choice."""
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 1}}


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """A sound answer to a request, by its kind."""
    return chat("x") if "messages" in body else choices(*["x"] * body.get("n", 1))


class Scripted:
    """The server's script and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: list[str | None] = []
        self.script: list[Reply] = []
        """Replies in order; then `otherwise` answers."""
        self.otherwise: Callable[[dict[str, Any]], Reply] = lambda body: Reply(answer(body))
        self.url = ""
        self._lock = threading.Lock()

    def reply(self, path: str, key: str | None, body: dict[str, Any]) -> Reply:
        with self._lock:
            self.asked.append(body)
            self.paths.append(path)
            self.keys.append(key)
            if self.script:
                return self.script.pop(0)
        return self.otherwise(body)


@contextmanager
def scripted_server() -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(script.reply(self.path, None, {}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(script.reply(self.path, self.headers.get("Authorization"), body))

        def _send(self, reply: Reply) -> None:
            if reply.cut:
                self.close_connection = True
                return
            content = reply.body if isinstance(reply.body, bytes | str) else json.dumps(reply.body)
            content = content.encode() if isinstance(content, str) else content
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            sent = content[: len(content) // 2] if reply.half else content
            if not reply.slow:
                self.wfile.write(sent)
            for place in range(0, len(sent) if reply.slow else 0, PIECE):
                time.sleep(reply.slow)
                self.wfile.write(sent[place : place + PIECE])
                self.wfile.flush()
            self.close_connection |= reply.half

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Listening(ThreadingHTTPServer):
        request_queue_size = 512
        daemon_threads = True

    server = Listening(("127.0.0.1", 0), Handler)
    script.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
