"""The handler of `search` items: one problem, one tree, one record.

Every round is saved when it is done; an attempt that finds saved rounds goes on after the last of them. Samples are not seeded by
request (vLLM's CPU engine dies of it), so a search is repeatable only as far as the engine's own seed and the order of
its requests.
"""

import services.searcher.measuring  # noqa: F401  (registers the handler of `eval_reward`)
from services.searcher.growth import Growth
from services.searcher.policy import policy_of
from services.searcher.rewards import reward
from services.searcher.strategies import prompts_of, strategy
from shared import prompts
from shared.contracts.stages import SearchStage
from shared.contracts.tree import ReasoningTree, Verdict
from shared.ledger.items import NewRecord, Result
from shared.work.context import Work
from shared.work.registry import Hopeless, handles


@handles("search")
async def search(work: Work) -> Result:
    """Grows the tree of one problem. A tree without a verified leaf is a result like any other."""
    stage: SearchStage = work.stage
    problems = await work.problems()
    if len(problems) != 1:
        raise Hopeless(f"{work.lease.item_id}: a search item holds one problem, this one {len(problems)}")
    endpoint = await work.endpoint("policy")
    judge = await reward(stage.reward, work.endpoint)
    critic = await work.endpoint("critic") if stage.critic else None
    growth = Growth(problems[0], stage, await policy_of(endpoint, problems[0]), judge, work.save, critic)
    work.works_in_rounds()
    growth.restore(await work.saved())
    await strategy(stage.strategy)(growth, stage)
    origin = work.origin(model=endpoint.uri, prompt=" ".join(map(prompts.version, prompts_of(stage.strategy))))
    tree = growth.tree(f"{work.lease.run_id}/{work.lease.stage}/{growth.problem.id}", origin)
    return Result(records=[NewRecord("tree", growth.problem.id, tree.model_dump(mode="json"))], summary=summary(tree))


def summary(tree: ReasoningTree) -> dict[str, int]:
    """A tree's figures, for its item's event."""
    finals = [node for node in tree.nodes if node.final]
    return {
        "nodes": len(tree.nodes) - 1,
        "final": len(finals),
        "verified": sum(node.verified is True for node in finals),
        "wrong": sum(node.verified is False or node.verdict is Verdict.INCORRECT for node in tree.nodes),
        "context_overflow": sum(node.ended == "context_overflow" for node in tree.nodes),
        "truncated": tree.cost.truncated_steps,
        "rounds": tree.cost.rounds,
        "completion_tokens": tree.cost.completion_tokens,
        "tree_tokens": tree.tree_tokens,
    }
