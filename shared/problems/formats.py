"""Publishers' rows into Problems: GSM8K, MATH, AIME as published, chats, rows of our own; `labelled` has those of labelled steps.

A row is recognised by its fields. One without a final answer is refused: everything downstream is judged by it.
"""

import json
import re
from typing import Any

from shared.answers.extract import final_answer
from shared.contracts.problem import Problem
from shared.problems import labelled
from shared.problems.rows import BadRow, digest, problem_of, rest, text_of

__all__ = ["BadRow", "parse_line", "parse_row"]

_MARKS = re.compile(r"<<[^<>]*>>")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(/\d+)?")
_BOX = re.compile(r"\\(boxed|fbox)\b")
_AIME_PAGE = re.compile(r"(\d{4})_AIME_(I{1,2})_Problems/Problem_(\d+)")
_AIME_NAME = re.compile(r"\d{4}-I{1,2}-\d+")
_OURS = {"version", "id", "choices", "grading", "solution", "source", "subject", "level", "steps", "sketch", "metadata"}


def parse_line(text: str | bytes, line: int) -> Problem:
    """One line of a JSONL file as a Problem. Raises BadRow."""
    return parse_row(read_line(text, line), line)


def read_line(text: str | bytes, line: int) -> dict[str, Any]:
    """One line of a JSONL file as the JSON object it must be. Raises BadRow."""
    try:
        row = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadRow(line, f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise BadRow(line, f"a JSON object was expected, not {type(row).__name__}")
    return row


def parse_row(row: dict[str, Any], line: int) -> Problem:
    """A publisher's row, or one of ours, as a Problem. Raises BadRow, which names what is missing."""
    given = {key: value for key, value in row.items() if value is not None and value != ""}
    if "problem" not in given and "Problem" in given:  # one publisher of AIME writes ID, Problem, Solution, Answer
        given = {key.lower(): value for key, value in given.items()}
    if "sketch" in given:
        given["sketch"] = _sketch(given["sketch"], line)
    if "messages" in given:
        fields = _chat(given, line)
    elif "model_output_steps" in given:
        fields = labelled.mr_gsm8k(given, line)
    elif "label" in given and isinstance(given.get("question"), dict):
        fields = labelled.prm800k(given, line)
    elif "problem" in given:
        fields = _aime(given, line) if _is_aime(given) else _math(given, line)
    elif "question" not in given:
        raise BadRow(line, f"no `question`, no `problem` and no `messages` (fields: {', '.join(sorted(row)) or 'none'})")
    elif "####" in str(given.get("answer", "")):
        fields = _gsm8k(given, line)
    else:
        fields = _ours(given, line)
    return problem_of(fields, line)


def _gsm8k(row: dict[str, Any], line: int) -> dict[str, Any]:
    r"""GSM8K: the worked solution and, after ####, the final answer. The calculator marks <<...>> are taken out.

    {"question": "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did
    Natalia sell altogether in April and May?", "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nNatalia sold 48+24 =
    <<48+24=72>>72 clips altogether in April and May.\n#### 72"}

    The line `#### 72` becomes `The answer is 72.`, the form in which all our solutions end.
    """
    worked, _, final = str(row["answer"]).rpartition("####")
    answer = final.strip().replace(",", "").removeprefix("$").strip()
    if not answer:
        raise BadRow(line, "no final answer: nothing follows `####` in `answer`")
    steps = [" ".join(step.split()) for step in _MARKS.sub("", worked).splitlines()]
    solution = "\n".join([*filter(None, steps), f"The answer is {answer}."])
    return {
        "id": str(row["id"]) if "id" in row else digest("gsm8k", row["question"]),
        "question": row["question"],
        "answer": answer,
        "solution": solution,
        "source": "gsm8k",
        "metadata": rest(row, "question", "answer", "id"),
    }


def _math(row: dict[str, Any], line: int) -> dict[str, Any]:
    r"""MATH and MATH-500. `answer` is missing in the original MATH, which has `type` for `subject` and `level` as "Level 2".

    {"problem": "What is the length, in units, of the radius of a sphere whose volume and surface area, in cubic units and square
    units, respectively, are numerically equal?", "solution": "The volume of a sphere is $\\frac{4}{3}\\pi r^3$ and the surface area
    is $4\\pi r^2$, so\n\\[\\frac{4}{3} \\pi r^3 = 4 \\pi r^2.\\]We can divide both sides by $4 \\pi r^2$, to get\n\\[\\frac{1}{3} r
    = 1.\\]Therefore, $r = \\boxed{3}.$", "answer": "3", "subject": "Geometry", "level": 2, "unique_id": "test/geometry/456.json"}
    """
    answer = _stated(row)
    if answer is None:
        raise BadRow(line, r"no final answer: neither `answer` nor a \boxed{...} in `solution`")
    level = re.fullmatch(r"(?:Level )?(\d+)", str(row.get("level", "")))
    return {
        "id": str(row.get("unique_id") or row.get("id") or row.get("url") or digest("math", row["problem"])),
        "question": row["problem"],
        "answer": answer,
        "solution": row.get("solution"),
        "source": "math",
        "subject": row.get("subject", row.get("type")),
        "level": int(level[1]) if level else None,
        "metadata": rest(row, "problem", "question", "answer", "solution", "subject", "type", "level", "unique_id", "id"),
    }


def _aime(row: dict[str, Any], line: int) -> dict[str, Any]:
    r"""AIME: answers are integers from 0 to 999, published as text ("025"), as numbers, or only as \boxed{25}.

    {"id": 60, "problem": "Every morning Aya goes for a $9$-kilometer-long walk and stops at a coffee shop afterwards. [...]",
    "solution": "$\\frac{9}{s} + t = 4$ in hours and [...] or $\\framebox{204}$ minutes\n-Failure.net", "answer": "204",
    "url": "https://artofproblemsolving.com/wiki/index.php/2024_AIME_I_Problems/Problem_1"}

    Its id is that of the contest, read from the page's address: `2024-I-1`.
    """
    answer = _stated(row)
    if answer is None:
        raise BadRow(line, r"no final answer: neither `answer` nor a \boxed{...} in `solution`")
    if not re.fullmatch(r"\d{1,3}(\.0)?", answer):
        raise BadRow(line, f"`answer` is {answer!r}: an AIME answer is an integer from 0 to 999")
    page = _AIME_PAGE.search(str(row.get("url", "")))
    name = "-".join(page.groups()) if page else row.get("unique_id") or row.get("url") or row.get("id")
    return {
        "id": str(name or digest("aime", row["problem"])),
        "question": row["problem"],
        "answer": str(int(float(answer))),
        "solution": row.get("solution"),
        "source": "aime",
        "metadata": rest(row, "problem", "question", "answer", "solution"),
    }


def _ours(row: dict[str, Any], line: int) -> dict[str, Any]:
    """Our own rows: a Problem as JSON. `id` may be left out if `answer` is plainly a number.

    {"version": 1, "id": "pens-1", "question": "Tom has 5 boxes of 6 pens. How many pens does he have?", "answer": "30",
    "solution": "Step 1: Tom has 5 boxes of 6 pens, so 5 * 6 = 30 pens.\\nThe answer is 30.", "source": "mine", "level": 1,
    "sketch": ["5 + 6 = 11", "No, that adds boxes to pens.", "5 * 6 = 30"]}

    `sketch`, a person's notes of a whole thought (a text, or a list of lines), is kept in `metadata` for an `annotate` stage.
    With `grading`, answers are graded in another way than by the known one; only a judge can do without `answer`.
    """
    grading = row.get("grading")
    if "answer" not in row and not (isinstance(grading, dict) and grading.get("kind") == "judge"):
        raise BadRow(line, "no final answer: no `answer`")
    answer = text_of(row.get("answer", ""))
    if answer is None or ("answer" in row and not answer.strip()):
        raise BadRow(line, f"`answer` must be text or a number, not {json.dumps(row['answer'])[:60]}")
    if not _OURS & row.keys() and not _NUMBER.fullmatch(answer.strip()):
        needed = "and a row without `id` needs a plain number there (72, -0.5 or 3/4)"
        raise BadRow(line, f"no final answer: `answer` holds no `#### ANSWER`, {needed}, not {answer.strip()[:40]!r}")
    source = row.get("source", "")
    fields = {**row, "id": str(row.get("id", digest(str(source) or "problem", row["question"]))), "answer": answer.strip()}
    if "sketch" in fields and isinstance(row.get("metadata", {}), dict):
        fields["metadata"] = {**row.get("metadata", {}), "sketch": fields.pop("sketch")}
    return fields


def _sketch(given: Any, line: int) -> str:
    """A sketch's lines, joined by newlines."""
    lines = given if isinstance(given, list) else [given]
    if not all(isinstance(one, str) for one in lines) or not any(one.strip() for one in lines):
        raise BadRow(line, "`sketch` must be text, or a list of lines, and not empty")
    return "\n".join(one.strip() for one in lines)


def _chat(row: dict[str, Any], line: int) -> dict[str, Any]:
    r"""Existing training data: a chat that ends with the assistant's turn, which states the final answer where `answer` does not.

    {"messages": [{"role": "user", "content": "What is 5 * 6?"}, {"role": "assistant", "content": "30.\nThe answer is 30."}]}

    The question is the last user's turn, the solution what the assistant made of it; the whole chat is kept as JSON in
    `metadata`, where an `import` stage with `format: messages` finds it.
    """
    turns = row["messages"]
    if not isinstance(turns, list) or not all(_is_turn(turn) for turn in turns):
        raise BadRow(line, "`messages` must be a list of turns, each with `role` (system, user, assistant) and `content` (text)")
    if len(turns) < 2 or turns[-1]["role"] != "assistant" or turns[-2]["role"] != "user":
        raise BadRow(line, "`messages` must end with a user's turn and the assistant's answer to it")
    answer = str(row["answer"]).strip() if "answer" in row else final_answer(turns[-1]["content"])
    if not answer:
        raise BadRow(line, "no final answer: neither `answer` nor the assistant's last turn states one")
    chat = json.dumps([{"role": turn["role"], "content": turn["content"]} for turn in turns], ensure_ascii=False)
    source = str(row.get("source", "chat"))
    return {
        "id": str(row.get("id", digest(source, chat))),
        "question": turns[-2]["content"],
        "answer": answer,
        "solution": turns[-1]["content"],
        "source": source,
        "metadata": {**rest(row, "messages", "answer", "id", "source"), "messages": chat},
    }


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and turn.get("role") in ("system", "user", "assistant") and isinstance(turn.get("content"), str)


def _is_aime(row: dict[str, Any]) -> bool:
    """AIME rows name the contest in their `url`, or have ids like 2024-I-1; MATH rows have neither."""
    return "AIME" in str(row.get("url", "")) or bool(_AIME_NAME.fullmatch(str(row.get("id", ""))))


def _stated(row: dict[str, Any]) -> str | None:
    answer = text_of(row.get("answer"))
    if answer and answer.strip():
        return answer.strip()
    solution = str(row.get("solution", ""))
    return final_answer(solution) if _BOX.search(solution) else None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
