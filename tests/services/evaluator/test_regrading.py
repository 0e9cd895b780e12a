"""Stored samples graded anew, against a real ledger, with no engine to be had: verdicts, what changed, the report."""

from collections.abc import Callable
from typing import Any

import pytest

from services.evaluator import sampling
from services.evaluator.tasks import evaluate
from services.evaluator.weighing import scoring_of
from shared.answers.verify import GradingError
from shared.answers.version import GRADER
from shared.artifacts import read_bytes
from shared.contracts.base import Origin
from shared.contracts.grading import Judgement, Rubric
from shared.contracts.recipe import Recipe
from shared.contracts.regraded import Regraded
from shared.contracts.report import RunReport
from shared.contracts.thought import Response
from shared.contracts.work import Payload
from shared.ledger.database import Ledger
from shared.ledger.items import NewItem, NewRecord, Result, claim, commit, item_name
from shared.ledger.opening import open_stage
from shared.ledger.problems import store_set
from shared.ledger.runs import NewStage, close_stage, create_run, delete_run, move_run
from shared.ledger.tables import RunState, StageState
from shared.work.context import Work
from shared.work.registry import Hopeless

Open = Callable[..., Callable[[str], Work]]
STAGE = {"kind": "evaluate", "problems": "held"}
EARLIER = {
    "name": "earlier",
    "seed": 11,
    "models": {"base": {"model": "some/base"}, "tuned": {"model": "some/tuned"}},
    "problems": {"held": {"set": "sums", "skip": 1, "count": 2}},
    "stages": {
        "measure": {**STAGE, "models": ["base", "tuned"], "samples": 2, "sampling": {"temperature": 0.3, "max_tokens": 99}},
    },
}


def sample(model: str, number: int, draw: int, text: str, verified: bool, **fields: Any) -> Response:
    return Response(
        id=f"{model}/p{number}#{draw}", problem_id=f"p{number}", question=f"What is {number} + 1?", answer=str(number + 1),
        split="test", origin=Origin(run_id="r", stage="measure", model=f"uri/{model}", prompt="solve@1", seed=5), text=text,
        model=model, draw=draw, finish_reason="stop", extracted="?", verified=verified, prompt_tokens=9,
        completion_tokens=20 + draw, **fields,
    )  # fmt: skip


SAMPLES = [
    sample("base", 1, 0, "The answer is 2.", verified=False),  # the old grader was wrong
    sample("base", 1, 1, "The answer is 7.", verified=True),  # and here, too
    sample("base", 2, 0, "The answer is 3.", verified=True),
    sample("base", 2, 1, "I cannot say.", verified=False, grading_error="took more than 5.0 s"),
    sample("tuned", 1, 0, "The answer is 2.", verified=True),
    sample("tuned", 1, 1, "The answer is 2.", verified=True),
    sample("tuned", 2, 0, "The answer is 3.", verified=False),
    sample("tuned", 2, 1, "The answer is 3.", verified=False),
]


@pytest.fixture
def opened(ledger: Ledger) -> Open:
    """Makes a run whose stage `measure` has some items; returns what claims one by its key, with no engine to be had."""

    def opened(recipe: dict[str, Any], items: list[NewItem]) -> Callable[[str], Work]:
        parsed = Recipe.model_validate(recipe)
        run = create_run(ledger, parsed.name, parsed.model_dump(mode="json"), [NewStage("measure", "evaluate", ())])[0]
        close_stage(ledger, run, "preflight", StageState.DONE)
        move_run(ledger, run, RunState.CHECKING, RunState.RUNNING)
        open_stage(ledger, run, "measure", items)

        def claimed(key: str) -> Work:
            lease = claim(ledger, item_name(run, "measure", key), "hands", 60)
            assert lease is not None
            serving: Any = None
            return Work(ledger, lease, parsed, serving, "hands")

        return claimed

    return opened


