"""What both databases keep alike: JSON as it was written, and ids that are never given twice."""

from collections.abc import Callable

from shared.ledger.database import Ledger
from shared.ledger.events import last_cursor, read_events
from shared.ledger.items import NewRecord, Result, claim, commit, fail
from shared.ledger.records import iterate_records
from shared.ledger.runs import cancel_run, create_run, dead_items, delete_run, get_run

NewRun = Callable[..., str]


def test_json_keeps_its_order(ledger: Ledger) -> None:
    """A recipe's stages stand in the order in which a person wrote them, a report's models in the order of the recipe."""
    recipe = {"stages": {"zebra": {"b": 1, "aa": 2}, "a": {}, "middle": {}}}
    run, _ = create_run(ledger, "r", recipe, [])
    found = get_run(ledger, run)
    assert found is not None
    assert list(found.recipe["stages"]) == ["zebra", "a", "middle"]
    assert list(found.recipe["stages"]["zebra"]) == ["b", "aa"]


def test_a_sampled_text_may_hold_any_character(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run(1)
    lease = claim(ledger, f"{run}/work/0", "w", 30)
    assert lease is not None
    commit(ledger, lease, Result(records=[NewRecord("sample", "k", {"text": "a\0b \N{SNOWMAN} \U0001f600"})]))
    assert [body["text"] for body in iterate_records(ledger, run, "work", "sample")] == ["a\0b \N{SNOWMAN} \U0001f600"]


def test_an_error_may_hold_any_character(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run(1)
    lease = claim(ledger, f"{run}/work/0", "w", 30)
    assert lease is not None
    fail(ledger, lease, "cannot parse 'a\0b'", hopeless=True)
    assert dead_items(ledger, run, "work") == [("0", "cannot parse 'a\N{REPLACEMENT CHARACTER}b'")]


def test_a_cursor_outlives_the_newest_events(ledger: Ledger, new_run: NewRun) -> None:
    """SQLite, left alone, gives the ids of deleted rows again: whoever watches would never see the next run's events."""
    first = new_run()
    cancel_run(ledger, first)
    cursor = last_cursor(ledger)
    delete_run(ledger, first)
    create_run(ledger, "r", {}, [])
    assert [event.type for event in read_events(ledger, cursor)] == ["run.created"]
