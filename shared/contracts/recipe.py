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

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from shared.contracts.base import Record
from shared.contracts.models import ModelSpec, Name, ProblemSource
from shared.contracts.stages import Stage

PREFLIGHT = "preflight"
"""Name and kind of the stage that every run begins with; no recipe has one of this name."""


class Recipe(Record):
    """The whole of a run, before it runs."""

    name: Name
    description: str = ""
    seed: int = 0
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
            self._check_stage(name, stage)
        self.order()
        return self

    def _check_stage(self, name: str, stage: Any) -> None:
        where = f"stages.{name}"
        problems = getattr(stage, "problems", None)
        if problems is not None and problems not in self.problems:
            raise ValueError(f"{where}.problems: no problem source `{problems}` (known: {', '.join(self.problems) or 'none'})")
        judges = stage.reward.judges() if hasattr(stage, "reward") else ()
        scorers = {f"reward.{field}" for field, part in judges if part.kind == "prm"}
        for field, target in stage.references():
            wanted = {"trees": ("search",), "data": ("import", "distill", "compile")}.get(field, ("model", "train"))
            found = "model" if target in self.models else self.stages[target].kind if target in self.stages else None
            if found is None:
                raise ValueError(f"{where}.{field}: nothing is named `{target}`")
            if found not in wanted:
                raise ValueError(f"{where}.{field}: `{target}` is a {found}, not a {' or '.join(wanted)}")
            prm = target in self.models and self.models[target].prm is not None
            if field in scorers and not prm:
                raise ValueError(f"{where}.{field}: `{target}` is no process reward model (a model with `prm`)")
            if prm and field not in scorers:
                raise ValueError(f"{where}.{field}: `{target}` is a process reward model, which scores steps and does nothing else")
        for other in stage.needs:
            if other not in self.stages:
                raise ValueError(f"{where}.needs: no stage `{other}`")
        if stage.kind == "train":
            if stage.base in self.models and self.models[stage.base].url:
                raise ValueError(f"{where}.base: `{stage.base}` is an endpoint, which cannot be trained")
            compiled = self.stages[stage.data].kind == "compile"
            if compiled != (stage.config != "sft"):
                raise ValueError(
                    f"{where}.config: `{stage.config}` does not go with data of a {self.stages[stage.data].kind} stage"
                )

    def needs(self, name: str) -> tuple[str, ...]:
        """The stages that stage `name` waits for: named in `needs`, or by any of its fields."""
        stage = self.stages[name]
        named = [target for _, target in stage.references() if target in self.stages]
        return tuple(dict.fromkeys([*stage.needs, *named]))

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
