"""What a work item carries: the conductor writes it, a worker reads it."""

import json
from collections.abc import Mapping
from typing import Literal

from shared.contracts.base import Frozen, Record
from shared.contracts.models import ModelSpec


class ModelRef(Frozen):
    """A model as an item uses it: the recipe's name for it, and where it is now (a checkpoint's URI for a train stage)."""

    name: str
    spec: ModelSpec

    @property
    def local(self) -> bool:
        """Whether an engine of ours must serve it."""
        return self.spec.url is None


class Slice(Frozen):
    """`count` problems of a stored set, from place `skip`; or those that a stage of the run gave under some keys."""

    set: str = ""
    skip: int = 0
    count: int
    stage: str | None = None
    """The stage whose `problem` records they are, under `keys`."""
    keys: tuple[str, ...] = ()


class Payload(Record):
    """The whole of an item's task, beyond its stage's configuration in the recipe.

    | kind | filled |
    |---|---|
    | preflight | `roles` (one), `check` |
    | import, distill, search, reformat, annotate | `problems` (one, where there are `roles`), `roles` |
    | curate | `problems` (all) |
    | select | nothing |
    | translate | `stage` and `keys` of at most 16 of its responses, `roles` |
    | eval_reward | `problems` (at most 32), `roles`; the closing item `close` and `roles` |
    | compile | `keys` of at most 200 trees, `roles`; or `stage` and `keys` of at most 50 problems' responses; the closing item
    only `close` |
    | train, retrain | `roles` (`base`) |
    | pick | nothing |
    | evaluate | `problems` (at most 32), `roles` (`policy`, and `judge` and `reward` where the stage names them); the closing item
    `close` and in `roles` all models by their names |
    | evaluate with `regrade` | `run`, `stage` and `keys` of at most 1,000 of its samples of one model; the closing item `close` |
    """

    roles: dict[str, ModelRef] = {}
    problems: Slice | None = None
    run: str | None = None
    """Whose run's records `keys` are, where it is not the item's own."""
    stage: str | None = None
    """Whose records `keys` are, where the item's own stage does not say."""
    keys: tuple[str, ...] = ()
    close: bool = False
    check: Literal["answers", "trainable"] | None = None


IMPORT_PROBLEMS = 200
COMPILE_TREES = 200
PAIR_PROBLEMS = 50
JUDGE_RETRIES = 2
"""How often a judge is asked again for a verdict that cannot be read."""
EVALUATE_PROBLEMS = 32
REGRADE_SAMPLES = 1000
EVAL_REWARD_PROBLEMS = 32
TRANSLATE_RESPONSES = 16
"""Most problems, trees, responses or samples of one item: its result stays small, and a killed worker loses little."""
TRAINING = "training"
"""The engine set of trainings: they take a device for themselves, so a pool serves either an engine set or trainings."""


def served(spec: ModelSpec) -> tuple[str, int, str, str]:
    """What tells one engine of a set from another: model, maximal length (0: none given), engine, format of scores ('': writes)."""
    return spec.model, spec.max_model_len or 0, spec.engine, spec.prm or ""


def engine_set(roles: Mapping[str, ModelRef]) -> str:
    """The local models of some roles in canonical form; '' if there are none."""
    models = sorted({served(ref.spec) for ref in roles.values() if ref.local})
    return json.dumps(models) if models else ""
