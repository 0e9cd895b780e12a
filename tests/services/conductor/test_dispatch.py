"""Windows, fairness, engine sets and second rings: what the queues hear."""

from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from services.conductor import dispatch as conductor
from services.conductor.dispatch import Load
from services.conductor.reconcile import reconcile
from shared.contracts.stages import Service
from shared.ledger.database import Ledger
from shared.ledger.items import Result, claim, commit, forgive
from shared.ledger.ringing import Candidate, mark_rung
from shared.ledger.tables import items
from shared.ledger.workers import beat
from shared.settings import Settings

Post = Callable[..., str]


class Bells(list[tuple[str, str]]):
    """What was rung, in order. `away` stands for a broker that does not answer."""

    away = False

    def ring(self, item_id: str, service: str) -> bool:
        if not self.away:
            self.append((item_id, service))
        return not self.away


@pytest.fixture
def bells(monkeypatch: pytest.MonkeyPatch) -> Bells:
    heard = Bells()
    monkeypatch.setattr(conductor, "ring", heard.ring)
    return heard


def searching(ledger: Ledger, post: Post, model: str = "some/model") -> str:
    """A run whose search items wait to be rung."""
    run = post(models={"base": {"model": model}}, stages={"search": {"kind": "search", "policy": "base", "problems": "train"}})
    reconcile(ledger)
    lease = claim(ledger, f"{run}/preflight/base.searcher", "hands", 30)
    assert lease
    commit(ledger, lease, Result())
    for _ in range(3):
        reconcile(ledger)
    return run


def settings(**changes: object) -> Settings:
    return Settings(**{"window": 8, **changes})


def test_the_window_is_bounded_and_refilled(ledger: Ledger, post: Post, bells: Bells) -> None:
    searching(ledger, post)
    assert conductor.dispatch(ledger, settings()) == 8
    assert conductor.dispatch(ledger, settings()) == 0
    lease = claim(ledger, bells[0][0], "hands", 30)
    assert lease
    assert conductor.dispatch(ledger, settings()) == 0, "running items fill the window as rung ones do"
    commit(ledger, lease, Result())
    assert conductor.dispatch(ledger, settings()) == 1
    assert len(set(bells)) == 9


def test_no_more_is_rung_than_workers_have_slots(ledger: Ledger, post: Post, bells: Bells) -> None:
    beat(ledger, "hands", "searcher", 3)
    searching(ledger, post)
    assert conductor.dispatch(ledger, settings()) == 3


def test_runs_share_the_window(ledger: Ledger, post: Post, bells: Bells) -> None:
    first = searching(ledger, post)
    conductor.dispatch(ledger, settings(window=6))
    second = searching(ledger, post)
    conductor.dispatch(ledger, settings(window=10))
    assert Counter(item.split("/")[0] for item, _ in bells) == {first: 6, second: 4}
    conductor.dispatch(ledger, settings(window=14))
    assert Counter(item.split("/")[0] for item, _ in bells) == {first: 7, second: 7}


def test_rung_but_unclaimed_items_are_rung_again(ledger: Ledger, post: Post, bells: Bells) -> None:
    searching(ledger, post)
    conductor.dispatch(ledger, settings())
    first = list(bells)
    bells.clear()
    with ledger.write() as connection:
        connection.execute(update(items).where(items.c.rung_at.is_not(None)).values(rung_at=items.c.rung_at - 11))
    assert conductor.dispatch(ledger, settings()) == 8
    assert sorted(bells) == sorted(first)


def test_a_broker_that_is_away_costs_nothing_but_another_pass(ledger: Ledger, post: Post, bells: Bells) -> None:
    searching(ledger, post)
    bells.away = True
    assert conductor.dispatch(ledger, settings()) == 0
    bells.away = False
    assert conductor.dispatch(ledger, settings()) == 8


def test_one_engine_set_at_a_time_until_its_items_are_through(ledger: Ledger, post: Post, bells: Bells) -> None:
    first, second = searching(ledger, post, "a/model"), searching(ledger, post, "b/model")
    while conductor.dispatch(ledger, settings()):
        for item, _ in bells[-8:]:
            if lease := claim(ledger, item, "hands", 30):
                commit(ledger, lease, Result())
    order = [item.split("/")[0] for item, _ in bells]
    assert order == [first] * 40 + [second] * 40


def test_a_set_gives_way_in_fairness_only_after_ten_changes_worth(ledger: Ledger, post: Post, bells: Bells) -> None:
    searching(ledger, post, "a/model")
    patient, hasty = settings(engine_change_seconds=45), settings(engine_change_seconds=0)
    conductor.dispatch(ledger, patient)
    second = searching(ledger, post, "b/model")
    held = [claim(ledger, item, "hands", 30) for item, _ in bells]
    commit(ledger, held[0], Result())
    assert conductor.dispatch(ledger, patient) == 1, "too early: the present set goes on"
    held.append(claim(ledger, bells[-1][0], "hands", 30))
    bells.clear()
    commit(ledger, held[1], Result())
    assert conductor.dispatch(ledger, hasty) == 0, "overdue: nothing more is rung while the set's items come through"
    for lease in held[2:]:
        commit(ledger, lease, Result())
    assert conductor.dispatch(ledger, hasty) == 8
    assert {item.split("/")[0] for item, _ in bells} == {second}


def test_an_item_lost_twice_runs_last_and_with_no_innocent_beside_it(ledger: Ledger, post: Post, bells: Bells) -> None:
    run = searching(ledger, post)
    with ledger.write() as connection:
        connection.execute(update(items).where(items.c.id == f"{run}/search/000000").values(lost=2))
    conductor.dispatch(ledger, settings(window=50))
    assert len(bells) == 39 and f"{run}/search/000000" not in {item for item, _ in bells}
    for item, _ in list(bells):
        commit(ledger, claim(ledger, item, "hands", 30), Result())
    bells.clear()
    conductor.dispatch(ledger, settings())
    assert bells == [(f"{run}/search/000000", "searcher")]


