"""Whether a rewrite claims what its draft does not: equalities are re-checked exactly, and numbers must come from somewhere."""

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache

from services.compiler.traverse import Piece
from shared.answers.equalities import Equality, equalities, numbers
from shared.contracts.thought import Role

ON_PATH = frozenset({Role.STEP, Role.VERIFICATION, Role.CONCLUSION})
HARMLESS = frozenset(map(Fraction, (0, 1, 2)))
"""Numbers that words are full of ("two things", "once more", "step 1") and that claim nothing by themselves."""
_LITERAL = re.compile(r"[\d.,]*\d")
_EQUALS = re.compile(r"[=≈≃≅]|<<|equal", re.IGNORECASE)
_STEP_NUMBER = re.compile(r"\bsteps?\s+\d+(?:\s*(?:,|and|to|-)\s*\d+)*", re.IGNORECASE)


def new_claims(question: str, pieces: Sequence[Piece], said: Sequence[str]) -> list[str]:
    """What the words `said` for each piece claim anew, as findings.

    A false equality must stand in the draft; on the path to the answer, in that very piece. A number must stand in the question or
    in the draft, or be the result of a true equality between such numbers.
    """
    stated = [_equalities(piece.text.strip()) for piece in pieces]
    written = set(_LITERAL.findall(" ".join((question, *(piece.text for piece in pieces)))))
    known: set[Fraction] | None = None  # reckoned only where something is written that is not in the draft word for word
    anywhere = _false(one for of_piece in stated for one in of_piece)
    found = []
    for piece, own, words in zip(pieces, stated, said, strict=True):
        allowed = _false(own) if piece.role in ON_PATH else anywhere
        here = _equalities(words.strip())
        for one in here:
            if not one.holds and _key(one) not in allowed:
                found.append(f"a new claim, and a false one: {one.left} = {one.right}")
        if written.issuperset(_LITERAL.findall(words)):
            continue
        if known is None:
            known = numbers(question) | HARMLESS | {number for piece in pieces for number in numbers(piece.text)}
        for one in here:
            if one.holds and numbers(one.left) <= known:
                known |= numbers(one.right)
        for number in sorted(numbers(_STEP_NUMBER.sub("", words)) - known):
            found.append(f"a new number that neither the problem nor the draft has: {float(number):g}")
    return found


@lru_cache(1024)  # most words of a draft are also said
def _equalities(text: str) -> tuple[Equality, ...]:
    return tuple(equalities(text)) if _EQUALS.search(text) else ()


def _false(found: Iterable[Equality]) -> set[tuple[str, str]]:
    return {_key(one) for one in found if not one.holds}


def _key(one: Equality) -> tuple[str, str]:
    left, right = (re.sub(r"[^\d.+*/()-]", "", side) for side in (one.left, one.right))
    return left, right
