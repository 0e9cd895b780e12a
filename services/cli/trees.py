"""Trees at the terminal: what each search of a run cost and found, and one tree drawn."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from services.cli.connect import gateway, stop
from services.cli.runs import JsonOption, RunArgument
from services.cli.terminal import REFUSED, out

GREEN, RED, DIM = "green", "red", "dim"


def trees(
    run_id: RunArgument,
    problem: Annotated[str | None, typer.Argument(help="Draw the trees of this problem.", show_default=False)] = None,
    stage: Annotated[str | None, typer.Option(help="Only this search stage.", show_default=False)] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each search of a run cost and found; with PROBLEM, draw its trees."""
    with gateway() as client:
        found = [(record["stage"], record["body"]) for record in client.records(run_id, stage, "tree", problem)]
    if not found:
        asked = "".join([f" of problem {problem}" if problem else "", f" in stage {stage}" if stage else ""])
        stop(f"Run {run_id} has no tree{asked} yet: `longthought status {run_id}` shows its stages.", REFUSED)
    if problem:
        for name, body in found:
            print(json.dumps(body)) if as_json else out.print(drawn(name, body), "")
        return
    costs = {name: cost([body for one, body in found if one == name]) for name in dict.fromkeys(name for name, _ in found)}
    if as_json:
        print(json.dumps(costs))
    else:
        out.print("", costs_table(run_id, costs))


def cost(bodies: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the trees of one stage took and hold: counts, and tokens as they were paid for and as they are in the trees."""
    total: Counter[str] = Counter()
    name = ""
    for body in bodies:
        name = body["strategy"]
        finals = [node for node in body["nodes"] if node.get("final")]
        right = sum(node["verified"] for node in finals)
        total += Counter(
            trees=1,
            solved=int(right > 0),
            steps=len(body["nodes"]) - 1,
            verified=right,
            wrong=len(finals) - right,
            remarks=len(body.get("remarks", ())),
            paid=body["cost"]["completion_tokens"],
            kept=sum(node.get("tokens", 0) for node in body["nodes"]),
            reward=body["cost"].get("reward_tokens", 0),
            requests=body["cost"]["requests"],
        )
    counted = {key: total[key] for key in ("trees", "solved", "steps", "verified", "wrong", "remarks", "requests")}
    return {
        "strategy": name,
        **counted,
        "completion_tokens": total["paid"],
        "tree_tokens": total["kept"],
        "reward_tokens": total["reward"],
        "tokens_per_tree": total["paid"] / total["trees"],
        "verified_per_1000_tokens": 1000 * total["verified"] / total["paid"] if total["paid"] else 0.0,
    }


def costs_table(run_id: str, costs: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row a search stage."""
    table = Table(title=run_id, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("stage", no_wrap=True)
    table.add_column("strategy", no_wrap=True)
    for title in ("trees", "solved", "steps", "right leaves", "wrong leaves", "tokens/tree", "in the tree", "right/1,000 tokens"):
        table.add_column(title, justify="right")
    for name, one in costs.items():
        in_tree = one["tree_tokens"] / one["completion_tokens"] if one["completion_tokens"] else 0.0
        table.add_row(
            name,
            one["strategy"],
            str(one["trees"]),
            f"{one['solved'] / one['trees']:.0%}",
            f"{one['steps'] / one['trees']:.1f}",
            Text(str(one["verified"]), style=GREEN),
            Text(str(one["wrong"]), style=RED),
            f"{one['tokens_per_tree']:.0f}",
            f"{in_tree:.0%}",
            f"{one['verified_per_1000_tokens']:.2f}",
        )
    return table


def drawn(stage: str, body: Mapping[str, Any]) -> Group:
    """One tree as text: right steps green, wrong ones red, pruned ones dim; what was said of a node below it."""
    said: dict[int, list[Mapping[str, Any]]] = {}
    for remark in body.get("remarks", ()):
        said.setdefault(remark["node"], []).append(remark)
    heading = Text.assemble((f"{stage} · {body['strategy']} · {body['reward']}", "bold"), f"   answer {body['problem']['answer']}")
    root = Tree(Text(body["problem"]["question"], style="italic"), guide_style=DIM)
    branches = {0: root}
    for node in body["nodes"]:
        if node["parent"] is not None:
            branches[node["id"]] = branches[node["parent"]].add(label(node))
        for remark in said.get(node["id"], ()):
            to = f" to step {body['nodes'][remark['to']]['depth']}" if remark.get("to") is not None else ""
            branches[node["id"]].add(Text(f"[{remark['kind']}{to}] {remark['text']}", style="yellow"))
    return Group("", heading, root)


def label(node: Mapping[str, Any]) -> Text:
    """A node in a line: mark, text, and what is known of it."""
    wrong = node.get("verified") is False or node.get("verdict") == "incorrect"
    right = node.get("verified") is True or (node.get("verdict") == "correct" and not wrong)
    mark, style = ("✗", RED) if wrong else ("✓", GREEN) if right else ("·", "")
    known = []
    if node.get("multiplicity", 1) > 1:
        known.append(f"×{node['multiplicity']}")
    if node.get("visits"):
        known.append(f"{node['visits']} visits, value {node['value']:.2f}")
    elif node.get("score") is not None:
        known.append(f"{node['score']:.2f}")
    if wrong and node.get("reason"):
        known.append(node["reason"])
    if node.get("ended"):
        known.append(node["ended"].replace("_", " "))
    if not node.get("kept", True) and not wrong:
        known.append("pruned")
    line = Text.assemble((f"{mark} ", style), (node["text"], style if node.get("kept", True) or wrong else DIM))
    return line.append(f"  ({'; '.join(known)})", style=DIM) if known else line
