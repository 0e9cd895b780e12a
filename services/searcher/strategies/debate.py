"""debate: the policy reasons on, one step at a time; a critic answers every step (method: section 2; arXiv 2410.18982, Part 1).

The critic, the model that `critic` names, answers with JSON: a reason, a verdict, an action and a step number. It knows the
problem, the debate and the steps, but not the reference answer. `continue`: the policy goes on after the step. `backtrack`: it goes
on after the step number `to`, in another way. The policy reads what the critic says of every step.

| turn | in the tree | a saved round |
|---|---|---|
| the policy's | a node | each |
| the critic's | a remark `critique` on it, with the verdict; a remark `backtrack` with `to` if it says so | each |

Until the answer is right: `stop_after` verified leaves, one if it is not set. Also until `turns` steps of the policy are answered,
or the dialogue outgrows a context, the policy's or the critic's. A wrong answer is fed back to both (a remark `feedback`); after an
answer, a dead end or `max_depth` the critic can only say where to go back to, and a wrong answer is never called correct, nor a
right one incorrect. A right answer that ends the search is not sent to the critic.

**Critic and reward.** The reward judges every step as it does in other strategies, and its score stays: it ranks paths. The verdict
becomes the critic's, with its reason, save that a step which the reward calls incorrect stays so, for the reward's reason, if the
critic calls it correct: a step is sound only if neither finds fault with it. The remark keeps the critic's own word.

**Cost.** What the critic reads and writes counts as `SearchCost.reward_tokens`, as that of any judge does; `requests`,
`prompt_tokens` and `completion_tokens` are the policy's alone. An answer that cannot be read counts in `format_errors`; the critic
is shown what was wrong with it, and after `dialogue.TRIES` of these the item fails with the critic's words.
"""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict

from services.searcher import dialogue
from services.searcher.candidates import Candidate
from services.searcher.growth import Growth
from services.searcher.policy import ContextFull, told_apart
from shared import prompts
from shared.contracts.models import Sampling
from shared.contracts.stages import SearchStage
from shared.contracts.tree import Node, Remark, Verdict
from shared.engines import forms
from shared.engines.client import RequestRefused

PROMPTS = (*dialogue.PROMPTS, "debate_heard", "debate_critic", forms.AGAIN)
SAMPLING = Sampling(temperature=0.0, max_tokens=256)
"""The critic's: as of the reward of that kind. Its answer should not depend on luck."""
Action = Literal["continue", "backtrack"]


class Reply(forms.Finding):
    """What the critic answers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    verdict: Literal["correct", "incorrect"]
    action: Action
    to: int | None = None
    """Step number to go back to; means nothing with `continue`."""


async def search(growth: Growth, stage: SearchStage) -> None:
    """Grows the tree until enough answers are right, or the policy's `turns` are spent and answered."""
    while True:
        dialogue.feed_back(growth)
        if growth.verified >= (stage.stop_after or 1) or dialogue.overflowed(growth):
            return
        answered = awaits_no_critic(growth)
        if answered and steps_taken(growth) >= stage.turns:
            return
        new: list[Candidate] = []
        try:
            if answered:
                new = await dialogue.next_step(growth)
            else:
                await criticise(growth, dialogue.position(growth))
        except ContextFull:
            dialogue.overflow(growth)
        await growth.record(new)


def awaits_no_critic(growth: Growth) -> bool:
    """Whether the policy speaks next: nothing was said yet, or the critic spoke last."""
    last = next(reversed(dialogue.events(growth)), None)
    return last is None or (isinstance(last, Remark) and last.kind in ("critique", "backtrack"))


def steps_taken(growth: Growth) -> int:
    """Turns of the policy so far, those included whose step was dropped: all rounds that were not the critic's."""
    return growth.rounds - sum(remark.kind == "critique" for remark in growth.remarks)


async def criticise(growth: Growth, node: Node) -> None:
    """The critic's turn: remarks on `node`, and its verdict."""
    reply = await ask_critic(growth, node)
    verdict = Verdict(reply.verdict)
    reason = " ".join(reply.reason.split())
    growth.remark(node.id, "critique", reason, verdict=verdict)
    if verdict is Verdict.INCORRECT or node.verdict is not Verdict.INCORRECT:
        growth.change(node.id, verdict=verdict, reason=reason)
    if reply.action == "backtrack":
        above = [growth.nodes[0], *growth.path(node.id)]
        growth.remark(node.id, "backtrack", reason, to=above[reply.to or 0].id)


async def ask_critic(growth: Growth, node: Node) -> Reply:
    """The critic's answer to a step. Raises forms.Unreadable, ContextFull, EngineError."""
    if growth.critic is None:
        raise ValueError("debate: nobody plays the role `critic`")
    verdicts, actions = possible(growth, node)
    question = prompts.render(
        "debate_critic",
        question=growth.problem.question,
        debate=[line for event in dialogue.events(growth) for line in heard(growth, event)],
        steps=[step.text for step in growth.path(node.id)],
        standing=standing(node),
        actions=actions,
    )
    try:
        return await forms.ask_form(
            growth.critic,
            question,
            fields(verdicts, actions, node.depth),
            Reply,
            about=f"the step {node.text!r} (problem {growth.problem.id})",
            sampling=SAMPLING,
            tries=dialogue.TRIES,
            count=growth.count,
            check=lambda reply: impossible(reply, verdicts, actions, node.depth),
        )
    except RequestRefused as refused:
        raise told_apart(refused) from refused


def possible(growth: Growth, node: Node) -> tuple[list[str], list[Action]]:
    """The verdicts and actions that are open to the critic."""
    verdicts = ["correct", "incorrect"]
    if node.verified is not None:
        verdicts = ["correct" if node.verified else "incorrect"]
    return verdicts, ["continue", "backtrack"] if dialogue.may_continue(growth, node) else ["backtrack"]


def fields(verdicts: Sequence[str], actions: Sequence[str], depth: int) -> dict[str, Any]:
    """What is asked for after a step at `depth`, beside a reason."""
    return {
        "verdict": {"type": "string", "enum": list(verdicts)},
        "action": {"type": "string", "enum": list(actions)},
        "to": {"type": "integer", "enum": list(range(depth))},
    }


def impossible(reply: Reply, verdicts: Sequence[str], actions: Sequence[str], depth: int) -> str | None:
    """What cannot be, in a reply about a step at `depth`, in words; None if all can."""
    if reply.verdict not in verdicts:
        return f"verdict: it can only be {' or '.join(verdicts)} here"
    if reply.action not in actions:
        return f"action: it can only be {' or '.join(actions)} here"
    if reply.action == "backtrack" and (reply.to is None or not 0 <= reply.to < depth):
        return f"to: a step number from 0 to {depth - 1} (got {reply.to})"
    return None


def standing(node: Node) -> str:
    """What is known of the last step, for the critic."""
    if node.verified is not None:
        return "Its answer is right; another way is wanted." if node.verified else "Its answer is wrong."
    return "The solution stops there without an answer." if node.ended else ""


def heard(growth: Growth, event: dialogue.Event) -> list[str]:
    """An event as the critic reads it."""
    if isinstance(event, Node):
        return [f"Step {event.depth}: {event.text}"]
    step = growth.nodes[event.node].depth
    if event.kind == "critique":
        return [f"Critic on step {step}: {event.verdict}. {event.text}"]
    if event.kind == "backtrack":
        return [f"Critic: back to step {growth.nodes[event.to or 0].depth}."]
    return [f"About step {step}: {event.text}"]
