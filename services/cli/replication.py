"""The replication, written up: what was compared, under which settings, and what came of it, as a page of Markdown.

Everything on it is read from the run: a figure that is not there is not written. One part is a person's, what was seen in the
figures: it stands between two marks, and stays when the page is written anew.
"""

import copy
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import yaml

from services.cli.replication_checks import Checks, added, checks_of
from services.cli.results import scores_of
from shared.client import Client
from shared.paired import Arms, Graded, Paired, arms, paired
from shared.statistics import TOKEN_UNIT

ARMS = {"shortcut": "shortcuts", "matched": "shortcuts, as many tokens as journeys (questions included)", "journey": "journeys"}
"""Name of an arm in the recipe (`journey-1` is its first seed) -> what it learns from."""
FINAL, CONTROL, AGAIN = "final", "control", "again"
"""What the names of evaluate stages begin with: of the arms; of arms that were measured apart from these; of what was trained from
a journey model. What follows names the problems: `control-hard` and `again-hard` go with `final-hard`."""
STANDSTILL = 600.0
"""Seconds without an event after which nothing is at work."""
BEGINS, ENDS = "<!-- what was seen: kept when this page is written anew -->", "<!-- end of what was seen -->"
INTRODUCTION = """# {title}

Part 1 of the reports in small: does a model that learned from whole explorations (trial, error, reflection, backtracking) do
better than one that learned from the right paths alone, of the same trees? `make replicate{scale}` runs
[`recipes/replicate.yaml`](../recipes/replicate.yaml) and writes this page from what came of it; all figures are the run's.
Percentages; ± is one standard error, clustered by problem. Intervals are 95%, by a bootstrap over problems and over seeds.

A wrong step is one whose sum is false, and it is found if it was done again; a right step that was done again is doubted. A step
that goes wrong by a right sum is not seen here."""
TITLES = {"laptop": "The laptop replication", "gpu": "The replication on a GPU"}

Report = Mapping[str, Any]


