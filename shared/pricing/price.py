"""A recipe's price: every stage in the order of the run, and the totals."""

from collections.abc import Callable, Mapping
from typing import Any

from shared.contracts.base import Frozen
from shared.contracts.models import ModelSpec
from shared.contracts.recipe import Recipe
from shared.pricing import teachers, texts, trees
from shared.pricing.assumptions import Assumptions
from shared.pricing.lengths import Measured
from shared.pricing.ranges import NOTHING, Range, total
from shared.pricing.speed import REFERENCE, Throughput
from shared.pricing.work import Asked, Given, Known, Work

Priced = Callable[[Any, Known], Work]
STAGES: dict[str, Priced] = {
    "import": texts.import_,
    "curate": texts.curate,
    "reformat": teachers.reformat,
    "distill": teachers.distill,
    "select": texts.select,
    "translate": teachers.translate,
    "annotate": teachers.annotate,
    "search": trees.search,
    "eval_reward": trees.eval_reward,
    "compile": texts.compile_,
    "train": texts.train,
    "evaluate": texts.evaluate,
    "pick": texts.pick,
    "retrain": texts.retrain,
}
"""Kind of stage -> what it does."""
TRAINING_OPERATIONS = 6.0
"""Operations a parameter and token of the training that `Throughput.train` speaks of."""


class CallsPrice(Frozen):
    """What one stage asks of one model in one role."""

    role: str
    model: str
    calls: Range
    prompt_tokens: Range
    output_tokens: Range
    device_hours: Range
    """Of a model that is served here; 0 for an endpoint."""
    dollars: Range
    """By an endpoint's `price_per_million`."""


class StagePrice(Frozen):
    """One stage."""

    name: str
    kind: str
    items: Range
    asked: tuple[CallsPrice, ...]
    calls: Range
    prompt_tokens: Range
    output_tokens: Range
    training_tokens: Range
    device_hours: Range
    endpoint_dollars: Range
    device_dollars: Range
    assumed: tuple[str, ...]
    """Names of assumptions that the figures rest on."""
    notes: tuple[str, ...]


class RecipePrice(Frozen):
    """A whole recipe."""

    stages: tuple[StagePrice, ...]
    calls: Range
    prompt_tokens: Range
    output_tokens: Range
    training_tokens: Range
    device_hours: Range
    endpoint_dollars: Range
    device_dollars: Range
    dollars: Range
    """Endpoints and devices together."""
    unpriced: tuple[str, ...]
    """Endpoints without a price: what they cost is in no figure."""


def price(
    recipe: Recipe,
    speed: Throughput,
    sizes: Mapping[str, float],
    hour: float = 0.0,
    assumptions: Assumptions | None = None,
    measured: Mapping[str, Measured] | None = None,
) -> RecipePrice:
    """Prices a recipe.

    `sizes`: parameters of every model of the recipe that is served here. `hour`: US dollars for an hour of a device. `measured`:
    those of its problem sources that are stored or generated, by the recipe's names. What a cache answers is priced in full, and
    what is done twice after a failure is not priced.
    """
    done: dict[str, Given] = {}
    stages = []
    for name in recipe.order():
        stage = recipe.stages[name]
        known = Known(recipe, assumptions or Assumptions(), measured or {}, done)
        work = STAGES[stage.kind](stage, known)
        done[name] = work.given
        stages.append(_stage_price(recipe, name, work, speed, sizes, hour))
    used = {one.model for stage in stages for one in stage.asked}
    endpoint, device = total(one.endpoint_dollars for one in stages), total(one.device_dollars for one in stages)
    return RecipePrice(
        stages=tuple(stages),
        calls=total(one.calls for one in stages),
        prompt_tokens=total(one.prompt_tokens for one in stages),
        output_tokens=total(one.output_tokens for one in stages),
        training_tokens=total(one.training_tokens for one in stages),
        device_hours=total(one.device_hours for one in stages),
        endpoint_dollars=endpoint,
        device_dollars=device,
        dollars=endpoint + device,
        unpriced=tuple(
            name for name, spec in recipe.models.items() if spec.url and name in used and spec.price_per_million == (0.0, 0.0)
        ),
    )


def root(recipe: Recipe, name: str) -> str:
    """The recipe's model that a name means, or that its checkpoint was trained from."""
    while name not in recipe.models:
        training = recipe.training(name)
        assert training
        name = training.base
    return name


def _stage_price(recipe: Recipe, name: str, work: Work, speed: Throughput, sizes: Mapping[str, float], hour: float) -> StagePrice:
    stage = recipe.stages[name]
    asked = tuple(
        _calls_price(one, recipe.models[root(recipe, one.model)], speed, sizes[root(recipe, one.model)]) for one in work.asked
    )
    hours = total(one.device_hours for one in asked)
    if work.trained.high:
        share = sizes[root(recipe, name)] / REFERENCE * work.operations / TRAINING_OPERATIONS
        hours = hours + work.trained * (share / speed.train / 3600)
    return StagePrice(
        name=name,
        kind=stage.kind,
        items=work.items.up(),
        asked=asked,
        calls=total(one.calls for one in asked),
        prompt_tokens=total(one.prompt_tokens for one in asked),
        output_tokens=total(one.output_tokens for one in asked),
        training_tokens=work.trained,
        device_hours=hours,
        endpoint_dollars=total(one.dollars for one in asked),
        device_dollars=hours * hour,
        assumed=tuple(dict.fromkeys(work.assumed)),
        notes=work.notes,
    )


def _calls_price(asked: Asked, spec: ModelSpec, speed: Throughput, size: float) -> CallsPrice:
    hours = dollars = NOTHING
    if spec.url:
        to_read, to_write = spec.price_per_million
        dollars = asked.prompt * (to_read / 1e6) + asked.output * (to_write / 1e6)
    else:
        share = size / REFERENCE / 3600
        hours = asked.prompt * (share / speed.prompt) + asked.output * (share / speed.engine)
    return CallsPrice(
        role=asked.role,
        model=asked.model,
        calls=asked.calls,
        prompt_tokens=asked.prompt,
        output_tokens=asked.output,
        device_hours=hours,
        dollars=dollars,
    )
