"""Samples weighed by a process reward model, against a real ledger: what is scored, stored, counted, and asked no second time."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from services.evaluator.tasks import evaluate
from services.evaluator.weighing import Weigher, question_of, reweighed, scoring_of
from shared.artifacts import read_bytes
from shared.contracts.models import ModelSpec
from shared.contracts.problem import Problem
from shared.contracts.recipe import Recipe
from shared.contracts.report import RunReport
from shared.contracts.rewards import Scoring
from shared.contracts.thought import Response
from shared.contracts.work import ModelRef, Payload, Slice
from shared.engines.client import Choice, Completion, EndpointUnreachable, EngineDied, RequestRefused
from shared.engines.prm import FORMATS
from shared.engines.prm.marking import Format, Marked
from shared.engines.prm.scorer import NoScore
from shared.ledger.database import Ledger
from shared.ledger.items import NewItem, claim, commit, item_name
from shared.ledger.opening import open_stage
from shared.ledger.problems import store_set
from shared.ledger.runs import NewStage, close_stage, create_run, move_run
from shared.ledger.setbacks import release
from shared.ledger.tables import RunState, StageState
from shared.work.context import Work
from shared.work.registry import Hopeless
from tests.services.evaluator.fakes import FakeEndpoint, FakeReward, said
from tests.services.evaluator.test_report import response

PROBLEMS: list[dict[str, Any]] = [
    {"id": "sum", "question": "What is 1 + 1?", "answer": "2"},
    {"id": "odd", "question": "What is 2 + 1?", "answer": "3"},
    {"id": "drug", "question": "Which drug?", "choices": ["Iron", "Zinc"], "answer": "B", "grading": {"kind": "letter"}},
]
TEXTS = {
    "What is 1 + 1?": ["Good: 1 + 1 = 2.\n\nThe answer is 2.", "Bad: 1 + 1 = 3.\nThe answer is 3.", "Bad!\nThe answer is 3."],
    "What is 2 + 1?": ["Bad: 4.\nThe answer is 4.", "", "Good: 3.\nThe answer is 3."],
    "Which drug?": ["Good.\nThe answer is (B).", "Good.\nThe answer is (A).", "Bad.\nThe answer is (B)."],
}
"""Plain majorities: 3 (wrong), a tie, B. Weighted ones: 2, 3 and B."""


def score(line: str) -> float:
    return 0.125 if line.startswith("Bad") else 0.75 if line.startswith("Good") else 0.5


def policy() -> FakeEndpoint:
    return FakeEndpoint(lambda question, draw: said(TEXTS[question][draw]))


STAGE = {"kind": "evaluate", "models": ["base"], "problems": "held", "samples": 3, "reward": "scorer"}


@pytest.fixture
def take(ledger: Ledger) -> Callable[..., Work]:
    """Claims an item of a run with a reward, which is played by a fake: `base` or `close`; `problems` are changed at the first."""
    opened: list[str] = []

    def claimed(key: str, policy: Any = None, scorer: Any = None, wise: Any = None, **changes: Any) -> Work:
        models = {
            "base": {"model": "some/base"},
            "scorer": {"model": "some/prm", "prm": "skywork"},
            "wise": {"model": "some/judge"},
        }
        problems = changes.pop("problems", PROBLEMS)
        stage = {**STAGE, **changes}
        recipe = Recipe.model_validate(
            {"name": "w", "models": models, "problems": {"held": {"set": "mixed"}}, "stages": {"measure": stage}}
        )
        if not opened:
            store_set(ledger, "mixed", [Problem.model_validate(body).model_dump(mode="json") for body in problems])
            refs = {name: ModelRef(name=name, spec=ModelSpec.model_validate(spec)) for name, spec in models.items()}
            roles = {"policy": refs["base"], **{role: refs[name] for role, name in recipe.stages["measure"].roles().items()}}
            payloads = {
                "base": Payload(roles=roles, problems=Slice(set="mixed", count=len(problems))),
                "close": Payload(roles={"base": refs["base"]}, close=True),
            }
            items = [NewItem(name, "evaluator", one.model_dump(mode="json")) for name, one in payloads.items()]
            run = create_run(ledger, "w", recipe.model_dump(mode="json"), [NewStage("measure", "evaluate", ())])[0]
            close_stage(ledger, run, "preflight", StageState.DONE)
            move_run(ledger, run, RunState.CHECKING, RunState.RUNNING)
            open_stage(ledger, run, "measure", items)
            opened.append(run)
        lease = claim(ledger, item_name(opened[0], "measure", key), "hands", 60)
        assert lease is not None
        served = {"base": policy, "scorer": scorer, "wise": wise}

        class Serving:
            async def endpoint(self, ref: ModelRef) -> Any:
                return served[ref.name]

        serving: Any = Serving()
        return Work(ledger, lease, recipe, serving, "hands")

    return claimed


def samples_of(result: Any) -> dict[str, Response]:
    return {record.key: Response.model_validate(record.body) for record in result.records if record.kind == "sample"}


async def reported(ledger: Ledger, take: Callable[..., Work], scorer: FakeReward, **changes: Any) -> RunReport:
    work = take("base", policy(), scorer, **changes)
    commit(ledger, work.lease, await evaluate(work))
    [record] = (await evaluate(take("close", **changes))).records
    return RunReport.model_validate(record.body)


async def test_every_line_of_every_sample_is_scored_and_the_lowest_score_is_its_weight(take: Callable[..., Work]) -> None:
    reward = FakeReward(score)
    result = await evaluate(take("base", policy(), reward))
    samples = samples_of(result)
    scorings = {key: one.scoring for key, one in samples.items()}
    assert scorings["base/sum#0"] == Scoring(model="fake://prm", scores=(0.75, 0.5), aggregate="min", weight=0.5)
    assert [one.weight for one in samples.values()] == [0.5, 0.125, 0.125, 0.125, None, 0.5, 0.5, 0.5, 0.125]
    empty = scorings["base/odd#1"]
    assert empty is not None and (empty.scores, empty.error) == ((), "it has no line that could be scored")
    assert result.summary == {"model": "base", "samples": 9, "right": 4, "ungraded": 0, "unscored": 1}
    assert ["<|im_start|>What is 1 + 1?\nGood: 1 + 1 = 2.\nThe answer is 2.\n"] in reward.requests
    assert ["<|im_start|>Which drug?\nA. Iron\nB. Zinc\nBad.\nThe answer is (B).\n"] in reward.requests
    assert len(reward.requests) == 8  # one a sample: what is wrong with one touches no other


async def test_the_report_has_the_weighted_majority_beside_the_plain_one(ledger: Ledger, take: Callable[..., Work]) -> None:
    report = await reported(ledger, take, FakeReward(score))
    base = report.models["base"]
    assert (base.maj_at_k, base.weighted_maj_at_k) == (pytest.approx(0.5), 1.0)
    assert (base.weighted_n, base.unscored, base.conditions.reward) == (3, 1, "fake://prm (min)")
    last = report.curves["base"][-1]
    assert (last.kind, last.k, last.budget, last.accuracy) == ("weighted", 3, 1536, 1.0)
    table = read_bytes(str(report.table)).decode()
    assert "| Maj@3 | weighted Maj@3 | avg. tokens |" in table and "| 50.0 | 100.0 |" in table
    assert "reward fake://prm (min)." in table and "vote counts as much as the reward scores its lines" in table
    assert "**base: 1 samples could not be scored** and have no part in the weighted majority." in table
    assert b"& Maj@3 & weighted Maj@3 &" in read_bytes(str(report.table_latex))
    assert "| weighted Maj@2 | 10 | 72.2 [" in read_bytes(str(report.curves_table)).decode()
    rows = json.loads(read_bytes(str(report.curves_vega)))["data"]["values"]
    assert [row["k"] for row in rows if row["kind"] == "weighted"] == [1, 2, 3]
    assert read_bytes(str(report.curves_plot)).startswith(b"\x89PNG")


async def test_without_a_reward_nothing_is_said_of_one(ledger: Ledger, take: Callable[..., Work]) -> None:
    report = await reported(ledger, take, FakeReward(score), reward=None)
    base = report.models["base"]
    assert (base.weighted_maj_at_k, base.weighted_n, base.unscored, base.conditions.reward) == (None, None, 0, "")
    assert {point.kind for point in report.curves["base"]} == {"cut", "majority"}
    for file in (report.table, report.table_latex, report.curves_table, report.curves_latex, report.curves_vega):
        text = read_bytes(str(file)).decode()
        assert "weighted" not in text.lower() and "reward" not in text


@pytest.mark.parametrize(
    ("how", "weights"), [("last", (0.5, 0.5)), ("mean", (0.625, 0.3125)), ("product", (0.375, 0.0625)), (None, (0.5, 0.125))]
)
async def test_how_scores_become_a_weight_is_the_recipes(
    ledger: Ledger, take: Callable[..., Work], how: str | None, weights: tuple[float, float]
) -> None:
    work = take("base", policy(), FakeReward(score), reward_aggregate=how)
    samples = samples_of(await evaluate(work))
    assert (samples["base/sum#0"].weight, samples["base/sum#1"].weight) == weights


async def test_a_problem_of_which_nothing_could_be_scored_is_left_out_and_told(ledger: Ledger, take: Callable[..., Work]) -> None:
    reward = FakeReward(score)
    reward.away = lambda text: RequestRefused(400, "too long") if "2 + 1" in text else None
    report = await reported(ledger, take, reward)
    base = report.models["base"]
    assert (base.n, base.weighted_n, base.unscored, base.weighted_maj_at_k) == (3, 2, 3, 1.0)
    table = read_bytes(str(report.table)).decode()
    assert "**base: 3 samples could not be scored** and have no part in the weighted majority; 1 problems have no other" in table


async def test_where_nothing_at_all_could_be_scored_there_is_no_figure(ledger: Ledger, take: Callable[..., Work]) -> None:
    report = await reported(ledger, take, FakeReward(score, window=5))
    base = report.models["base"]
    assert (base.weighted_maj_at_k, base.weighted_n, base.unscored) == (None, 0, 9)
    assert "| 50.0 | – |" in read_bytes(str(report.table)).decode()


FACT = {"id": "fact", "question": "Who painted it?", "answer": "Kahlo", "grading": {"kind": "judge", "rubric": "facts"}}


class Wise(FakeEndpoint):
    """A judge to whom all is correct."""

    guides = False

    def __init__(self) -> None:
        super().__init__(lambda question, draw: said('{"reason": "So it is.", "verdict": "correct"}'))

    async def chat(self, messages: Any, *, n: int = 1, sampling: Any, form: Any = None) -> Completion:  # type: ignore[override]
        return await super().chat(messages, n=n, sampling=sampling)


async def test_a_reward_that_is_away_costs_no_answer_and_no_judgement_twice(ledger: Ledger, take: Callable[..., Work]) -> None:
    def painter(question: str, draw: int) -> Choice:
        return said("Kahlo did." if "painted" in question else TEXTS[question][draw])

    reward, problems = FakeReward(score), [*PROBLEMS, FACT]
    reward.away = lambda text: EndpointUnreachable("nobody there") if "1 + 1" in text or "Kahlo" in text else None
    wise = Wise()
    work = take("base", FakeEndpoint(painter), reward, wise, problems=problems, judge="wise")
    with pytest.raises(EndpointUnreachable, match="nobody there"):
        await evaluate(work)
    release(ledger, work.lease)
    base, again, silent = FakeEndpoint(painter), FakeReward(score), Wise()
    result = await evaluate(take("base", base, again, silent, judge="wise"))
    assert (len(wise.asked), base.asked, silent.asked) == (3, [], [])
    assert {text.splitlines()[0] for [text] in again.requests} == {
        f"<|im_start|>{PROBLEMS[0]['question']}",
        f"<|im_start|>{FACT['question']}",
    }
    samples = samples_of(result)
    assert len(samples) == 12 and all(one.scoring is not None for one in samples.values())
    assert (samples["base/fact#0"].extracted, samples["base/fact#0"].weight) == ("correct", 0.5)


async def test_what_a_sample_lacks_is_its_own_error() -> None:
    problem = Problem.model_validate(PROBLEMS[0])
    samples = [response("m", "sum", draw, text=text) for draw, text in enumerate(["Good.", "Good. " * 40, " \n", "Bad."])]
    reward: Any = FakeReward(score, window=60)
    reward.away = lambda text: RequestRefused(400, "against the rules") if "Bad" in text else None
    weighed = await Weigher(reward, "min").weigh(problem, samples)
    assert [one.weight for one in weighed] == [0.75, None, None, None]
    assert [one.scoring.error for one in weighed if one.scoring and one.scoring.error] == [
        "256 tokens are more than the 60 that fake://prm reads",
        "it has no line that could be scored",
        "fake://prm refused to score it: against the rules (HTTP 400)",
    ]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (EndpointUnreachable("nobody there"), EndpointUnreachable),
        (EngineDied("gone"), EngineDied),
        (RequestRefused(401, "bad key"), Hopeless),
    ],
)
async def test_a_reward_that_does_not_answer_is_no_error_of_a_sample(
    take: Callable[..., Work], error: Exception, raised: type[Exception]
) -> None:
    reward = FakeReward(score)
    reward.away = lambda text: error
    with pytest.raises(raised):
        await evaluate(take("base", policy(), reward))


async def test_another_number_of_scores_than_of_lines_fails_hard(
    take: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FORMATS["skywork"]

    async def forgetful(*arguments: Any) -> Marked:
        marked = await whole.mark(*arguments)
        return Marked(marked.ids, marked.positions[1:])

    monkeypatch.setitem(FORMATS, "skywork", Format("skywork", forgetful, labels=1, read=whole.read))
    with pytest.raises(NoScore, match=r"fake://prm \(prm: skywork\): 1 scores for 2 steps"):
        await evaluate(take("base", policy(), FakeReward(score)))


async def test_a_score_that_is_no_number_fails_hard(take: Callable[..., Work]) -> None:
    with pytest.raises(NoScore, match="no score"):
        await evaluate(take("base", policy(), FakeReward(lambda line: float("nan"))))


def test_a_product_too_small_for_a_number_is_an_error_and_not_a_weight_of_0() -> None:
    tiny = scoring_of([0.01] * 200, "product", "prm")
    assert tiny.weight is None and tiny.error == "the product of its 200 scores is too small for a number, though none of them is 0"
    assert scoring_of([0.5, 0.0], "product", "prm").weight == 0
    again = reweighed(response("m", "p", 0, scoring=tiny), "mean")
    assert again.weight == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("how", "weight"), [(None, 0.2), ("min", 0.2), ("last", 0.9), ("mean", pytest.approx(0.55)), ("product", pytest.approx(0.18))]
)
def test_stored_scores_are_weighed_anew_without_a_model(how: Any, weight: float) -> None:
    sample = response("m", "p", 0, scoring=scoring_of([0.2, 0.9], "min", "prm"))
    again = reweighed(sample, how)
    assert again.weight == weight
    assert again.scoring is not None and (again.scoring.scores, again.scoring.model) == ((0.2, 0.9), "prm")
    assert again.model_copy(update={"scoring": None}) == sample.model_copy(update={"scoring": None})


def test_what_was_not_scored_stays_so() -> None:
    unscored = response("m", "p", 0, scoring=Scoring(model="prm", aggregate="min", error="too long"))
    for sample in (response("m", "p", 0), unscored):
        assert reweighed(sample, "mean") == sample


def test_the_question_is_read_with_its_choices() -> None:
    assert question_of(Problem.model_validate(PROBLEMS[0])) == "What is 1 + 1?"
    assert question_of(Problem.model_validate(PROBLEMS[2])) == "Which drug?\nA. Iron\nB. Zinc"


@pytest.mark.parametrize(
    "wrong",
    [{}, {"weight": 0.5}, {"scores": (0.5,)}, {"scores": (0.5,), "weight": 0.5, "error": "e"}, {"scores": (2,), "error": "e"}],
)
def test_a_scoring_has_a_weight_or_says_why_not(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Scoring.model_validate({"model": "prm", "aggregate": "min", **wrong})
