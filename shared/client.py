"""The gateway's Python client: used by the command line, the site, and people.

    client = Client()                                  # LONGTHOUGHT_URL and LONGTHOUGHT_API_KEY
    client.add_problems("gsm8k", Path("gsm8k_test.jsonl"))
    run = client.post_run(Path("recipes/gsm8k.yaml").read_text())
    for status in client.watch(run): ...
    client.report(run)

A gateway that is away for a while (it is being restarted, say) is waited for: every request is safe to be sent again.
"""

import json
import os
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx
import structlog
from httpx_sse import EventSource

from shared.patient_http import CHUNK, PAUSE_SECONDS, ApiError, GatewayAway, PatientHttp

__all__ = ["ENDED", "ApiError", "Client", "GatewayAway"]

log = structlog.get_logger()

URL = "http://127.0.0.1:8000"
PATIENCE_SECONDS = 60.0
"""How long a gateway that does not answer is waited for."""
ENDED = frozenset({"done", "failed", "rejected", "cancelled"})
"""States in which a run stays."""


class Client:
    """One gateway. Ids and names are as the API gives them; answers are its JSON."""

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        patience: float = PATIENCE_SECONDS,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = (url or os.environ.get("LONGTHOUGHT_URL") or URL).rstrip("/")
        key = api_key or os.environ.get("LONGTHOUGHT_API_KEY") or ""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = PatientHttp(self.url, headers, patience, transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    # Problem sets

    def add_problems(self, name: str, file: Path) -> dict[str, Any]:
        """Uploads a JSONL file as problem set `name`; returns {"name", "count", "created"}. Raises ApiError with every bad line."""

        def content() -> Iterator[bytes]:
            with file.open("rb") as opened:
                while chunk := opened.read(CHUNK):
                    yield chunk

        return self._http.json(
            "POST", f"/v1/problem-sets/{_part(name)}", content=content, headers={"Content-Type": "application/jsonl"}
        )

    def problem_sets(self) -> list[dict[str, Any]]:
        """All problem sets: name, count, created_at."""
        return _list(self._http.json("GET", "/v1/problem-sets"), "problem_sets")

    def problem_set(self, name: str) -> dict[str, Any]:
        """One problem set."""
        return self._http.json("GET", f"/v1/problem-sets/{_part(name)}")

    def problems(self, name: str) -> Iterator[dict[str, Any]]:
        """A set's problems, in order."""
        skip = 0
        while page := _list(self._http.json("GET", f"/v1/problem-sets/{_part(name)}/problems", params={"skip": skip}), "problems"):
            yield from page
            skip += len(page)

    def delete_problems(self, name: str) -> None:
        """Deletes a problem set."""
        self._http.delete(f"/v1/problem-sets/{_part(name)}")

    # Runs

    def post_run(self, recipe: str | Mapping[str, Any], idempotency_key: str | None = None) -> str:
        """Posts a recipe (YAML text, or a mapping) and returns the run's id. Raises ApiError; its `errors` name the places."""
        yaml = isinstance(recipe, str)
        body = recipe if isinstance(recipe, str) else json.dumps(recipe)
        headers = {
            "Content-Type": "application/yaml" if yaml else "application/json",
            "Idempotency-Key": idempotency_key or uuid.uuid4().hex,
        }
        return str(self._http.json("POST", "/v1/runs", content=lambda: body.encode(), headers=headers)["id"])

    def check_recipe(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Checks a recipe as posting would; nothing is stored. Returns it as it is understood (`recipe`), and number and mean
        lengths of its `problems`, by source. Raises ApiError; its `errors` name the places.
        """
        headers = {"Content-Type": "application/json"}
        return self._http.json("POST", "/v1/runs/check", content=lambda: json.dumps(recipe).encode(), headers=headers)

    def runs(self) -> Iterator[dict[str, Any]]:
        """All runs, newest first."""
        yield from self._http.pages("/v1/runs", "runs", {})

    def run(self, run: str) -> dict[str, Any]:
        """How a run stands: {"id", "state", "reason", "stages": {NAME: {...}}, "usage": {...}}."""
        return self._http.json("GET", f"/v1/runs/{_part(run)}")

    def recipe(self, run: str) -> dict[str, Any]:
        """A run's recipe as it was understood, defaults filled in."""
        return self._http.json("GET", f"/v1/runs/{_part(run)}/recipe")

    def watch(self, run: str, seconds: float = 0.5) -> Iterator[dict[str, Any]]:
        """How a run stands, again and again, up to the state in which it ended."""
        while True:
            status = self.run(run)
            yield status
            if status["state"] in ENDED:
                return
            time.sleep(seconds)

    def cancel(self, run: str) -> dict[str, Any]:
        """Cancels a live run; returns how it stands."""
        return self._http.json("POST", f"/v1/runs/{_part(run)}/cancel")

    def pause(self, run: str) -> dict[str, Any]:
        """Pauses a live run; returns how it stands."""
        return self._http.json("POST", f"/v1/runs/{_part(run)}/pause")

    def resume(self, run: str, spend_cap: float | None = None) -> dict[str, Any]:
        """Lets a paused run go on, with another spend cap (US dollars) if one is given; returns how it stands."""
        params = {} if spend_cap is None else {"spend_cap": spend_cap}
        return self._http.json("POST", f"/v1/runs/{_part(run)}/resume", params=params)

    def delete_run(self, run: str) -> None:
        """Deletes an ended run with all its results."""
        self._http.delete(f"/v1/runs/{_part(run)}")

    # Results

    def records(
        self, run: str, stage: str | None = None, kind: str | None = None, key: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """A run's records, each with `stage`, `kind`, `key` and `body`."""
        yield from self._http.pages(f"/v1/runs/{_part(run)}/records", "records", {"stage": stage, "kind": kind, "key": key})

    def items(self, run: str, stage: str | None = None, state: str | None = None) -> Iterator[dict[str, Any]]:
        """A run's work items, with errors."""
        yield from self._http.pages(f"/v1/runs/{_part(run)}/items", "items", {"stage": stage, "state": state})

    def report(self, run: str) -> dict[str, Any]:
        """Figures: `models` by name; `rewards`, `curations`, `datasets` and `checkpoints` by stage; `benchmarks`, `plots`."""
        return self._http.json("GET", f"/v1/runs/{_part(run)}/report")

    def add_scores(self, run: str, file: Path, stage: str | None = None) -> dict[str, Any]:
        """Uploads people's scores of samples, a CSV file; returns {"count", "replaced"}. Raises ApiError with every bad line."""
        params = {} if stage is None else {"stage": stage}
        headers = {"Content-Type": "text/csv"}
        return self._http.json("POST", f"/v1/runs/{_part(run)}/scores", content=file.read_bytes, params=params, headers=headers)

    def datasets(self, run: str) -> dict[str, Any]:
        """A run's datasets by stage: uri, counts, statistics."""
        return dict(self._http.json("GET", f"/v1/runs/{_part(run)}/datasets")["datasets"])

    def download_dataset(self, run: str, stage: str, folder: Path) -> list[Path]:
        """Downloads a dataset's files into `folder`; returns their paths."""
        with tempfile.TemporaryFile() as spool:
            self._http.download(f"/v1/runs/{_part(run)}/datasets/{_part(stage)}", spool)
            spool.seek(0)
            folder.mkdir(parents=True, exist_ok=True)
            with tarfile.open(fileobj=spool) as archive:
                archive.extractall(folder, filter="data")
                return [folder / member.name for member in archive.getmembers()]

    def files(self, run: str) -> list[dict[str, Any]]:
        """All files of a run: `file` (a path) and `size` in bytes."""
        return _list(self._http.json("GET", f"/v1/runs/{_part(run)}/files"), "files")

    def download_file(self, run: str, file: str, target: Path) -> Path:
        """Downloads one file of a run to `target`."""
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{target.name}.partial")
        with partial.open("w+b") as opened:
            self._http.download(f"/v1/runs/{_part(run)}/files/{quote(file)}", opened)
        partial.replace(target)
        return target

    # Events

    def events(self, run: str | None = None, after: str | None = None) -> Iterator[dict[str, Any]]:
        """Events, each once, in order, across interrupted connections.

        Of one run: from its first (or after the event whose `id` is `after`) to its last. Of all runs: those to come, for ever.
        """
        path = f"/v1/runs/{_part(run)}/events" if run else "/v1/events"
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
            with self._http.stream("GET", path, headers=headers, timeout=httpx.Timeout(60, connect=5)) as response:
                if response.status_code == 204:
                    return
                try:
                    for message in EventSource(response).iter_sse():
                        after = message.id or after
                        if message.data:
                            yield json.loads(message.data)
                except httpx.TransportError as error:
                    log.info("event stream broke", error=str(error))  # the gateway went away: go on after the last event seen
            time.sleep(PAUSE_SECONDS[0])

    # The house

    def models(self) -> list[dict[str, Any]]:
        """Checkpoints, newest first."""
        return _list(self._http.json("GET", "/v1/models"), "models")

    def queues(self) -> dict[str, Any]:
        """Queue -> queued, rung and running items, workers, slots."""
        return dict(self._http.json("GET", "/v1/queues")["queues"])

    def prune(
        self, kinds: Sequence[str] = (), older_than_days: float = 30.0, run: str | None = None, dry_run: bool = True
    ) -> dict[str, Any]:
        """Frees what nothing refers to any more, or says what would go: {"freed": {KIND: {"rows"} or {"files", "bytes"}}}."""
        params: dict[str, Any] = {"older_than_days": older_than_days, "dry_run": dry_run}
        params |= {name: value for name, value in (("kind", list(kinds)), ("run", run)) if value}
        return self._http.json("POST", "/v1/prune", params=params)

    def workers(self) -> list[dict[str, Any]]:
        """Workers seen lately."""
        return _list(self._http.json("GET", "/v1/workers"), "workers")

    def ready(self) -> tuple[bool, dict[str, str]]:
        """Whether everything is up, and each check in words. Does not wait for a gateway that is away."""
        try:
            response = self._http.once("/readyz")
            return response.status_code == 200, dict(response.json().get("checks", {}))
        except (httpx.TransportError, ValueError) as error:
            return False, {"gateway": f"no answer from {self.url}: {error}"}


def _part(text: str) -> str:
    """One part of a path, whatever is in it."""
    return quote(text, safe="")


def _list(answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return list(answer[name])
