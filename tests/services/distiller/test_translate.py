"""Translation: mathematics goes out as placeholders and comes back as it was, or the translation is asked for again."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.distiller.formulae import differences, protect, restore
from services.distiller.rewriting import translate
from shared.contracts.stages import TranslateStage
from shared.contracts.thought import Response
from shared.contracts.work import Payload
from shared.engines.client import EngineError
from tests.services.compiler.test_responses import response
from tests.services.distiller.fakes import NONSENSE, MemoryWork, said, taken, teacher_at
from tests.shared.engines.scripted import Reply


@pytest.mark.parametrize(
    ("text", "formulae"),
    [
        ("Tom has 5 boxes of 6 pens, so 5 * 6 = 30 pens.", ["5", "6", "5 * 6 = 30"]),
        ("It costs $5 and $6, so $11.", ["5", "6", "11"]),
        (r"Let $x^2 = 9$; then \(x = 3\) or \[x = -3\] or $$x=4$$.", ["$x^2 = 9$", r"\(x = 3\)", r"\[x = -3\]", "$$x=4$$"]),
        (r"So it is \boxed{\frac{1}{2}}, the answer is 1/2.", [r"\boxed{\frac{1}{2}}", "1/2"]),
        (r"We get \frac{1}{2} of \sqrt[3]{8}.", [r"\frac{1}{2}", r"\sqrt[3]{8}"]),
        ("\\begin{align*}a &= 1\\\\b &= 2\\end{align*} holds", ["\\begin{align*}a &= 1\\\\b &= 2\\end{align*}"]),
        ("(3 + 4) * 2 = 14 (see 7).", ["(3 + 4) * 2 = 14", "7"]),
        ("If x = 3 and 2x + y <= 10.5%, a 1,200-fold gain", ["x = 3", "2x + y <= 10.5%", "1,200"]),
        ("The price rose. I took a walk - a long one.", []),
        ("That makes 30.\nThe answer is 30.", ["30", "The answer is 30."]),
        ("Final answer: $\\frac{3}{4}$", ["Final answer: $\\frac{3}{4}$"]),
        ("Already ⟦1⟧ here ⟦", ["⟦1⟧", "⟦"]),
    ],
)
def test_what_is_mathematics(text, formulae):
    protected = protect(text)
    assert list(protected.formulae) == formulae
    assert restore(protected.text, protected.formulae) == text
    assert not re.search(r"\d", protected.words) and differences(protected, protected.text) == []


_PIECES = st.sampled_from(
    [
        *(
            "$x^2$",
            "$",
            "$$",
            "\\(",
            "\\)",
            "\\[a\\]",
            "\\boxed{1}",
            "\\boxed{",
            "}",
            "5 * 6 = 30",
            "(",
            ")",
            "1,200",
            "3.5%",
            "⟦",
            "⟧",
        ),
        *("⟦2⟧", "The answer is 7.", "\n", " ", "x", "=", "-", "wait", "a", "\\frac{1}{2}", "\\", "{", "²", "٣", "五"),
        *("\\begin{a}", "\\end{a}"),
    ]
)


@given(st.one_of(st.text(), st.lists(_PIECES).map("".join), st.lists(_PIECES).map(" ".join)))
def test_any_text_comes_back_as_it_was(text):
    protected = protect(text)
    assert restore(protected.text, protected.formulae) == text
    assert differences(protected, protected.text) == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize("piece", ["(", "(1+", "1+", ")", "$a ", "$$ ", "\\begin{a} ", "\\frac{", "1", "x = ", "the answer is 5\n"])
def test_a_model_in_a_loop_takes_no_time(piece):
    text = f"1 + 1{piece * 10_000}"
    assert restore(protect(text).text, protect(text).formulae) == text


@given(st.lists(_PIECES).map(" ".join), st.data())
def test_no_loss_of_a_formula_goes_unseen(text, data):
    protected = protect(text)
    if protected.formulae:
        lost = data.draw(st.integers(1, len(protected.formulae)))
        assert f"⟦{lost}⟧ is missing" in differences(protected, protected.text.replace(f"⟦{lost}⟧", ""))


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("⟦2⟧盒⟦1⟧支\n得⟦3⟧", []),
        ("⟦ 1 ⟧ ⟦2⟧\n\n⟦3⟧", []),
        ("⟦1⟧ ⟦1⟧\n⟦3⟧", ["⟦2⟧ is missing", "⟦1⟧ stands there 2 times"]),
        ("⟦1⟧ ⟦2⟧\n⟦3⟧ ⟦4⟧", ["⟦4⟧ is not in the original"]),
        ("⟦1⟧ ⟦2⟧ 7\n⟦3⟧", ["the number 7 is not in the original"]),
        ("⟦1⟧ ⟦3⟧\n⟦2⟧", ["placeholders moved to other lines: keep the lines as they are"]),
        ("⟦1⟧ ⟦2⟧\n⟦3⟧ ⟦", ["a bracket ⟦ or ⟧ is not part of a placeholder"]),
    ],
)
def test_what_a_translation_did(said, wrong):
    assert differences(protect("5 boxes of 6\nthat is 30"), said) == wrong


QUESTION = "How many pens are 5 boxes of 6 pens?"
TEXT = "Each box holds 6 pens, so 5 * 6 = 30.\nThe answer is 30."
CHINESE = {
    "How many pens are ⟦1⟧ boxes of ⟦2⟧ pens?": "⟦1⟧盒每盒⟦2⟧支的钢笔一共有多少支？",
    "Each box holds ⟦1⟧ pens, so ⟦2⟧.\n⟦3⟧": "每盒有⟦1⟧支钢笔，所以⟦2⟧。\n⟦3⟧",
    "Hmm, wait. Is it ⟦1⟧ or ⟦2⟧?": "嗯，等等。是⟦1⟧还是⟦2⟧？",
}


def chinese(prompt):
    return CHINESE[prompt.partition("Text:\n")[2]]


def made(draw=0, verified=True, **more):
    about = {"question": QUESTION, "answer": "30", "extracted": "30", **more}
    return response(draw, verified, TEXT, "pens").model_copy(update=about)


def work_of(teacher, *responses, partials=None, **settings):
    stage = TranslateStage(**{"responses": ("thoughts",), "teacher": "big", "retries": 1, **settings})
    store = {("thoughts", "response"): {one.id: one.model_dump(mode="json") for one in responses}}
    payload = Payload(stage="thoughts", keys=tuple(one.id for one in responses))
    return MemoryWork(stage, teacher, store=store, payload=payload, partials=partials)


async def test_a_response_in_two_languages(server):
    originals = [
        made(0, reasoning="Hmm, wait. Is it 5 + 6 or 5 * 6?"),
        made(1),
        made(2, False),
        made(3, False, grading_error="hung"),
    ]
    result = await translate(work_of(teacher_at(server, chinese), *originals))
    found = [Response.model_validate(record.body) for record in taken(result)[0]]
    assert [one.id for one in found] == [record.key for record in taken(result)[0]]
    assert [one.id for one in found] == ["pens#0", "pens#0@Chinese", "pens#1", "pens#1@Chinese"]
    assert found[0] == originals[0]
    translated = found[1]
    assert translated.question == "5盒每盒6支的钢笔一共有多少支？"
    assert translated.reasoning == "嗯，等等。是5 + 6还是5 * 6？"
    assert translated.text == "每盒有6支钢笔，所以5 * 6 = 30。\nThe answer is 30."
    assert (translated.answer, translated.extracted, translated.verified) == ("30", "30", True)
    assert (translated.model, translated.origin.model, translated.origin.prompt) == ("big", "big", "translate@1")
    assert found[3].reasoning is None
    assert len(server.asked) == 4, "a question is translated once, and nothing that did not verify"
    passed_over = {"did not verify": 1, "its answer cannot be compared": 1}
    assert result.summary == {"responses": 4, "translated": 2, "retries": 0, "passed_over": passed_over}


async def test_translations_alone_under_ids_of_their_stage(server):
    work = work_of(teacher_at(server, chinese), made(), keep_originals=False, responses=("thoughts", "sketches"))
    assert [record.key for record in taken(await translate(work))[0]] == ["thoughts/pens#0@Chinese"]


async def test_a_teacher_is_told_what_it_changed(server):
    server.script = [said("⟦1⟧盒每盒6支的钢笔一共有多少支？")]
    result = await translate(work_of(teacher_at(server, chinese), made()))
    assert result.summary["translated"] == 1 and result.summary["retries"] == 1
    assert "- ⟦2⟧ is missing\n- the number 6 is not in the original" in server.asked[1]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (NONSENSE, "its mathematics changed"),
        ("", "its mathematics changed"),
        ("⟦1⟧ ⟦2⟧", "not translated"),
        ("How many pens are ⟦1⟧ boxes of ⟦2⟧ pens?", "not translated"),
        (said("⟦1⟧", "length"), "cut at max_tokens"),
        (Reply({"error": "too long"}, 400), "the request was refused"),
    ],
)
async def test_a_bad_translation_is_passed_over_and_the_original_stays(server, answer, reason):
    result = await translate(work_of(teacher_at(server, lambda _: answer), made()))
    assert [record.key for record in taken(result)[0]] == ["pens#0"]
    assert result.summary["passed_over"] == {reason: 1}
    assert taken(result)[1] == {reason: 1} and result.summary["translated"] == 0
    assert len(server.asked) == (2 if reason in ("not translated", "its mathematics changed") else 1)


async def test_a_later_attempt_buys_nothing_twice(server):
    partials = {}
    server.script = [said(chinese("Text:\n" + text)) for text in CHINESE if "Hmm" not in text] + [Reply({"error": "key"}, 401)]
    with pytest.raises(EngineError):
        await translate(work_of(teacher_at(server), made(0), made(1), partials=partials))
    assert len(partials) == 2
    result = await translate(work_of(teacher_at(server, chinese), made(0), made(1), partials=partials))
    assert len(server.asked) == 4 and result.summary["translated"] == 2
    again = await translate(work_of(teacher_at(server), made(0), made(1), partials=partials))
    assert len(server.asked) == 4 and again.records == result.records
