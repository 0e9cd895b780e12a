"""Commands on what came of a run: the report, and everything as files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from services.cli.connect import gateway, stop
from services.cli.groups_table import groups_tables
from services.cli.rewards_table import reward_notes, rewards_table
from services.cli.runs import JsonOption, RunArgument
from services.cli.scores import judged_table, people_table
from services.cli.terminal import FAILED, REFUSED, err, local, out, say
from shared.client import Client


def report(run_id: RunArgument, as_json: JsonOption = False) -> None:
    """Show a run's figures: models and rewards compared, datasets counted, the plot's place."""
    with gateway() as client:
        found = client.report(run_id)
        if as_json:
            print(json.dumps(found))
            return
        if not any(found[part] for part in ("models", "rewards", "costs", "curations", "datasets")):
            state = client.run(run_id)["state"]
            trees = f" `longthought trees {run_id}` shows its searches." if next(client.records(run_id, kind="tree"), None) else ""
            stop(f"Nothing to report of {run_id} yet: it is {state}, and no evaluation or dataset of it is done.{trees}", FAILED)
    out.print(picture(run_id, found))


def picture(run_id: str, found: Mapping[str, Any]) -> RenderableType:
    """The whole report, drawn."""
    parts: list[RenderableType] = [""]
    if found["models"]:
        parts += [models_table(run_id, found["models"]), *judged_table(found["models"]), *notes(found), ""]
        for table in groups_tables(found["models"]):
            parts += [table, ""]
    for stage, rows in found.get("scores", {}).items():
        parts += [people_table(stage, rows), ""]
    if found["rewards"]:
        parts += [rewards_table(run_id, found["rewards"]), *reward_notes(found["rewards"]), ""]
    if found["costs"]:
        parts += [costs_table(found["costs"]), *why_failed(found["costs"]), ""]
    for stage, pick in found.get("picks", {}).items():
        parts += [pick_table(stage, pick), ""]
    for stage, curation in found["curations"].items():
        parts += [curation_table(stage, curation), ""]
    for stage, dataset in found["datasets"].items():
        parts += [dataset_lines(stage, dataset), ""]
    for plot in found["plots"]:
        parts.append(Text.assemble(("Plot  ", "bold"), local(plot["uri"])))
    for table in found.get("tables", []):
        if table["kind"] == "table":  # its folder holds the others
            parts.append(Text.assemble(("Table ", "bold"), local(table["uri"])))
    return Group(*parts)


def models_table(run_id: str, models: Mapping[str, Any]) -> Table:
    """A row a model; the best pass@1 of a benchmark in green. Models of several numbers of samples have their k in a column."""
    sizes = {score["conditions"]["samples"] for score in models.values()}
    k = str(*sizes) if len(sizes) == 1 else "k"
    best = {
        problems: max(one["pass_at_1"] for one in models.values() if one["conditions"]["problems"] == problems)
        for problems in {score["conditions"]["problems"] for score in models.values()}
    }
    table = Table(title=run_id, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("model", no_wrap=True)
    weighted = any(score["conditions"].get("reward") for score in models.values())
    if len(sizes) > 1:
        table.add_column("k", justify="right", no_wrap=True)
    for title in ("pass@1", f"pass@{k}", f"Maj@{k}", *([f"weighted\nMaj@{k}"] if weighted else []), "avg tokens", "n"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, score in models.items():
        accuracy = f"{100 * score['pass_at_1']:.1f}% ± {100 * score['stderr']:.1f}"
        table.add_row(
            name,
            *([str(score["conditions"]["samples"])] if len(sizes) > 1 else []),
            Text(accuracy, style="bold green" if score["pass_at_1"] == best[score["conditions"]["problems"]] > 0 else ""),
            f"{100 * score['pass_at_k']:.1f}%",
            share(None if score["conditions"].get("judge") else score["maj_at_k"]),
            *([share(None if score["conditions"].get("judge") else score.get("weighted_maj_at_k"))] if weighted else []),
            f"{score['avg_tokens']:.0f}" if score["avg_tokens"] else "–",
            str(score["n"]),
        )
    return table


def share(value: float | None) -> str:
    """A share in percent; a dash for none."""
    return "–" if value is None else f"{100 * value:.1f}%"


def scores_of(stage: str, found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Figures of the models that an evaluate stage measured, by their names in the recipe.

    `found`: the report of a run, in which a model that several stages measured is NAME@STAGE.
    """
    benchmark, models = found["benchmarks"][stage], found["models"]
    names = benchmark.get("curves") or dict.fromkeys(name.partition("@")[0] for name in models)
    scores = {name: models.get(f"{name}@{stage}") or models.get(name) for name in names}
    return {name: one for name, one in scores.items() if one and one["conditions"]["problems"] == benchmark["benchmark"]}


