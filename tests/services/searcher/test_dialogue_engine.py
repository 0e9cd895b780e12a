"""Both dialogues on a real engine: guided decoding really holds a small model to the actions and the form."""

import json

import pytest

from services.searcher.growth import Growth
from services.searcher.policy import policy_of
from services.searcher.rewards import reward
from services.searcher.strategies import strategy
from services.searcher.strategies.debate import SAMPLING, Reply, fields, impossible
from shared.contracts.base import Message, Origin
from shared.contracts.models import Sampling
from shared.contracts.problem import Problem
from shared.engines.client import Form
from shared.engines.forms import form, read
from tests.services.searcher.fakes import no_model, stage_of

PROBLEM = Problem(id="p", question="Tom has 5 boxes of 6 pens. He loses 4. How many pens are left?", answer="26")


@pytest.mark.engine
async def test_choices_and_forms_hold_the_model(smollm_endpoint):
    turns = [Message(role="user", content="Tell me a story about a fox. Write at least three sentences.")]
    hot = Sampling(temperature=2.0, max_tokens=16)
    policy = await policy_of(smollm_endpoint, PROBLEM)
    offered = ("continue", "reflect", "backtrack")
    said = [await policy.say(turns, hot, Form(choices=offered)) for _ in range(32)]
    assert {one.text for one in said} <= set(offered) and {one.end for one in said} == {"line"}
    assert len({one.text for one in said}) > 1  # chosen, not prescribed: chance of 32 alike is small at this temperature
    open_to_it = ["incorrect"], ["backtrack"], 2
    [choice] = (await smollm_endpoint.chat(turns, sampling=SAMPLING, form=form(fields(*open_to_it), limited=True))).choices
    answer = read(choice, Reply, lambda reply: impossible(reply, *open_to_it))
    assert (answer.verdict, answer.action) == ("incorrect", "backtrack") and answer.to in (0, 1)
    # a first line of which every token is nearly two nats ahead of the next: no processor's rounding changes it
    turns = [Message(role="user", content="Write a Python function that adds two numbers.")]
    line = await policy.say(turns, Sampling(temperature=0.0, max_tokens=256))
    assert (line.end, line.text.strip()) == ("line", "```python")
    assert (await smollm_endpoint.detokenize(line.token_ids)).endswith("\n")


@pytest.mark.engine
async def test_a_small_tree_grows_by_the_policys_own_actions(smollm_endpoint):
    stage = stage_of(strategy="propose_critique", turns=8, sampling={"temperature": 1.0, "max_tokens": 64})
    rounds: list[dict] = []

    async def save(seq, body):
        rounds.append(json.loads(json.dumps(body)))

    growth = Growth(PROBLEM, stage, await policy_of(smollm_endpoint, PROBLEM), await reward(stage.reward, no_model), save)
    await strategy(stage.strategy)(growth, stage)
    tree = growth.tree("t", Origin(run_id="r", stage="search"))
    assert tree.cost.format_errors == 0 or tree.remarks  # thoughts can be cut; actions can't be misread
    assert len(rounds) == tree.cost.rounds <= 8
    for node in tree.nodes[1:]:
        assert node.text and "\n" not in node.text and node.token_ids
    again = Growth(PROBLEM, stage, await policy_of(smollm_endpoint, PROBLEM), await reward(stage.reward, no_model), save)
    again.restore(rounds)
    assert (tuple(again.nodes), tuple(again.remarks)) == (tree.nodes, tree.remarks) or tree.remarks[-1].kind == "feedback"