@pytest.fixture
def earlier(ledger: Ledger, opened: Open) -> Callable[..., str]:
    """The id of an ended run that left these samples."""

    def made(samples: list[Response] = SAMPLES, reward: str = "") -> str:
        work = opened(EARLIER, [NewItem("all", "evaluator", {})])("all")
        records = [NewRecord("sample", one.id, one.model_dump(mode="json")) for one in samples]
        for model in sorted({one.model for one in samples}):
            served = {"version": 1, "model": model, "uri": f"uri/{model}", "engine": "old 0.9", "prompt": "solve@1", "judge": ""}
            served["reward"] = reward
            records.append(NewRecord("served", model, served))
        commit(ledger, work.lease, Result(records))
        close_stage(ledger, work.lease.run_id, "measure", StageState.DONE)
        move_run(ledger, work.lease.run_id, RunState.RUNNING, RunState.DONE)
        return work.lease.run_id

    return made


@pytest.fixture
def again(opened: Open) -> Callable[..., Callable[[str], Work]]:
    """Opens a run that regrades another one's samples, in items of these keys, and a closing one."""

    def made(run: str, parts: dict[str, list[str]], **changes: Any) -> Callable[[str], Work]:
        stage = {**STAGE, "regrade": {"run": run, "stage": "measure"}, **changes.pop("stage", {})}
        recipe = {"name": "again", "problems": EARLIER["problems"], "stages": {"measure": stage}, **changes}
        about = {"run": run, "stage": "measure"}
        payloads = {key: Payload(**about, keys=tuple(keys)) for key, keys in parts.items()}
        payloads["close"] = Payload(**about, close=True)
        return opened(recipe, [NewItem(key, "evaluator", one.model_dump(mode="json")) for key, one in payloads.items()])

    return made


PARTS = {model: [one.id for one in SAMPLES if one.model == model] for model in ("base", "tuned")}


def found(result: Result, kind: str) -> list[Any]:
    contract = {"sample": Response, "regraded": Regraded, "report": RunReport}[kind]
    return [contract.model_validate(record.body) for record in result.records if record.kind == kind]


async def test_todays_verdicts_replace_the_old_ones_and_nothing_else_changes(earlier: Any, again: Any) -> None:
    run = earlier()
    work = again(run, PARTS)("base")
    result = await evaluate(work)
    new = found(result, "sample")
    assert [(one.extracted, one.verified, one.grading_error) for one in new] == [
        ("2", True, None), ("7", False, None), ("3", True, None), (None, False, None),
    ]  # fmt: skip
    changes = {"extracted", "verified", "grading_error", "grader", "origin"}
    assert [one.model_dump(exclude=changes) for one in new] == [one.model_dump(exclude=changes) for one in SAMPLES[:4]]
    assert {one.grader for one in SAMPLES[:4]} == {""} and {one.grader for one in new} == {GRADER}
    assert {(one.origin.run_id, one.origin.model, one.origin.seed) for one in new} == {(work.lease.run_id, "uri/base", 5)}
    counted = {"samples": 4, "judged": 0, "wrong_to_right": 1, "right_to_wrong": 1, "ungraded": 0}
    assert found(result, "regraded") == [Regraded(model="base", ungraded_before=1, **counted)]
    assert result.summary == {"model": "base", "right": 2, **counted}


async def test_the_report_tells_the_conditions_of_the_run_that_sampled(ledger: Ledger, earlier: Any, again: Any) -> None:
    take = again(earlier(), PARTS, seed=3)
    for model in PARTS:
        work = take(model)
        commit(ledger, work.lease, await evaluate(work))
    result = await evaluate(take("close"))
    [report] = found(result, "report")
    base, tuned = report.models["base"], report.models["tuned"]
    assert (base.pass_at_1, tuned.pass_at_1, base.ungraded, tuned.uri) == (0.5, 1, 0, "uri/tuned")
    assert (base.avg_tokens, base.samples, report.samples_missing, report.comparable) == (20.5, 4, 0, True)
    c = base.conditions
    assert (c.problems, c.problem_count, c.samples, c.temperature, c.max_tokens) == ("sums", 2, 2, 0.3, 99)
    assert (c.seed, c.engine, c.prompt) == (11, "old 0.9", "solve@1")
    assert read_bytes(report.plot).startswith(b"\x89PNG")
    assert result.summary == {"base": 0.5, "tuned": 1.0, "wrong_to_right": 3, "right_to_wrong": 1}
    assert [record.key for record in result.records if record.kind == "served"] == ["000000", "000001"]


