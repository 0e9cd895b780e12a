"""A run's purse: never passed, whatever comes together or breaks off."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.ledger.answers import find_answer, keep_answer
from shared.ledger.database import Ledger
from shared.ledger.items import Lease, claim, item_name
from shared.ledger.records import UsageRow, run_usage
from shared.ledger.runs import NewStage, NotInState, cancel_run, create_run, get_run, set_paused
from shared.ledger.spending import SLACK, hold, pause_at_cap, set_cap, settle, spending


def lease_of(ledger: Ledger, run: str) -> Lease:
    lease = claim(ledger, item_name(run, "work", "0"), "hands", 30)
    assert lease is not None
    return lease


def row(cost: float) -> UsageRow:
    return UsageRow("teacher", "big", 1, 10, 5, cost)


def test_an_answer_is_found_by_what_was_asked(ledger):
    assert find_answer(ledger, "a" * 64) is None
    keep_answer(ledger, "a" * 64, {"choices": [1]})
    keep_answer(ledger, "a" * 64, {"choices": [2]})
    assert find_answer(ledger, "a" * 64) == {"choices": [1]}


def test_a_hold_becomes_the_cost(ledger, new_run):
    run = new_run()
    set_cap(ledger, run, 1.0)
    lease = lease_of(ledger, run)
    assert hold(ledger, run, 0.6) and not hold(ledger, run, 0.5) and hold(ledger, run, 0.4)
    settle(ledger, lease, 0.6, row(0.1))
    settle(ledger, lease, 0.4, None)
    found = spending(ledger, run)
    assert (found.cap, found.spent, found.held) == (1.0, pytest.approx(0.1), 0.0)
    assert [usage.cost for usage in run_usage(ledger, run)] == [pytest.approx(0.1)]
    assert hold(ledger, run, 0.9) and not hold(ledger, run, 0.01)


def test_a_run_without_a_cap_holds_what_it_likes(ledger, new_run):
    assert hold(ledger, new_run(), 1e6)


def test_many_at_once_do_not_pass_the_cap(ledger, new_run):
    run = new_run()
    set_cap(ledger, run, 1.0)
    together = threading.Barrier(8)

    def one(_):
        together.wait()
        return [hold(ledger, run, 0.07) for _ in range(5)]

    with ThreadPoolExecutor(8) as threads:
        taken = sum(sum(found) for found in threads.map(one, range(8)))
    assert taken == 14 and spending(ledger, run).held == pytest.approx(14 * 0.07)


def test_a_run_at_its_cap_is_paused_and_says_why_until_it_may_spend_more(ledger, new_run):
    run = new_run()
    set_cap(ledger, run, 0.5)
    lease = lease_of(ledger, run)
    assert hold(ledger, run, 0.4)
    settle(ledger, lease, 0.4, row(0.4))
    pause_at_cap(ledger, run, 0.2)
    pause_at_cap(ledger, run, 0.2)
    found = get_run(ledger, run)
    assert found.paused and found.reason.startswith("spend cap: $0.4000 of $0.5000 are spent; the next request may cost $0.2000.")
    with pytest.raises(NotInState, match=r"has spent \$0.4000"):
        set_cap(ledger, run, 0.3)
    set_cap(ledger, run, 2.0)
    set_paused(ledger, run, False)
    found = get_run(ledger, run)
    assert not found.paused and found.reason is None and hold(ledger, run, 1.5)
    cancel_run(ledger, run)
    with pytest.raises(NotInState, match="has ended"):
        set_cap(ledger, run, 9.0)


def test_a_cap_set_later_counts_what_was_spent_before(ledger, new_run):
    run = new_run()
    lease = lease_of(ledger, run)
    settle(ledger, lease, 0.0, row(0.7))
    with pytest.raises(NotInState):
        set_cap(ledger, run, 0.6)
    set_cap(ledger, run, 1.0)
    assert not hold(ledger, run, 0.4) and hold(ledger, run, 0.2)


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["hold", "settle", "refuse", "die"]), st.integers(1, 40), st.floats(0, 1)), min_size=1, max_size=40
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    made = Ledger(f"sqlite:///{tmp_path_factory.mktemp('purse')}/ledger.db")
    made.migrate()
    return made


@settings(max_examples=30)
@given(OPERATIONS)
def test_whatever_comes_the_cap_is_not_passed(kept, operations):
    """Requests go out, come back cheaper than was held, are refused, or are never heard of again (and may have been charged)."""
    run = create_run(kept, "made", {"name": "made"}, [NewStage("work", "search", ())], spend_cap=1.0)[0]
    lease = Lease("none", 0, run, "work", "0", "searcher", "", {}, 0, 0)
    out: list[float] = []
    charged = 0.0
    for what, cents, share in operations:
        if what == "hold":
            if hold(kept, run, cents / 100):
                out.append(cents / 100)
        elif out:
            held = out.pop()
            if what == "settle":
                charged += held * share
                settle(kept, lease, held, row(held * share))
            elif what == "refuse":
                settle(kept, lease, held, None)
            else:
                charged += held
        found = spending(kept, run)
        assert found.spent + found.held <= 1.0 + SLACK
        assert charged <= found.spent + found.held + SLACK, "what may have been charged is counted"


def test_the_schema_before_this_one_is_brought_up(tmp_path: Path):
    """A ledger of the first version keeps its runs."""
    from alembic import command
    from alembic.config import Config

    import shared.ledger

    ledger = Ledger(f"sqlite:///{tmp_path}/old.db")
    config = Config()
    config.set_main_option("script_location", f"{Path(shared.ledger.__file__).parent}/migrations")
    with ledger.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO runs (id, name, recipe, state, paused, created_at) VALUES ('r', 'r', '{}', 'done', 0, 1)"
        )
    ledger.migrate()
    found = spending(ledger, "r")
    assert (found.cap, found.spent, found.held) == (None, 0.0, 0.0)
    ledger.close()
