"""The reward `prm`: one request a round, a step's own score, and loud failures."""

import pytest

from services.searcher.candidates import Candidate, Rule
from services.searcher.growth import Growth
from services.searcher.policy import policy_of
from services.searcher.rewards import reward
from services.searcher.strategies import beam
from shared.contracts.rewards import Reward
from shared.contracts.tree import Node, Verdict
from shared.engines.prm.scorer import NoScore
from tests.services.searcher.fakes import PENS, FakeEndpoint, scripted, stage_of
from tests.shared.engines.prm.fakes import FakePrm, ids_of, score_at

SETTING = {"kind": "prm", "model": "judge", "threshold": 0.9}


async def grown(problem, prm: FakePrm, **fields: object) -> Growth:
    async def ask(role: str) -> FakePrm:
        assert role == "reward"
        return prm

    async def save(number: int, body: dict) -> None:
        pass

    stage = stage_of(reward=SETTING, **fields)
    policy = await policy_of(FakeEndpoint(scripted(PENS)), problem)
    return Growth(problem, stage, policy, await reward(stage.reward, ask), save)


async def test_a_round_is_one_request_and_a_step_has_its_own_score(problem):
    prm = FakePrm("skywork")
    growth = await grown(problem, prm)
    growth.nodes.append(Node(id=1, parent=0, depth=1, text="one"))
    candidates = [Candidate(0, "one"), Candidate(1, "two"), Candidate(1, "The answer is 26.", final=True, verified=True)]
    await growth.judge(candidates)
    begin = f"<|im_start|>{problem.question}\n"
    texts = [f"{begin}one\n", f"{begin}one\ntwo\n", f"{begin}one\nThe answer is 26.\n"]
    assert prm.requests == [texts]
    scores = [score_at(ids_of(text), len(ids_of(text)) - 1) for text in texts]
    assert [one.judgement.score for one in candidates] == pytest.approx(scores)
    assert candidates[0].judgement.reason == f"scored {scores[0]:.2f} by fake://prm"
    assert growth.cost.reward_tokens == sum(len(ids_of(text)) for text in texts)
    assert growth.reward.rule is Rule.SCORED


@pytest.mark.parametrize(("logit", "verdict"), [(2.19, Verdict.INCORRECT), (2.20, Verdict.CORRECT)])  # 0.8994, 0.9003
async def test_the_threshold_parts_right_from_wrong(problem, logit, verdict):
    prm = FakePrm("skywork")
    prm.change = lambda outputs: outputs[0].__setitem__(-1, [logit])
    growth, candidate = await grown(problem, prm), Candidate(0, "one")
    await growth.judge([candidate])
    assert candidate.judgement.verdict is verdict
    assert candidate.judgement.reason == "scored 0.90 by fake://prm"


async def test_what_does_not_fit_is_said_and_stops_no_other(problem):
    prm = FakePrm("qwen2.5-math-prm", window=300)
    growth = await grown(problem, prm)
    candidates = [Candidate(0, "x" * 400), Candidate(0, "one")]
    await growth.judge(candidates)
    first, second = (one.judgement for one in candidates)
    assert (first.score, first.verdict) == (None, Verdict.UNKNOWN)
    assert first.reason.endswith("tokens are more than the 300 that fake://prm reads")
    assert second.score is not None


async def test_no_number_fails_the_item_and_what_was_read_is_counted(problem):
    prm = FakePrm("skywork")
    prm.change = lambda outputs: outputs[0].__setitem__(-1, [float("nan")])
    growth = await grown(problem, prm)
    with pytest.raises(NoScore, match=r"fake://prm \(prm: skywork\) gave \[nan\] for a step: no score"):
        await growth.judge([Candidate(0, "one")])
    assert growth.reward.spent["reward_tokens"] > 0


@pytest.mark.parametrize("prm", ["math-shepherd", "rlhflow", "skywork", "qwen2.5-math-prm"])
async def test_a_search_with_each_format(problem, prm):
    endpoint = FakePrm(prm)
    growth = await grown(problem, endpoint, max_depth=3)
    await beam.search(growth, growth.stage)
    tree = growth.tree("t", {"run_id": "r", "stage": "s"})
    assert all(node.score is not None and node.verdict is not None for node in tree.nodes[1:])
    assert len(endpoint.requests) == growth.rounds
    assert tree.cost.reward_tokens == sum(len(ids_of(text)) for texts in endpoint.requests for text in texts)


def test_a_prm_needs_its_model():
    with pytest.raises(ValueError, match="`model` goes with the kinds prm and critic"):
        Reward(kind="prm")
