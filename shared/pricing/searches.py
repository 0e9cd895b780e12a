"""What one tree takes of the policy, by strategy: bounds from the stage's parameters, and what is to be expected.

With w = `width`, K = `keep`, D = `max_depth`, and S, the steps of a solution (at most D). Steps a tree:

| strategy | bound | expected |
|---|---|---|
| beam | w K D, or w + w^2 + ... + w^D where that is less | w (1 + K (R - 1)) |
| dvts | w `subtrees` D | w `subtrees` R |
| best_of_n | `chains` D | `chains` S |
| mcts | w `simulations`, or w + w^2 + ... + w^D | half of w `simulations`; with `stop_after`, at most w S `stop_after` |
| propose_critique, debate | `turns` | R, with `turns` for D |

R, the rounds: S where `stop_after` ends the search (for a debate, where it is not set, too), else midway between S and D. The bound
of beam and dvts holds `1 + retries` times, as every node may be asked again. The least is one round: its steps may all be right
answers, `stop_after` of them, or none that may go on. (arXiv 2410.18982, Part 1, Q5: w^D without pruning, about w K D with it.)
"""

from dataclasses import dataclass

from shared.contracts.stages import SearchStage
from shared.pricing.ranges import NOTHING, Range, between, ranged

TRIES = 3
"""How often a dialogue asks for an answer that can be read (`services.searcher.dialogue.TRIES`)."""
CALLS = 3 * TRIES
"""Most calls of one action of propose_critique: to choose it, to choose where to go back to, and to say why."""


@dataclass(frozen=True)
class Effort:
    """One tree's."""

    steps: Range
    """Steps that the policy writes: what is judged."""
    requests: Range
    """Requests to the policy: several steps of one node are one."""
    above: Range
    """Steps that stand above those asked for, summed over the requests: what each prompt repeats. A dialogue's turns, likewise."""
    rounds: Range
    """Rounds, which are the requests of a process reward model."""
    solution: Range
    """Steps of a solution: S."""
    bound: str
    """The bound in words."""
    critic: Range = NOTHING
    """debate: requests to the critic."""


def effort(stage: SearchStage, steps: Range) -> Effort:
    """What one tree takes, of a problem whose solutions have `steps` steps."""
    depth = stage.max_depth
    solution = between(1, max(1.0, min(steps.expected, depth)), depth)
    if stage.strategy == "beam":
        return _beam(stage, solution)
    if stage.strategy == "dvts":
        return _dvts(stage, solution)
    if stage.strategy == "best_of_n":
        written = ranged(stage.chains) * solution
        one = ranged(1)
        return Effort(written, one, NOTHING, one, solution, f"chains x depth = {stage.chains} x {depth} steps")
    return _mcts(stage, solution) if stage.strategy == "mcts" else _dialogue(stage, solution)


def unpruned(width: int, depth: int) -> int:
    """Steps of the whole tree: w + w^2 + ... + w^D."""
    return sum(width**level for level in range(1, depth + 1))


def _rounds(stage: SearchStage, solution: Range, most: int) -> Range:
    stops = stage.strategy == "debate" or (stage.stop_after is not None and not stage.keep_exploring)
    return between(1, solution.expected if stops else (solution.expected + most) / 2, most)


def _beam(stage: SearchStage, solution: Range) -> Effort:
    width, keep, depth, tries = stage.width, stage.keep, stage.max_depth, 1 + stage.retries
    rounds = _rounds(stage, solution, depth)
    whole = unpruned(width, depth)
    most = min(width * keep * depth, whole)
    prefixes = min(keep * depth * (depth - 1) / 2, sum(level * width**level for level in range(depth)))
    asked = 1 + keep * (rounds.expected - 1)
    expected = min(width * asked, most)
    return Effort(
        steps=between(width, expected, most * tries),
        requests=between(1, expected / width, most * tries / width),
        above=between(0, keep * rounds.expected * (rounds.expected - 1) / 2, prefixes * tries),
        rounds=between(1, rounds.expected, depth * tries),
        solution=solution,
        bound=_bound(f"w K D = {width} x {keep} x {depth}", width * keep * depth, whole, tries),
    )


def _dvts(stage: SearchStage, solution: Range) -> Effort:
    width, subtrees, depth, tries = stage.width, stage.subtrees, stage.max_depth, 1 + stage.retries
    rounds = _rounds(stage, solution, depth)
    each = rounds.expected
    return Effort(
        steps=ranged(width * subtrees) * between(1, each, depth * tries),
        requests=between(1, 1 + subtrees * (each - 1), (1 + subtrees * (depth - 1)) * tries),
        above=between(0, subtrees * each * (each - 1) / 2, subtrees * depth * (depth - 1) / 2 * tries),
        rounds=between(1, each, depth * tries),
        solution=solution,
        bound=_bound(f"w subtrees D = {width} x {subtrees} x {depth}", width * subtrees * depth, None, tries),
    )


def _mcts(stage: SearchStage, solution: Range) -> Effort:
    width, depth = stage.width, stage.max_depth
    whole = unpruned(width, depth)
    most = min(stage.simulations, whole // width)  # every expansion is of another node, the root or one above the last level
    half = stage.simulations / 2
    wanted = half if stage.stop_after is None else min(half, solution.expected * stage.stop_after)
    expansions = between(1, min(wanted, most), most)
    return Effort(
        steps=expansions * width,
        requests=expansions,
        above=between(0, expansions.expected * (solution.expected - 1) / 2, most * (depth - 1)),
        rounds=expansions,
        solution=solution,
        bound=_bound(f"w simulations = {width} x {stage.simulations}", width * stage.simulations, whole, 1),
    )


def _dialogue(stage: SearchStage, solution: Range) -> Effort:
    turns = stage.turns
    taken = _rounds(stage, between(1, min(solution.expected, turns), turns), turns)
    debate = stage.strategy == "debate"
    # a choice and its doing; at the start there is nothing to choose
    calls = taken if debate else between(1, max(1.0, 2 * taken.expected - 1), turns * CALLS)
    return Effort(
        steps=taken,
        requests=calls,
        above=between(0, calls.expected * (taken.expected - 1) / 2, calls.high * (turns - 1) / 2),
        rounds=taken,
        solution=solution,
        bound=f"turns = {turns}",
        critic=between(0, taken.expected, turns * TRIES) if debate else NOTHING,
    )


def _bound(words: str, steps: int, whole: int | None, tries: int) -> str:
    again = f", each node asked up to {tries} times" if tries > 1 else ""
    less = f" (unpruned, w^D: {whole:,})" if whole is not None else ""
    return f"{words} = {steps:,} steps{less}{again}"
