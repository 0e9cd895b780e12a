"""`longthought trace`: where each sentence of a training sample came from: span, node, judgement, model, prompt."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from services.cli.connect import gateway, stop
from services.cli.runs import JsonOption, RunArgument
from services.cli.terminal import REFUSED, out
from services.cli.thoughts import STYLES
from shared.client import Client

KINDS = ("thought", "shortcut", "response", "example", "sample", "pair", "steps")
"""Kinds of record that are samples; where several have the id asked for, the first of these is shown."""
_CHECKPOINT = re.compile(r"\S+/runs/[^/\s]+/([^/\s]+)/\S+")
"""A checkpoint's address; in the table, the stage that made it says enough."""
SAID_BY_REFINER = frozenset({"reflection", "backtrack", "verification"})
"""Roles whose words are the refiner's; the others' are the policy's, which a rewriting model may have put otherwise."""


def trace(
    run_id: RunArgument,
    sample: Annotated[
        str, typer.Argument(metavar="SAMPLE", help="A sample's id, as a dataset's column `id` or a record's key has it.")
    ],
    kind: Annotated[str | None, typer.Option(help=f"Of which kind: {', '.join(KINDS)}.", show_default=False)] = None,
    stage: Annotated[str | None, typer.Option(help="Of which stage.", show_default=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """Show where each sentence of a sample came from: span, node, judgement, model, prompt."""
    with gateway() as client:
        found = [record for record in client.records(run_id, stage, kind, sample) if record["kind"] in KINDS]
        found.sort(key=lambda record: KINDS.index(record["kind"]))
        if not found:
            stop(f"Run {run_id} has no sample `{sample}`: a dataset's column `id` has them, as in `gsm8k-12#0`.", REFUSED)
        lineage = traced(client, run_id, found[0])
    if as_json:
        print(json.dumps(lineage))
        return
    out.print(drawn(lineage))
    for other in found[1:]:
        out.print(Text(f"Also of this id: {other['kind']} of stage {other['stage']} (--kind, --stage).", style="dim"))


def traced(client: Client, run_id: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """All that leads to a sample, as JSON: `sample`, `made_by`, `problem`, `tree` and a row for each span."""
    body = record["body"]
    problem_id = body["problem_id"]
    trees = [one["body"] for one in client.records(run_id, kind="tree", key=problem_id)] if body.get("tree_id") else []
    tree = next((one for one in trees if one["id"] == body["tree_id"]), None)
    return {
        "sample": {"id": body["id"], "kind": record["kind"], "stage": record["stage"], "split": body.get("split")},
        "made_by": _maker(body),
        "problem": {"id": problem_id, "question": body["question"], "answer": body.get("answer")},
        "tree": _tree(tree) if tree else None,
        "tree_missing": body.get("tree_id") if tree is None else None,
        "spans": [_row(span, tree, body) for span in body["spans"]] if "spans" in body else _rows_of_a_whole(body, tree),
    }


def _maker(body: Mapping[str, Any]) -> dict[str, Any]:
    """Who gave the sample its words, beyond the policy's steps."""
    origin = body["origin"]
    if "refiner" in body:
        return {"refiner": body["refiner"], "model": body["refiner_model"], "prompt": body["refiner_prompt"], **_run(origin)}
    return {"model": body.get("model") or origin.get("model"), "prompt": origin.get("prompt"), **_run(origin)}


def _run(origin: Mapping[str, Any]) -> dict[str, Any]:
    return {"run": origin["run_id"], "stage": origin["stage"], "seed": origin.get("seed")}


def _tree(tree: Mapping[str, Any]) -> dict[str, Any]:
    origin = tree["origin"]
    about = {"id": tree["id"], "strategy": tree["strategy"], "reward": tree["reward"], "nodes": len(tree["nodes"])}
    return {**about, "model": origin["model"], "prompt": origin["prompt"], **_run(origin), "source": tree["problem"].get("source")}


def _row(span: Mapping[str, Any], tree: Mapping[str, Any] | None, body: Mapping[str, Any]) -> dict[str, Any]:
    """A span with its node's step and judgement, and who wrote the words."""
    node = tree["nodes"][span["node_id"]] if tree else None
    origin = tree["origin"] if tree else {"model": None, "prompt": None}
    rewritten = body.get("refiner") == "llm"
    ours = span["role"] in SAID_BY_REFINER
    words = [] if ours else [f"{origin['model']} ({origin['prompt']})"]
    if rewritten:
        words.append(f"{body['refiner_model']} ({body['refiner_prompt']})")
    elif ours:
        words.append("template")
    return {
        "role": span["role"],
        "text": span["text"],
        "node": span["node_id"],
        "step": node["text"] if node else None,
        "score": node.get("score") if node else None,
        "verdict": node.get("verdict") if node else None,
        "verified": node.get("verified") if node else None,
        "reason": node.get("reason") if node else None,
        "reward": tree["reward"] if tree else None,
        "words": words,
    }


def _rows_of_a_whole(body: Mapping[str, Any], tree: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A sample without spans: a pair's two sides, labelled steps, or one text of one model."""
    if "chosen" in body:
        sides = (("prefix", body["prefix"], 0), ("chosen", body["chosen"], body["chosen_node"]))
        spans = [*sides, ("rejected", body["rejected"], body["rejected_node"])]
        return [_row({"role": role, "text": text, "node_id": node or 0}, tree, body) for role, text, node in spans if text]
    if "node_ids" in body:
        steps = zip(body["steps"], body["node_ids"], strict=True)
        return [_row({"role": "step", "text": text, "node_id": node}, tree, body) for text, node in steps]
    maker = _maker(body)
    row = {
        "node": None,
        "step": None,
        "score": None,
        "verdict": None,
        "verified": body.get("verified"),
        "reason": None,
        "reward": None,
    }
    words = [f"{maker['model']} ({maker['prompt']})"] if maker["model"] else [f"the problem set ({body['origin']['stage']})"]
    texts = (("reasoning", body.get("reasoning")), ("text", body.get("text", "")))
    return [{"role": role, "text": text, **row, "words": words} for role, text in texts if text]


def drawn(lineage: Mapping[str, Any]) -> RenderableType:
    """The sample's heading, a row a span, and what stands behind them."""
    sample, problem, tree, maker = (lineage[name] for name in ("sample", "problem", "tree", "made_by"))
    heading = Text.assemble((sample["id"], "bold"), f"  {sample['kind']} of stage {sample['stage']}, split {sample['split']}")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", expand=True, pad_edge=False)
    table.add_column("text", ratio=5)
    table.add_column("role", no_wrap=True)
    table.add_column("node", justify="right", no_wrap=True)
    table.add_column("judged", ratio=3)
    table.add_column("words by", ratio=3)
    for row in lineage["spans"]:
        style = STYLES.get(row["role"], "")
        node = "" if row["node"] is None else str(row["node"])
        role = Text(row["role"].replace("_", " "), style=style)
        table.add_row(
            Text(row["text"].rstrip(), style=style),
            role,
            node,
            judged(row),
            Text(_CHECKPOINT.sub(r"checkpoint of \1", ", then ".join(row["words"])), style="dim"),
        )
    lines: list[RenderableType] = ["", heading, Text(problem["question"], style="italic"), table]
    if tree:
        grown = f"Tree {tree['id']}: {tree['strategy']}, reward {tree['reward']}, {tree['nodes']} nodes"
        lines.append(Text(f"{grown}; grown by {tree['model']} with prompt {tree['prompt']}, seed {tree['seed']}.", style="dim"))
    elif lineage["tree_missing"]:
        lines.append(
            Text(f"The tree {lineage['tree_missing']} is no longer in the ledger: nothing is known of its nodes.", style="red")
        )
    prompt = f" with prompt {maker['prompt']}" if maker["prompt"] else ""
    by = maker.get("refiner") or maker["model"] or "no model"
    model = f" ({maker['model']})" if maker.get("refiner") == "llm" else ""
    lines.append(
        Text(f"Made by {by}{model}{prompt}, in run {maker['run']}, stage {maker['stage']}, seed {maker['seed']}.", style="dim")
    )
    return Group(*lines)


def judged(row: Mapping[str, Any]) -> Text:
    """What the reward, or the check of the answer, said of a node."""
    if row["verified"] is not None:
        return Text("answer verified", style="green") if row["verified"] else Text("answer wrong", style="red")
    if row["verdict"] is None and row["score"] is None:
        return Text("")
    score = "" if row["score"] is None else f" {row['score']:.2f}"
    style = {"correct": "green", "incorrect": "red"}.get(row["verdict"] or "", "")
    said = Text(f"{row['verdict'] or ''}{score}".strip(), style=style)
    said.append(f" by {row['reward']}" if row["reward"] else "", style="dim")
    return said.append(f": {row['reason']}" if row["reason"] else "", style="dim")
