"""Rings the queues: a bounded window per queue, shared fairly between runs, one engine set's items at a time per pool."""

from collections import Counter
from dataclasses import dataclass, field

import structlog

from shared.contracts.stages import Service
from shared.ledger.database import Ledger
from shared.ledger.ringing import Candidate, candidates, change_pool_set, in_flight, mark_rung, pool_set, unring, waiting_sets
from shared.ledger.runs import live_runs
from shared.ledger.workers import live_workers
from shared.queues import ring
from shared.settings import Settings

log = structlog.get_logger()

FAIR_AFTER = 10
"""A pool's engine set gives way to another that waits after so many times the cost of a change."""

SUSPECTS = 16
"""Items lost twice, with nothing done in between that lasts, run so many at a time, and nothing beside them; lost three times: a
quarter; and so on, down to one."""


def pools_of(shared_devices: str) -> list[tuple[Service, ...]]:
    """Groups of queues that share a device (`searcher,evaluator,trainer;...`); every other queue is a pool of its own."""
    groups = [tuple(Service(name.strip()) for name in group.split(",")) for group in shared_devices.split(";") if group.strip()]
    grouped = {service for group in groups for service in group}
    return [*groups, *((service,) for service in Service if service not in grouped)]


@dataclass
class Load:
    """What is rung or running in a pool now."""

    by_service: Counter[str] = field(default_factory=Counter)
    by_run: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(service, run) -> items."""
    by_set: Counter[str] = field(default_factory=Counter)
    suspects: int = 0
    lost: int = 0
    """Items that were lost twice or oftener, and how often."""
    cleared: int = 0
    """Items that would be suspects, had they not done something that lasts by now."""


def dispatch(ledger: Ledger, settings: Settings) -> int:
    """One pass over all pools; returns how many items were rung."""
    slots: Counter[str] = Counter()
    for worker in live_workers(ledger):
        for service in worker.services.split(","):
            slots[service] += worker.slots
    runs = [run.id for run in live_runs(ledger)]
    return sum(_dispatch_pool(ledger, settings, pool, slots, runs) for pool in pools_of(settings.shared_devices)) if runs else 0


def _dispatch_pool(ledger: Ledger, settings: Settings, pool: tuple[Service, ...], slots: Counter[str], runs: list[str]) -> int:
    load = Load()
    for row in in_flight(ledger, list(pool), settings.ring_again_seconds):
        load.by_service[row.service] += row.n
        load.by_run[row.service, row.run_id] += row.n
        load.by_set[row.engine_set] += row.n
        load.suspects += int(row.suspects)
        load.lost = max(load.lost, int(row.lost))
        load.cleared += int(row.cleared)
    current = choose_set(ledger, settings, pool, load)
    waiting: dict[Service, list[Candidate]] = {}
    for service in pool:
        free = min(settings.window, slots[service]) - load.by_service[service]
        if free > 0:
            waiting[service] = share(ledger, settings, service, runs, current, free, load)
    least = min((item.lost for chosen in waiting.values() for item in chosen), default=0)
    return sum(_ring(ledger, service, together(chosen, load, least), load) for service, chosen in waiting.items())


def choose_set(ledger: Ledger, settings: Settings, pool: tuple[Service, ...], load: Load) -> str:
    """The engine set to ring for. '' while a change waits for the present set's items to come through."""
    name = ",".join(pool)
    current, age = pool_set(ledger, name)
    waiting = waiting_sets(ledger, list(pool))
    others = [engines for engines in waiting if engines != current]
    if not others:
        return current
    overdue = age > FAIR_AFTER * settings.engine_change_seconds
    if current in waiting and not overdue:
        return current
    if load.by_set[current] and current:
        return "" if current not in waiting or overdue else current
    change_pool_set(ledger, name, others[0])
    log.info("engine set", pool=name, set=others[0])
    return others[0]


def share(
    ledger: Ledger, settings: Settings, service: Service, runs: list[str], engines: str, free: int, load: Load
) -> list[Candidate]:
    """Up to `free` items, the next always from the run that has the fewest in flight."""
    waiting = {run: candidates(ledger, service, run, engines, settings.ring_again_seconds, free) for run in runs}
    chosen: list[Candidate] = []
    while len(chosen) < free and any(waiting.values()):
        run = min((run for run in runs if waiting[run]), key=lambda run: load.by_run[service, run])
        chosen.append(waiting[run].pop(0))
        load.by_run[service, run] += 1
    return chosen


def together(chosen: list[Candidate], load: Load, least: int) -> list[Candidate]:
    """Those of the chosen items that may run beside each other, and beside what runs. `least`: how often the pool's waiting items
    were lost, at least.

    What was lost twice or oftener is suspected to kill its engine or its worker. It comes last, and has nothing beside it but items
    that were lost as often, ever fewer of them: so it kills no innocents, after some deaths it is alone, and where it was no item's
    fault (a machine that went twice) not all that it held must run one by one.
    """
    running = sum(load.by_service.values()) - load.cleared  # they began as suspects do, and more may go on beside them
    if load.lost:
        if least < load.lost or running > load.suspects:
            return []  # what runs comes through first
        return [item for item in chosen if item.lost == load.lost][: max(0, _at_a_time(load.lost) - load.suspects)]
    if least < 2:
        return [item for item in chosen if item.lost < 2]
    return [] if running else [item for item in chosen if item.lost == least][: _at_a_time(least)]


def _at_a_time(lost: int) -> int:
    return max(1, SUSPECTS >> 2 * (lost - 2))


def _ring(ledger: Ledger, service: Service, chosen: list[Candidate], load: Load) -> int:
    """Marks, then rings; returns how many, which are part of the load from then on."""
    if not chosen:
        return 0
    queued = mark_rung(ledger, [item.item_id for item in chosen])
    unrung = [item.item_id for item in chosen if item.item_id in queued and not ring(item.item_id, service)]
    if unrung:
        unring(ledger, unrung)
    again = sum(item.rung for item in chosen)
    if again:
        log.info("rung again", service=service.value, items=again)
    rung = len(queued) - len(unrung)
    load.by_service[service] += rung
    if rung and chosen[0].lost >= 2:
        load.suspects, load.lost = load.suspects + rung, chosen[0].lost
    return rung
