"""Multi-step arithmetic word problems: 2 to 4 steps, small whole numbers, one equality a step.

    Tom has 5 boxes of 6 pens. He loses 4. He gets 2 bags of 8 more. How many pens does Tom have now?

    Step 1: 5 * 6 = 30 pens.
    Step 2: 30 - 4 = 26 pens.
    Step 3: 2 * 8 = 16 pens.
    Step 4: 26 + 16 = 42 pens.
    The answer is 42.

The family `arithmetic-hard` tells longer stories of larger numbers: 4 to 6 steps, totals up to 300 and answers up to 999.

Numbers are small and steps are terse (about 13 tokens of SmolLM2): meant for a model of 135M parameters that learns them in minutes
on two cores, where every token of a solution is paid for in training, in search and in evaluation.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from shared.contracts.problem import Problem
from shared.problems.scenarios import NAMES, SCENARIOS, Scenario


@dataclass(frozen=True)
class Family:
    """How long the stories are, and how large their numbers."""

    name: str
    steps: tuple[int, ...]
    """Numbers of steps, drawn evenly from these."""
    groups: int
    """Most groups of a story's opening, and"""
    size: int
    """most things in each."""
    turn: int
    """Most things that come or go in one turn."""
    most: int
    """Above this running total a story takes away where it can; only a price lifts the answer far above it."""
    most_answer: int


ARITHMETIC = Family("arithmetic", steps=(2, 2, 3, 3, 4), groups=9, size=12, turn=30, most=100, most_answer=299)
HARD = Family("arithmetic-hard", steps=(4, 4, 5, 5, 6), groups=12, size=20, turn=60, most=300, most_answer=999)
GIVE_UP = 10_000
"""Draws in a row that gave nothing new, after which a sequence is taken to be exhausted (it is not, for the first millions)."""


@dataclass
class _Story:
    """A problem in the making: the words so far, the number so far."""

    rng: Random
    family: Family
    words: dict[str, str]
    total: int = 0
    sentences: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)

    def say(self, clause: str, **numbers: int) -> None:
        """Adds a clause to the question."""
        self.sentences.append(f"{clause.format(**self.words, **numbers)}.")

    def work_out(self, left: int, operator: str, right: int, unit: str) -> int:
        """Adds a step, which is one equality; returns its result."""
        result = {"+": left + right, "-": left - right, "*": left * right, "/": left // right}[operator]
        self.steps.append(f"Step {len(self.steps) + 1}: {left} {operator} {right} = {result} {unit}.")
        return result


def sequence(seed: int, family: Family = ARITHMETIC) -> Iterator[Problem]:
    """The endless sequence of `seed` in a family.

    No two problems share their numbers, clauses and order (names and things do not count).
    """
    seen: set[str] = set()
    place = draw = fruitless = 0
    while fruitless < GIVE_UP:
        story, question, content = _tell(Random(f"{family.name}/{seed}/{draw}"), family)
        draw += 1
        if {question, content} & seen:
            fruitless += 1
            continue
        fruitless = 0
        seen |= {question, content}
        yield Problem(
            id=f"{family.name}-{seed}-{place}",
            question=question,
            answer=str(story.total),
            solution="\n".join([*story.steps, f"The answer is {story.total}."]),
            source=family.name,
            level=len(story.steps),
        )
        place += 1
    raise RuntimeError(f"the generator {family.name} has no more distinct problems for seed {seed} after {place}")


def _tell(rng: Random, family: Family) -> tuple[_Story, str, str]:
    """One story, its question, and its content: the question with every name and thing blanked."""
    name = rng.choice(sorted(SCENARIOS))
    scenario = SCENARIOS[name]
    pronoun = rng.choice(sorted(NAMES))
    words = {
        "N": rng.choice(NAMES[pronoun]),
        "P": pronoun,
        "p_obj": "him" if pronoun == "He" else "her",
        "O": rng.choice(scenario.things),
    }
    story = _Story(rng, family, words)
    count = rng.choice(family.steps)
    ending = rng.choice(["share", "price", None, None])
    unit = words["O"]
    a, b = rng.randint(2, family.groups), rng.randint(2, family.size)
    story.say(scenario.opening, a=a, b=b)
    story.total = story.work_out(a, "*", b, unit)
    while len(story.steps) < count - 1:
        _move(story, scenario, room=count - 1 - len(story.steps))
    asked = _end(story, scenario, ending)
    question = " ".join([*story.sentences, asked.format(**words)])
    blanks = {words["N"]: "N", words["O"]: "O", "He": "P", "She": "P", "him": "p", "her": "p"}
    content = " ".join(blanks.get(word.strip(".?"), word) for word in question.split())
    return story, question, f"{name}: {content}"


def _move(story: _Story, scenario: Scenario, room: int) -> None:
    """One turn of the story: some more, some less, or (two steps) some groups more."""
    rng, family, unit = story.rng, story.family, story.words["O"]
    moves = ["more", "groups"] if room >= 2 else ["more"]
    if scenario.less and story.total > 6:
        moves += ["less", "less"]
    chosen = rng.choice(moves) if story.total + 4 <= family.most else "less" if scenario.less else "more"
    if chosen == "groups":
        a, b = rng.randint(2, 6), rng.randint(2, 9)
        story.say(rng.choice(scenario.groups), a=a, b=b)
        story.total = story.work_out(story.total, "+", story.work_out(a, "*", b, unit), unit)
    elif chosen == "less":
        n = rng.randint(2, min(family.turn, story.total - 2))
        story.say(rng.choice(scenario.less), n=n)
        story.total = story.work_out(story.total, "-", n, unit)
    else:
        n = rng.randint(2, family.turn)
        story.say(rng.choice(scenario.more), n=n)
        story.total = story.work_out(story.total, "+", n, unit)


def _end(story: _Story, scenario: Scenario, ending: str | None) -> str:
    """The last step, and the question that it answers. An ending that does not go with the total gives way to one more turn."""
    rng = story.rng
    divisors = [k for k in range(2, 11) if story.total % k == 0 and story.total > k]
    if ending == "share" and scenario.share and divisors:
        clause, asked = rng.choice(scenario.share)
        k = rng.choice(divisors)
        story.say(clause, k=k)
        story.total = story.work_out(story.total, "/", k, _asked_thing(asked, story.words["O"]))
        return asked
    if ending == "price" and scenario.price and story.total * 2 <= story.family.most_answer:
        clause, asked = rng.choice(scenario.price)
        k = rng.randint(2, min(9, story.family.most_answer // story.total))
        story.say(clause, k=k)
        story.total = story.work_out(story.total, "*", k, "dollars")
        return asked
    _move(story, scenario, room=1)
    return scenario.ask


def _asked_thing(asked: str, things: str) -> str:
    """What a question counts: "How many boxes does ..." counts boxes, "How many does each ..." the things."""
    counted = asked.split()[2]
    return things if counted in ("{O}", "does") else counted
