"""Recipe: what a person posts to the gateway. Models, problem sets, and a graph of named stages.

```yaml
name: tiny
models: {base: {model: smollm2-135m-instruct}}
problems: {heldout: {generator: arithmetic, seed: 7, skip: 1000, count: 100}}
stages:
  measure: {kind: evaluate, models: [base], problems: heldout, samples: 2}
```
`model: NAME` in a stage names a model of the recipe or an earlier `train` stage, whose checkpoint it then means.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from shared.contracts.base import Record
from shared.contracts.models import ModelSpec, Name, ProblemSource
from shared.contracts.stages import (
    CompileStage,
    CurateStage,
    EvaluateStage,
    ImportStage,
    PickStage,
    RetrainStage,
    Stage,
    TrainStage,
)
from shared.contracts.stages.data import Difficulty
from shared.contracts.stages.train import OF_METHOD

PREFLIGHT = "preflight"
"""Name and kind of the stage that every run begins with; no recipe has one of this name."""
ARMS = {"journey": "shortcut", "shortcut": "journey"}
"""Configuration -> that of the other arm, which has as many samples of the same problems (`match_counts`)."""
_RESPONSES = ("distill", "annotate", "select", "translate")
GIVERS: dict[tuple[str, str], tuple[str, ...]] = {
    ("curate", "difficulty"): ("evaluate",),
    ("select", "responses"): _RESPONSES,
    ("translate", "responses"): _RESPONSES,
    ("compile", "trees"): ("search", "import"),
    ("compile", "data"): ("import", "reformat", *_RESPONSES),
    ("train", "data"): ("import", "reformat", *_RESPONSES, "compile"),
    ("train", "tokens_of"): ("train", "retrain"),
    ("retrain", "tokens_of"): ("train", "retrain"),
    ("retrain", "data"): ("import", "reformat", *_RESPONSES, "compile"),
    ("retrain", "like"): ("pick",),
    ("pick", "measured"): ("evaluate",),
    ("pick", "models"): ("train",),
}
"""(kind of stage, its field) -> the kinds that the field may name; every other field names a model or a train stage."""


class Recipe(Record):
    """The whole of a run, before it runs."""

    name: Name
    description: str = ""
    seed: int = 0
    spend_cap: Annotated[float | None, Field(gt=0)] = None
    """US dollars that the run may spend on endpoints, by their `price_per_million`. It is paused before a request that might pass
    it; `longthought resume RUN --spend-cap DOLLARS` goes on. Models without a price are not counted."""
    models: dict[Name, ModelSpec] = {}
    problems: dict[Name, ProblemSource] = {}
    stages: Annotated[dict[Name, Stage], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _references_resolve(self) -> Self:
        """Every name a stage uses exists and is of the right kind; the graph has no cycle; names are not ambiguous."""
        if PREFLIGHT in self.stages:
            raise ValueError(f"stages.{PREFLIGHT}: every run has a stage of this name already: choose another")
        both = set(self.models) & set(self.stages)
        if both:
            raise ValueError(f"models and stages share names: {', '.join(sorted(both))}")
        for name, stage in self.stages.items():
            if stage.kind == "curate" and name in self.problems:
                raise ValueError(f"stages.{name}: a problem source has this name, and a curation gives problems: choose another")
            self._check_stage(name, stage)
        self.order()
        return self

    def _check_stage(self, name: str, stage: Any) -> None:
        where = f"stages.{name}"
        for field, source in stage.sources():
            if source in self.problems or (field == "problems" and getattr(self.stages.get(source), "kind", None) == "curate"):
                continue
            named = f"`{source}` is a stage that gives no problems" if source in self.stages else f"no problem source `{source}`"
            raise ValueError(f"{where}.{field}: {named} (known: {', '.join(self.problems) or 'none'})")
        scorers = _scorers(stage)
        for field, target in stage.references():
            wanted = GIVERS.get((stage.kind, field.partition(".")[0]), ("model", "train", "retrain"))
            found = "model" if target in self.models else self.stages[target].kind if target in self.stages else None
            if found is None:
                raise ValueError(f"{where}.{field}: nothing is named `{target}`")
            if found not in wanted:
                raise ValueError(f"{where}.{field}: `{target}` is a {found}, not a {' or '.join(wanted)}")
            trained = self.training(target)
            prm = trained.method == "prm" if trained else target in self.models and self.models[target].prm is not None
            if field != "tokens_of" and trained and trained.lora and not trained.lora.merge:
                raise ValueError(
                    f"{where}.{field}: `{target}` leaves an adapter, which no engine of ours serves: set its lora.merge to true"
                )
            if field in scorers and not prm:
                raise ValueError(
                    f"{where}.{field}: `{target}` is no process reward model (a model with `prm`, or a training with method prm)"
                )
            if prm and field not in scorers and field != "tokens_of":
                raise ValueError(f"{where}.{field}: `{target}` is a process reward model, which scores steps and does nothing else")
        self._check_formats(where, stage)
        for other in stage.needs:
            if other not in self.stages:
                raise ValueError(f"{where}.needs: no stage `{other}`")
        if stage.kind == "train" and stage.base in self.models and self.models[stage.base].url:
            raise ValueError(f"{where}.base: `{stage.base}` is an endpoint, which cannot be trained")

    def _check_formats(self, where: str, stage: Any) -> None:
        """An import gives trees or samples, an evaluation measures what is asked of it, a dataset has the configurations it has."""
        for field, target in stage.references():
            other = self.stages.get(target)
            given = "trees" if isinstance(other, ImportStage) and other.format == "trees" else "samples"
            wanted = {"trees": "trees", "data": "samples"}.get(field.partition(".")[0], given)
            if isinstance(other, ImportStage) and given != wanted:
                raise ValueError(f"{where}.{field}: `{target}` imports {given}, not {wanted} (its `format`)")
        if isinstance(stage, PickStage):
            self._check_pick(where, stage)
        if isinstance(stage, CurateStage) and stage.difficulty:
            self._check_difficulty(where, stage, stage.difficulty)
        if isinstance(stage, EvaluateStage) and (stage.budget or stage.waits):
            for place, name in enumerate(stage.asks()):
                if name in self.models and self.models[name].url:
                    raise ValueError(
                        f"{where}.models.{place}: `{name}` is an endpoint, which cannot go on with an answer that it has begun, as "
                        "`budget` and `waits` ask: name a model without `url`"
                    )
        if stage.kind == "train":
            for name, other in self.other_arm(stage):
                if other.max_length != stage.max_length:
                    raise ValueError(
                        f"{where}.max_length: {stage.max_length} here, {other.max_length} in `{name}`, the other arm: "
                        "what is too long would be left out of one arm alone. Give both the same, or set match_counts to false"
                    )
            self._check_config(f"{where}.config", stage.config, stage.data)
        if isinstance(stage, RetrainStage) and isinstance(pick := self.stages[stage.like], PickStage):
            for one in filter(None, map(self.training, pick.models)):
                if stage.data:
                    self._check_config(f"{where}.data", one.config, stage.data)
                if stage.tokens_of and one.method not in OF_METHOD["tokens_of"]:
                    raise ValueError(f"{where}.tokens_of: the method {one.method} does not use it")

    def _check_config(self, where: str, config: str, data: str) -> None:
        source = self.stages[data]
        if config not in (found := _configs(source)):
            names = ", ".join(found) or "nothing to train on: name the stages of its `data`"
            raise ValueError(f"{where}: `{config}` does not go with data of a {source.kind} stage (it gives: {names})")

    def _check_pick(self, where: str, stage: PickStage) -> None:
        measured = self.stages[stage.measured]
        assert isinstance(measured, EvaluateStage)
        for place, name in enumerate(stage.models):
            if name not in measured.models:
                raise ValueError(f"{where}.models.{place}: `{stage.measured}` does not measure `{name}`")
        trainings = [one for one in map(self.training, stage.models) if one]
        if len({(one.method, one.base) for one in trainings}) > 1:
            raise ValueError(f"{where}.models: they are not of one method and from one base: {', '.join(stage.models)}")

    def training(self, name: str) -> TrainStage | None:
        """The train stage of this name; of a `retrain`, one of those it may repeat (method and base are the same). Else None."""
        stage = self.stages.get(name)
        if isinstance(stage, RetrainStage) and isinstance(pick := self.stages.get(stage.like), PickStage):
            stage = self.stages.get(pick.models[0])
        return stage if isinstance(stage, TrainStage) else None

    def other_arm(self, stage: TrainStage) -> Iterator[tuple[str, TrainStage]]:
        """Trainings that one is compared with, by name: on shortcuts where it is on journeys of the same data."""
        wanted = (stage.method, stage.data, ARMS.get(stage.config), True)
        for name, other in self.stages.items() if stage.match_counts else ():
            if isinstance(other, TrainStage) and (other.method, other.data, other.config, other.match_counts) == wanted:
                yield name, other

    def _check_difficulty(self, where: str, stage: CurateStage, band: Difficulty) -> None:
        measured = self.stages[band.measured]
        assert isinstance(measured, EvaluateStage)
        if measured.problems != stage.problems:
            raise ValueError(
                f"{where}.difficulty.measured: `{band.measured}` measures `{measured.problems}`, not `{stage.problems}`"
            )
        if not measured.models:
            raise ValueError(
                f"{where}.difficulty.measured: `{band.measured}` regrades an earlier run: name the model in its `models`"
            )
        if band.model not in (measured.models if len(measured.models) > 1 else (None, *measured.models)):
            raise ValueError(f"{where}.difficulty.model: name one of {', '.join(measured.models)}")

    def needs(self, name: str) -> tuple[str, ...]:
        """The stages that stage `name` waits for: named in `needs`, or by any of its fields."""
        stage = self.stages[name]
        sources = [source for _, source in stage.sources() if source not in self.problems]
        named = [*sources, *(target for _, target in stage.references() if target in self.stages)]
        return tuple(dict.fromkeys([*stage.needs, *named]))

    def behind(self, name: str) -> tuple[str, ...]:
        """The stages that `name` rests on, near and far, in the order of the run."""
        found: set[str] = set()
        for stage in reversed(self.order()):
            if stage in found or stage == name:
                found.update(self.needs(stage))
        return tuple(stage for stage in self.order() if stage in found)

    def order(self) -> tuple[str, ...]:
        """Stage names, every stage after those it needs. Raises ValueError on a cycle, naming it."""
        done: list[str] = []
        on_path: list[str] = []

        def visit(name: str) -> None:
            if name in done:
                return
            if name in on_path:
                raise ValueError(f"stages: a cycle: {' -> '.join([*on_path[on_path.index(name) :], name])}")
            on_path.append(name)
            for other in self.needs(name):
                visit(other)
            on_path.pop()
            done.append(name)

        for name in self.stages:
            visit(name)
        return tuple(done)

    def source_of(self, name: str) -> ProblemSource:
        """The stored problems that a stage's `problems` begin with: through its curations back to their source."""
        while name not in self.problems:
            name = self.stages[name].problems  # type: ignore[union-attr]
        return self.problems[name]


def _scorers(stage: Any) -> set[str]:
    """The fields of a stage that name a process reward model."""
    if isinstance(stage, EvaluateStage):
        return {"reward"}
    judges = stage.reward.judges() if hasattr(stage, "reward") else ()
    return {f"reward.{field}" for field, part in judges if part.kind == "prm"}


def _configs(stage: Any) -> tuple[str, ...]:
    """What a stage's records can be trained on as."""
    if not isinstance(stage, CompileStage):
        return ("sft",)
    found = ["journey", "shortcut"] if stage.trees else []
    if stage.trees or stage.response_pairs:
        found.append("preference")
    return (*found, "prm") if stage.step_labels != "none" else tuple(found)
