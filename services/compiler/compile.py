"""One tree into its drafts, shortcut and pairs: deterministic for a recipe's seed, whatever run, item or worker does it."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from services.compiler.labels import step_labels
from services.compiler.pairs import tree_pairs
from services.compiler.refine import Refined
from services.compiler.traverse import Manner, PassedOver, Piece, correct_leaves, could_go_wrong, draft_text, shortcut, walk
from shared.contracts.base import Origin
from shared.contracts.stages import CompileStage
from shared.contracts.thought import LongThought, PreferencePair, Role, Shortcut, Span, Split, StepLabels
from shared.contracts.tree import ReasoningTree

NO_WRONG_BRANCH = "no wrong branch"
"""A note where such a tree gives clean thoughts, a reason where it is passed over (`without_wrong_branch`)."""


@dataclass(frozen=True)
class Draft:
    """What the refiner gets: pieces in walking order, which thought of the tree it is, and the randomness of its words."""

    tree: ReasoningTree
    draw: int
    pieces: tuple[Piece, ...]
    words: Random


@dataclass
class Compiled:
    """What came of some trees. `skipped` counts by reason what was passed over, `notes` what is worth knowing of the rest."""

    drafts: list[Draft] = field(default_factory=list)
    shortcuts: list[Shortcut] = field(default_factory=list)
    pairs: list[PreferencePair] = field(default_factory=list)
    labels: list[StepLabels] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)


def compile_trees(trees: Sequence[ReasoningTree], stage: CompileStage, seed: int, origin: Origin) -> Compiled:
    """Drafts, shortcuts and pairs of finished trees. `seed` is the recipe's."""
    compiled = Compiled()
    for tree in trees:
        try:
            _compile_tree(tree, stage, seed, origin, compiled)
        except PassedOver as reason:
            compiled.skipped[str(reason)] += 1
    return compiled


def _compile_tree(tree: ReasoningTree, stage: CompileStage, seed: int, origin: Origin, into: Compiled) -> None:
    """Thought number n ends at the n-th best leaf, then from the best again; each leaf so used gives one shortcut.

    Steps are labelled in every tree: one that nobody solved has wrong ones to tell of.
    """
    if stage.step_labels != "none":
        into.labels.extend(step_labels(tree, stage.step_labels, split_of(tree.problem.question, stage.test_share), origin))
    leaves = correct_leaves(tree)
    worked = stage.checks == "worked"
    winding = Manner(stage.wrong_trials, stage.trial_share, stage.stop_at_wrong, stage.wrong_depth, worked=worked)
    if stage.without_wrong_branch == "pass_over" and not any(could_go_wrong(tree, leaf, winding) for leaf in leaves):
        raise PassedOver(NO_WRONG_BRANCH)
    split = split_of(tree.problem.question, stage.test_share)
    for draw, leaf in enumerate(leaves[: stage.thoughts_per_tree]):
        into.shortcuts.append(_shortcut(tree, draw, shortcut(tree, leaf), split, origin))
    into.pairs.extend(tree_pairs(tree, leaves[0], split, origin))
    walked = set()
    for draw in range(stage.thoughts_per_tree):
        rng = Random(f"{seed}/{tree.problem.id}/{draw}")
        clean, verify = rng.random() < stage.clean_share, rng.random() < stage.verify_share
        checks = stage.verify_steps if verify else "none"
        manner = replace(winding, verify=checks, wrong_trials=0 if clean else stage.wrong_trials)
        pieces = tuple(walk(tree, leaves[draw % len(leaves)], manner, rng))
        if pieces in walked:
            into.skipped["the same walk as another thought of its tree"] += 1
            continue
        walked.add(pieces)
        if manner.wrong_trials and not any(piece.role is Role.WRONG_STEP for piece in pieces):
            natural = stage.trial_share == "natural" and could_go_wrong(tree, leaves[draw % len(leaves)], winding)
            into.notes["no wrong turn, by the policy's own odds" if natural else NO_WRONG_BRANCH] += 1
        into.drafts.append(Draft(tree, draw, pieces, rng))


def thought_of(draft: Draft, refined: Refined, stage: CompileStage, origin: Origin) -> LongThought:
    """A refined draft as the record to keep."""
    problem = draft.tree.problem
    return LongThought(
        id=f"{problem.id}#{draft.draw}",
        problem_id=problem.id,
        question=problem.question,
        answer=problem.answer,
        split=split_of(problem.question, stage.test_share),
        origin=origin,
        tree_id=draft.tree.id,
        spans=refined.spans,
        leaf_id=next(piece.node_id for piece in reversed(draft.pieces) if piece.role is Role.CONCLUSION),
        refiner=refined.refiner,
        refiner_prompt=refined.prompt,
        refiner_model=refined.model,
        draft=draft_text(refined.pieces),
        draw=draft.draw,
    )


def split_of(question: str, test_share: float) -> Split:
    """Which split a problem's records go to, by a hash of its question: equal questions never lie on both sides."""
    digest = hashlib.sha256(" ".join(question.casefold().split()).encode()).digest()
    return "test" if int.from_bytes(digest[:8]) / 2**64 < test_share else "train"


def _shortcut(tree: ReasoningTree, draw: int, pieces: Sequence[Piece], split: Split, origin: Origin) -> Shortcut:
    last = pieces[-1]
    spans = [Span(text=piece.text + ("" if piece is last else "\n"), role=piece.role, node_id=piece.node_id) for piece in pieces]
    return Shortcut(
        id=f"{tree.problem.id}#{draw}",
        problem_id=tree.problem.id,
        question=tree.problem.question,
        answer=tree.problem.answer,
        split=split,
        origin=origin,
        tree_id=tree.id,
        spans=tuple(spans),
        leaf_id=last.node_id,
    )
