"""No reader of events steps over one that commits late."""

from collections.abc import Callable

import pytest

from shared.ledger.database import Ledger
from shared.ledger.events import add_event, last_cursor, read_events

NewRun = Callable[..., str]


def test_events_come_in_order_and_a_cursor_goes_on_after_them(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run()
    before = last_cursor(ledger)
    for number in range(5):
        with ledger.write() as connection:
            add_event(connection, run, "tick", {"n": number})
    seen, cursor = [], before
    while page := read_events(ledger, cursor, limit=2):
        seen += [event.body["n"] for event in page]
        cursor = page[-1].cursor
    assert seen == [0, 1, 2, 3, 4]
    assert read_events(ledger, last_cursor(ledger)) == []
    assert read_events(ledger, run_id="another") == []


def test_a_transaction_that_commits_late_is_not_stepped_over(ledger: Ledger, new_run: NewRun) -> None:
    run = new_run()
    if ledger.sqlite:
        pytest.skip("SQLite has one writer at a time: nothing can commit late")
    cursor = last_cursor(ledger)
    seen: list[int] = []

    def read() -> None:
        nonlocal cursor
        for event in read_events(ledger, cursor):
            seen.append(event.body["n"])
            cursor = event.cursor

    with ledger.write() as early, ledger.write() as late:
        # the later transaction writes first and gets the lower event id; the earlier one commits first
        add_event(early, run, "other", {"n": 0})
        add_event(late, run, "tick", {"n": 1})
        add_event(early, run, "tick", {"n": 2})
        early.commit()
        read()
        late.commit()
    read()
    assert sorted(seen) == [0, 1, 2]


@pytest.mark.parametrize("cursor", ["", "7", "a-1", "1-b", "-"])
def test_a_malformed_cursor_is_refused(ledger: Ledger, cursor: str) -> None:
    with pytest.raises(ValueError, match="event cursor"):
        read_events(ledger, cursor)
