"""The replication, written up: what was compared, under which settings, and what came of it, as a page of Markdown.

Everything on it is read from the run: a figure that is not there is not written.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from shared.client import Client
from shared.paired import Arms, Graded, arms

ARMS = {"shortcut": "shortcuts", "matched": "shortcuts, as many tokens", "journey": "journeys"}
"""Name of an arm in the recipe (`journey-1` is its first seed) -> what it learns from."""
INTRODUCTION = """# The laptop replication

Part 1 of the reports in small: does a model that learned from whole explorations (trial, error, reflection, backtracking) do
better than one that learned from the right paths alone, of the same trees? `make replicate` runs
[`recipes/replicate.yaml`](../recipes/replicate.yaml) and writes this page from what came of it; all figures are the run's.
Percentages; ± is one standard error, clustered by problem. Intervals are 95%, by a bootstrap over problems and over seeds.
"""


def document(client: Client, run: str) -> str:
    """The page of a run that is done."""
    status, report, recipe = client.run(run), client.report(run), client.recipe(run)
    finals = [name for name, stage in recipe["stages"].items() if stage["kind"] == "evaluate" and name.startswith("final")]
    parts = [INTRODUCTION]
    for stage in finals:
        parts.append("\n".join(_family(client, run, stage, report)))
    parts.append("\n".join(_picks(report, recipe)))
    parts.append("\n".join(_data(report)))
    parts.append("\n".join(_trainings(report, recipe)))
    parts.append("\n".join(_run(status, recipe)))
    return "\n\n".join(parts) + "\n"


def _family(client: Client, run: str, stage: str, report: Mapping[str, Any]) -> Iterator[str]:
    """One held-out set: the differences, and a row for every model."""
    scores = {key.partition("@")[0]: score for key, score in report["models"].items() if key in _keys(report, stage)}
    conditions = next(iter(scores.values()))["conditions"]
    yield f"## {conditions['problems']}: {conditions['problem_count']} problems × {conditions['samples']} samples"
    yield ""
    graded = _graded(client, run, stage)
    seeds = {arm: [graded[name] for name in sorted(graded) if re.fullmatch(rf"{arm}-\d+", name)] for arm in ARMS}
    for control, words in (("shortcut", "shortcut"), ("matched", "token-matched shortcut")):
        if seeds["journey"] and seeds[control]:
            yield "    " + said(f"journey - {words}", arms(seeds[control], seeds["journey"]))
    yield ""
    yield "| model | pass@1 | Maj@k | tokens | truncated | “wait” |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, score in scores.items():
        accuracy = f"{100 * score['pass_at_1']:.1f} ± {100 * score['stderr']:.1f}"
        waits = f"{100 * score['keywords'].get('wait', 0):.0f}%"
        rest = f"{100 * score['maj_at_k']:.1f} | {score['avg_tokens']:.0f} | {100 * score['truncated']:.1f}% | {waits}"
        yield f"| {name} | {accuracy} | {rest} |"
    for arm, words in ARMS.items():
        members = [score for name, score in scores.items() if re.fullmatch(rf"{arm}-\d+", name)]
        if members:
            accuracy, tokens = (sum(one[key] for one in members) / len(members) for key in ("pass_at_1", "avg_tokens"))
            yield f"| **{words}, mean of {len(members)} seeds** | **{100 * accuracy:.1f}** | | {tokens:.0f} | | |"
    yield ""
    yield f"Temperature {conditions['temperature']:g}, at most {conditions['max_tokens']} tokens, engine {conditions['engine']}."


def said(what: str, found: Arms) -> str:
    """`journey - shortcut: +X.X points (95% CI A to B), problems N, seeds S`."""
    low, high = (f"{100 * end:+.1f}" for end in (found.low, found.high))
    return f"{what}: {100 * found.difference:+.1f} points (95% CI {low} to {high}), problems {found.problems}, seeds {found.seeds}"


def _keys(report: Mapping[str, Any], stage: str) -> list[str]:
    """The report's names for the models that a stage measured (NAME@STAGE where several measured it)."""
    benchmark = report["benchmarks"][stage]["benchmark"]
    return [
        key
        for key, score in report["models"].items()
        if key.endswith(f"@{stage}") or ("@" not in key and score["conditions"]["problems"] == benchmark)
    ]


