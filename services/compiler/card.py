"""The dataset card: a README.md that says what is in the data and where from; `datasets.load_dataset` reads its front matter."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import yaml

from shared import prompts
from shared.contracts.recipe import Recipe
from shared.contracts.report import CurationReport, DatasetReport
from shared.contracts.stages import CompileStage
from shared.contracts.thought import LongThought
from shared.problems.licences import licence_of
from shared.statistics import TOKEN_UNIT

ABOUT = {
    "journey": "long thoughts: wrong turns, reflections, backtracks, then the correct path",
    "shortcut": "the correct paths of the same trees, and nothing else",
    "preference": "a right step against a wrong sibling after the same steps, or a right response against a wrong one, for DPO",
    "prm": "beginnings of solutions with a label for each step, for a process reward model",
    "sft": "teachers' verified responses and imported solutions",
}
PLUMBING = {"needs", "max_attempts", "max_dead", "deadline_seconds"}
"""Settings of a stage that change nothing in the data."""


@dataclass(frozen=True)
class Cost:
    """What a stage behind the data took of one model."""

    stage: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float


@dataclass(frozen=True)
class CardFacts:
    """What the card states, beyond the recipe."""

    report: DatasetReport
    splits: Mapping[str, Mapping[str, int]]
    """Configuration -> split -> rows."""
    turns: Mapping[int, int]
    """Wrong turns -> long thoughts with so many."""
    notes: Mapping[str, int]
    sources: Mapping[str, int]
    """What grew the trees (model and prompt) -> trees."""
    publishers: Mapping[str, int]
    """Source of the problems behind the data -> problems."""
    prompts: Collection[str]
    """Names and versions of all prompts that any of the data was made with."""
    costs: Sequence[Cost]
    curations: Mapping[str, CurationReport]
    """Stage -> how the problems behind the data were chosen."""
    example: LongThought | None


def card(recipe: Recipe, stage_name: str, facts: CardFacts) -> str:
    """The card's whole text; the same facts give the same bytes (it names no date and no machine)."""
    stage = recipe.stages[stage_name]
    assert isinstance(stage, CompileStage)
    parts = [
        _front_matter(recipe, facts.splits),
        f"# Long thoughts of `{recipe.name}`",
        _contents(facts),
        _statistics(facts.report),
        _turns(facts.turns),
        _curations(facts.curations),
        _filters(facts),
        _provenance(recipe, stage_name, stage, facts),
        _licences(facts.publishers),
        _costs(facts.costs),
        _prompt_texts(facts.prompts),
        _example(facts.example),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(recipe: Recipe, splits: Mapping[str, Mapping[str, int]]) -> str:
    configs = []
    for config, rows in splits.items():
        files = [{"split": split, "path": f"{config}/{split}.parquet"} for split in ("train", "test") if split in rows]
        if files:
            configs.append({"config_name": config, "data_files": files})
    matter = {
        "pretty_name": f"Long thoughts of {recipe.name}",
        "task_categories": ["text-generation"],
        "tags": ["mathematics", "reasoning", "long-thought", "synthetic"],
        "configs": configs,
    }
    return f"---\n{yaml.safe_dump(matter, sort_keys=False, allow_unicode=True)}---"


def _contents(facts: CardFacts) -> str:
    if not any(facts.splits.values()):
        return "**This dataset is empty**: no tree gave a thought. The reasons are counted below."
    rows = [
        f"| `{config}` | {ABOUT[config]} | {split} | {count} |"
        for config, counts in facts.splits.items()
        for split, count in counts.items()
    ]
    return "\n".join(
        [
            "Text compiled from reasoning trees. Each of a row's `spans` names the tree node it stands for (`tree_id`, `node_id`).",
            "Splits are by question: no question lies in two of them.",
            "",
            "| configuration | what | split | rows |",
            "|---|---|---|---|",
            *rows,
            "",
            "```python",
            f'datasets.load_dataset("path/of/this/folder", "{next(iter(facts.splits))}")',
            "```",
        ]
    )


def _statistics(report: DatasetReport) -> str:
    configs = [config for config, figures in report.statistics.items() if figures]
    if not configs:
        return ""
    names = list(dict.fromkeys(name for config in configs for name in report.statistics[config]))
    rows = []
    for name in names:
        values = [report.statistics[config].get(name) for config in configs]
        rows.append(f"| {name} | " + " | ".join("–" if value is None else f"{value:g}" for value in values) + " |")
    head = ["| a text's mean | " + " | ".join(configs) + " |", "|---|" + "---|" * len(configs)]
    return "\n".join(["## Statistics", "", f"Tokens are {TOKEN_UNIT}.", "", *head, *rows])


def _turns(turns: Mapping[int, int]) -> str:
    if not turns:
        return ""
    total = sum(turns.values())
    rows = [f"| {number} | {count} | {count / total:.1%} |" for number, count in sorted(turns.items())]
    return "\n".join(["## Wrong turns a thought", "", "| wrong turns | thoughts | share |", "|---|---|---|", *rows])


def _curations(curations: Mapping[str, CurationReport]) -> str:
    parts = []
    for stage, report in curations.items():
        looked = ", ".join(f"`{name}` ({count} problems)" for name, count in report.benchmarks.items())
        said = f"Stage `{stage}` kept {report.kept} of the {report.total} problems of `{report.source}`."
        rows = [f"| {rule} | {count} | {count / max(1, report.total):.1%} |" for rule, count in sorted(report.dropped.items())]
        parts.append(f"{said} {f'Decontaminated against {looked}.' if looked else 'No benchmark was looked for.'}")
        if rows:
            parts.append("\n".join(["| fell to the rule | problems | share |", "|---|---|---|", *rows]))
    return "\n\n".join(["## How the problems were chosen", *parts]) if parts else ""


def _filters(facts: CardFacts) -> str:
    rows = [f"| passed over: {reason} | {count} |" for reason, count in sorted(facts.report.skipped.items())]
    rows += [f"| compiled clean: {note} | {count} |" for note, count in sorted(facts.notes.items())]
    thoughts = max(1, facts.report.counts.get("journey", 0))
    rows += [
        f"| refinement: {way} | {count} ({count / thoughts:.1%} of the thoughts) |"
        for way, count in sorted(facts.report.refinement.items())
    ]
    return "\n".join(["## Filters and refinement", "", "| what | count |", "|---|---|", *rows]) if rows else ""


def _provenance(recipe: Recipe, name: str, stage: CompileStage, facts: CardFacts) -> str:
    behind = {giver: recipe.stages[giver] for giver in recipe.behind(name)}
    named = dict.fromkeys(source for one in behind.values() for _, source in one.sources() if source in recipe.problems)
    models = {model: spec.model for model, spec in recipe.models.items()}
    matter = {
        "run": facts.report.origin.run_id,
        "recipe": recipe.name,
        "recipe_seed": recipe.seed,
        "stage": name,
        "settings": stage.model_dump(mode="json", exclude=PLUMBING),
        "problems": {source: recipe.problems[source].model_dump(mode="json", exclude_none=True) for source in named},
        "made_by": {giver: one.model_dump(mode="json", exclude=PLUMBING) for giver, one in behind.items()},
        "models": models,
        "trees_grown_by": dict(sorted(facts.sources.items())),
    }
    return f"## Where it comes from\n\n```yaml\n{yaml.safe_dump(matter, sort_keys=False, allow_unicode=True)}```"


def _licences(publishers: Mapping[str, int]) -> str:
    if not publishers:
        return ""
    rows = [f"| {source or 'not named'} | {count} | {licence_of(source)} |" for source, count in sorted(publishers.items())]
    head = ["| problems of | problems | licence |", "|---|---|---|"]
    return "\n".join(["## Licences of the sources", "", *head, *rows])


def _costs(costs: Sequence[Cost]) -> str:
    """What was paid, for all answers of these stages, the rejected ones included."""
    if not costs:
        return ""
    rows = [
        f"| {one.stage} | {one.model} | {one.requests:,} | {one.prompt_tokens:,} | {one.completion_tokens:,} | {one.dollars:.4f} |"
        for one in costs
    ]
    total = f"| all | | | | | {sum(one.dollars for one in costs):.4f} |"
    head = ["| stage | model | requests | tokens read | tokens written | US dollars |", "|---|---|---|---|---|---|"]
    return "\n".join(["## Costs", "", *head, *rows, total])


def _prompt_texts(used: Collection[str]) -> str:
    """The text of every prompt in use; of one whose words have changed since, that they have."""
    texts = []
    for version in sorted({prompts.version("solve"), *used}):
        name = version.partition("@")[0]
        if name in prompts.names() and prompts.version(name) == version:
            texts.append(f"`{version}`\n\n```jinja\n{prompts.source(name)}\n```")
        else:
            texts.append(f"`{version}`: its words have changed since; the version's text is in the code's history.")
    return "\n\n".join(["## Prompts", *texts])


def _example(thought: LongThought | None) -> str:
    if thought is None:
        return ""
    rows = [f"| {span.role} | {span.node_id} | {_cell(span.text)} |" for span in thought.spans]
    return "\n".join(
        [
            "## An example",
            "",
            f"`{thought.id}`: {_cell(thought.question)}",
            "",
            "```text",
            thought.completion.replace("```", "'''"),
            "```",
            "",
            "| role | node | text |",
            "|---|---|---|",
            *rows,
        ]
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
