r"""The choice that a text names, of several: `\boxed{B}`, "The answer is (B)", "Answer: B", or the choice's own text.

As of final answers, only what is *stated* counts, and the last statement of several. A text that names two choices names none.
"""

import re
from collections.abc import Sequence

from shared.answers.canonical import canonical
from shared.answers.extract import final_answer, last_box
from shared.contracts.grading import LETTERS

_WRAPPED = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_MARKUP = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox|bf|rm)\b\s*|[*_`$]|\\[()\[\]]")
_SPACING = re.compile(r"\\(?:[ ,;:!]|q?quad\b)|(?<!\\)~")
_LETTER = re.compile(
    r"""(?i:(?:the\s)?(?:option|choice|letter|answer)\s)?
        (?: [(\[（]\s*(?P<bracketed>[A-Za-z])\s*[)\]）]
          | (?P<plain>[A-Z])(?=$|[\s.,:;)\]、。，：．）–—-])
          | (?P<small>[a-z])(?=$|[.):]) )
        \s*(?P<rest>.*)""",
    re.VERBOSE | re.DOTALL,
)
_FURTHER = re.compile(
    r"""[\s.,;&、，)\]]*(?P<and>and|or|和|或)?\s*[(\[（]?(?P<letter>[A-Z])(?=$|[\s.,;)\]）、，])
        (?!(?<=A)\s+(?!(?:is|are|was|were|and|or|both|may|can|seems?|fits?)\b)[a-z\d])  # an article: "(D) A 24-hour urine test"
    """,
    re.VERBOSE,
)
"""Another letter behind the first: "B and C", "(B), (C)"."""
_REASON = re.compile(r"(?:because|since|which|due to|as(?! (?:well|is|are)\b))\b")
"""What follows a letter in a sentence, and never an article: "C because it thins the blood"."""
_NAMED = re.compile(r"(?P<text>.+?)\s*[(\[（]\s*(?:option\s+|choice\s+)?(?P<letter>[A-Z])\s*[)\]）]", re.DOTALL | re.IGNORECASE)
"""A choice's text and its letter: "Aspirin (C)"."""
_SAID = re.compile(
    r"""(?: \b(?:correct|right|best|final)\s+(?:option|choice|answer|letter)\s*(?:is|would\sbe|:|：)
          | \b(?:option|choice)\s*(?:is|:|：)
          | \b(?:I|we)\s+(?:would\s+)?(?:choose|pick|select|go\s+with)
          | (?:答案|选项)\s*(?:应该|应)?\s*(?:是|为|选|：|:)+
          | (?:故|应|因此|所以)\s*(?:本题)?\s*(?:选择|选)
        )\s*(?P<value>[^\n]{1,300})""",
    re.VERBOSE | re.IGNORECASE,
)
_IS_RIGHT = re.compile(
    r"""(?: [(（]([A-Z])[)）] | \b(?:[Oo]ption|[Cc]hoice|[Aa]nswer)\s+([A-Z]) | (?<![\w(])([A-Z]) )
        \s+is\s+(?:therefore\s+|thus\s+|clearly\s+)?(?:the\s+|my\s+)?
        (?: (?:most\s+)?(?:correct|right|best|final|appropriate|likely)\s+(?:answer|option|choice|one)\b
          | (?:answer|choice)\b
          | (?:correct|right)\s*(?=[.,;!)\n]|$|\b(?:because|since|as)\b) )""",
    re.VERBOSE,
)
_SPACE = re.compile(r"\s+")
_BEFORE, _BEHIND = " \t\n:：\"'“‘", " \t\n.,;:!。，；：\"'”’"


def choice_of(text: str, choices: Sequence[str]) -> str | None:
    """The letter (`A`, `B` ...) of the choice that `text` states; None if it states none, or more than one.

    What is stated as a final answer (a box, "The answer is ...") is read as a letter, as a choice's text, or as a letter with more
    behind it. Other ways to say it ("Option B is correct") count where there is none, or behind one that is no box; at last, a text
    or a last line that is nothing but a choice.
    """
    plain = _unmarked(text)
    said = [(match.start(), _read(match["value"], choices)) for match in _SAID.finditer(plain)]
    said += [(match.start(), _within(next(filter(None, match.groups())), choices)) for match in _IS_RIGHT.finditer(plain)]
    named = sorted((place, letter) for place, letter in said if letter is not None)
    stated = final_answer(text)
    found = _read(stated, choices) if stated is not None else None
    if stated is not None and found is not None:
        behind = plain.rfind(_unmarked(stated))
        later = [letter for place, letter in named if place > behind]
        return later[-1] if later and last_box(text) is None else found
    if named:
        return named[-1][1]
    lines = [line for line in plain.splitlines() if line.strip()]
    if not lines:
        return None
    return _read(plain, choices) if len(lines) == 1 and stated is None else _alone(lines[-1], choices)


def _unmarked(text: str) -> str:
    """Without emphasis, mathematics' delimiters and what LaTeX sets text with."""
    return _SPACING.sub(" ", _MARKUP.sub("", _WRAPPED.sub(r"\1", text)))


def _read(value: str, choices: Sequence[str]) -> str | None:
    """The choice that a stated answer means."""
    value = _unmarked(value).lstrip(_BEFORE).rstrip(_BEHIND)
    while value[:1] == "{" and value[-1:] == "}":
        value = value[1:-1].lstrip(_BEFORE).rstrip(_BEHIND)
    match = _LETTER.match(value)
    letter = _within(match["bracketed"] or match["plain"] or match["small"], choices) if match else None
    if match and letter and not match["rest"].strip(_BEHIND + ")]") and match["small"] is None:
        return letter
    by_text = _by_text(value, choices)
    if by_text is None and (named := _NAMED.fullmatch(value)) and _by_text(named["text"], choices) == named["letter"].upper():
        return named["letter"].upper()
    if by_text is not None or match is None or letter is None:
        return by_text
    rest = match["rest"]
    said = _by_text(rest.lstrip(_BEHIND + "()]-–—").rstrip(")"), choices)
    if said is not None:
        return letter if said == letter else None  # "(C) Ampicillin" names two
    further = _FURTHER.match(rest)
    if further is not None and _within(further["letter"], choices) not in (None, letter):
        return None
    return None if match["plain"] and _is_word(value, rest) else letter


def _is_word(value: str, rest: str) -> bool:
    """Whether a word follows a single capital, with only white space between: "A beta blocker" begins with an article."""
    return value[: len(value) - len(rest)][-1:].isspace() and rest[:1].isalpha() and not _REASON.match(rest)


def _alone(line: str, choices: Sequence[str]) -> str | None:
    """The choice that a last line is, and nothing besides: a letter, or a letter with its text."""
    match = _LETTER.match(line.lstrip(_BEFORE).rstrip(_BEHIND))
    if match is None or match["small"] is not None:
        return None
    letter = _within(match["bracketed"] or match["plain"], choices)
    rest = match["rest"].lstrip(_BEHIND + ")]-–—")
    return letter if not rest or _by_text(rest, choices) == letter else None


def _by_text(value: str, choices: Sequence[str]) -> str | None:
    """The one choice whose text this is: the same words, or the same number or formula."""
    plain = _plain(value)
    found = [place for place, choice in enumerate(choices) if plain and _plain(choice) == plain]
    if not found and any(char.isdigit() for char in value):
        form = canonical(value)
        found = [place for place, choice in enumerate(choices) if form and canonical(choice) == form]
    return LETTERS[found[0]] if len(found) == 1 else None


def _plain(text: str) -> str:
    return _SPACE.sub(" ", _unmarked(text)).lstrip(_BEFORE).rstrip(_BEHIND).casefold()


def _within(letter: str, choices: Sequence[str]) -> str | None:
    """The letter, if there is such a choice."""
    return letter.upper() if 0 <= LETTERS.find(letter.upper()) < len(choices) else None
