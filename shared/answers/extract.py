"""The final answer that a solution states.

Only what is *stated* counts: a boxed answer, GSM8K's `#### 72`, or a sentence such as "The answer is 72.". A text that states none
has none; the last number is never guessed.
"""

import re
from dataclasses import dataclass

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_HASHES = re.compile(r"^[ \t]*####[ \t]*(?P<value>[-+]?[$€£\\(]*[-+]?[\d.].*)$", re.MULTILINE)
_HEADING = re.compile(r"\(?\d+(?:\.\d+)*(?:\\?[.):、．）：]+(?:\s+\S|[^\W\d_])|\s*[-–—]\s+[A-Z][a-z]|\s+[A-Z][a-z])")
"""What a numbered Markdown heading of the fourth level begins with (`#### 2. Simplify`, `#### 2.1 Check`): no answer."""
_PHRASE = re.compile(  # the value is only looked at, so that a line may state an answer twice: the last one counts
    r"""\banswer
        (?:[ ]to[ ](?:the|this)[ ](?:question|problem))?
        [*_]{0,2}\s*
        (?: is[*_]{0,2}[ ]?:? | [:=] | (?:must|should|will|would|has[ ]to)[ ]be:? )
        [*_]{0,2}[ \t]*
        (?=(?P<value>[^\n]{0,1000}))""",
    re.IGNORECASE | re.VERBOSE,
)
_NEXT_LINE = re.compile(r"\s*(?P<value>[^\n]*)")
_MATH = re.compile(r"\$\$(?P<a>[^$]+)\$\$|\$(?P<b>[^$]+)\$(?!\d)|\\\((?P<c>.+?)\\\)|\\\[(?P<d>.+?)\\\]")
_SENTENCE_END = re.compile(r"[.!?;](?=\s|$)|[ ,]+(?:because|since|so|which)\b")
_AND = r"(?:\\(?:text|mbox|mathrm)\s*\{\s*(?:and|or)\s*\}|and|or)"
_BETWEEN = re.compile(rf"(?:[\s,;$*]|\\[()\[\],;:! ]|\\q?quad)*(?:{_AND}(?:[\s,;$*]|\\[()\[\],;:! ]|\\q?quad)*)?", re.IGNORECASE)
"""What stands between the boxes of one enumeration."""
_FINAL = re.compile(r"final\W+answer", re.IGNORECASE)
_IS = re.compile(r"(?:the|there|a|an|[A-Z][a-z]+)\b[^.]*?\b(?:is|are|equals)\s+(?P<value>\$?[-+\d\\(\[{.][^ ]*(?:\s*\\?%)?)$")
"""A whole sentence behind "Final answer:", which ends in a number."""
MAX_BOXES = 100
"""So many boxes from the end are looked at: a model caught in a loop opens thousands and closes none."""
_COMMENTS = frozenset(
    ("correct", "right", "wrong", "incorrect", "not", "found", "obtained", "therefore", "that", "what", "clear", "still", "also")
)
"""Words that follow "the answer is" where an answer is talked about, not stated."""


def final_answer(text: str) -> str | None:
    r"""The final answer stated in `text`, as written there; None if it states none.

    The last balanced `\boxed{...}` if there is one, with those that stand before it in one enumeration ("\boxed{2} and
    \boxed{3}": "2, 3"); else, or where a final answer is called one behind it, the last of `#### x`, "The answer is x.", "Final
    answer: x" and their like. Markdown emphasis, `$...$` around it and a sentence's full stop are taken off.
    """
    box = _last_boxes(text)
    stated = sorted([*_HASHES.finditer(text), *_PHRASE.finditer(text)], key=lambda match: match.start(), reverse=True)
    if box is not None:
        later = [
            match for match in stated if match.start() > box.end and _FINAL.search(text[max(0, match.start() - 6) : match.end()])
        ]
        answers = (_sentence(match, text) for match in later if match.re is not _HASHES)
        return next((answer for answer in answers if answer and not {'"', "\\"} & {answer[0], answer[-1]}), box.content)
    values = (_hashed(match) if match.re is _HASHES else _sentence(match, text) for match in stated)
    return next((value for value in values if value), None)


def last_box(text: str) -> str | None:
    r"""Content of the last `\boxed{...}` that is closed and not empty (of an enumeration, of all); None if there is none."""
    boxes = _last_boxes(text)
    return boxes.content if boxes else None


@dataclass(frozen=True)
class _Boxes:
    """One box, or several that are enumerated."""

    content: str
    start: int
    end: int


def _last_boxes(text: str) -> _Boxes | None:
    """The last box that is closed and not empty, and those enumerated with it."""
    found: _Boxes | None = None
    for match in reversed(list(_BOX.finditer(text))[-MAX_BOXES:]):
        rest = text[match.end() :]
        content = _braced(rest) if rest.startswith("{") else _bare(rest)
        if not content or not (trimmed := _trim(content)):
            continue
        end = match.end() + len(content) + 2 * rest.startswith("{")
        if found is None:
            found = _Boxes(trimmed, match.start(), end)
        elif end <= found.start and _BETWEEN.fullmatch(text[end : found.start]):
            found = _Boxes(f"{trimmed}, {found.content}", match.start(), found.end)
        else:
            break
    return found


def _braced(text: str) -> str | None:
    """What stands within the braces that `text` begins with; None if they never close."""
    depth = 0
    escaped = False
    for place, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char in "{}":
            depth += 1 if char == "{" else -1
            if depth == 0:
                return text[1:place]
    return None


def _bare(text: str) -> str | None:
    r"""The argument of `\boxed 72`."""
    match = re.match(r"[-+]?[\w.,/]+", text)
    return match.group() if match else None


def _hashed(match: re.Match[str]) -> str:
    """The answer behind `####`; '' if that is a numbered heading."""
    value = _trim(match["value"])
    return "" if _HEADING.match(value) else value


def _sentence(match: re.Match[str], text: str) -> str:
    """The answer in the sentence that `match` begins; '' if it only talks about one."""
    value = match["value"].strip(" \t*_")
    if not value:  # "The answer is:" and the answer on a line of its own
        following = _NEXT_LINE.match(text, match.end("value"))
        value = following["value"].strip() if following else ""
    nested = _PHRASE.match(re.sub(r"^the (final )?", "", value, flags=re.IGNORECASE))
    if nested:  # "Answer: The answer is 72."
        value = nested["value"]
    if math := _MATH.match(value):
        return _trim(math.group())
    value = _trim(_SENTENCE_END.split(value, maxsplit=1)[0])
    if whole := _IS.match(value):
        return _trim(whole["value"])
    first = re.match(r"[A-Za-z]+", value)
    return "" if first and first.group().lower() in _COMMENTS else value


def _trim(value: str) -> str:
    """Without surrounding white space, emphasis, quotes, mathematics delimiters and a full stop, however nested."""
    while True:
        before = value
        value = value.strip().strip('*_`"').strip().rstrip(".").rstrip()
        if (math := _MATH.fullmatch(value)) is not None:
            value = next(group for group in math.groups() if group is not None)
        if value == before:
            return value
