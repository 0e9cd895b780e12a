"""The final answer that a solution states.

Only what is *stated* counts: a boxed answer, GSM8K's `#### 72`, or a sentence such as "The answer is 72.". A text that states none
has none; the last number is never guessed.
"""

import re
from dataclasses import dataclass

from shared.answers.canonical import canonical

_BOX = re.compile(r"\\(?:boxed|fbox)\s*")
_HASHES = re.compile(r"^[ \t]*####[ \t]*(?P<value>[-+]?[$€£\\(]*[-+]?[\d.].*)$", re.MULTILINE)
_HEADING = re.compile(r"\(?\d+(?:\.\d+)*(?:\\?[.):、．）：]+(?:\s+\S|[^\W\d_])|\s*[-–—]\s+[A-Z][a-z]|\s+[A-Z][a-z])")
"""What a numbered Markdown heading of the fourth level begins with (`#### 2. Simplify`, `#### 2.1 Check`): no answer."""
_PHRASE = re.compile(  # the value is only looked at, so that a line may state an answer twice: the last one counts
    r"""(?: (?<!\bthis[ ])\banswer
            (?:[ ]to[ ](?:the|this)[ ](?:question|problem))?
            [*_]{0,2}\s*
            (?: is[*_]{0,2}[ ]?:? | [:=] | (?P<modal>must|should|will|would|has[ ]to)[ ]be:? )
          | 答案[*_]{0,2}\s*(?:应该|应)?(?:[是为][:：]?|[:：])(?!否|不|什么|多少|正确|错|对的) )
        [*_]{0,2}[ \t]*
        (?=(?P<value>[^\n]{0,1000}))""",
    re.IGNORECASE | re.VERBOSE,
)
_NEXT_LINE = re.compile(r"\s*(?P<value>[^\n]*)")
_MATH = re.compile(r"\$\$(?P<a>[^$]+)\$\$|\$(?P<b>[^$]+)\$(?!\d)|\\\((?P<c>.+?)\\\)|\\\[(?P<d>.+?)\\\]")
_SENTENCE_END = re.compile(
    r"[.!?;](?=\s|$)|[ ,]+(?:because|since|so|which)\b|[。！？；]|[,，、]?\s*(?:因为|由于|所以|因此|其中|即)"
)
_ADVERB = re.compile(
    r"(?:(?:therefore|thus|hence|then|actually|indeed|simply|clearly|exactly|still|in fact|equal to)\b[,:]?\s+)+", re.IGNORECASE
)
"""What may stand between "the answer is" and the answer, and is no part of it."""
_AND = r"(?:\\(?:text|mbox|mathrm)\s*\{\s*(?:and|or)\s*\}|and|or)"
_BETWEEN = re.compile(rf"(?:[\s,;$*]|\\[()\[\],;:! ]|\\q?quad)*(?:{_AND}(?:[\s,;$*]|\\[()\[\],;:! ]|\\q?quad)*)?", re.IGNORECASE)
"""What stands between the boxes of one enumeration."""
_FINAL = re.compile(r"final\W+answer|最终答案", re.IGNORECASE)
_IS = re.compile(r"(?:the|there|a|an|[A-Z][a-z]+)\b[^.]*?\b(?:is|are|equals)\s+(?P<value>\$?[-+\d\\(\[{.][^ ]*(?:\s*\\?%)?)$")
"""A whole sentence behind "Final answer:", which ends in a number."""
MAX_BOXES = 100
"""So many boxes from the end are looked at: a model caught in a loop opens thousands and closes none."""
_COMMENTS = frozenset(
    ("correct", "right", "wrong", "incorrect", "not", "found", "obtained", "therefore", "that", "what", "clear", "still", "also")
)
"""Words that follow "the answer is" where an answer is talked about, not stated."""
_REMARKS = frozenset(
    [
        *("rounded", "reasonable", "consistent", "helpful", "supported", "based", "given", "expected", "expressed", "written"),
        *(
            "confirmed",
            "verified",
            "checked",
            "valid",
            "plausible",
            "sensible",
            "realistic",
            "accurate",
            "shown",
            "boxed",
            "derived",
        ),
        *("explained", "stated", "justified", "as", "in", "close", "unique", "satisfied", "useful"),
    ]
)
"""Words that do so where an answer was stated before; alone, some of them may be one."""
_CONDITION = re.compile(
    r"(?:an? )?(?:positive|negative|non-?negative|whole|natural|real|rational|integer|even|odd|prime|greater|less|larger|smaller|"
    r"between|expressed|given|written)\b"
)
"""What an answer "must be" where it is not stated itself."""
_PLACES = re.compile(r"\d+ (?:decimal|significant)")
_MATHEMATICAL = re.compile(r"[\d\\^=+]")
_LETTER = re.compile(r"\(?[A-Z](?:$|[).:,\s])")


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
        answers = ((match, _sentence(match, text)) for match in later if match.re is not _HASHES)
        meant = (answer for match, answer in answers if answer and not _is_remark(match, answer))
        return next((answer for answer in meant if not {'"', "\\"} & {answer[0], answer[-1]}), box.content)
    remark = None
    for match in stated:
        value = _hashed(match) if match.re is _HASHES else _sentence(match, text)
        if remark is not None and not (_MATHEMATICAL.search(value) or _LETTER.match(value)):
            continue
        if value and not _is_remark(match, value):
            return value
        remark = remark or value or None
    return remark


def _is_remark(match: re.Match[str], value: str) -> bool:
    """Whether words about an answer follow: "The answer is rounded to ...", "the answer must be positive"."""
    word = re.match(r"[a-z]+", value)
    if word is None or match.re is _HASHES or _MATHEMATICAL.search(_PLACES.sub("", value)):
        return False
    return word.group() in _REMARKS or (match["modal"] is not None and _CONDITION.match(value) is not None)


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
    """The last box that is closed and not empty, and those enumerated with it; one that is repeated is one."""
    found: _Boxes | None = None
    forms: set[str] = set()
    for match in reversed(list(_BOX.finditer(text))[-MAX_BOXES:]):
        rest = text[match.end() :]
        content = _braced(rest) if rest.startswith("{") else _bare(rest)
        if not content or not (trimmed := _trim(content)):
            continue
        end = match.end() + len(content) + 2 * rest.startswith("{")
        if found is None:
            found = _Boxes(trimmed, match.start(), end)
        elif end <= found.start and _BETWEEN.fullmatch(text[end : found.start]):
            repeated = canonical(trimmed) in forms
            found = _Boxes(found.content if repeated else f"{trimmed}, {found.content}", match.start(), found.end)
        else:
            break
        forms.add(canonical(trimmed))
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
    value = _ADVERB.sub("", value, count=1) if _ADVERB.match(value) else value
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
