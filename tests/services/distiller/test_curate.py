"""Curation: benchmarks and duplicates found whatever their spelling, the order of rules, and the handler's records."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.distiller.contamination import Benchmarks
from services.distiller.curate import curate, pass_rates
from services.distiller.duplicates import Seen
from services.distiller.tasks import curate_problems
from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from shared.contracts.recipe import Recipe
from shared.contracts.report import CurationReport
from shared.contracts.stages import CurateStage
from shared.contracts.stages.data import Decontamination
from shared.problems.generate import generate
from tests.services.compiler.test_responses import response

STORY = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
ROOT = r"If $\dfrac{3}{4}x = 1{,}000\,$, what is $x$?"
PHRASE = "Express your answer as a common fraction in lowest terms."


def problem(question, place=0):
    return Problem(id=f"p{place}", question=question, answer="7")


def index(*questions, **settings):
    benchmarks = Benchmarks(Decontamination(against=("test",), **settings))
    assert benchmarks.add("test", [problem(question, place) for place, question in enumerate(questions)]) == len(questions)
    return benchmarks


@pytest.mark.parametrize(
    "question",
    [
        STORY,
        STORY.upper(),
        STORY.replace(" ", "\n").replace(",", " ;"),
        f"Here is a story. {STORY} Think well before you answer it, and show all of your steps.",
        STORY.replace("Natalia", "Nora").replace("clips", "pins"),
        ROOT,
        r"if $\tfrac{3}{4}x=1000$, what is $x$",
        "If $\\frac{3}{4}x = 1,000$ , what is  $x$ ?",
        "If $\\frac{3}{4}x = 1000$, what's $x$?",
    ],
)
def test_a_benchmark_problem_is_found_however_it_is_spelt(question):
    assert "test p" in str(index(STORY, ROOT).find(problem(question)))


@pytest.mark.parametrize(("share", "found"), [(0.3, True), (0.5, False)])
def test_shorter_runs_count_by_their_share(share, found):
    reworded = STORY.replace("and then she", "and she").replace("clips did", "clips will")  # 8 of its 20 runs of 8 words are left
    reason = index(STORY, ROOT, share=share).find(problem(reworded))
    assert (reason is not None and "runs of 8 words are those of test p0" in reason) == found


@pytest.mark.parametrize(
    "question",
    [
        "Natalia sold clips to 48 of her friends in June. How much did she earn?",
        f"What is three quarters of twelve? {PHRASE}",
        ROOT.replace("1{,}000", "2{,}000"),
        "If 3/4 of a cake is eaten, how much is left?",
        "How many clips are there?",
    ],
)
def test_another_problem_is_not(question):
    assert index(STORY, ROOT, f"What is one half of one third of {{}}? {PHRASE}").find(problem(question)) is None


@given(st.sampled_from([STORY, ROOT]), st.data())
def test_spelling_hides_nothing(question, data):
    """Any change of case and of the white space between words."""
    pieces = question.split(" ")
    spaces = [data.draw(st.sampled_from([" ", "  ", "\n", "\t "])) for _ in pieces]
    upper = data.draw(st.booleans())
    spelt = "".join(f"{piece}{space}" for piece, space in zip(pieces, spaces, strict=True))
    spelt = spelt.title() if upper and "\\" not in spelt else spelt
    assert index(STORY, ROOT).find(problem(spelt)) is not None


def test_of_near_duplicates_the_first_stays_and_other_numbers_are_other_problems():
    seen = Seen(0.8)
    assert seen.duplicate_of(problem(STORY, 0)) is None
    assert seen.duplicate_of(problem(STORY.replace("48", "52"), 1)) is None
    assert seen.duplicate_of(problem(STORY.replace("altogether", "in all"), 2)) is None, "less alike than 0.8"
    assert seen.duplicate_of(problem(f"{STORY} Think!", 3)) == "96% alike p0"
    assert seen.duplicate_of(problem("What is 5 + 6?", 4)) is None
    assert seen.duplicate_of(problem("what is 5+6", 5)) == "100% alike p4"


def test_problems_of_one_template_are_no_duplicates():
    seen = Seen(0.8)
    assert not [one.id for one in generate("arithmetic", seed=0, skip=0, count=300) if seen.duplicate_of(one)]


STAGE = CurateStage(problems="train", near_duplicates=0.8, count=2)
PROBLEMS = [
    problem("In the diagram, what is $x$?", 0),
    problem(STORY, 1),
    problem("Tom has 3 pens and buys 4 more. How many pens does Tom have now?", 2),
    problem("Tom has 3 pens, and buys 4 more. How many pens does Tom have now?", 3),
    problem("Ann reads 5 pages a day. How many pages does she read in 2 weeks?", 4),
    problem("Jo runs 6 miles a week. How many miles does she run in a year of 50 weeks?", 5),
]


def test_a_problem_falls_to_the_first_rule_and_the_report_shows_examples():
    found = curate(PROBLEMS, STAGE, index(STORY), None)
    assert list(found.kept) == [2, 4]
    assert found.counts() == {"image": 1, "contamination": 1, "near_duplicate": 1, "count": 1}
    assert found.examples()["near_duplicate"][0].problem_id == "p3"


@pytest.mark.parametrize(
    ("rate", "rule"), [(None, "not_measured"), (0.0, "too_hard"), (0.1, None), (0.5, None), (0.9, None), (1.0, "too_easy")]
)
def test_the_band_of_difficulty(rate, rule):
    stage = CurateStage(problems="train", difficulty={"measured": "before"})
    found = curate(PROBLEMS[2:3], stage, None, {} if rate is None else {"p2": rate})
    assert [fallen.rule for fallen in found.dropped.values()] == ([rule] if rule else [])


def test_pass_rates_are_of_what_could_be_graded():
    samples = [response(0), response(1, False), response(2, False, grading_error="it hung"), response(3, model="other")]
    assert pass_rates(samples, "big") == {"p1": 0.5}


async def test_the_handlers_records():
    recipe = Recipe.model_validate(
        {
            "name": "tiny",
            "problems": {"train": {"set": "sums"}, "test": {"set": "held"}},
            "stages": {"kept": {"kind": "curate", "problems": "train", "decontaminate": {"against": ["test"]}}},
        }
    )

    async def problems():
        return PROBLEMS

    async def source(name):
        assert name == "test"
        return [problem(STORY, 9)]

    async def asked(name):
        return "sums", len(PROBLEMS)

    origin = Origin(run_id="r1", stage="kept")
    work = SimpleNamespace(
        recipe=recipe, stage=recipe.stages["kept"], problems=problems, source=source, asked=asked, origin=lambda: origin
    )
    result = await curate_problems(work)
    by_kind: dict[str, list] = {}
    for record in result.records:
        by_kind.setdefault(record.kind, []).append(record)
    assert [record.key for record in by_kind["problem"]] == ["00000002", "00000004", "00000005"]
    assert [Problem.model_validate(record.body).id for record in by_kind["problem"]] == ["p2", "p4", "p5"]
    assert [record.key for record in by_kind["dropped"]] == ["00000000", "00000001", "00000003"]
    report = CurationReport.model_validate(by_kind["curation"][0].body)
    assert (report.total, report.kept, report.benchmarks, report.source) == (6, 3, {"test": 1}, "sums")
    assert report.total == report.kept + sum(report.dropped.values())
