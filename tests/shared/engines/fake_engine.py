"""A server with vLLM's routes and no model, run as an engine's command: `python fake_engine.py PORT MODEL`.

Starts a grandchild, as vLLM does.
Environment: FAKE_FAIL (exit with these words), FAKE_SLOW (never answer), FAKE_STARTS (a file that gets a line a start),
FAKE_RELOAD_FAILS (POST /reload fails with these words).
"""

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    model = ""

    def do_GET(self) -> None:
        self._answer({"data": [{"id": self.model}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/reload":
            if "FAKE_RELOAD_FAILS" in os.environ:
                self.send_error(500, os.environ["FAKE_RELOAD_FAILS"])
            else:
                Handler.model = body["model"]
                self._answer({})
            return
        if body.get("prompt") == "hang":
            time.sleep(3600)
        n = body.get("n", 1)
        choices = [{"text": f"{self.model} {os.getpid()}", "token_ids": [1, 2], "finish_reason": "stop"}] * n
        self._answer({"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 2 * n}, "tokens": [7]})

    def _answer(self, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    if "FAKE_FAIL" in os.environ:
        sys.exit(os.environ["FAKE_FAIL"])
    subprocess.Popen(["sleep", "3600"], start_new_session=True)
    if "FAKE_STARTS" in os.environ:
        with open(os.environ["FAKE_STARTS"], "a") as starts:
            starts.write(f"{sys.argv[2]}\n")
    if "FAKE_SLOW" in os.environ:
        time.sleep(3600)
    Handler.model = sys.argv[2]
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
