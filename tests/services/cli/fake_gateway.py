"""A gateway of canned answers on a real port: the network's edge of the command line."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, Any]]


class FakeGateway:
    """`answers["GET /v1/runs"]` are given one after the other, the last one for ever; `seen` holds what was asked."""

    def __init__(self, answers: dict[str, list[Answer]]) -> None:
        self.answers = answers
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.asked = threading.Condition()
        self.url = ""

    def reply(self, line: str, headers: dict[str, str], body: bytes) -> Answer:
        with self.asked:
            self.seen.append((line, headers, body))
            self.asked.notify_all()
            left = self.answers.get(line.partition("?")[0])
            if not left:
                return 404, {"title": "There is no such thing.", "detail": f"nothing at {line}"}
            return left.pop(0) if len(left) > 1 else left[0]

    def wait_until_asked(self, line: str, times: int) -> None:
        with self.asked:
            assert self.asked.wait_for(lambda: sum(seen[0] == line for seen in self.seen) >= times, timeout=30)


@contextmanager
def fake_gateway(answers: dict[str, list[Answer]]) -> Iterator[FakeGateway]:
    gateway = FakeGateway(answers)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            chunked = self.headers.get("Transfer-Encoding") == "chunked"
            body = b"".join(self.chunks()) if chunked else self.rfile.read(int(self.headers.get("Content-Length", 0)))
            code, found = gateway.reply(f"{self.command} {self.path}", dict(self.headers), body)
            text = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/problem+json" if code >= 400 else "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def chunks(self) -> Iterator[bytes]:
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    gateway.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def stage(state: str, total: int = 0, done: int = 0, **more: Any) -> dict[str, Any]:
    """A stage as the API gives it."""
    counts = {"total": total, "done": done, "dead": 0, "running": 0, "queued": 0, "cancelled": 0, "lost": 0, "failed": 0}
    about: dict[str, Any] = {"kind": "search", "reason": None, "needs": [], "max_dead": 0, "opened_at": 100.0, "closed_at": None}
    return {"state": state, "progress": {}, **about, **counts, **more}


def run(state: str, reason: str | None = None, **stages: dict[str, Any]) -> dict[str, Any]:
    """A run as the API gives it."""
    usage = {"requests": 3, "prompt_tokens": 1200, "completion_tokens": 345, "cost": 0.0, "by": []}
    preflight = stage("open" if state == "checking" else "done", 1, 0 if state == "checking" else 1)
    ended = 160.0 if state in ("done", "failed", "rejected", "cancelled") else None
    about = {"id": "tiny-1", "name": "tiny", "state": state, "reason": reason, "created_at": 100.0, "ended_at": ended}
    return {**about, "stages": {"preflight": preflight, **stages}, "usage": usage}
