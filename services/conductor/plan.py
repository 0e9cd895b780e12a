"""Cuts a stage into work items. Everything it knows comes from the recipe and from counts and names in the ledger."""

import sys
from collections.abc import Iterator
from itertools import groupby

from sqlalchemy import select

from shared.contracts.models import ModelSpec
from shared.contracts.recipe import PREFLIGHT, Recipe
from shared.contracts.stages import (
    CompileStage,
    CurateStage,
    EvalRewardStage,
    EvaluateStage,
    PickStage,
    Regrade,
    RetrainStage,
    SearchStage,
    SelectStage,
    Service,
    TrainStage,
    TranslateStage,
)
from shared.contracts.work import (
    COMPILE_TREES,
    EVAL_REWARD_PROBLEMS,
    EVALUATE_PROBLEMS,
    IMPORT_PROBLEMS,
    PAIR_PROBLEMS,
    REGRADE_SAMPLES,
    TRAINING,
    TRANSLATE_RESPONSES,
    ModelRef,
    Payload,
    Slice,
    engine_set,
)
from shared.ledger.database import Ledger
from shared.ledger.items import NewItem
from shared.ledger.records import record_keys
from shared.ledger.runs import model_uri
from shared.ledger.tables import problem_sets

PREFLIGHT_SECONDS = 900.0


class CannotPlan(Exception):
    """A stage that cannot be cut into items; says why."""


def plan_stage(ledger: Ledger, run_id: str, recipe: Recipe, name: str) -> list[NewItem]:
    """The items of a stage whose needs are done. Raises CannotPlan."""
    if name == PREFLIGHT:
        return list(_preflight(recipe))
    stage = recipe.stages[name]
    roles = {role: resolve(ledger, run_id, recipe, model) for role, model in stage.roles().items()}
    if isinstance(stage, EvaluateStage) and stage.regrade:
        found = list(_regrade(ledger, stage, stage.regrade))
    elif isinstance(stage, EvaluateStage):
        found = list(_evaluate(ledger, run_id, recipe, stage, roles))
    elif isinstance(stage, EvalRewardStage):
        found = list(_eval_reward(ledger, run_id, recipe, stage, roles))
    elif isinstance(stage, CompileStage):
        found = list(_compile(ledger, run_id, stage, roles))
    elif isinstance(stage, TrainStage | RetrainStage):
        training = recipe.training(name)
        assert training, "a recipe is checked: a retrain repeats a training"
        found = [_item("train", stage.service, Payload(roles={"base": resolve(ledger, run_id, recipe, training.base)}), TRAINING)]
    elif isinstance(stage, CurateStage):
        whole = next(_slices(ledger, run_id, recipe, stage.problems, sys.maxsize))  # near-duplicates lie anywhere
        found = [_item("curate", stage.service, Payload(problems=whole))]
    elif isinstance(stage, SelectStage | PickStage):
        found = [_item(stage.kind, stage.service, Payload())]
    elif isinstance(stage, TranslateStage):
        found = list(_translate(ledger, run_id, stage, roles))
    else:
        size = 1 if isinstance(stage, SearchStage) or roles else IMPORT_PROBLEMS
        parts = _slices(ledger, run_id, recipe, stage.problems, size)
        found = [_item(f"{part.skip:06}", stage.service, Payload(roles=roles, problems=part)) for part in parts]
    limits = {"max_attempts": stage.max_attempts, "deadline_seconds": stage.deadline_seconds}
    return [NewItem(**{**item.__dict__, **limits}) for item in found]


def resolve(ledger: Ledger, run_id: str, recipe: Recipe, name: str) -> ModelRef:
    """A model of the recipe as it stands there, or an earlier train stage's checkpoint. Raises CannotPlan if that made none."""
    if name in recipe.models:
        return ModelRef(name=name, spec=recipe.models[name])
    uri = model_uri(ledger, run_id, name)
    if uri is None:
        raise CannotPlan(f"stage {name} made no checkpoint")
    made, root = recipe.training(name), name
    while training := recipe.training(root):
        root = training.base
    base = recipe.models[root]
    prm = "longthought" if made and made.method == "prm" else None
    return ModelRef(name=name, spec=ModelSpec(model=uri, max_model_len=base.max_model_len, engine=base.engine, prm=prm))


def _item(key: str, service: Service, payload: Payload, engines: str | None = None, phase: int = 0) -> NewItem:
    engines = engine_set(payload.roles) if engines is None else engines
    return NewItem(key=key, service=service, payload=payload.model_dump(mode="json"), engine_set=engines, phase=phase)


def _preflight(recipe: Recipe) -> Iterator[NewItem]:
    """One item per model and service that uses it. Checkpoints of train stages are proven by the training that makes them."""
    seen = set()
    for stage in recipe.stages.values():
        if isinstance(stage, TrainStage):
            users, check, role = [stage.base], "trainable", "base"
        else:
            measured = stage.asks() if isinstance(stage, EvaluateStage) else ()
            users, check, role = [*measured, *stage.roles().values()], "answers", "policy"
        for name in users:
            key = f"{name}.{stage.service}"
            if name not in recipe.models or key in seen:
                continue
            seen.add(key)
            roles = {role: ModelRef(name=name, spec=recipe.models[name])}
            payload = Payload.model_validate({"roles": roles, "check": check})
            # loading a model's configuration needs no device: only the question whether it answers starts an engine
            item = _item(key, stage.service, payload, "" if check == "trainable" else None)
            yield NewItem(**{**item.__dict__, "max_attempts": 1, "deadline_seconds": PREFLIGHT_SECONDS})