def document(
    client: Client, run: str, scale: str = "laptop", before: str = "", pictures: Mapping[str, str] = MappingProxyType({})
) -> str:
    """The page of a run, done or not; `before` is the page that stood there, whose person's part is kept.

    `pictures`: where the plots of stages lie, as seen from the page.
    """
    status, report, recipe = client.run(run), client.report(run), client.recipe(run)
    measured = {name: stage for name, stage in recipe["stages"].items() if stage["kind"] == "evaluate" and not stage.get("regrade")}
    samples = {stage: Samples(client, run, stage) for stage in measured if stage in report["benchmarks"]}
    parts = [INTRODUCTION.format(title=TITLES[scale], scale="" if scale == "laptop" else f" SCALE={scale}")]
    if missing := [name for name, stage in status["stages"].items() if stage["state"] not in ("done", "skipped")]:
        parts.append(f"**This run is not done.** Not there yet: {', '.join(f'`{name}`' for name in missing)}.")
    parts.append(_seen(before))
    parts += ["\n".join(_family(stage, report, samples, pictures.get(stage))) for stage in samples if stage.startswith(FINAL)]
    parts += ["\n".join(_again(stage, report, samples)) for stage in samples if stage.startswith(AGAIN)]
    parts += [
        "\n".join(part)
        for part in (_tries(report, recipe), _data(report), _trainings(report, recipe), _run(client, status, recipe))
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


class Samples:
    """The graded samples of one evaluate stage."""

    def __init__(self, client: Client, run: str, stage: str) -> None:
        """Reads them all, and keeps no text."""
        graded: defaultdict[str, defaultdict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
        checks: defaultdict[str, list[Checks]] = defaultdict(list)
        for record in client.records(run, stage, "sample"):
            body = record["body"]
            checks[body["model"]].append(checks_of(body["text"]))
            if body["grading_error"] is None:
                graded[body["model"]][body["problem_id"]].append(body["verified"])
        self.graded: Mapping[str, Graded] = graded
        self.checks = {model: added(several) for model, several in checks.items()}

    def beside(self, other: "Samples") -> "Samples":
        """These models and those of another stage that measured the same problems."""
        both = copy.copy(self)
        both.graded, both.checks = {**self.graded, **other.graded}, {**self.checks, **other.checks}
        return both

    def seeds(self, arm: str) -> list[Graded]:
        """An arm's models, one a seed."""
        return [self.graded[name] for name in sorted(self.graded) if re.fullmatch(rf"{arm}-\d+", name)]


def _seen(before: str) -> str:
    """The person's part of an earlier page, marks and all; the marks alone if it has none."""
    _, _, rest = before.partition(BEGINS)
    return f"{BEGINS}{rest.partition(ENDS)[0] or chr(10)}{ENDS}"


def _family(stage: str, report: Report, measured: Mapping[str, Samples], picture: str | None) -> Iterator[str]:
    """One held-out set: the differences, the picture, and a row for every model."""
    scores, samples = scores_of(stage, report), measured[stage]
    apart = CONTROL + stage.removeprefix(FINAL)
    if apart in measured:
        scores, samples = {**scores, **scores_of(apart, report)}, samples.beside(measured[apart])
    yield _heading(scores)
    yield ""
    for control, words in (("shortcut", "shortcut"), ("matched", "token-matched shortcut")):
        if samples.seeds("journey") and samples.seeds(control):
            yield "    " + said(f"journey - {words}", arms(samples.seeds(control), samples.seeds("journey")))
    yield ""
    if picture:
        yield f"![Accuracy against average output tokens, a line a model: cut short, whole, and majorities of several]({picture})"
        yield ""
    yield from _table(scores, samples)
    for arm, words in ARMS.items():
        members = [score for name, score in scores.items() if re.fullmatch(rf"{arm}-\d+", name)]
        if members:
            accuracy, tokens = (sum(one[key] for one in members) / len(members) for key in ("pass_at_1", "avg_tokens"))
            yield f"| **{words}, mean of {len(members)} seeds** | **{100 * accuracy:.1f}** | | {tokens:.0f} | | | |"
    yield ""
    yield _conditions(scores)


def _again(stage: str, report: Report, samples: Mapping[str, Samples]) -> Iterator[str]:
    """What was trained further from a journey model, against that model on the same problems (once it is measured there)."""
    scores = scores_of(stage, report)
    first = samples.get(FINAL + stage.removeprefix(AGAIN))
    before = first.graded.get("journey-1", {}) if first else {}
    yield _heading(scores) + ": preferences, and a second round"
    yield ""
    for name in scores if before else ():
        found = paired(before, samples[stage].graded[name])
        yield f"    {_difference(f'{name} - journey-1', found)}, problems {found.problems}, one seed of either"
    yield ""
    yield from _table(scores, samples[stage])
    yield ""
    yield _conditions(scores)


def _heading(scores: Report) -> str:
    conditions = next(iter(scores.values()))["conditions"]
    return f"## {conditions['problems']}: {conditions['problem_count']} problems × {conditions['samples']} samples"


def _table(scores: Report, samples: Samples) -> Iterator[str]:
    yield "| model | pass@1 | Maj@k | tokens | truncated | wrong steps found | right steps doubted |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, score in scores.items():
        accuracy = f"{100 * score['pass_at_1']:.1f} ± {100 * score['stderr']:.1f}"
        checks = samples.checks[name]
        rest = f"{100 * score['maj_at_k']:.1f} | {score['avg_tokens']:.0f} | {100 * score['truncated']:.1f}%"
        yield f"| {name} | {accuracy} | {rest} | {checks.found_words} | {checks.doubted_words} |"


def _conditions(scores: Report) -> str:
    """One sentence for all models, or one for each way in which some were measured."""
    said: defaultdict[str, list[str]] = defaultdict(list)
    for name, score in scores.items():
        given = score["conditions"]
        said[f"Temperature {given['temperature']:g}, at most {given['max_tokens']} tokens, engine {given['engine']}."].append(name)
    return " ".join(f"{', '.join(names)}: {words}" if len(said) > 1 else words for words, names in said.items())


def said(what: str, found: Arms) -> str:
    """`journey - shortcut: +X.X points (95% CI A to B), problems N, seeds S`."""
    return f"{_difference(what, found)}, problems {found.problems}, seeds {found.seeds}"


def _difference(what: str, found: Arms | Paired) -> str:
    low, high = (f"{100 * end:+.1f}" for end in (found.low, found.high))
    return f"{what}: {100 * found.difference:+.1f} points (95% CI {low} to {high})"


def _tries(report: Report, recipe: Report) -> Iterator[str]:
    """All tries, and which was chosen; and what else the same stage measured."""
    if not report["picks"]:
        return
    yield "## The tries"
    yield ""
    yield "Chosen on a validation set that shares no problem with the held-out ones."
    for stage, pick in report["picks"].items():
        yield ""
        yield f"**{stage}**, of {len(pick['candidates'])}: `{pick['model']}`{_edge(pick, recipe)}"
        yield ""
        yield from _tried(pick["candidates"], report, recipe)
    for stage in [stage for stage in report["benchmarks"] if not stage.startswith((FINAL, CONTROL, AGAIN))]:
        chosen = {name for pick in report["picks"].values() for name in pick["candidates"]}
        scores = scores_of(stage, report).items()
        if beside := {n: (s["pass_at_1"], s["stderr"], s["avg_tokens"]) for n, s in scores if n not in chosen}:
            yield ""
            yield f"Measured beside them (`{stage}`), and not to be chosen:"
            yield ""
            yield from _tried(beside, report, recipe)


def _edge(pick: Report, recipe: Report) -> str:
    """Where the chosen training has the highest or lowest learning rate of those tried, a remark: the best may lie beyond it."""
    rates = {recipe["stages"][name]["learning_rate"] for name in pick["candidates"]}
    ends = {max(rates): "highest", min(rates): "lowest"} if len(rates) > 1 else {}
    end = ends.get(recipe["stages"][pick["model"]]["learning_rate"])
    return f" ({end} learning rate of its kind: beyond it nothing was tried)" if end else ""


def _tried(figures: Mapping[str, Sequence[float]], report: Report, recipe: Report) -> Iterator[str]:
    yield "| try | data | samples | learning rate | epochs | pass@1 | tokens |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for name, (accuracy, stderr, tokens) in sorted(figures.items(), key=lambda one: -one[1][0]):
        how = "| – | – | – | – |"
        if training := _training(name, report, recipe):
            data = training["data"] + ("" if training["learn_wrong_steps"] else ", no loss on wrong steps")
            samples = report["checkpoints"][name]["samples"]
            how = f"| {data} | {samples:,} | {training['learning_rate']:g} | {training['epochs']:g} |"
        yield f"| {name} {how} {100 * accuracy:.1f} ± {100 * stderr:.1f} | {tokens:.0f} |"


def _training(name: str, report: Report, recipe: Report) -> Report | None:
    """A model's train stage; of one that repeats a picked training, that one's with its own data. None: it was not trained here."""
    stage = recipe["stages"].get(name)
    if stage and stage["kind"] == "retrain":
        picked = recipe["stages"][report["picks"][stage["like"]]["model"]]
        return {**picked, "data": stage["data"] or picked["data"]}
    return stage  # type: ignore[no-any-return]


def _data(report: Report) -> Iterator[str]:
    """What the datasets hold."""
    yield "## The data"
    for stage, dataset in report["datasets"].items():
        counts = ", ".join(f"{count:,} {name}" for name, count in dataset["counts"].items())
        yield ""
        yield f"- `{stage}`: {counts or 'nothing'}"
        for config, figures in dataset["statistics"].items():
            if "tokens" in figures:
                yield f"  - {config}: {figures['tokens']:.0f} {TOKEN_UNIT} on average"
        for reason, count in dataset["skipped"].items():
            yield f"  - passed over: {count:,} ({reason})"


def _trainings(report: Report, recipe: Report) -> Iterator[str]:
    yield "## The trainings"
    yield ""
    if devices := sorted({one["device"] for one in report["checkpoints"].values() if one.get("device")}):
        yield f"On {', '.join(devices)}."
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
        if one["origin"]["stage"] != stage:
            base = f"is {one['origin']['stage']}, {base}"
        yield f"| {stage} | {base} | {' | '.join(figures)} | {one['seconds'] / 60:.1f} |"


def _run(client: Client, status: Report, recipe: Report) -> Iterator[str]:
    """How long it took, and the whole recipe."""
    usage = status["usage"]
    yield "## The run"
    yield ""
    if status["ended_at"]:
        events = [event["created_at"] for event in client.events(status["id"])]
        worked, stood, pauses = worked_and_stood([status["created_at"], *events, status["ended_at"]])
        often = "once" if pauses == 1 else f"{pauses} times"
        stops = f" (and stood still for {stood / 3600:.1f}, interrupted {often})" if pauses else ""
        took = f"{worked / 3600:.1f} hours of work{stops}"
        if not events:  # pruned
            took = f"{(worked + stood) / 3600:.1f} hours, interruptions included (its events are gone)"
        yield f"`{status['id']}` took {took};"
    else:
        yield f"`{status['id']}` is {status['state']};"
    so_far = "" if status["ended_at"] else " so far"
    yield f"{usage['prompt_tokens']:,} tokens were read and {usage['completion_tokens']:,} sampled{so_far}."
    yield ""
    yield "<details><summary>All settings, those that the recipe leaves to their defaults included</summary>"
    yield ""
    yield "```yaml"
    yield yaml.safe_dump(_plain(recipe), sort_keys=False, width=120).rstrip()
    yield "```"
    yield ""
    yield "</details>"


def worked_and_stood(moments: Sequence[float]) -> tuple[float, float, int]:
    """Seconds in which a run worked, seconds in which it stood still, and how often it did; `moments`: of its events, rising.

    Who works tells of it within a minute or two; so longer than STANDSTILL between two events is an interruption.
    """
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    still = [gap for gap in gaps if gap > STANDSTILL]
    return sum(gaps) - sum(still), sum(still), len(still)


def _plain(recipe: Any) -> Any:
    """The recipe without what it does not say."""
    if isinstance(recipe, Mapping):
        return {key: _plain(value) for key, value in recipe.items() if value not in (None, {}, [], "")}
    return [_plain(one) for one in recipe] if isinstance(recipe, Sequence) and not isinstance(recipe, str) else recipe
