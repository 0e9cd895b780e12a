"""Items of labelled solutions in a real ledger, judged by every kind that asks a model or none, and the report that closes them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from services.conductor.plan import plan_stage
from services.searcher.measuring import eval_reward
from shared.contracts.judged import JudgedSolution, RewardReport
from shared.contracts.problem import Problem
from shared.contracts.recipe import Recipe
from shared.contracts.tree import Verdict
from shared.engines.client import Choice, Completion, RequestRefused
from shared.ledger.database import Ledger
from shared.ledger.items import Result, claim, commit, item_name, load_partials
from shared.ledger.opening import open_stage
from shared.ledger.problems import store_set
from shared.ledger.runs import NewStage, close_stage, create_run, move_run
from shared.ledger.tables import RunState, StageState
from shared.problems.generate import generate
from shared.work.context import Work
from shared.work.registry import Hopeless
from tests.services.searcher.fakes import EOS, FakeEndpoint

COUNT = 40
PROBLEMS = [*generate("arithmetic-labelled", 3, 0, COUNT)]
ARITHMETIC = {"reward": {"kind": "arithmetic"}}
CRITIC = {"reward": {"kind": "critic", "model": "judge", "retries": 0}}
ROLLOUT = {"reward": {"kind": "rollout", "rollouts": 2}, "policy": "base"}


def recipe(**stage: Any) -> Recipe:
    used = {"judge": {"model": "some/judge", "url": "http://x/v1"}, "base": {"model": "some/base"}}
    return Recipe.model_validate(
        {
            "name": "tiny",
            "models": used,
            "problems": {"few": {"set": "labelled"}},
            "stages": {"reward": {"kind": "eval_reward", "problems": "few", **stage}},
        }
    )


class Critic(FakeEndpoint):
    """Calls a step wrong if the problem's labels do; refuses one problem if it is told to."""

    def __init__(self, refuse: str = "\0") -> None:
        super().__init__(lambda so_far, number, draw: EOS, local=False)
        self.refuse, self.times = refuse, 0

    async def chat(self, messages, *, sampling, form):
        self.times += 1
        text = messages[0].content
        if self.refuse in text:
            raise RequestRefused(400, "no such thing")
        [problem] = [one for one in PROBLEMS if one.question in text]
        said = text.split("New step:\n")[1].split("\n")[0]
        wrong = any(step.text == said and step.label == "incorrect" for step in problem.steps)
        answer = json.dumps({"reason": "it is so", "verdict": "incorrect" if wrong else "correct"})
        return Completion((Choice(answer, (), "stop"),), 20, 5)


class Tokenizing(FakeEndpoint):
    """A local policy: a token is a character."""

    async def tokenize(self, text: str) -> list[int]:
        return [ord(char) for char in text]


@pytest.fixture
def ledger(ledger: Ledger) -> Ledger:
    bare = Problem(id="bare", question="1 + 1?", answer="2")
    store_set(ledger, "labelled", [problem.model_dump(mode="json") for problem in [*PROBLEMS, bare]])
    return ledger


@pytest.fixture
def take(ledger: Ledger) -> Callable[..., Callable[..., Work]]:
    """Posts a recipe and cuts its stage as the conductor does; what it returns claims an item."""

    def posted(made: Recipe) -> Callable[..., Work]:
        run = create_run(ledger, "tiny", made.model_dump(mode="json"), [NewStage("reward", "eval_reward", ())])[0]
        close_stage(ledger, run, "preflight", StageState.DONE)
        move_run(ledger, run, RunState.CHECKING, RunState.RUNNING)
        items = plan_stage(ledger, run, made, "reward")
        assert [(item.key, item.phase, item.service) for item in items] == [
            ("000000", 0, "searcher"), ("000032", 0, "searcher"), ("close", 1, "searcher"),
        ]  # fmt: skip
        assert items[-1].engine_set == ""
        open_stage(ledger, run, "reward", items)

        def claimed(key: str, endpoint: Any = None) -> Work:
            lease = claim(ledger, item_name(run, "reward", key), "hands", 60)
            assert lease is not None

            class Serving:
                async def endpoint(self, ref):
                    assert endpoint is not None, f"{ref.name} was asked for"
                    endpoint.metered = lambda role, meter: endpoint
                    return endpoint

            return Work(ledger, lease, made, Serving(), "hands")  # type: ignore[arg-type]

        return claimed

    return posted


