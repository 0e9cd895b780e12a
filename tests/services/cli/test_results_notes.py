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
        ({"reward": ""}, []),
        ({"reward": "org/prm (min)"}, ["votes weighted by org/prm (min), the scores of a sample's lines"]),
    ],
)
def test_what_was_done_to_answers_is_told(conditions: dict[str, int | str | None], said: list[str]) -> None:
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


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"unscored": 0, "n": 3, "weighted_n": 3}, []),
        ({"unscored": 2, "n": 3, "weighted_n": 3}, ["2 samples could not be scored, and have no part in the weighted majority"]),
        (
            {"unscored": 6, "n": 3, "weighted_n": 0},
            [
                "6 samples could not be scored, and have no part in the weighted majority",
                "3 problems have no sample that could be scored, and are not in it",
            ],
        ),
    ],
)
def test_samples_without_a_weight_are_told(figures: dict[str, int], said: list[str]) -> None:
    lines = notes({"benchmarks": {}, "models": {"base": {"ungraded": 0, "avg_tokens": 9.0, **figures}}})
    assert [line.plain.strip() for line in lines] == [f"base: {one}" for one in said]
