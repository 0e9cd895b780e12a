"""Math-Verify's own test cases (https://github.com/huggingface/Math-Verify, tests/, version 0.9.0; Apache License 2.0, parts MIT).

`math_verify_cases.jsonl` has a line for each: the two texts, whether they are held to be equal there, and, where we differ, why.
They go the way that a response goes here: the answer that a text states, then the comparison. A text that is nothing but an answer
is one.
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


def test_few_cases_are_held_to_be_otherwise_and_each_says_why() -> None:
    differing = [case for case in CASES if "differs" in case]
    assert len(CASES) == 275 and len(differing) <= MOST_DIFFERENT
    assert all(len(case["differs"]) > 20 for case in differing)
