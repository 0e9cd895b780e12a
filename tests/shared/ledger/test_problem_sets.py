"""Problem sets are there whole or not at all, whoever dies and whoever comes at the same time."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared.ledger import problems
from shared.ledger.database import Ledger
from shared.ledger.problems import SetExists, SetInUse, SetLost, delete_set, get_set, iterate_problems, list_sets, store_set
from shared.ledger.runs import NewStage, SetMissing, cancel_run, create_run, list_runs
from shared.ledger.tables import problem_sets


def bodies(count: int) -> Iterator[dict[str, Any]]:
    return ({"id": f"p{number}", "question": "?", "answer": str(number)} for number in range(count))


def test_stored_whole_in_order(ledger: Ledger) -> None:
    assert store_set(ledger, "sums", bodies(2100)) == 2100
    assert [row.name for row in list_sets(ledger)] == ["sums"]
    assert [body["id"] for body in iterate_problems(ledger, "sums", 998, 4)] == ["p998", "p999", "p1000", "p1001"]
    with pytest.raises(SetExists):
        store_set(ledger, "sums", bodies(1))
    assert delete_set(ledger, "sums")
    assert not delete_set(ledger, "sums")
    assert list(iterate_problems(ledger, "sums")) == []


def test_what_stands_at_a_path(ledger: Ledger) -> None:
    graded: list[dict[str, Any]] = [{"grading": {"kind": kind}} for kind in ("judge", "answer", "answer", "letter")]
    store_set(ledger, "mixed", [body | more for body, more in zip(bodies(5), [*graded, {}], strict=True)])
    assert problems.distinct_values(ledger, "mixed", ("grading", "kind")) == {"answer", "letter", "judge", None}
    assert problems.distinct_values(ledger, "mixed", ("grading", "kind"), 1, 2) == {"answer"}
    assert problems.distinct_values(ledger, "mixed", ("grading", "kind"), 4) == {None}


def test_an_error_on_the_way_leaves_nothing(ledger: Ledger) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from bodies(1500)
        raise RuntimeError("torn")

    with pytest.raises(RuntimeError, match="torn"):
        store_set(ledger, "sums", broken())
    assert get_set(ledger, "sums") is None
    assert store_set(ledger, "sums", bodies(3)) == 3


def test_what_a_dead_process_left_is_replaced_and_the_dead_one_changes_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow() -> Iterator[dict[str, Any]]:
        yield from bodies(1000)
        yield {"id": "last before the pause", "question": "?", "answer": "1"}
        with pytest.raises(SetExists):  # still alive
            store_set(ledger, "sums", bodies(2))
        monkeypatch.setattr(problems, "STALE_SECONDS", -1.0)
        assert store_set(ledger, "sums", bodies(2)) == 2

    with pytest.raises(SetLost):
        store_set(ledger, "sums", slow())
    assert [body["id"] for body in iterate_problems(ledger, "sums")] == ["p0", "p1"]


def test_of_many_at_once_one_stores(ledger: Ledger) -> None:
    def attempt(_: int) -> bool:
        try:
            return store_set(ledger, "sums", bodies(10)) == 10
        except SetExists:
            return False

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(attempt, range(6))) == 1
    assert len(list(iterate_problems(ledger, "sums"))) == 10


def test_a_set_of_a_live_run_stays(ledger: Ledger) -> None:
    store_set(ledger, "sums", bodies(3))
    recipe = {"name": "made", "problems": {"train": {"set": "sums"}}}
    run, _ = create_run(ledger, "made", recipe, [NewStage("work", "search", ())], needs_sets=["sums"])
    with pytest.raises(SetInUse, match=run):
        delete_set(ledger, "sums")
    assert get_set(ledger, "sums") is not None
    cancel_run(ledger, run)
    assert delete_set(ledger, "sums")
    with pytest.raises(SetMissing, match="sums"):
        create_run(ledger, "made", recipe, [NewStage("work", "search", ())], needs_sets=["sums"])
    assert len(list_runs(ledger)) == 1


def test_a_run_and_a_deletion_at_once_never_both_succeed(ledger: Ledger) -> None:
    def post(_: int) -> bool:
        try:
            create_run(ledger, "made", {"problems": {"train": {"set": "sums"}}}, [], needs_sets=["sums"])
        except SetMissing:
            return False
        return True

    def remove(_: int) -> bool:
        try:
            return delete_set(ledger, "sums")
        except SetInUse:
            return False

    for _ in range(5):
        store_set(ledger, "sums", bodies(2))
        with ThreadPoolExecutor(2) as pool:
            posted, removed = pool.submit(post, 0), pool.submit(remove, 0)
            assert posted.result() != removed.result()
        for run in list_runs(ledger):
            if run.state == "checking":
                cancel_run(ledger, run.id)
        delete_set(ledger, "sums")
    with ledger.read() as connection:
        assert connection.execute(problem_sets.select()).all() == []


def test_runs_are_listed_newest_first_by_pages(ledger: Ledger) -> None:
    made = [create_run(ledger, f"run{number}", {}, [])[0] for number in range(5)]
    seen: list[str] = []
    before = None
    while page := list_runs(ledger, before, limit=2):
        seen += [run.id for run in page]
        before = (page[-1].created_at, page[-1].id)
    assert sorted(seen) == sorted(made)
    assert len(seen) == 5
