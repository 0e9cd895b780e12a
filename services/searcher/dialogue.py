"""Dialogue: what strategies share in which the policy sees more than its path: what it tried, thought and was told.

**The state is the tree.** Its nodes and remarks, in order of time, are all that happened. So a search that was cut goes on from
its saved rounds: the position is the last node, the node that the last remark is about, or where the last backtrack led.

**What the policy sees** is a chat: the problem; as the assistant's turns its own steps, thoughts and reasons, word for word; and
between them, as the user's, what it was asked and told. A step number is the step's depth; 0 is the start.

**Which way a step is sampled.** As long as nothing has been remarked, the path is all that there is to see, and the step is
proposed as in any other strategy: on a local engine by the token ids of the path. From the first remark on, it is said in the
chat. Its `token_ids` are then the ids that the engine sampled for this one line, after a prompt that was not the path; an end of
the turn is replaced by a newline's ids, so that ids along a path still spell the solution (a rollout reward goes on from them).

A step that equals an earlier sibling becomes no second node: the sibling counts it (`multiplicity`), the policy is told
(`feedback`), and the search goes on from there.

When the dialogue outgrows the context, the branch ends as `context_overflow`, and with it the search: what is asked next is never
shorter.
"""

import re
from collections.abc import Sequence

from services.searcher.candidates import Candidate, normalised
from services.searcher.growth import Growth
from shared import prompts
from shared.contracts.base import Message
from shared.contracts.tree import Node, Remark
from shared.engines.client import Form
from shared.engines.forms import SHOWN, Unreadable

TRIES = 3
"""How often a model is asked for an answer that can be read, the first time included."""
PROMPTS = ("dialogue_next", "dialogue_told")
Event = Node | Remark


def events(growth: Growth) -> list[Event]:
    """The steps and remarks, in order of time."""

    def moment(event: Event) -> tuple[int, int]:
        return (event.id, 1) if isinstance(event, Node) else (event.after, 0)

    return sorted([*growth.nodes[1:], *growth.remarks], key=moment)


def position(growth: Growth) -> Node:
    """The node that the search stands at."""
    last = next(reversed(events(growth)), growth.nodes[0])
    if isinstance(last, Node):
        return last
    return growth.nodes[last.node if last.to is None else last.to]


def feed_back(growth: Growth) -> None:
    """Tells the policy of a wrong final answer, if that is what it wrote last. Saved with the next round."""
    last = next(reversed(events(growth)), None)
    if isinstance(last, Node) and last.verified is False:
        growth.remark(last.id, "feedback", told(last, again=False))


def told(node: Node, again: bool) -> str:
    """What the policy is told of a step of its own: that the answer is wrong, or that it wrote it before (`again`)."""
    return prompts.render("dialogue_told", verified=node.verified, answer=node.answer, again=again)


def may_continue(growth: Growth, node: Node) -> bool:
    """Whether a step may follow `node`: it is neither an answer nor a dead end, and not at `max_depth`."""
    return not node.final and node.ended is None and node.depth < growth.stage.max_depth


def overflowed(growth: Growth) -> bool:
    """Whether the dialogue has outgrown the context."""
    return any(node.ended == "context_overflow" for node in growth.nodes)


def overflow(growth: Growth) -> None:
    """Ends the branch for want of context: its last node that could have gone on says so. Saved with the next round."""
    branch = [growth.nodes[0], *growth.path(position(growth).id)]
    last = next((node for node in reversed(branch) if not node.final and node.ended is None), branch[0])
    growth.change(last.id, ended="context_overflow")


async def next_step(growth: Growth) -> list[Candidate]:
    """One step after the position, checked and judged: to be recorded. None, if it was dropped or stood there already.

    Raises ContextFull, EngineError, and what the reward raises.
    """
    node = position(growth)
    if growth.remarks:
        candidates = await growth.propose_after(chat(growth, _asks_next(node, _went_back(growth))), node)
    else:
        candidates = await growth.propose([node], 1)
    for candidate in candidates:
        twin = _twin(growth, candidate)
        if twin is not None:
            _meet_again(growth, twin, candidate)
            return []
    candidates = await growth.check(candidates)
    await growth.judge(candidates)
    for candidate in candidates:
        candidate.kept = candidate.final or candidate.open
    return candidates


def chat(growth: Growth, ask: str) -> list[Message]:
    """The dialogue as the policy sees it, with `ask` as the last thing said to it."""
    said = [("user", prompts.render("solve", question=growth.problem.question))]
    before: Event | None = None
    for event in events(growth):
        said += _turns(growth, event, before)
        before = event
    return _merged([*said, ("user", ask)])