def test_a_machine_that_goes_again_and_again_does_not_leave_all_it_held_to_run_one_by_one(
    ledger: Ledger, post: Post, bells: Bells
) -> None:
    run = searching(ledger, post)

    def lost(times: int, first: int = 0) -> None:
        with ledger.write() as connection:
            rows = connection.execute(select(items.c.id).where(items.c.id.like(f"{run}/search/%")).order_by(items.c.id)).scalars()
            named = list(rows)[first:]
            fresh = {"lost": times, "state": "queued", "rung_at": None, "not_before": 0.0}
            connection.execute(update(items).where(items.c.id.in_(named), items.c.state != "done").values(**fresh))
        bells.clear()

    wide = settings(window=50)
    lost(2)
    assert [conductor.dispatch(ledger, wide) for _ in range(2)] == [16, 0]
    commit(ledger, claim(ledger, bells[0][0], "hands", 30), Result())
    assert conductor.dispatch(ledger, wide) == 1, "where one is done, the next begins"
    lost(3)
    assert conductor.dispatch(ledger, wide) == 4
    lost(4)
    assert conductor.dispatch(ledger, wide) == 1
    lost(4)
    lost(2, first=20)
    assert conductor.dispatch(ledger, wide) == 16, "those lost less often come first, without the others"
    lost(4)
    lost(1, first=20)
    assert conductor.dispatch(ledger, wide) == 20, "and innocents before them all"
    lost(2, first=20)
    lost(2)
    assert conductor.dispatch(ledger, wide) == 16
    held = [claim(ledger, item, "hands", 30) for item, _ in bells]
    with ledger.write() as connection:
        connection.execute(update(items).where(items.c.id == f"{run}/search/000039").values(lost=1, not_before=0.0))
    commit(ledger, held[0], Result())
    assert conductor.dispatch(ledger, wide) == 0, "an innocent waits: no more suspects, until those that run are through"
    for lease in held[1:]:
        commit(ledger, lease, Result())
    bells.clear()
    assert conductor.dispatch(ledger, wide) == 1 and bells == [(f"{run}/search/000039", "searcher")]
    assert conductor.dispatch(ledger, wide) == 0, "nothing suspected beside it"


def test_suspects_that_got_on_keep_none_of_the_others_waiting(ledger: Ledger, post: Post, bells: Bells) -> None:
    run = searching(ledger, post)
    wide = settings(window=50)
    with ledger.write() as connection:
        connection.execute(update(items).where(items.c.id.like(f"{run}/search/%")).values(lost=2))
    assert conductor.dispatch(ledger, wide) == 16
    held = [claim(ledger, item, "hands", 30) for item, _ in bells]
    for lease in held:
        forgive(ledger, lease)
    assert conductor.dispatch(ledger, wide) == 16, "those that run are suspects no more: the next ones begin"
    assert conductor.dispatch(ledger, wide) == 0
    with ledger.write() as connection:
        connection.execute(update(items).where(items.c.state == "queued", items.c.rung_at.is_(None)).values(forgiven=2))
    for item, _ in bells[16:]:
        commit(ledger, claim(ledger, item, "hands", 30), Result())
    assert conductor.dispatch(ledger, wide) == 8, "the last ones are cleared: with no suspect running, all of them begin"


def waiting(*lost: int) -> list[Candidate]:
    return [Candidate(f"i{n}", "run", "", times, False) for n, times in enumerate(lost)]


@pytest.mark.parametrize(
    ("chosen", "load", "least", "expected"),
    [
        pytest.param(waiting(0, 1, 2, 3), Load(), 0, 2, id="innocents first"),
        pytest.param(waiting(2, 2), Load(), 0, 0, id="innocents of another queue first"),
        pytest.param(waiting(*[2] * 20, 3), Load(), 2, 16, id="then suspects"),
        pytest.param(waiting(2), Load(Counter(evaluator=1)), 2, 0, id="not beside innocents"),
        pytest.param(waiting(*[2] * 20), Load(Counter(searcher=15), suspects=15, lost=2), 2, 1, id="as many as may run"),
        pytest.param(waiting(2), Load(Counter(searcher=2), suspects=1, lost=2), 2, 0, id="not where one runs beside an innocent"),
        pytest.param(waiting(2), Load(Counter(searcher=1), suspects=1, lost=3), 2, 0, id="not beside those lost oftener"),
        pytest.param(waiting(4, 4), Load(), 4, 1, id="at last alone"),
        pytest.param(waiting(40), Load(), 40, 1, id="however often"),
        pytest.param([], Load(), 0, 0, id="nothing"),
    ],
)
def test_what_may_run_together(chosen: list[Candidate], load: Load, least: int, expected: int) -> None:
    assert len(conductor.together(chosen, load, least)) == expected


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        ("", [("distiller",), ("searcher",), ("compiler",), ("trainer",), ("evaluator",)]),
        ("searcher, evaluator;trainer", [("searcher", "evaluator"), ("trainer",), ("distiller",), ("compiler",)]),
    ],
)
def test_pools(shared: str, expected: list[tuple[str, ...]]) -> None:
    assert conductor.pools_of(shared) == [tuple(Service(name) for name in pool) for pool in expected]


def test_marking_skips_items_that_are_no_longer_queued(ledger: Ledger, post: Post) -> None:
    run = searching(ledger, post)
    claim(ledger, f"{run}/search/000000", "hands", 30)
    assert mark_rung(ledger, [f"{run}/search/000000", f"{run}/search/000001"]) == {f"{run}/search/000001"}