async def done(work: Work) -> Result:
    result = await eval_reward(work)
    commit(work.ledger, work.lease, result)
    return result


async def report_of(claimed: Callable[..., Work], endpoint: Any = None) -> tuple[RewardReport, list[JudgedSolution]]:
    results = [await done(claimed(key, endpoint)) for key in ("000000", "000032")]
    judged = [JudgedSolution.model_validate(one.body) for result in results for one in result.records if one.kind == "judged"]
    [record] = (await done(claimed("close"))).records
    assert record.kind == "reward_report"
    return RewardReport.model_validate(record.body), judged


async def test_sums_find_exactly_the_wrong_sums(take):
    report, judged = await report_of(take(recipe(**ARITHMETIC)))
    assert [one.problem_id for one in judged] == [problem.id for problem in PROBLEMS]
    kinds = [str(problem.metadata["mistake"]) for problem in PROBLEMS]
    assert (report.steps.found, report.steps.accused) == (kinds.count("sum"), 0)
    assert report.steps.missed == kinds.count("copy") + kinds.count("operation")
    assert report.first_error_accuracy == kinds.count("sum") / (COUNT - kinds.count("none")) and report.correct_accuracy == 1
    assert (report.solution_count, report.unlabelled, report.missing, report.benchmark) == (COUNT, 1, 0, "labelled")
    assert report.unknown > 0 and report.reward_tokens == 0 and report.models == {}
    after = sum(step.label == "after_error" for problem in PROBLEMS for step in problem.steps)
    assert report.left_out == {
        "steps after an error": after, "steps without a label": 0, "solutions without a known first error": 0,
    }  # fmt: skip


async def test_a_critic_that_knows_the_labels_is_never_wrong(take):
    critic = Critic()
    report, judged = await report_of(take(recipe(**CRITIC)), critic)
    assert (report.steps.f1, report.steps.macro_f1, report.solutions.mcc) == (1, 1, 1)
    assert (report.first_error_accuracy, report.correct_accuracy, report.processbench_f1) == (1, 1, 1)
    steps = sum(len(problem.steps) for problem in PROBLEMS)
    assert (critic.times, report.reward_tokens, report.models) == (steps, 25 * steps, {"reward": "fake://model"})
    assert judged[0].steps[0].reason == "it is so"


async def test_rollouts_go_on_from_the_tokens_of_the_labelled_steps(take):
    policy = Tokenizing(lambda so_far, number, draw: f"The answer is 0.{EOS}")
    report, judged = await report_of(take(recipe(**ROLLOUT)), policy)
    texts = {request["so_far"] for request in policy.requests}
    assert "".join(f"{step.text}\n" for step in PROBLEMS[0].steps[:2]) in texts
    assert report.steps.recall == 1 and report.correct_accuracy == 0  # who never gets there calls every step wrong
    finals = [one.steps[-1] for one in judged]
    assert [step.verdict is Verdict.CORRECT for step in finals] == [problem.metadata["mistake"] == "none" for problem in PROBLEMS]
    assert report.prompt_tokens > 0 and report.completion_tokens > 0


async def test_a_retry_judges_only_what_was_not_saved(take):
    claimed = take(recipe(**CRITIC))
    broken = Critic(refuse=PROBLEMS[5].question)
    work = claimed("000000", broken)
    with pytest.raises(Hopeless, match=f"problem {PROBLEMS[5].id}: .*no such thing"):
        await eval_reward(work)
    assert {body["place"] for body in load_partials(work.ledger, work.lease.item_id)} == set(range(32)) - {5}
    sound = Critic()
    await eval_reward(Work(work.ledger, work.lease, work.recipe, claimed("000032", sound)._serving, "hands"))
    assert sound.times == len(PROBLEMS[5].steps)


async def test_missing_items_are_told_and_nothing_is_not_reported_on(take):
    claimed = take(recipe(**ARITHMETIC))
    with pytest.raises(Hopeless, match="no labelled solution was judged"):
        await eval_reward(claimed("close"))
    claimed = take(recipe(**ARITHMETIC))
    await done(claimed("000000"))
    [record] = (await eval_reward(claimed("close"))).records
    assert RewardReport.model_validate(record.body).missing == COUNT - 32 + 1
