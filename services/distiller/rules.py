"""Small named rules that a problem must pass to be taught from (Part 2, 2.1). Each says why a problem falls, or None.

They look at words alone, and are made to err on the side of dropping: problems are many, and one that cannot be answered as it
stands, or graded, teaches wrong things.
"""

import re
from collections.abc import Callable

from shared.answers.kinds import kind_of
from shared.contracts.problem import Problem
from shared.contracts.stages import CurateStage

Rule = Callable[[Problem, CurateStage], str | None]

_ONE = r"(?:figure|diagram|picture|image|sketch|illustration)"
_PICTURE = r"(?:figure|diagram|picture|image|drawing|sketch|illustration|photo(?:graph)?)s?"
_SHOWN = r"(?:above|below|shown|here|at (?:the )?(?:right|left)|(?:to|on) the (?:right|left)|opposite)"
_IMAGE = re.compile(
    rf"""\[/?asy\] | \\includegraphics | \\begin\{{tikzpicture\}} | <img\b | !\[[^\]]*\]\(
    | \b{_PICTURE}\ (?:is\ |are\ )?{_SHOWN}\b
    | \b(?:graph|chart)s?\ (?:is\ |are\ )?(?:shown|above|below|at\ (?:the\ )?right)\b
    | \b(?:in|see|from|to|of|as\ shown\ in|consider|use|using)\ the\ (?:following\ |adjoining\ |accompanying\ |given\ )?{_ONE}\b
    | \bthe\ (?:following|adjoining|accompanying)\ (?:{_PICTURE}|graph|chart)\b
    | \b(?:shown|pictured|graphed|drawn|illustrated|depicted)\ (?:above|below|here)\b
    | \b(?:is|are|as)\ pictured\b""",
    re.IGNORECASE | re.VERBOSE,
)
_PROOF = re.compile(
    r"(?:^|[.?!;:,]\s+|\b(?:and|then|must|can you|you)\s+)(?:prove\b(?! to be (?:a|an|the)\b)|show(?:,[^.?!]{0,60},)?\s+that\b|"
    r"demonstrate that\b|verify that\b|justify\b|derive\b|explain why\b)",
    re.IGNORECASE,
)
_LETTERED = re.compile(r"(?:^|\s)\(?(?P<first>a|i|1)\)\s+\S.*?(?:^|\s)\(?(?:b|ii|2)\)\s+\S", re.DOTALL | re.MULTILINE)
_PARTS = re.compile(r"\bpart (?:a|i|1|one)\b.*\bpart (?:b|ii|2|two)\b", re.IGNORECASE | re.DOTALL)
_QUESTION = re.compile(
    r"(?:^|(?<=[.?!:,;\n])\s*)[^.?!\n]*\b(?:how|what|which|who|when|where|why|find|determine|compute|calculate)\b[^.?!\n]*\?", re.I
)
_QUOTED = re.compile(r'"[^"\n]{1,120}"|“[^”\n]{1,120}”')
_NO_ANSWER = re.compile(
    r"(?:n/?a|unknown|none given|not (?:given|available|applicable)|see (?:the )?(?:solution|above|below|figure|proof)|proof|"
    r"omitted|answers? (?:may |will )?var(?:y|ies)|varies|no answer|tbd|todo|\?+|-+|\.+|)",
    re.IGNORECASE,
)
LONGEST_ANSWER = 200
"""Characters; what is longer is a solution, not an answer."""


def image(problem: Problem, stage: CurateStage) -> str | None:
    """It cannot be understood without a picture."""
    found = _IMAGE.search(problem.question)
    return f'it depends on an image: "{found[0].strip()}"' if found else None


def proof(problem: Problem, stage: CurateStage) -> str | None:
    """It asks for a proof or an explanation, which no final answer can be."""
    found = _PROOF.search(problem.question)
    return f'it asks for a proof: "{found[0].strip(" .?!;:,")}"' if found else None


def multi_part(problem: Problem, stage: CurateStage) -> str | None:
    """It asks several things, and has one answer."""
    if _LETTERED.search(problem.question) or _PARTS.search(problem.question):
        return "it has several parts"
    asked = len(_QUESTION.findall(_QUOTED.sub("it", problem.question)))  # a title or a saying in quotes asks nothing
    return f"it asks {asked} questions" if asked > 1 else None


def no_answer(problem: Problem, stage: CurateStage) -> str | None:
    """Its answer says nothing."""
    answer = re.sub(r"\\(?:text|mathrm|mbox|boxed)\s*\{([^{}]*)\}", r"\1", problem.answer).strip(" $.")
    if _NO_ANSWER.fullmatch(answer):
        return f'it has no explicit answer: "{problem.answer[:60]}"'
    return "its answer is a text, not an answer" if len(answer) > LONGEST_ANSWER else None


def answer_kind(problem: Problem, stage: CurateStage) -> str | None:
    """Its answer is of a kind that was not asked for."""
    kind = kind_of(problem.answer)
    return None if kind in stage.answer_kinds else f'its answer is a kind of {kind}: "{problem.answer[:60]}"'


RULES: dict[str, Rule] = {
    "image": image,
    "proof": proof,
    "multi_part": multi_part,
    "no_answer": no_answer,
    "answer_kind": answer_kind,
}