def notes(found: Mapping[str, Any]) -> list[Text]:
    """What must be known to read the table."""
    lines = []
    for stage, benchmark in found["benchmarks"].items():
        scores = [*scores_of(stage, found).values()]
        if scores and benchmark["comparable"]:
            c = scores[0]["conditions"]
            lines.append(
                f"{stage}: {c['problem_count']} problems of {c['problems']}, {c['samples']} samples each, temperature "
                f"{c['temperature']:g}, at most {c['max_tokens']} tokens, {c['engine']}; ± one standard error"
            )
            if c.get("budget"):
                lines.append(f"{stage}: made to answer after {c['budget']} tokens, with at most {c['answer_tokens']} more")
            if c.get("waits"):
                lines.append(f"{stage}: made to go on {c['waits']} times where the answer would have ended")
            if c.get("judge"):
                lines.append(f"{stage}: judged by {c['judge']}; a majority of verdicts is no answer, so there is no Maj@k")
            if c.get("reward"):
                lines.append(f"{stage}: votes weighted by {c['reward']}, the scores of a sample's lines")
        if not benchmark["comparable"]:
            lines.append(f"{stage}: not comparable: the models were measured under different conditions, or on different problems")
        if benchmark.get("samples_missing"):
            lines.append(f"{stage}: {benchmark['samples_missing']} samples are missing (their items died), and in no figure")
    lines += [
        f"{name}: {score['forced']:.1%} of the samples were made to answer, or to go on"
        for name, score in found["models"].items()
        if score.get("forced")
    ]
    lines += [
        f"{name}: {score['ungraded']} samples could not be graded" for name, score in found["models"].items() if score["ungraded"]
    ]
    lines += [
        f"{name}: its server told no numbers of tokens: what its answers cost is not known"
        for name, score in found["models"].items()
        if not score["avg_tokens"]
    ]
    for name, score in found["models"].items():
        if score.get("unscored"):
            lines.append(f"{name}: {score['unscored']} samples could not be scored, and have no part in the weighted majority")
            if left_out := score["n"] - (score["weighted_n"] or 0):
                lines.append(f"{name}: {left_out} problems have no sample that could be scored, and are not in it")
    return [Text(f"  {line}", style="dim") for line in lines]


