"""A small tree grown on a real engine."""

import pytest

from services.searcher.growth import Growth
from services.searcher.policy import policy_of
from services.searcher.rewards import reward
from services.searcher.strategies import strategy
from shared.contracts.base import Origin
from shared.contracts.problem import Problem
from shared.engines.client import Endpoint
from tests.services.searcher.fakes import stage_of

STRATEGIES = {
    "beam": {"width": 3},
    "beam-rollout": {"width": 3, "reward": {"kind": "rollout", "rollouts": 2}},
    "beam-critic": {"width": 3, "reward": {"kind": "critic", "model": "m"}},
    "dvts": {"strategy": "dvts", "width": 2, "subtrees": 2},
    "best_of_n": {"strategy": "best_of_n", "chains": 4},
    "mcts": {"strategy": "mcts", "width": 2, "simulations": 3, "formula": "puct"},
}


@pytest.mark.engine
@pytest.mark.parametrize("fields", STRATEGIES.values(), ids=STRATEGIES)
async def test_a_small_tree_grows_on_a_real_engine(smollm_endpoint, fields):
    problem = Problem(id="p", question="Tom has 5 boxes of 6 pens. He loses 4. How many pens are left?", answer="26")
    stage = stage_of(max_depth=2, sampling={"max_tokens": 48}, **fields)
    rounds = []

    async def save(seq, body):
        rounds.append(body)

    async def critic(role: str) -> Endpoint:
        return smollm_endpoint

    async def fresh() -> Growth:
        return Growth(problem, stage, await policy_of(smollm_endpoint, problem), await reward(stage.reward, critic), save)

    growth = await fresh()
    await strategy(stage.strategy)(growth, stage)
    tree = growth.tree("t", Origin(run_id="r", stage="search"))
    cost = tree.cost
    assert 1 <= len(rounds) == cost.rounds <= 3
    assert max(node.depth for node in tree.nodes) <= 2
    for node in tree.nodes[1:]:
        assert node.text and "\n" not in node.text
        assert len(node.token_ids) == node.tokens > 0
        # the ids are those of the text: nothing of a neighbouring step, nothing lost
        said = (await smollm_endpoint.detokenize(node.token_ids)).replace("<|im_end|>", "").strip()
        assert said == node.text or "\ufffd" in said
    if stage.strategy == "best_of_n":
        assert cost.requests == 1
        begun = sum(node.multiplicity for node in tree.nodes if node.depth == 1)
        assert begun <= 4 <= begun + cost.truncated_steps + cost.ungraded_steps + cost.blank_steps
    else:
        sampled = sum(node.multiplicity for node in tree.nodes[1:]) + cost.truncated_steps + cost.ungraded_steps
        assert sampled % stage.width == 0 or cost.blank_steps  # every sample is somewhere
    assert cost.completion_tokens >= tree.tree_tokens
    assert cost.prompt_tokens > 0 and cost.requests >= 1
    assert (cost.reward_tokens > 0) == (stage.reward.kind == "critic")
    assert tree.nodes[0].visits == (cost.rounds if stage.strategy == "mcts" else 0)

    again = await fresh()
    again.restore(rounds)
    assert again.tree("t", tree.origin) == tree
