"""best_of_n: `chains` whole solutions, sampled independently in one request, merged into a tree by their common first steps.

The plain way: nothing steers a solution while it is written. Two rounds are saved, so that a second attempt buys no chain
again: the chains as a tree, then what the reward says of its steps, all judged in one call.

| a chain | in the tree |
|---|---|
| begins as another does (equal texts, but for case and spacing) | shares those nodes, which count it in `multiplicity` |
| goes on after its final answer, or after `max_depth` steps | is cut there |
| was cut by the token limit, or the end of the context | loses its last step, counted in `truncated_steps` |
| was ended by the model without an answer | ends with a dead end, `ended="no_answer"`, unless another goes on from there |
| states an answer that the grader cannot judge | loses that step, counted in `ungraded_steps` |
| has no step at all | is counted in `blank_steps` |

`max_tokens` is a step's, so a chain's limit is `max_depth` times as much; where that does not fit into the context, half of it,
and so on. Token ids are those sampled: the ids along a path are its chain's own, up to where the chain was cut. (Where chains
have merged, they are those of the first.) All chains are one request, so there is nothing for `stop_after` to stop.
"""

from collections.abc import Sequence
from dataclasses import replace

from services.searcher.candidates import Candidate, normalised, together
from services.searcher.growth import Growth
from services.searcher.lines import Sampled
from services.searcher.policy import ContextFull
from shared.contracts.stages import SearchStage
from shared.contracts.tree import Verdict


async def search(growth: Growth, stage: SearchStage) -> None:
    """Samples the chains, then has their steps judged."""
    if growth.rounds == 0:
        chains = await together(checked(growth, stage.max_depth, one) for one in await sampled(growth, stage))
        await growth.record(merged(growth, chains))
    if growth.rounds == 1:
        await judge(growth)
        await growth.record([])


async def sampled(growth: Growth, stage: SearchStage) -> list[list[Sampled]]:
    """The chains as they were written. None if not even one step fits into the context; then the root says so."""
    limit = stage.sampling.max_tokens * stage.max_depth
    while True:
        try:
            return await growth.policy.chains(stage.chains, stage.sampling.model_copy(update={"max_tokens": limit}))
        except ContextFull:
            if limit <= stage.sampling.max_tokens:
                growth.change(0, ended="context_overflow")
                return []
            limit = max(limit // 2, stage.sampling.max_tokens)


async def checked(growth: Growth, max_depth: int, lines: Sequence[Sampled]) -> list[Candidate]:
    """One chain's steps up to its first final one; its dropped lines are counted."""
    steps: list[Candidate] = []
    for line in lines[:max_depth]:
        step = growth.candidate(0, line)
        if step is None or not await growth.check([step]):
            break
        steps.append(step)
        if step.final:
            break
    return steps


def merged(growth: Growth, chains: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """Chains as one tree below the root: every step once, after its parent, which it names by the id that it will have.

    A step whose last token reaches into the next line merges with none: what follows it follows from those very ids.
    """
    made: list[Candidate] = []
    places: dict[tuple[int, str], int] = {}
    for chain in chains:
        parent = 0
        for step in chain:
            place = len(made) if step.spills else places.setdefault((parent, normalised(step.text)), len(made))
            if place == len(made):
                made.append(replace(step, parent=parent))
            else:
                growth.count("merged_steps")
                # one that can go on stands for those that ended: their ids hold the end of the text
                stands = step if made[place].ended and not step.ended else made[place]
                made[place] = replace(stands, parent=parent, multiplicity=made[place].multiplicity + 1)
            parent = len(growth.nodes) + place
    return made


async def judge(growth: Growth) -> None:
    """Has the reward judge all steps of the tree in one call."""
    candidates = [
        Candidate(
            parent=node.parent or 0,
            text=node.text,
            token_ids=node.token_ids,
            tokens=node.tokens,
            multiplicity=node.multiplicity,
            ended="no_answer" if node.ended else None,
            final=node.final,
            answer=node.answer,
            verified=node.verified,
        )
        for node in growth.nodes[1:]
    ]
    await growth.judge(candidates)
    for node_id, candidate in enumerate(candidates, start=1):
        said = candidate.judgement
        growth.change(node_id, score=said.score, verdict=Verdict(said.verdict), reason=said.reason)