def _graded(client: Client, run: str, stage: str) -> dict[str, Graded]:
    """Model -> problem -> whether each graded sample is right."""
    found: defaultdict[str, defaultdict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for record in client.records(run, stage, "sample"):
        body = record["body"]
        if body["grading_error"] is None:
            found[body["model"]][body["problem_id"]].append(body["verified"])
    return dict(found)


def _picks(report: Mapping[str, Any], recipe: Mapping[str, Any]) -> Iterator[str]:
    """All tries, and which was chosen."""
    yield "## The tries"
    yield ""
    yield "Chosen on a validation set that shares no problem with the held-out ones, as many tries of either kind."
    for stage, pick in report["picks"].items():
        yield ""
        yield f"**{stage}**: `{pick['model']}`"
        yield ""
        yield "| try | data | learning rate | epochs | pass@1 | tokens |"
        yield "|---|---|---:|---:|---:|---:|"
        for name, (accuracy, stderr, tokens) in sorted(pick["candidates"].items(), key=lambda one: -one[1][0]):
            training = recipe["stages"][name]
            data = training["data"] + ("" if training["learn_wrong_steps"] else ", no loss on wrong steps")
            figures = f"{100 * accuracy:.1f} ± {100 * stderr:.1f} | {tokens:.0f}"
            yield f"| {name} | {data} | {training['learning_rate']:g} | {training['epochs']:g} | {figures} |"


def _data(report: Mapping[str, Any]) -> Iterator[str]:
    """What the datasets hold."""
    yield "## The data"
    for stage, dataset in report["datasets"].items():
        counts = ", ".join(f"{count:,} {name}" for name, count in dataset["counts"].items())
        yield ""
        yield f"- `{stage}`: {counts or 'nothing'}"
        for config, figures in dataset["statistics"].items():
            if "tokens" in figures:
                yield f"  - {config}: {figures['tokens']:.0f} tokens on average"
        for reason, count in dataset["skipped"].items():
            yield f"  - passed over: {count:,} ({reason})"


def _trainings(report: Mapping[str, Any], recipe: Mapping[str, Any]) -> Iterator[str]:
    yield "## The trainings"
    yield ""
    yield "| stage | from | samples | steps | epochs | tokens | loss | minutes |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    for stage, one in report["checkpoints"].items():
        figures = (
            f"{one['samples']:,}",
            f"{one['steps']:,}",
            f"{one['epochs']:g}",
            f"{one['train_tokens']:,}",
            f"{one['loss']:.3f}",
        )
        base = recipe["stages"][stage].get("base") or f"picked by {recipe['stages'][stage]['like']}"
        yield f"| {stage} | {base} | {' | '.join(figures)} | {one['seconds'] / 60:.1f} |"


def _run(status: Mapping[str, Any], recipe: Mapping[str, Any]) -> Iterator[str]:
    """How long it took, and the whole recipe."""
    hours = (status["ended_at"] - status["created_at"]) / 3600
    usage = status["usage"]
    yield "## The run"
    yield ""
    yield f"`{status['id']}` took {hours:.1f} hours from its start to its end, interruptions included; "
    yield f"{usage['prompt_tokens']:,} tokens were read and {usage['completion_tokens']:,} sampled."
    yield ""
    yield "```yaml"
    yield yaml.safe_dump(_plain(recipe), sort_keys=False, width=120).rstrip()
    yield "```"


def _plain(recipe: Any) -> Any:
    """The recipe without what it does not say."""
    if isinstance(recipe, Mapping):
        return {key: _plain(value) for key, value in recipe.items() if value not in (None, {}, [], "")}
    return [_plain(one) for one in recipe] if isinstance(recipe, Sequence) and not isinstance(recipe, str) else recipe
