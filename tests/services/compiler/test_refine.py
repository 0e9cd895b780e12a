"""Refinement: by template, by a model whose rewrite passes its checks, and what happens to one that does not."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from services.compiler import phrases
from services.compiler.refine import refine
from services.compiler.template import template
from services.compiler.traverse import Piece
from shared.contracts.stages import Refiner
from shared.contracts.thought import Role
from shared.engines.client import Choice, RequestRefused
from tests.services.compiler.fakes import ScriptedEndpoint
from tests.services.compiler.test_checks import DRAFT, GOOD, TREE

LLM = Refiner(kind="llm", model="big", retries=2, min_length=0.1)
LOST = "Step 1: That makes 5 * 6 = 30 pens.\nStep 2: 30 - 12 = 18 pens are left.\nThe answer is 18."


async def run(answer, how=LLM):
    endpoint: Any = ScriptedEndpoint(answer)
    return await refine(TREE.problem, DRAFT, how, endpoint, Random(1)), endpoint.prompts


async def test_without_a_model_the_template_does_it():
    refined = await refine(TREE.problem, DRAFT, Refiner(), None, Random(1))
    assert (refined.refiner, refined.model, refined.prompt) == ("template", None, None)


async def test_a_faithful_rewrite_is_taken():
    refined, prompts = await run(lambda prompt: f"\n{GOOD}\n")
    assert (refined.refiner, refined.model, refined.retries) == ("llm", "fake://refiner", 0)
    assert refined.prompt.startswith("refine@")
    assert "".join(span.text for span in refined.spans) == GOOD
    assert TREE.problem.question in prompts[0] and "(wrong) Step 2: He gives away 12, which leaves 30 - 12 = 22." in prompts[0]


async def test_a_lossy_rewrite_is_asked_for_again_with_the_findings():
    refined, prompts = await run(lambda prompt: GOOD if "rejected" in prompt else LOST)
    assert (refined.refiner, refined.retries, len(prompts)) == ("llm", 1, 2)
    assert 'this wrong step is missing, corrected too early or out of order: "Step 2' in prompts[1]


PLAIN = "\n".join(piece.text for piece in DRAFT)


@pytest.mark.parametrize("answer", [LOST, Choice(GOOD, (), "length"), "", GOOD * 9, PLAIN, f"{PLAIN} "])
async def test_what_stays_lossy_or_cut_falls_back_to_the_template(answer):
    refined, prompts = await run(lambda prompt: answer)
    assert (refined.refiner, refined.model, refined.retries, len(prompts)) == ("template-fallback", None, 2, 3)
    assert [span.node_id for span in refined.spans] == [piece.node_id for piece in DRAFT]


async def test_a_draft_too_long_for_the_model_falls_back_and_a_refused_key_does_not():
    refined, prompts = await run(lambda prompt: RequestRefused(400, "too long"))
    assert (refined.refiner, len(prompts)) == ("template-fallback", 1)
    with pytest.raises(RequestRefused):
        await run(lambda prompt: RequestRefused(401, "bad key"))


PHRASES = {name: ways for name, ways in vars(phrases).items() if name.isupper()}


@pytest.mark.parametrize("name", PHRASES)
def test_there_are_at_least_ten_ways_to_say_each_thing(name):
    assert len(set(PHRASES[name])) == len(PHRASES[name]) >= 10


def test_wait_opens_checks_of_right_steps_too():
    for ways in (phrases.CHECK, phrases.CHECK_BACK, phrases.SLIP, phrases.ANSWER):
        assert any(way.startswith("Wait") for way in ways) and any("Let me" in way for way in ways)
    for ways in (phrases.TO_STEP, phrases.TO_STEP_AGAIN, phrases.TO_START, phrases.TO_LAST):
        assert any(way.startswith("Alternatively") for way in ways)


def pieces_of(reason, node_id=2, back="back to step 1", wrong=("Step 2: 30 - 12 = 22",)):
    trial = [Piece(Role.WRONG_STEP, 2 + place, text) for place, text in enumerate(wrong)]
    first = Piece(Role.STEP, 1, "Step 1: 5 * 6 = 30")
    last = Piece(Role.CONCLUSION, 9, "The answer is 18.")
    return [first, *trial, Piece(Role.REFLECTION, node_id, reason), Piece(Role.BACKTRACK, 1, back), last]


@pytest.mark.parametrize(
    ("pieces", "holds", "lacks"),
    [
        (pieces_of("30 - 12 = 18, not 22"), ("30 - 12", "18", "22"), ()),
        (pieces_of("the answer 22 does not check out"), ("22",), ("The answer",)),
        (pieces_of("the answer 22 is wrong"), ("22",), ("is wrong.",)),
        (pieces_of("the steps lead to 18, not 22"), ("The steps lead to 18, not 22.", "he steps lead to 18, not 22."), ()),
        (pieces_of("Tom keeps 18 pens."), ("Tom keeps 18 pens.",), ("pens..",)),
        (pieces_of("0 of 4 completions from here reach the right answer"), (), ("completions", "of 4")),
        (pieces_of("this step is wrong"), (), ("This step is wrong",)),
        (pieces_of("30 - 12 = 18, not 22", wrong=("Step 2: 30 - 12 = 22", "Step 3: 22 + 1 = 23")), ("tep 2",), ()),
        (pieces_of("30 - 12 = 18, not 22; 3 * 2 = 6, not 5"), ("30 - 12 = 18, not 22; 3 * 2 = 6, not 5.",), ()),
    ],
)
def test_reasons_become_sentences(pieces, holds, lacks):
    seen: Counter[str] = Counter()
    for seed in range(30):
        text = next(span.text for span in template(pieces, Random(seed)) if span.role is Role.REFLECTION)
        seen[text] += 1
        assert text.endswith((". ", "? ")) and text[0].isupper() and "{" not in text
        assert not holds or any(part in text for part in holds), text
        assert not any(part in text for part in lacks), text
    assert len(seen) >= 6, "the words vary"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (PLAIN, "unchanged"),
        (PLAIN.replace("Tom has", "Tom has got"), "unchanged"),
        (GOOD * 9, "its length"),
        (LOST, "the words are missing that go back"),
        (Choice(GOOD, (), "length"), "cut off"),
        (GOOD.replace("The answer is 18.", "The answer is 22."), "another answer"),
    ],
)
async def test_what_was_wrong_with_rewrites_is_counted_by_kind(answer, kind):
    refined, prompts = await run(lambda prompt: answer)
    assert refined.refiner == "template-fallback" and refined.findings[kind] == 3
    assert kind in prompts[1]


@pytest.mark.parametrize(
    ("bounds", "refiner"), [({}, "llm"), ({"max_length": 1.0}, "template-fallback"), ({"min_length": 3.0}, "template-fallback")]
)
async def test_a_rewrites_length_has_bounds(bounds, refiner):
    how = Refiner(kind="llm", model="big", retries=0, **bounds)
    assert (await run(lambda prompt: GOOD, how))[0].refiner == refiner


UNSAID = pieces_of("this step is wrong")
REASON = "Hold on, 30 - 12 cannot be 22."


def asks_why(prompt):
    return "The next steps, which are wrong" in prompt


async def completed(reason, **how):
    endpoint: Any = ScriptedEndpoint(lambda prompt: reason if asks_why(prompt) else "nothing")
    refined = await refine(TREE.problem, UNSAID, Refiner(kind="llm", model="big", retries=0, **how), endpoint, Random(1))
    return refined, [prompt for prompt in endpoint.prompts if asks_why(prompt)]


async def test_a_missing_reflection_is_completed_by_the_model():
    refined, prompts = await completed(REASON)
    assert len(prompts) == 1 and TREE.problem.question in prompts[0]
    assert "So far:\nStep 1: 5 * 6 = 30" in prompts[0] and "which are wrong:\nStep 2: 30 - 12 = 22" in prompts[0]
    assert (refined.refiner, refined.reflections, refined.prompt, refined.model) == (
        "template-fallback",
        1,
        "reflect@1",
        "fake://refiner",
    )
    assert any(REASON.rstrip(".") in span.text for span in refined.spans if span.role is Role.REFLECTION)
    assert [piece.text for piece in refined.pieces if piece.role is Role.REFLECTION] == [REASON]


@pytest.mark.parametrize(
    "reason",
    [
        Choice("Hold on, that", (), "length"),
        "",
        "Wrong! " * 100,
        "It is wrong. The answer is 18.",
        "No: 30 - 12 is 18.",  # gives the answer away
        "No: 30 - 10 = 22.",
        RequestRefused(400, "too long"),
    ],
)
async def test_a_reflection_that_will_not_do_leaves_the_templates_words(reason):
    refined, _ = await completed(reason)
    assert refined.reflections == 0 and refined.model is None
    assert [piece.text for piece in refined.pieces if piece.role is Role.REFLECTION] == ["this step is wrong"]


async def test_reflections_are_asked_for_only_where_none_is_and_if_wanted():
    _, prompts = await run(lambda prompt: GOOD)
    assert not any(map(asks_why, prompts))
    assert (await completed(REASON, reflect=False))[1] == []
