"""A weighted combination: the mean of what gave a score, and a verdict by stated rules."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.searcher.candidates import Candidate, Judgement, Rule
from services.searcher.growth import Growth
from services.searcher.rewards import reward
from services.searcher.rewards.weighted import WeightedJudge, weighted_mean
from shared.contracts.rewards import Reward, RewardPart
from shared.contracts.tree import Verdict
from tests.services.searcher.fakes import no_model, stage_of

CORRECT, INCORRECT, UNKNOWN = Verdict.CORRECT, Verdict.INCORRECT, Verdict.UNKNOWN


class Part:
    def __init__(self, rule, *judgements):
        self.rule, self.judgements, self.spent = rule, judgements, Counter(reward_tokens=2, format_errors=1)

    async def judge(self, growth, candidates):
        return list(self.judgements)


def combined(*parts, weights=None, threshold=0.5):
    settings = [RewardPart(weight=weight) for weight in weights or [1.0] * len(parts)]
    return WeightedJudge(settings, parts, threshold)


CASES = [
    # (rule, score, verdict) of each part; the mean and the verdict
    ([(Rule.JUDGED, 1.0, CORRECT), (Rule.SCORED, 0.5, CORRECT)], 0.75, CORRECT),
    ([(Rule.JUDGED, 0.0, INCORRECT), (Rule.SCORED, 1.0, CORRECT)], 0.5, INCORRECT),
    ([(Rule.JUDGED, 0.5, UNKNOWN), (Rule.SCORED, 0.75, CORRECT)], 0.625, CORRECT),
    ([(Rule.JUDGED, 0.5, UNKNOWN), (Rule.SCORED, 0.25, CORRECT)], 0.375, INCORRECT),
    ([(Rule.SCORED, 0.0, INCORRECT), (Rule.SCORED, 1.0, CORRECT)], 0.5, CORRECT),
    ([(Rule.JUDGED, 0.5, UNKNOWN), (Rule.SCORED, None, UNKNOWN)], 0.5, UNKNOWN),
    ([(Rule.JUDGED, 1.0, CORRECT), (Rule.SCORED, None, UNKNOWN)], 1.0, CORRECT),
    ([(Rule.SCORED, None, UNKNOWN), (Rule.SCORED, None, UNKNOWN)], None, UNKNOWN),
    ([(Rule.JUDGED, None, INCORRECT), (Rule.SCORED, None, UNKNOWN)], None, INCORRECT),
]


@pytest.mark.parametrize(("parts", "score", "verdict"), CASES)
async def test_score_and_verdict(parts, score, verdict):
    judge = combined(*(Part(rule, Judgement(given, said, "why")) for rule, given, said in parts))
    [judgement] = await judge.judge(None, [Candidate(0, "x")])
    assert (judgement.score, judgement.verdict) == (score, verdict)
    assert judge.rule is (Rule.JUDGED if any(rule is Rule.JUDGED for rule, _, _ in parts) else Rule.SCORED)
    assert judge.spent == {"reward_tokens": 4, "format_errors": 2}
    assert judgement.reason.count("why") == 2 and judgement.reason.count("no score") == [given for _, given, _ in parts].count(None)


async def test_too_few_judgements_of_a_part_are_an_error():
    judge = combined(Part(Rule.SCORED, Judgement(1.0, CORRECT)), Part(Rule.SCORED))
    with pytest.raises(ValueError, match=r"reward.parts.1 \(arithmetic\): 0 judgements for 1 steps"):
        await judge.judge(None, [Candidate(0, "x")])


async def test_a_score_that_is_no_number_is_not_averaged_away(problem):
    judge = combined(Part(Rule.SCORED, Judgement(float("nan"), CORRECT)), Part(Rule.SCORED, Judgement(1.0, CORRECT)))
    with pytest.raises(ValueError, match="nan is no score"):
        await Growth(problem, stage_of(), policy=None, reward=judge, save=None).judge([Candidate(0, "x")])


async def test_parts_are_built_by_kind_and_ask_for_roles_of_their_own(problem):
    asked = []

    async def ask(role):
        asked.append(role)
        return await no_model(role)

    parts = [{"kind": "arithmetic"}, {"kind": "critic", "model": "m"}]
    setting = Reward.model_validate({"kind": "weighted", "parts": parts})
    with pytest.raises(AssertionError, match=r"nobody plays reward\.1"):
        await reward(setting, ask)
    assert asked == ["reward.1"] == [role for role, _ in setting.models()]
    judge = await reward(Reward.model_validate({"kind": "weighted", "parts": parts[:1]}), ask)
    candidate = Candidate(0, "Step 1: 5 * 6 = 31 pens.")
    await Growth(problem, stage_of(), policy=None, reward=judge, save=None).judge([candidate])
    assert candidate.judgement == Judgement(0.0, INCORRECT, "arithmetic: 5 * 6 = 30, not 31")


@given(st.lists(st.tuples(st.floats(1e-6, 1e6), st.none() | st.floats(0, 1)), min_size=1, max_size=6))
def test_the_mean_is_that_of_the_scores_there_are(pairs):
    weights, scores = [weight for weight, _ in pairs], [score for _, score in pairs]
    mean = weighted_mean(weights, scores)
    there = [(weight, score) for weight, score in pairs if score is not None]
    if not there:
        assert mean is None
        return
    assert mean == pytest.approx(sum(w * s for w, s in there) / sum(w for w, _ in there), abs=1e-12)
    assert min(s for _, s in there) <= mean <= max(s for _, s in there)
