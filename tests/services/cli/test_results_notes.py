"""What the report says below its table."""

import pytest

from services.cli.results import notes

PLAIN = {"problems": "sums", "problem_count": 3, "samples": 2, "temperature": 0.8, "max_tokens": 99, "engine": "vllm 1"}


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        ({}, []),
        ({"budget": None, "waits": 0}, []),
        (
            {"budget": 60, "answer_tokens": 9, "waits": 2},
            ["made to answer after 60 tokens, with at most 9 more", "made to go on 2 times where the answer would have ended"],
        ),
    ],
)
def test_forced_answers_are_told(conditions: dict[str, int | None], said: list[str]) -> None:
    benchmarks = {"measure": {"benchmark": "sums", "comparable": True}}
    score = {"conditions": {**PLAIN, **conditions}, "ungraded": 0, "avg_tokens": 9.0}
    lines = notes({"benchmarks": benchmarks, "models": {"base": score}})
    assert [line.plain.strip() for line in lines[1:]] == [f"measure: {one}" for one in said]


def test_tokens_that_nobody_counted_are_not_told_as_none() -> None:
    score = {"conditions": {**PLAIN}, "ungraded": 0, "avg_tokens": 0.0}
    lines = notes({"benchmarks": {}, "models": {"far": score, "near": {**score, "avg_tokens": 5.0}}})
    assert [line.plain.strip() for line in lines] == [
        "far: its server told no numbers of tokens: what its answers cost is not known"
    ]
