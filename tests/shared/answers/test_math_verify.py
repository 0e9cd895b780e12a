"""Math-Verify's own test cases (https://github.com/huggingface/Math-Verify, tests/, version 0.9.0; Apache License 2.0, parts MIT).

`math_verify_cases.jsonl` has a line for each: the two texts, whether they are held to be equal there, and, where we differ, why.
They go the way that a response goes here: the answer that a text states, then the comparison. A text that is nothing but an answer
is one. Where a text has mathematics in the midst of its sentences, and states none of it as its answer, we take none; that, stated
as one (`stated`), must compare as it does there.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from shared.answers.extract import final_answer
from shared.answers.verify import verify

CASES: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parent / "math_verify_cases.jsonl").read_text(encoding="utf-8").splitlines()
]
MOST_DIFFERENT = 39
"""A list that grows is one that somebody has stopped reading."""


def answer_in(text: str) -> str:
    """What a text states; else all of it, without the dollars around it."""
    stated = final_answer(text)
    if stated is not None:
        return stated
    bare = text.strip()
    return bare if re.search(r"\$[^$]+\$.*\$", bare) else bare.strip("$")


@pytest.mark.parametrize("case", CASES, ids=[f"{place}-{case['test'].split('::')[1]}" for place, case in enumerate(CASES)])
async def test_a_published_case(case: dict[str, Any]) -> None:
    found = await verify(answer_in(case["gold"]), answer_in(case["pred"]))
    assert (found == case["equal"]) == ("differs" not in case)


STATED = [case for case in CASES if "stated" in case]


@pytest.mark.parametrize("case", STATED, ids=[case["stated"] for case in STATED])
async def test_what_stands_in_prose_compares_alike_once_it_is_stated(case: dict[str, Any]) -> None:
    assert case["stated"] in case["pred"] or "frac" in case["stated"]
    assert await verify(answer_in(case["gold"]), answer_in(f"The answer is \\boxed{{{case['stated']}}}.")) == case["equal"]


def test_few_cases_are_held_to_be_otherwise_and_each_says_why() -> None:
    differing = [case for case in CASES if "differs" in case]
    assert len(CASES) == 275 and len(differing) <= MOST_DIFFERENT
    assert all(len(case["differs"]) > 20 for case in differing)
    assert sum("stated" not in case for case in differing) <= 18