async def test_models_that_are_not_named_are_left_out_of_the_report(ledger: Ledger, earlier: Any, again: Any) -> None:
    take = again(earlier(), {"tuned": PARTS["tuned"]}, stage={"models": ["tuned"]})
    work = take("tuned")
    commit(ledger, work.lease, await evaluate(work))
    [report] = found(await evaluate(take("close")), "report")
    assert (list(report.models), report.samples_missing) == (["tuned"], 0)


async def test_a_corrected_set_grades_by_its_answers_and_is_named(ledger: Ledger, earlier: Any, again: Any) -> None:
    store_set(ledger, "fixed", [{"id": f"p{n}", "question": f"What is {n} + 1?", "answer": "7"} for n in range(6)])
    take = again(earlier(), PARTS, problems={"held": {"set": "fixed"}})
    work = take("base")
    result = await evaluate(work)
    assert [(one.verified, one.answer) for one in found(result, "sample")] == [(n == 1, "7") for n in range(4)]
    commit(ledger, work.lease, result)
    [report] = found(await evaluate(take("close")), "report")
    assert report.benchmark == "sums, graded by fixed"


async def test_a_judges_word_stays(earlier: Any, again: Any) -> None:
    said = Judgement(rubric=Rubric.FACTS, verdict="correct", reason="r", model="j", prompt="judge_facts@1")
    kept = sample("base", 1, 0, "It is 999.", verified=True, judgement=said)
    take = again(earlier([kept, SAMPLES[1]]), {"base": [kept.id, SAMPLES[1].id]})
    result = await evaluate(take("base"))
    first, second = found(result, "sample")
    assert (first.judgement, first.verified, first.extracted) == (said, True, "?")
    assert (second.verified, found(result, "regraded")[0].judged) == (False, 1)


@pytest.mark.parametrize(("budget", "extracted"), [(15, "2"), (50, "5"), (None, "5")])
async def test_what_was_made_to_answer_is_graded_by_that_answer(
    earlier: Any, again: Any, monkeypatch: pytest.MonkeyPatch, budget: int | None, extracted: str
) -> None:
    """As when it was drawn; a sample of 20 tokens was made to answer after 15, and only made to go on under 50."""
    stage: dict[str, Any] = EARLIER["stages"]["measure"]  # type: ignore[index]
    monkeypatch.setitem(EARLIER["stages"], "measure", {**stage, "budget": budget, "waits": 1})  # type: ignore[arg-type]
    kept = sample("base", 1, 0, "We get \\boxed{5}. Hold on, 1 + 1 = 2\nThe answer is 2.", verified=False, forced=1)
    [new] = found(await evaluate(again(earlier([kept]), {"base": [kept.id]})("base")), "sample")
    assert (new.extracted, new.verified, new.forced) == (extracted, extracted == "2", 1)


@pytest.mark.parametrize(("how", "weighted", "named"), [(None, 0.0, "some/prm (last)"), ("min", 1.0, "some/prm (min)")])
async def test_votes_are_weighed_anew_by_the_stored_scores(
    ledger: Ledger, earlier: Any, again: Any, monkeypatch: pytest.MonkeyPatch, how: str | None, weighted: float, named: str
) -> None:
    """By their last lines the wrong answer wins, by their worst the right one; texts are scored no second time: nobody is asked."""
    stage: dict[str, Any] = EARLIER["stages"]["measure"]  # type: ignore[index]
    models: dict[str, Any] = EARLIER["models"]  # type: ignore[assignment]
    monkeypatch.setitem(EARLIER, "models", {**models, "scorer": {"model": "some/prm", "prm": "skywork"}})
    monkeypatch.setitem(EARLIER["stages"], "measure", {**stage, "reward": "scorer", "reward_aggregate": "last"})  # type: ignore[arg-type]
    pairs = (("The answer is 2.", (0.75, 0.5)), ("The answer is 7.", (0.25, 0.875)))
    scored = [
        sample("base", 1, draw, text, verified=False, scoring=scoring_of(scores, "last", "some/prm"))
        for draw, (text, scores) in enumerate(pairs)
    ]
    take = again(earlier(scored, reward="some/prm"), {"base": [one.id for one in scored]}, stage={"reward_aggregate": how})
    work = take("base")
    result = await evaluate(work)
    assert [one.scoring.scores for one in found(result, "sample")] == [(0.75, 0.5), (0.25, 0.875)]
    assert [one.weight for one in found(result, "sample")] == ([0.5, 0.875] if how is None else [0.5, 0.25])
    commit(ledger, work.lease, result)
    [report] = found(await evaluate(take("close")), "report")
    base = report.models["base"]
    assert (base.weighted_maj_at_k, base.weighted_n, base.unscored, base.conditions.reward) == (weighted, 1, 0, named)
    assert base.maj_at_k == 0.5


