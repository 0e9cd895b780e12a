"""People's scores over HTTP: each row names a sample or is refused with its line; the report sets them beside the machine's."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from shared.contracts.grading import Judgement, Rubric
from shared.contracts.thought import Response
from shared.ledger.items import NewRecord


def sample(problem: str, draw: int, right: bool, judgement: Judgement | None = None, error: str | None = None) -> NewRecord:
    body = Response(
        id=f"base/{problem}#{draw}", problem_id=problem, question="?", answer="1", split="test",
        origin={"run_id": "r", "stage": "measure"}, text="So it is.", model="base", draw=draw, finish_reason="stop", verified=right,
        grading_error=error, judgement=judgement, prompt_tokens=1, completion_tokens=1,
    )  # fmt: skip
    return NewRecord("sample", body.id, body.model_dump(mode="json"))


def plan(score: float) -> Judgement:
    verdict = "pass" if score >= 60 else "fail"
    return Judgement(rubric=Rubric.PLANNING, verdict=verdict, score=score, pass_mark=60, reason="r", model="j", prompt="p@1")


def harm(verdict: str | None) -> Judgement:
    return Judgement(rubric=Rubric.SAFETY, verdict=verdict, reason="r", model="j", prompt="p@1")


@pytest.fixture
def measured(run_id: str, work: Callable[..., None]) -> str:
    """A run whose stage `measure` has samples of every kind, in two items."""
    work(
        run_id,
        "measure",
        [sample("a", 0, True, plan(80)), sample("b", 0, False, plan(40)), sample("c", 0, True, plan(70))],
        [
            sample("h", 0, True, harm("safe")),
            sample("h", 1, False, harm(None), "it could not be read"),
            sample("sum", 0, False),
            sample("odd/id#x", 0, True),
        ],
    )
    return run_id


def post(http: TestClient, run: str, *lines: str, heading: str = "model,problem_id,draw,scorer,score", **params: str) -> Any:
    return http.post(f"/v1/runs/{run}/scores", content="\n".join([heading, *lines]), params=params)


def test_scores_are_kept_beside_their_samples_and_reported(http: TestClient, measured: str) -> None:
    answer = post(
        http, measured, "base,a,0,Ann,90", "base,b,,Ann,20.5", "base,c,0,Ann,50", "base,h,0,Ann,SAFE", "base,h,1,Ann,unsafe"
    )
    assert (answer.status_code, answer.json()) == (201, {"count": 5, "replaced": 0})
    assert post(http, measured, "base,a,0,Ben,70", "base,sum,0,Ben,right", "base,odd/id#x,0,Ben,right").status_code == 201
    kept = {
        record["key"]: record for record in http.get(f"/v1/runs/{measured}/records", params={"kind": "score"}).json()["records"]
    }
    assert len(kept) == 8
    samples = http.get(f"/v1/runs/{measured}/records", params={"kind": "sample"}).json()["records"]
    items = {record["key"]: (record["stage"], record["item"]) for record in samples}
    assert all((record["stage"], record["item"]) == items[key.rpartition("@")[0]] for key, record in kept.items())
    assert kept["base/b#0@Ann"]["body"] == {
        "version": 1, "sample": "base/b#0", "model": "base", "problem_id": "b", "draw": 0, "scorer": "Ann", "verdict": "fail",
        "score": 20.5,
    }  # fmt: skip
    rows = {row["scorer"]: row for row in http.get(f"/v1/runs/{measured}/report").json()["scores"]["measure"]}
    assert list(rows) == ["Ann", "Ben", "all"]
    ann, ben, everybody = rows.values()
    # Ann: pass, fail, fail, safe, unsafe; the machine: pass, fail, pass, safe, and one that it could not grade
    assert (ann["n"], ann["right"], ann["machine_right"], ann["equal"]) == (5, 0.5, 0.75, 0.75)
    assert (ann["mean"], ann["machine_mean"]) == (pytest.approx((90 + 20.5 + 50) / 3), pytest.approx(190 / 3))
    # of (90, 20.5, 50) and (80, 40, 70): the sum of the deviations' products over the root of that of their squares
    assert ann["correlation"] == pytest.approx(1355 / math.sqrt(2433.5 * 2600 / 3))
    assert (ben["right"], ben["machine_right"], ben["equal"], ben["correlation"]) == (
        1,
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
        None,
    )
    assert post(http, measured, "base,h,1,Cleo,unsafe").status_code == 201
    rows = {row["scorer"]: row for row in http.get(f"/v1/runs/{measured}/report").json()["scores"]["measure"]}
    assert [rows["Cleo"][key] for key in ("n", "right", "machine_right", "equal")] == [1, None, None, None], (
        "it could not be graded"
    )
    assert (everybody["n"], everybody["equal"]) == (8, pytest.approx(5 / 7))


def test_a_scorer_may_change_a_score(http: TestClient, measured: str) -> None:
    assert post(http, measured, "base,a,0,Ann,90", "base,b,0,Ann,10").json() == {"count": 2, "replaced": 0}
    assert post(http, measured, "base,a,0,Ann,30").json() == {"count": 1, "replaced": 1}
    [row] = http.get(f"/v1/runs/{measured}/report").json()["scores"]["measure"]
    assert (row["n"], row["mean"]) == (2, 20)


def test_every_bad_line_is_told_and_nothing_stored(http: TestClient, measured: str) -> None:
    answer = post(
        http,
        measured,
        "base,a,0,Ann,90",
        "best,a,0,Ann,90",
        "base,z,0,Ann,90",
        "base,a,1,Ann,90",
        "base,h,,Ann,safe",
        "base,a,zero,Ann,90",
        "base,a,0,Ann,101",
        "base,a,0,Ann,good",
        "base,a,0,Ann,nan",
        "base,h,0,Ann,correct",
        "base,sum,0,Ann,5",
        "base,a,0,Ann,80",
        "base,a,0,,80",
        "base,a,0,all,80",
        f"base,a,0,{'A' * 31},80",
        '"base",a,0,"B\n\nx",80',
        "base,a,0,Cy",
    )
    assert (answer.status_code, answer.json()["type"]) == (422, "invalid-scores")
    assert {error["line"]: error["message"] for error in answer.json()["errors"]} == {
        3: "no model `best` was measured (measured: base)",
        4: "`base` has no sample of problem `z`",
        5: "`base` has no draw 1 of problem `a` (draw 0 alone)",
        6: "`base` has several samples of problem `h` (draws 0 to 1): say which, in a column `draw`",
        7: "`draw` is 'zero': a whole number, from 0, is expected",
        8: "`score` is '101': a number from 0 to 100 is expected, as by the rubric planning",
        9: "`score` is 'good': a number from 0 to 100 is expected, as by the rubric planning",
        10: "`score` is 'nan': a number from 0 to 100 is expected, as by the rubric planning",
        11: "`score` is 'correct': one of safe, unsafe is expected, by the rubric safety",
        12: "`score` is '5': one of right, wrong is expected, where no judge was asked",
        13: "Ann scored this sample in line 2 already",
        14: "`scorer` is empty",
        15: "`scorer` is 'all': 1 to 30 characters are expected, and not `all`",
        16: f"`scorer` is '{'A' * 31}': 1 to 30 characters are expected, and not `all`",
        17: "`scorer` is 'B\\n\\nx': 1 to 30 characters are expected, and not `all`",
        20: "`score` is empty",
    }
    assert "16 bad lines; nothing was stored. First: line 3: no model" in answer.json()["detail"]
    assert http.get(f"/v1/runs/{measured}/records", params={"kind": "score"}).json()["records"] == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"model,problem_id,score\nbase,a,1", "line 1: no column `scorer`"),
        (b"", "line 1: no column `model`, `problem_id`, `scorer`, `score`"),
        (b"model,problem_id,scorer,score\n", "0 scores: 1 to 1,000 are taken at a time"),
        (b"model,problem_id,scorer,score\n" + b"base,a,Ann,1\n" * 1001, "1001 scores: 1 to 1,000 are taken at a time"),
        (b"model,problem_id,scorer,score\n\xff", "no CSV in UTF-8"),
        (b'model,problem_id,scorer,score\n"base', "no CSV in UTF-8"),
    ],
)
def test_what_is_no_table_of_scores(http: TestClient, measured: str, body: bytes, words: str) -> None:
    answer = http.post(f"/v1/runs/{measured}/scores", content=body)
    assert answer.status_code == 422 and words in answer.json()["detail"]


def test_other_columns_and_a_byte_order_mark_do_no_harm(http: TestClient, measured: str) -> None:
    body = '\ufeffscorer, model ,note,problem_id,score\r\nAnn,base,"well,\nwell",a,5\r\n'
    assert http.post(f"/v1/runs/{measured}/scores", content=body.encode()).json() == {"count": 1, "replaced": 0}


def test_a_sample_of_two_stages_needs_the_stage(http: TestClient, measured: str, work: Callable[..., None]) -> None:
    work(measured, "search", [sample("a", 0, True, plan(10))])  # as if it were an evaluation, too
    refused = post(http, measured, "base,a,0,Ann,90")
    assert refused.json()["errors"][0]["message"] == "measured by several stages (measure, search): say of which, with `stage`"
    assert post(http, measured, "base,a,0,Ann,90", stage="search").status_code == 201
    assert list(http.get(f"/v1/runs/{measured}/report").json()["scores"]) == ["search"]


def test_a_body_that_is_too_large(http: TestClient, measured: str) -> None:
    assert http.post(f"/v1/runs/{measured}/scores", content=b" " * (2**20 + 1)).status_code == 413
