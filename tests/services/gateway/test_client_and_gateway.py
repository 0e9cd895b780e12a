"""The client and the real gateway, over a socket, through a restart."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.artifacts import item_folder, write_bytes
from shared.client import ApiError, Client
from shared.ledger.database import Ledger
from shared.ledger.events import add_event
from shared.ledger.items import NewRecord

from .conftest import KEY, RECIPE, Served


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


@pytest.fixture
def client(served: Served) -> Any:
    with Client(served.url, KEY) as made:
        yield made


def test_a_whole_course(client: Client, tmp_path: Path, work: Callable[..., None], finish: Callable[[str], None]) -> None:
    file = tmp_path / "sums.jsonl"
    file.write_text("".join(f'{{"question": "1 + {n}?", "answer": "{n + 1}"}}\n' for n in range(120)))
    assert client.add_problems("sums", file)["count"] == 120
    assert [row["name"] for row in client.problem_sets()] == ["sums"]
    assert len({problem["id"] for problem in client.problems("sums")}) == 120

    checked = client.check_recipe(RECIPE)
    assert (checked["problems"]["train"]["count"], list(client.runs())) == (120, [])

    run = client.post_run(yaml.safe_dump(RECIPE))
    assert client.pause(run)["state"] == "paused"
    assert client.resume(run)["state"] == "checking"
    folder = item_folder(run, "search", "item0", 1)
    write_bytes(f"{folder}/data/train.jsonl", b"{}\n")
    work(
        run,
        "search",
        [NewRecord("tree", f"p{n}", {"n": n}) for n in range(230)],
        [NewRecord("dataset", "dataset", {"uri": folder})],
    )
    finish(run)

    assert [status["state"] for status in client.watch(run)] == ["done"]
    assert [record["body"]["n"] for record in client.records(run, kind="tree")] == list(range(230))
    assert [item["state"] for item in client.items(run, stage="search")] == ["done", "done"]
    assert client.report(run)["datasets"].keys() == client.datasets(run).keys() == {"search"}
    assert client.download_dataset(run, "search", tmp_path / "out") == [tmp_path / "out" / "data" / "train.jsonl"]
    assert (tmp_path / "out" / "data" / "train.jsonl").read_bytes() == b"{}\n"
    [shown] = client.files(run)
    assert client.download_file(run, shown["file"], tmp_path / "copy").read_bytes() == b"{}\n"
    assert next(client.events(run))["type"] == "run.created"
    assert list(client.events(run))[-1]["type"] == "run.done"
    assert [row["id"] for row in client.runs()] == [run]
    assert client.recipe(run)["name"] == "tiny"
    assert set(client.queues()) >= {"searcher"}
    assert client.models() == client.workers() == []
    client.delete_run(run)
    client.delete_problems("sums")
    with pytest.raises(ApiError) as refused:
        client.run(run)
    assert refused.value.status == 404


def test_a_wrong_key(served: Served) -> None:
    with Client(served.url, "wrong") as stranger, pytest.raises(ApiError, match="API key") as refused:
        list(stranger.runs())
    assert refused.value.status == 401


def test_through_a_restart(serve: Callable[..., Served], sums: str, ledger: Ledger, finish: Callable[[str], None]) -> None:
    first = serve()
    with Client(first.url, KEY) as client:
        run = client.post_run(RECIPE)
        seen: list[str] = []
        created = threading.Event()

        def follow() -> None:
            for event in client.events(run):
                seen.append(event["type"])
                created.set()

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        assert created.wait(30)
        first.stop()
        with ledger.write() as connection:
            add_event(connection, run, "while it was away", {})
        found: list[Any] = []
        asking = threading.Thread(target=lambda: found.append(client.run(run)), daemon=True)
        asking.start()  # while nobody listens
        serve(first.port)
        asking.join(60)
        assert found[0]["id"] == run
        finish(run)
        follower.join(60)
        assert seen == ["run.created", "while it was away", "run.running", "run.done"]