async def test_what_cannot_be_graded_now_is_no_wrong_answer(earlier: Any, again: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs(gold: str, answer: str) -> bool:
        raise GradingError("took more than 5.0 s")

    monkeypatch.setattr(sampling, "verify", hangs)
    [counted] = found(await evaluate(again(earlier(), PARTS)("base")), "regraded")
    assert (counted.wrong_to_right, counted.right_to_wrong, counted.ungraded_before, counted.ungraded) == (0, 0, 1, 3)


@pytest.mark.parametrize(
    ("problems", "words"),
    [
        ([], "problems.held holds no problem p1, of which there is a sample"),
        ([{"id": "p1", "question": "What is 1 + 2?", "answer": "3"}], "problem p1 of problems.held asks something else"),
        (
            [{"id": "p1", "question": "What is 1 + 1?", "grading": {"kind": "judge", "rubric": "planning", "pass_mark": 60}}],
            "problem p1 of problems.held is graded by a judge now",
        ),
        (
            [{"id": "p1", "question": "What is 1 + 1?", "answer": "B", "choices": ["3", "2"], "grading": {"kind": "letter"}}],
            "problem p1 of problems.held has other choices, or another order of them",
        ),
    ],
)
async def test_a_problem_that_is_another_by_now_is_refused(
    ledger: Ledger, earlier: Any, again: Any, problems: list[dict[str, Any]], words: str
) -> None:
    store_set(ledger, "other", [*problems, {"id": "p9", "question": "?", "answer": "1"}])
    with pytest.raises(Hopeless, match=words):
        await evaluate(again(earlier(), PARTS, problems={"held": {"set": "other"}})("base"))


@pytest.mark.parametrize(("offered", "same"), [(("3", "2"), True), (("2", "3"), False)])
async def test_letters_are_graded_by_the_choices_that_were_asked(
    ledger: Ledger, earlier: Any, again: Any, offered: tuple[str, ...], same: bool
) -> None:
    held = {"question": "What is 1 + 1?", "answer": "B", "choices": ["3", "2"], "grading": {"kind": "letter"}}
    store_set(ledger, "letters", [{"id": f"p{n}", **held} for n in range(3)])
    kept = sample("base", 1, 0, "The answer is B.", verified=False, choices=offered)
    work = again(earlier([kept]), {"base": [kept.id]}, problems={"held": {"set": "letters"}})("base")
    if same:
        assert [(one.extracted, one.verified) for one in found(await evaluate(work), "sample")] == [("B", True)]
    else:
        with pytest.raises(Hopeless, match="another order of them, than its sample was asked"):
            await evaluate(work)


async def test_a_run_that_was_deleted_meanwhile_is_told(ledger: Ledger, earlier: Any, again: Any) -> None:
    run = earlier()
    take = again(run, PARTS)
    work = take("base")
    commit(ledger, work.lease, await evaluate(work))
    delete_run(ledger, run)
    with pytest.raises(Hopeless, match=f"4 of 4 samples of stage measure of run {run} are gone"):
        await evaluate(take("tuned"))
    with pytest.raises(Hopeless, match=f"run {run} is gone"):
        await evaluate(take("close"))