def costs_table(costs: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row a stage that bought samples or paid."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("stage", no_wrap=True)
    for title in ("samples", "accepted", "share", "US dollars", "an item", "an accepted sample"):
        table.add_column(title, justify="right", no_wrap=True)
    for stage, one in costs.items():
        share = f"{one['accepted'] / one['samples']:.1%}" if one["samples"] else "–"
        dollars = ["–" if one[key] is None else f"{one[key]:,.4f}" for key in ("cost", "cost_per_item", "cost_per_accepted")]
        table.add_row(stage, f"{one['samples']:,}", f"{one['accepted']:,}", share, *dollars)
    return table


def why_failed(costs: Mapping[str, Mapping[str, Any]]) -> list[Text]:
    """Why samples of a stage were not accepted, where it says so."""
    reasons = [(stage, reason, count) for stage, one in costs.items() for reason, count in one.get("failed", {}).items()]
    return [Text(f"  {stage}: {count:,} times {reason}", style="dim") for stage, reason, count in reasons]


def pick_table(stage: str, pick: Mapping[str, Any]) -> RenderableType:
    """The trainings that were chosen from, the chosen one in green."""
    heading = Text.assemble(("Pick ", "bold"), f"{stage}: {pick['model']}, by pass@1 in {pick['measured']}")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("training", no_wrap=True)
    for title in ("pass@1", "avg tokens"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, (accuracy, stderr, tokens) in sorted(pick["candidates"].items(), key=lambda one: -one[1][0]):
        style = "bold green" if name == pick["model"] else ""
        table.add_row(Text(name, style=style), Text(f"{accuracy:.1%} ± {100 * stderr:.1f}", style=style), f"{tokens:.0f}")
    return Group(heading, table)


def curation_table(stage: str, curation: Mapping[str, Any]) -> RenderableType:
    """How many problems fell to which rule, with one of them."""
    total = max(1, curation["total"])
    heading = Text.assemble(("Curation ", "bold"), f"{stage}: {curation['kept']:,} of {curation['total']:,} problems of ")
    heading.append(f"{curation['source']} kept")
    against = ", ".join(f"{name} ({count:,})" for name, count in curation["benchmarks"].items())
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    for title, justify in (("fell to", "left"), ("problems", "right"), ("share", "right"), ("for example", "left")):
        table.add_column(title, justify=justify, no_wrap=title != "for example")  # type: ignore[arg-type]
    for rule, count in sorted(curation["dropped"].items(), key=lambda one: -one[1]):
        example = curation["examples"][rule][0]
        shown = Text(f"{example['problem_id']}: {example['reason']}", style="dim")
        table.add_row(rule.replace("_", " "), f"{count:,}", f"{count / total:.1%}", shown)
    parts: list[RenderableType] = [heading]
    if against:
        parts.append(Text(f"  looked for in {against}", style="dim"))
    return Group(*parts, *([table] if curation["dropped"] else []))


def dataset_lines(stage: str, dataset: Mapping[str, Any]) -> RenderableType:
    """A dataset's counts, a few figures of its thoughts, and why the rest was passed over."""
    counts = "  ".join(f"{count:,} {name}" for name, count in dataset["counts"].items())
    lines: list[RenderableType] = [Text.assemble(("Dataset  ", "bold"), f"{stage}: {counts or 'empty'}")]
    table = Table.grid(padding=(0, 2))
    for name, figures in dataset["statistics"].items():
        chosen = (
            ("tokens", "tokens"),
            ("lines", "lines"),
            ("words a line", "words a line"),
            ("wrong steps", "wrong steps"),
            ("reflections", "reflections"),
            ("share without wrong turn", "without a wrong turn"),
        )
        shown = [
            f"{100 * figures[key]:.0f}% {words}" if key.startswith("share") else f"{figures[key]:.1f} {words}"
            for key, words in chosen
            if key in figures
        ]
        table.add_row(Text(name, style="cyan"), "  ".join(shown))
    for reason, count in dataset["skipped"].items():
        table.add_row(Text("passed over", style="dim"), Text(f"{count:,}: {reason}", style="dim"))
    if dataset["uri"]:
        table.add_row(Text("files", style="dim"), Text(local(dataset["uri"]), style="dim"))
    lines.append(Padding(table, (0, 0, 0, 2)))
    return Group(*lines)


def export(
    run_id: RunArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; made if missing.")],
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="The trained models, too (large).")] = False,
) -> None:
    """Write a run's datasets, report, plots and records as files."""
    if folder.exists() and not folder.is_dir():
        stop(f"{folder}: is a file, not a folder", REFUSED)
    with gateway() as client, err.status("Exporting ...") as shown:
        client.run(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        found = client.report(run_id)
        for name, body in (("report", found), ("recipe", client.recipe(run_id)), ("status", client.run(run_id))):
            (folder / f"{name}.json").write_text(json.dumps(body, indent=2) + "\n")
        for place in ("plots", "tables"):
            for one in found.get(place, []):
                if one["file"]:
                    client.download_file(run_id, one["file"], folder / place / file_name(one))
        for stage, dataset in found["datasets"].items():
            if dataset["uri"]:
                shown.update(f"Exporting dataset {stage} ...")
                client.download_dataset(run_id, stage, folder / "datasets" / stage)
        shown.update("Exporting records ...")
        counts = write_records(client, run_id, folder / "records")
        if checkpoints:
            export_checkpoints(client, run_id, found["checkpoints"], folder / "checkpoints")
    about = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    say(f"{folder}: report, {len(found['plots'])} plots, {len(found['datasets'])} datasets, records: {about or 'none'}")


def file_name(file: Mapping[str, Any]) -> str:
    """What a file of a report is called where it is exported: `STAGE.png` for its first plot, else `STAGE-NAME`."""
    stage = str(file["stage"])
    return f"{stage}.png" if file.get("kind", "plot") == "plot" else f"{stage}-{str(file['uri']).rpartition('/')[2]}"


def write_records(client: Client, run_id: str, folder: Path) -> dict[str, int]:
    """All records as `STAGE/KIND.jsonl`, one body a line; returns their number by `STAGE/KIND`."""
    files: dict[str, IO[str]] = {}
    counts: dict[str, int] = {}
    try:
        for record in client.records(run_id):
            name = f"{record['stage']}/{record['kind']}"
            if name not in files:
                path = folder / f"{name}.jsonl"
                path.parent.mkdir(parents=True, exist_ok=True)
                files[name] = path.open("w")
            files[name].write(json.dumps(record["body"], ensure_ascii=False) + "\n")
            counts[name] = counts.get(name, 0) + 1
    finally:
        for file in files.values():
            file.close()
    return counts


def export_checkpoints(client: Client, run_id: str, checkpoints: Mapping[str, Any], folder: Path) -> None:
    """The files of the run's trained models, by stage."""
    for file in client.files(run_id):
        for stage, checkpoint in checkpoints.items():
            _, _, inside = checkpoint["uri"].partition(f"/{run_id}/")
            if inside and file["file"].startswith(f"{inside}/"):
                client.download_file(run_id, file["file"], folder / stage / file["file"].removeprefix(f"{inside}/"))
