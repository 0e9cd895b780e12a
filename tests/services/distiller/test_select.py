"""Selection: which responses are passed over and why, which of a problem's are taken, and under which ids."""

import json

import pytest

from services.distiller import rewriting
from services.distiller.rewriting import select
from services.distiller.select import diverse
from shared.contracts.report import NgramCount, SelectionReport
from shared.contracts.stages import SelectStage
from shared.contracts.thought import Response
from tests.services.compiler.test_responses import response
from tests.services.distiller.fakes import MemoryWork


def work_of(*stages, **settings):
    """Each of `stages` is a list of responses, published by the stages a, b ..."""
    names = "abc"[: len(stages)]
    store = {
        (name, "response"): {one.id: one.model_dump(mode="json") for one in responses}
        for name, responses in zip(names, stages, strict=True)
    }
    return MemoryWork(SelectStage(responses=tuple(names), **settings), store=store)


async def selected(*stages, **settings):
    result = await select(work_of(*stages, **settings))
    *responses, report = result.records
    assert [record.kind for record in responses] == ["response"] * len(responses) and report.kind == "selection"
    found = [Response.model_validate(record.body) for record in responses]
    assert [record.key for record in responses] == [one.id for one in found]
    return found, SelectionReport.model_validate(report.body)


WAITS = [
    response(0, text="Wait, let me\n check. It is 18. WAIT."),
    response(1, text="The waiter brings 18. Awaiting no more."),
    response(2, False, text="Wait, it is 17."),
    response(3, False, text="Wait", finish_reason="length"),
    response(4, False, text="Wait, 18", grading_error="it hung"),
    response(5, text="Wait, let me\n check. It is 18. WAIT."),
    response(6, text="It is 18.", reasoning="Hmm, alternatively 6 + 12."),
]


async def test_n_grams_are_whole_words_of_what_verified():
    found, report = await selected(WAITS, per_problem=5)
    assert found == [WAITS[0], WAITS[6]], "as they were, the origin included"
    assert report.passed_over == {
        "could not be graded": 1, "did not verify": 1, "the same text as another": 1, "too few n-grams": 1, "was cut": 1,
    }  # fmt: skip
    counts = {ngram: count for ngram, count in report.ngrams.items() if count.times}
    once = NgramCount(times=1, responses=1)
    assert counts == {"wait": NgramCount(times=2, responses=1), "let me check": once, "hmm": once, "alternatively": once}
    assert (report.considered, report.chosen, report.problems, report.chosen_from) == (7, 2, 1, {"a": 2})


async def test_n_grams_of_chinese_are_found_within_a_sentence():
    found, report = await selected([response(0, text="等等让我检查一下。18"), response(1, text="是18。")], contains=("让我检查",))
    assert ([one.id for one in found], report.ngrams) == (["p1#0"], {"让我检查": NgramCount(times=1, responses=1)})


@pytest.mark.parametrize(("at_least", "ids"), [(0, ["p1#0", "p1#1", "p1#6"]), (2, ["p1#0", "p1#6"]), (3, ["p1#0"]), (4, [])])
async def test_how_many_are_wanted(at_least, ids):
    found, _ = await selected(WAITS, at_least=at_least, per_problem=9)
    assert [one.id for one in found] == ids


TEXTS = [
    "Wait, we add the six pens to the twelve pens: 18.",
    "Wait, we add the six pens to the twelve pens and get: 18.",
    "Alternatively multiply: three times six is 18. Wait, yes.",
    "Wait: 18.",
]
SAME = [response(draw, text=text, problem=problem) for problem in ("p2", "p1") for draw, text in enumerate(TEXTS)]


@pytest.mark.parametrize(
    ("prefer", "per_problem", "draws"),
    [
        ("first", 1, [0]),
        ("first", 3, [0, 1, 2]),
        ("longest", 2, [1, 2]),
        ("shortest", 2, [3, 0]),
        ("diverse", 1, [0]),
        ("diverse", 2, [0, 2]),
        ("diverse", 9, [0, 1, 2, 3]),
    ],
)
async def test_which_are_preferred(prefer, per_problem, draws):
    found, report = await selected(SAME, prefer=prefer, per_problem=per_problem)
    assert [one.id for one in found] == [f"{problem}#{draw}" for problem in ("p1", "p2") for draw in draws]
    assert report.passed_over == ({"beyond per_problem": 2 * (4 - len(draws))} if len(draws) < 4 else {})


def test_diverse_texts():
    assert diverse(TEXTS, 3) == [0, 2, 3] and diverse(["", ""], 2) == [0, 1] and diverse(["a"], 5) == [0]


async def test_tenth_draws_come_after_second_ones():
    found, _ = await selected([response(draw, text=f"Wait, {draw}") for draw in range(12)], per_problem=3)
    assert [one.draw for one in found] == [0, 1, 2]


async def test_ids_of_two_stages_do_not_clash():
    first = [response(0, text="Wait, a."), response(1, text="Wait, b.")]
    second = [response(0, text="Wait, c."), response(0, text="Wait, d.", problem="p2")]
    found, report = await selected(first, second, per_problem=9)
    assert [one.id for one in found] == ["a/p1#0", "p1#1", "b/p1#0", "p2#0"] and report.chosen_from == {"a": 2, "b": 2}
    assert [one.text for one in found] == ["Wait, a.", "Wait, b.", "Wait, c.", "Wait, d."]
    odd = [*first, first[0].model_copy(update={"id": "a/p1#0", "text": "Wait, e."})]
    found, _ = await selected(odd, second, per_problem=9)
    assert len({one.id for one in found}) == len(found) == 5 and all(one.id[:2] in ("a/", "b/") for one in found)


async def test_a_translation_is_a_problem_of_its_own():
    original = response(0, text="Wait, 18.")
    translated = original.model_copy(update={"id": "p1#0@Chinese", "question": "多少？", "text": "Wait: 18."})
    found, report = await selected([original, translated])
    assert {one.id for one in found} == {"p1#0", "p1#0@Chinese"} and report.problems == 2


async def test_the_same_again_and_a_page_at_a_time(monkeypatch):
    many = [response(draw, text=f"Wait, {draw * 7 % 5}.", problem=f"p{number}") for number in range(30) for draw in range(3)]
    whole = await select(work_of(many, prefer="diverse", per_problem=2))
    monkeypatch.setattr(rewriting, "PAGE", 7)
    paged = await select(work_of(many[::-1], prefer="diverse", per_problem=2))
    assert json.dumps([record.body for record in whole.records]) == json.dumps([record.body for record in paged.records])


async def test_nothing_to_choose_from_is_a_report_too():
    found, report = await selected([])
    assert not found and (report.considered, report.chosen, report.passed_over) == (0, 0, {})