def _slices(ledger: Ledger, run_id: str, recipe: Recipe, source: str, size: int) -> Iterator[Slice]:
    """A problem source, or what a curation kept, in parts of at most `size` problems."""
    if source not in recipe.problems:
        keys = record_keys(ledger, run_id, source, "problem")
        if not keys:
            raise CannotPlan(f"stage {source} kept no problem: its `curation` record says which rules they fell to")
        for first in range(0, len(keys), size):
            part = tuple(keys[first : first + size])
            yield Slice(stage=source, skip=first, count=len(part), keys=part)
        return
    asked = recipe.problems[source]
    with ledger.read() as connection:
        query = select(problem_sets.c.count).where(problem_sets.c.name == asked.stored_as, problem_sets.c.ready)
        stored = connection.execute(query).scalar_one_or_none()
    if stored is None:
        raise CannotPlan(f"problem set {asked.stored_as} is gone")
    end = min(stored, asked.first + asked.count) if asked.count else stored
    if end <= asked.first:
        raise CannotPlan(f"problems.{source}: {asked.stored_as} has {stored} problems, none after the first {asked.first}")
    for first in range(asked.first, end, size):
        yield Slice(set=asked.stored_as, skip=first, count=min(size, end - first))


def _compile(ledger: Ledger, run_id: str, stage: CompileStage, roles: dict[str, ModelRef]) -> Iterator[NewItem]:
    keys = record_keys(ledger, run_id, stage.trees, "tree") if stage.trees else []
    for first in range(0, len(keys), COMPILE_TREES):
        payload = Payload(roles=roles, keys=tuple(keys[first : first + COMPILE_TREES]))
        yield _item(f"trees-{first:06}", stage.service, payload)
    for name in stage.data if stage.response_pairs else ():
        keys = record_keys(ledger, run_id, name, "response")
        by_problem = [list(group) for _, group in groupby(sorted(keys, key=_problem_of), key=_problem_of)]
        for first in range(0, len(by_problem), PAIR_PROBLEMS):
            part = tuple(key for group in by_problem[first : first + PAIR_PROBLEMS] for key in group)
            yield _item(f"pairs-{name}-{first:06}", stage.service, Payload(stage=name, keys=part))
    yield _item("close", stage.service, Payload(close=True), phase=1)


def _problem_of(key: str) -> str:
    """The problem of a response's key, `PROBLEM#DRAW`."""
    return key.rpartition("#")[0]


def _translate(ledger: Ledger, run_id: str, stage: TranslateStage, roles: dict[str, ModelRef]) -> Iterator[NewItem]:
    for name in stage.responses:
        keys = record_keys(ledger, run_id, name, "response")
        for first in range(0, len(keys), TRANSLATE_RESPONSES):
            payload = Payload(roles=roles, stage=name, keys=tuple(keys[first : first + TRANSLATE_RESPONSES]))
            yield _item(f"{name}-{first:06}", stage.service, payload)


def _evaluate(ledger: Ledger, run_id: str, recipe: Recipe, stage: EvaluateStage, roles: dict[str, ModelRef]) -> Iterator[NewItem]:
    refs = {name: resolve(ledger, run_id, recipe, name) for name in stage.models}
    parts = list(_slices(ledger, run_id, recipe, stage.problems, EVALUATE_PROBLEMS))
    for name, ref in refs.items():
        for part in parts:
            yield _item(f"{name}-{part.skip:06}", stage.service, Payload(roles={"policy": ref, **roles}, problems=part))
    yield _item("close", stage.service, Payload(roles=refs, close=True), engines="", phase=1)


def _regrade(ledger: Ledger, stage: EvaluateStage, earlier: Regrade) -> Iterator[NewItem]:
    """Stored samples of one model an item. No item has roles: none needs an engine."""
    keys = record_keys(ledger, earlier.run, earlier.stage, "sample")
    for model, group in groupby(keys, key=lambda key: key.partition("/")[0]):
        mine = [] if stage.models and model not in stage.models else list(group)
        for first in range(0, len(mine), REGRADE_SAMPLES):
            part = tuple(mine[first : first + REGRADE_SAMPLES])
            yield _item(f"{model}-{first:06}", stage.service, Payload(run=earlier.run, stage=earlier.stage, keys=part))
    if not keys:
        raise CannotPlan(f"the samples of stage {earlier.stage} of run {earlier.run} are gone")
    yield _item("close", stage.service, Payload(run=earlier.run, stage=earlier.stage, close=True), phase=1)


def _eval_reward(
    ledger: Ledger, run_id: str, recipe: Recipe, stage: EvalRewardStage, roles: dict[str, ModelRef]
) -> Iterator[NewItem]:
    for part in _slices(ledger, run_id, recipe, stage.problems, EVAL_REWARD_PROBLEMS):
        yield _item(f"{part.skip:06}", stage.service, Payload(roles=roles, problems=part))
    yield _item("close", stage.service, Payload(roles=roles, close=True), engines="", phase=1)
