"""A small tree grown on a real engine."""

import pytest

from services.searcher.growth import Growth
from services.searcher.policy import policy_of
from services.searcher.rewards import reward
from services.searcher.strategies import strategy
from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from tests.services.searcher.fakes import no_model, stage_of


@pytest.mark.engine
@pytest.mark.parametrize("kind", ["arithmetic", "rollout"])
async def test_a_small_tree_grows_on_a_real_engine(smollm_endpoint, kind):
    problem = Problem(id="p", question="Tom has 5 boxes of 6 pens. He loses 4. How many pens are left?", answer="26")
    stage = stage_of(width=3, max_depth=2, reward={"kind": kind, "rollouts": 2}, sampling={"max_tokens": 48})
    rounds = []

    async def save(seq, body):
        rounds.append(body)

    growth = Growth(problem, stage, await policy_of(smollm_endpoint, problem), await reward(stage.reward, no_model), save)
    await strategy("beam")(growth, stage)
    tree = growth.tree("t", Origin(run_id="r", stage="search"))
    cost = tree.cost
    assert 1 <= len(rounds) == cost.rounds <= 2
    for node in tree.nodes[1:]:
        assert node.text and "\n" not in node.text
        assert len(node.token_ids) == node.tokens > 0
    sampled = sum(node.multiplicity for node in tree.nodes[1:]) + cost.truncated_steps + cost.ungraded_steps
    assert sampled % 3 == 0 or cost.blank_steps  # every sample is somewhere
    assert cost.completion_tokens >= tree.tree_tokens
    assert cost.prompt_tokens > 0 and cost.requests >= cost.rounds

    again = Growth(problem, stage, await policy_of(smollm_endpoint, problem), await reward(stage.reward, no_model), save)
    again.restore(rounds)
    assert again.tree("t", tree.origin) == tree