async def choose(growth: Growth, ask: str, choices: Sequence[str]) -> str:
    """The policy's choice of one of `choices`; the only one there is, without asking.

    An answer that is no choice is counted and asked for again, with these words shown. Raises Unreadable, ContextFull, EngineError.
    """
    if len(choices) == 1:
        return choices[0]
    turns = chat(growth, ask)
    words = ""
    for _ in range(TRIES):
        words = (await growth.policy.say(turns, growth.stage.sampling, Form(choices=tuple(choices)))).text
        found = chosen(words, choices)
        if found is not None:
            return found
        growth.count("format_errors")
        wrong = [("assistant", words)] if words.strip() else []  # some endpoints refuse an empty turn
        again = prompts.render("dialogue_again", choices=choices)
        turns = _merged([*((turn.role, turn.content) for turn in turns), *wrong, ("user", again)])
    raise Unreadable(
        f"policy: asked {TRIES} times to choose one of {', '.join(choices)} (problem {growth.problem.id}); "
        f"it said at last: {words[:SHOWN]!r}"
    )


def chosen(words: str, choices: Sequence[str]) -> str | None:
    """The one of `choices` that an answer names; None if it names none of them, or several."""
    said = set(re.findall(r"\w+", words.casefold()))
    found = [choice for choice in choices if choice.casefold() in said]
    return found[0] if len(found) == 1 else None


async def sentence(growth: Growth, ask: str) -> str:
    """One line of the policy, in its own words. A cut one ends with its last whole sentence.

    One without any is counted and asked for again. Raises Unreadable, ContextFull, EngineError.
    """
    words = ""
    for _ in range(TRIES):
        said = await growth.policy.say(chat(growth, ask), growth.stage.sampling)
        words = " ".join(said.text.split())
        whole = words if said.end != "cut" else "".join(re.findall(r"^.*[.!?](?=\s|$)", words))
        if whole:
            return whole
        growth.count("format_errors")
    raise Unreadable(
        f"policy: asked {TRIES} times, it wrote no whole sentence (problem {growth.problem.id}; asked: {ask!r}); "
        f"it said at last: {words[:SHOWN]!r}"
    )


def _turns(growth: Growth, event: Event, before: Event | None) -> list[tuple[str, str]]:
    """What was said when `event` came about, after `before`."""
    if isinstance(event, Node):
        parent = growth.nodes[event.parent or 0]
        back = isinstance(before, Remark) and before.kind == "backtrack"
        asked = [("user", _asks_next(parent, back))] if isinstance(before, Remark) else []
        return [*asked, ("assistant", event.text)]
    step = growth.nodes[event.node].depth
    if event.kind == "feedback":
        # of a step that stood there already, the policy's own words are those of its sibling
        own = event.node != (before.id if isinstance(before, Node) else None)
        node = growth.nodes[event.node]
        asked = [("user", _asks_next(growth.nodes[node.parent or 0], _is_backtrack(before))), ("assistant", node.text)]
        return [*(asked if own else []), ("user", event.text)]
    if event.kind == "reflection":
        return [("user", prompts.render("dialogue_reflect", step=step)), ("assistant", event.text)]
    if event.kind == "critique":
        return [("user", prompts.render("debate_heard", to=None, step=step, verdict=event.verdict, reason=event.text))]
    to = growth.nodes[event.to or 0].depth
    if isinstance(before, Remark) and before.kind == "critique":
        return [("user", prompts.render("debate_heard", to=to))]
    return [("user", prompts.render("dialogue_back", step=step, to=to)), ("assistant", event.text)]


def _is_backtrack(event: Event | None) -> bool:
    return isinstance(event, Remark) and event.kind == "backtrack"


def _went_back(growth: Growth) -> bool:
    return _is_backtrack(next(reversed(events(growth)), None))


def _asks_next(node: Node, another: bool) -> str:
    return prompts.render("dialogue_next", step=node.depth, another=another)


def _merged(said: Sequence[tuple[str, str]]) -> list[Message]:
    """Turns by turns of one role: many chat templates refuse two of the same in a row."""
    turns: list[Message] = []
    for role, text in said:
        if turns and turns[-1].role == role:
            between = "\n" if role == "assistant" else "\n\n"
            turns[-1] = turns[-1].model_copy(update={"content": f"{turns[-1].content}{between}{text}"})
        else:
            turns.append(Message.model_validate({"role": role, "content": text}))
    return turns


def _twin(growth: Growth, candidate: Candidate) -> Node | None:
    """The child of the same node that says the same."""
    key = candidate.parent, normalised(candidate.text)
    return next((node for node in growth.nodes[1:] if (node.parent, normalised(node.text)) == key), None)


def _meet_again(growth: Growth, twin: Node, candidate: Candidate) -> None:
    growth.count("merged_steps", candidate.multiplicity)
    growth.change(twin.id, multiplicity=twin.multiplicity + candidate.multiplicity)
    if twin.ended == "no_answer" and candidate.open:
        growth.change(twin.id, ended=None, kept=True)  # one that can go on stands for one that ended
    growth.remark(twin.id, "feedback", told(twin, again=True))
