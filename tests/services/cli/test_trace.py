"""`longthought trace`: every span leads back to its node, judgement, model and prompt."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli.main import app
from services.compiler.compile import compile_trees, thought_of
from services.compiler.refine import Refined
from services.compiler.template import template
from shared.contracts.stages import CompileStage
from shared.contracts.thought import Response
from tests.services.cli.fake_gateway import fake_gateway
from tests.services.compiler.growing import ORIGIN, PENS, build

TREE = build(PENS)
STAGE = CompileStage(trees="search", clean_share=0, trial_share=1, verify_share=0)


def records(rewritten: bool = False) -> list[dict[str, Any]]:
    """A thought and its shortcut and pair, as the compiler leaves them, and their tree."""
    compiled = compile_trees([TREE], STAGE, 0, ORIGIN)
    (draft,) = compiled.drafts
    spans = template(draft.pieces, draft.words)
    how = Refined(spans, "llm", draft.pieces, "refine@1", "big") if rewritten else Refined(spans, "template", draft.pieces)
    found = [("thought", thought_of(draft, how, STAGE, ORIGIN)), ("shortcut", compiled.shortcuts[0]), ("pair", compiled.pairs[0])]
    rows = [{"stage": "set", "kind": kind, "key": one.id, "body": one.model_dump(mode="json")} for kind, one in found]
    return [*rows, {"stage": "search", "kind": "tree", "key": TREE.problem.id, "body": TREE.model_dump(mode="json")}]


def longthought(found: list[dict[str, Any]], *arguments: str) -> Result:
    answers: list[Any] = []
    wanted = [row for row in found if row["kind"] != "tree"]
    trees = [row for row in found if row["kind"] == "tree"]
    for rows in (wanted, trees):
        answers.append((200, {"records": rows, "next": None}))
    with fake_gateway({"GET /v1/runs/r1/records": answers}) as gateway:
        env = {"LONGTHOUGHT_URL": gateway.url, "LONGTHOUGHT_API_KEY": "k", "COLUMNS": "180"}
        return CliRunner().invoke(app, ["trace", "r1", *arguments], env=env)


@pytest.mark.parametrize("rewritten", [False, True])
def test_every_span_leads_to_its_node_and_whoever_wrote_it(rewritten: bool) -> None:
    result = longthought(records(rewritten), "pens-1#0", "--json")
    assert result.exit_code == 0, result.output
    lineage = json.loads(result.stdout)
    assert lineage["tree"]["model"] == "policy" and lineage["tree"]["reward"] == "arithmetic"
    assert {row["role"] for row in lineage["spans"]} >= {"step", "wrong_step", "reflection", "backtrack", "conclusion"}
    for row in lineage["spans"]:
        node = TREE.nodes[row["node"]]
        assert (row["step"], row["score"], row["reason"]) == (node.text, node.score, node.reason)
        by_policy = row["role"] in ("step", "wrong_step", "conclusion")
        assert ("policy (solve@1)" in row["words"]) == by_policy
        assert ("big (refine@1)" in row["words"]) == rewritten
        assert ("template" in row["words"]) == (not by_policy and not rewritten)


def test_what_is_drawn_names_judgements_and_prompts() -> None:
    result = longthought(records(), "pens-1#0")
    assert result.exit_code == 0, result.output
    for words in (
        "wrong step",
        "incorrect 0.00 by arithmetic",
        "answer verified",
        "grown by policy with prompt solve@1",
        "template",
    ):
        assert words in result.stdout
    assert "Also of this id: shortcut of stage set" in result.stdout


def test_a_pair_shows_its_two_sides() -> None:
    result = longthought([row for row in records() if row["kind"] in ("pair", "tree")], "pair", "--json")
    lineage = json.loads(result.stdout)
    assert [row["role"] for row in lineage["spans"]][-2:] == ["chosen", "rejected"]


def test_a_teachers_response_names_its_model_and_prompt() -> None:
    origin = ORIGIN.model_copy(update={"stage": "taught", "model": "big", "prompt": "solve@1"})
    response = Response(
        id="p#0", problem_id="p", question="?", answer="1", origin=origin, text="It is 1.", reasoning="Hmm.", model="big",
        finish_reason="stop", verified=True, prompt_tokens=1, completion_tokens=2,
    )  # fmt: skip
    rows = [{"stage": "taught", "kind": "response", "key": "p#0", "body": response.model_dump(mode="json")}]
    lineage = json.loads(longthought(rows, "p#0", "--json").stdout)
    assert [(row["role"], row["words"]) for row in lineage["spans"]] == [
        (role, ["big (solve@1)"]) for role in ("reasoning", "text")
    ]


def test_a_pruned_tree_is_said_to_be_gone() -> None:
    result = longthought([row for row in records() if row["kind"] != "tree"], "pens-1#0")
    assert result.exit_code == 0
    assert "is no longer in the ledger" in result.stdout


def test_an_unknown_sample_is_refused_in_words() -> None:
    result = longthought([], "nothing#0")
    assert result.exit_code == 2
    assert "no sample `nothing#0`" in result.stderr
