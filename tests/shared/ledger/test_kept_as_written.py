"""What both databases keep alike: JSON as it was written, and ids that are never given twice."""

import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ledger.database import Ledger
from shared.ledger.events import last_cursor, read_events
from shared.ledger.items import Lease, NewRecord, Result, claim, commit, load_partials, report_progress, save_partial
from shared.ledger.records import UsageRow, iterate_records
from shared.ledger.runs import cancel_run, create_run, dead_items, delete_run, get_run
from shared.ledger.setbacks import fail
from shared.ledger.written import NotJson, as_json, as_text

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
    fail(ledger, lease, "cannot parse 'a\0b\ud83d \U0001f600'", hopeless=True)
    assert dead_items(ledger, run, "work") == [("0", "cannot parse 'a\ufffdb\ufffd \U0001f600'")]
    [said] = [event.body["error"] for event in read_events(ledger, run_id=run) if event.type == "item.dead"]
    assert said == "cannot parse 'a\ufffdb\ufffd \U0001f600'"


def test_half_a_character_is_replaced_in_whatever_is_json(ledger: Ledger, new_run: NewRun) -> None:
    """Nothing that is read from the ledger may break an answer of the gateway, which is UTF-8."""
    run = new_run(1)
    lease = claim(ledger, f"{run}/work/0", "w", 30)
    assert lease is not None
    broken = {"a \ud83d": ["\udc00 b", r"\ud83d as written", "\U0001f600"]}
    mended = {"a \ufffd": ["\ufffd b", r"\ud83d as written", "\U0001f600"]}
    save_partial(ledger, lease, 1, broken)
    assert load_partials(ledger, lease.item_id) == [mended]
    report_progress(ledger, lease, broken)
    commit(ledger, lease, Result(records=[NewRecord("sample", "k", broken)], summary=broken))
    assert list(iterate_records(ledger, run, "work", "sample")) == [mended]
    said = [event.body for event in read_events(ledger, run_id=run) if event.type in ("item.progress", "item.done")]
    assert said == [{"item": "0", **mended}] * 2


WRITES: dict[str, Callable[[Ledger, Lease, dict[str, object]], None]] = {
    "record": lambda ledger, lease, body: commit(
        ledger, lease, Result(records=[NewRecord("sample", "k", {}), NewRecord("sample", "l", body)])
    ),
    "summary": lambda ledger, lease, body: commit(ledger, lease, Result(records=[NewRecord("sample", "k", {})], summary=body)),
    "progress": report_progress,
    "partial": lambda ledger, lease, body: save_partial(ledger, lease, 1, body),
}


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", WRITES)
def test_a_number_that_json_does_not_have_is_refused_by_its_place(
    ledger: Ledger, new_run: NewRun, where: str, number: float
) -> None:
    run = new_run(1)
    lease = claim(ledger, f"{run}/work/0", "w", 30)
    assert lease is not None
    with pytest.raises(NotJson, match=rf"scores\[1\]\.mean is {number}: JSON has no such number") as refused:
        WRITES[where](ledger, lease, {"scores": [0.5, {"mean": number}]})
    assert "INSERT" not in str(refused.value)
    assert list(iterate_records(ledger, run, "work", "sample")) == load_partials(ledger, lease.item_id) == []
    commit(ledger, lease, Result(records=[NewRecord("sample", "k", {})]))  # nothing was changed: the item is held as before


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_utf8_can_hold_is_written_as_json_writes_it(value: object) -> None:
    assert as_json(value) == json.dumps(value)


@given(st.text(st.characters() | st.characters(categories=["Cs"])))
def test_every_text_is_written_so_that_utf8_can_hold_it(text: str) -> None:
    for written in (json.loads(as_json([text]))[0], as_text(text)):
        written.encode()
        assert len(written) <= len(text)
        kept = [char for char in text if not "\ud800" <= char <= "\udfff" and char != "\0"]
        assert [char for char in written if char in kept] == kept or "\ufffd" in written


@pytest.mark.parametrize("figures", [(-1, 0, 0, 0.0), (1, -5, 0, 0.0), (1, 0, -5, 0.0), (1, 1, 1, math.nan), (1, 1, 1, math.inf)])
def test_usage_that_would_spoil_a_sum_is_refused(figures: tuple[int, int, int, float]) -> None:
    with pytest.raises(ValueError, match="usage of m as policy"):
        UsageRow("policy", "m", *figures)


def test_a_cursor_outlives_the_newest_events(ledger: Ledger, new_run: NewRun) -> None:
    """SQLite, left alone, gives the ids of deleted rows again: whoever watches would never see the next run's events."""
    first = new_run()
    cancel_run(ledger, first)
    cursor = last_cursor(ledger)
    delete_run(ledger, first)
    create_run(ledger, "r", {}, [])
    assert [event.type for event in read_events(ledger, cursor)] == ["run.created"]
