"""Records that come later: all or none, in place of earlier ones, and gone with what they belong to."""

import pytest
from sqlalchemy.exc import IntegrityError

from shared.ledger.beside import Beside, places, store_beside
from shared.ledger.database import Ledger
from shared.ledger.items import NewItem, NewRecord, Result, claim, commit, item_name
from shared.ledger.opening import open_stage
from shared.ledger.records import page_records
from shared.ledger.runs import NewStage, cancel_run, close_stage, create_run, delete_run, move_run
from shared.ledger.tables import RunState, StageState


def measured(ledger: Ledger) -> str:
    run = create_run(ledger, "tiny", {}, [NewStage("measure", "evaluate", ())])[0]
    close_stage(ledger, run, "preflight", StageState.DONE)
    move_run(ledger, run, RunState.CHECKING, RunState.RUNNING)
    open_stage(ledger, run, "measure", [NewItem("one", "evaluator", {})])
    lease = claim(ledger, item_name(run, "measure", "one"), "hands", 60)
    assert lease
    commit(ledger, lease, Result([NewRecord("sample", f"m/p{n}#0", {"n": n}) for n in range(3)]))
    return run


def score(run: str, n: int, value: int, item: str = "one") -> Beside:
    return Beside("measure", item_name(run, "measure", item), 1, NewRecord("score", f"m/p{n}#0@Ann", {"value": value}))


def values(ledger: Ledger, run: str) -> list[int]:
    return [row.body["value"] for row in page_records(ledger, run, "measure", "score")]


def test_stored_and_replaced(ledger: Ledger) -> None:
    run = measured(ledger)
    assert sorted(row.key for row in places(ledger, run, "sample", "measure")) == ["m/p0#0", "m/p1#0", "m/p2#0"]
    assert places(ledger, run, "sample", "other") == []
    assert store_beside(ledger, run, [score(run, 0, 1), score(run, 1, 2)]) == 0
    assert store_beside(ledger, run, [score(run, 1, 3), score(run, 2, 4)]) == 1
    assert values(ledger, run) == [1, 3, 4]


def test_all_or_none(ledger: Ledger) -> None:
    run = measured(ledger)
    store_beside(ledger, run, [score(run, 0, 1)])
    with pytest.raises(IntegrityError):
        store_beside(ledger, run, [score(run, 0, 5), score(run, 1, 6, item="gone")])
    assert values(ledger, run) == [1]
    with pytest.raises(ValueError, match="a transaction takes 1000"):
        store_beside(ledger, run, [score(run, n, n) for n in range(1001)])


def test_gone_with_the_run(ledger: Ledger) -> None:
    run = measured(ledger)
    store_beside(ledger, run, [score(run, 0, 1)])
    cancel_run(ledger, run)
    delete_run(ledger, run)
    assert values(ledger, run) == []
