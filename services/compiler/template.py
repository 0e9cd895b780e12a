"""The refiner that asks no model: the draft's own steps, joined by fitting words from a varied set."""

import re
from collections.abc import Iterator, Sequence
from random import Random

from services.compiler import phrases
from services.compiler.steps import SLIP, equalities, number_of
from services.compiler.traverse import UNEXPLAINED, Piece
from services.compiler.worked import worked_out
from shared.contracts.thought import Role, Span

_ANSWER = re.compile(r"the answer (?P<answer>.+) (?:does not check out|is wrong)")
_MACHINE = re.compile(r"\b(rollout|completion|sample)s?\b", re.IGNORECASE)
"""A reason that speaks of the search, not of the mathematics: nobody thinks in rollouts."""


def tells_of_search(reason: str) -> bool:
    """Whether a reason speaks of rollouts and the like, not of the mathematics."""
    return _MACHINE.search(reason) is not None


def template(pieces: Sequence[Piece], rng: Random, plain: bool = False) -> tuple[Span, ...]:
    """The thought's spans. Steps' lines stand in them word for word, the rest is chosen by `rng` or, if `plain`, always the same.

    One step a line; a reflection and its backtrack share a line, a verification has its own. The conclusion is the last line.
    """
    words = _PlainWords() if plain else _Words(rng)
    spans = []
    trial: list[Piece] = []
    for piece in pieces:
        if piece.role is Role.WRONG_STEP:
            trial.append(piece)
        if piece.role is Role.REFLECTION:
            text = words.reflection(piece, trial) + " "
        elif piece.role is Role.BACKTRACK:
            text = words.backtrack(piece, trial) + "\n"
            trial = []
        elif piece.role is Role.VERIFICATION:
            text = words.check(piece) + "\n"
        else:
            text = piece.text + ("" if piece.role is Role.CONCLUSION else "\n")
        spans.append(Span(text=text, role=piece.role, node_id=piece.node_id))
    return tuple(spans)


class _PlainWords:
    """One way to say each thing."""

    def reflection(self, piece: Piece, trial: Sequence[Piece]) -> str:
        """Why the trial failed."""
        if tells_of_search(piece.text) or piece.text in UNEXPLAINED:
            return "Check: no, this does not lead to the answer."
        if SLIP.fullmatch(piece.text) or worked_out(piece.text):
            return f"Check: {_sentence(piece.text)}"
        return f"Check: no. {_sentence(piece.text)}"

    def backtrack(self, piece: Piece, trial: Sequence[Piece]) -> str:
        """Where the walk goes on."""
        redone = number_of(trial[0].text) if len(trial) == 1 else None
        if redone is not None:
            return f"Redo step {redone}."
        return f"{piece.text[:1].upper()}{piece.text[1:]}."

    def check(self, piece: Piece) -> str:
        """A re-check of a right step."""
        return f"Check: {piece.text}. Yes."


class _Words:
    """Phrases in random order, none a second time in one thought before all were used."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._left: dict[tuple[str, ...], Iterator[str]] = {}

    def reflection(self, piece: Piece, trial: Sequence[Piece]) -> str:
        """Why the trial failed. Where the wrong step is not the last one said, its number is named."""
        wrong = next((step for step in trial if step.node_id == piece.node_id), None)
        number = number_of(wrong.text) if wrong else None
        if wrong is not None and wrong is not trial[-1] and number is not None:
            bare = "" if _MACHINE.search(piece.text) else " " + _sentence(piece.text)
            return self._next(phrases.EARLIER).format(number=number) + bare
        if answer := _ANSWER.fullmatch(piece.text):
            return self._next(phrases.ANSWER).format(**answer.groupdict())
        if slip := SLIP.fullmatch(piece.text):
            return self._next(phrases.SLIP).format(**slip.groupdict())
        if _MACHINE.search(piece.text) or piece.text in UNEXPLAINED:
            return self._next(phrases.DEAD_END)
        sentence = _sentence(piece.text)
        return self._next(phrases.FAULT).format(Reason=sentence, reason=piece.text.rstrip(".") + ".")

    def backtrack(self, piece: Piece, trial: Sequence[Piece]) -> str:
        """Where the walk goes on."""
        redone = number_of(trial[0].text) if len(trial) == 1 else None
        if redone is not None and self._rng.random() < 0.5:
            return self._next(phrases.TO_STEP_AGAIN).format(number=redone)
        if target := re.fullmatch(r"back to step (\d+)", piece.text):
            return self._next(phrases.TO_STEP).format(number=target[1])
        return self._next(phrases.TO_START if piece.node_id == 0 else phrases.TO_LAST)

    def check(self, piece: Piece) -> str:
        """A re-check of a right step, forwards or through the inverse operation."""
        found = equalities(piece.text)
        inverse = found[0].inverse if len(found) == 1 else None  # of several, a check that is worked out already
        if inverse is not None and self._rng.random() < 0.5:
            return self._next(phrases.CHECK_BACK).format(inverse=inverse)
        return self._next(phrases.CHECK).format(fact=piece.text)

    def _next(self, ways: tuple[str, ...]) -> str:
        way = next(self._left.get(ways, iter(())), None)
        if way is None:
            self._left[ways] = iter(self._rng.sample(ways, len(ways)))
            way = next(self._left[ways])
        return way


def _sentence(reason: str) -> str:
    """With a capital letter and a full stop."""
    text = reason.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
