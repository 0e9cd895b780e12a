"""Problem sets over HTTP: every bad line named, nothing stored by halves."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from services.gateway import upload
from shared.ledger.database import Ledger
from shared.ledger.problems import get_set, iterate_problems

from .conftest import RECIPE

GSM8K = {"question": "Lee has 3 pens and buys 4. How many?", "answer": "3+4=<<3+4=7>>7\n#### 7"}
MATH = {"problem": "What is $1+1$?", "solution": "It is $\\boxed{2}$.", "level": "Level 1", "type": "Algebra"}
AIME = {"id": 60, "problem": "Find it.", "answer": "033", "url": "https://example.org/2024_AIME_I_Problems/Problem_4"}


def lines(*rows: Any) -> bytes:
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def test_rows_of_all_publishers(http: TestClient, ledger: Ledger) -> None:
    answer = http.post("/v1/problem-sets/mixed", content=lines(GSM8K, b"", MATH, AIME))
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/problem-sets/mixed"
    assert answer.json() == {"name": "mixed", "count": 3, "created": True}
    assert [body["answer"] for body in iterate_problems(ledger, "mixed")] == ["7", "2", "33"]
    [shown] = http.get("/v1/problem-sets").json()["problem_sets"]
    assert (shown["name"], shown["count"]) == ("mixed", 3)
    assert http.get("/v1/problem-sets/mixed").json()["count"] == 3
    page = http.get("/v1/problem-sets/mixed/problems", params={"skip": 1, "limit": 1}).json()
    assert [problem["source"] for problem in page["problems"]] == ["math"]


def test_every_bad_line_is_reported_and_nothing_stored(http: TestClient, ledger: Ledger) -> None:
    without = {"question": "How many?", "answer": "A worked solution without its end."}
    body = lines(GSM8K, without, b"{", MATH, GSM8K, b"[1]")
    answer = http.post("/v1/problem-sets/bad", content=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert [error["line"] for error in said["errors"]] == [2, 3, 5, 6]
    assert "no final answer" in said["errors"][0]["message"]
    assert "used by line 1 already" in said["errors"][2]["message"]
    assert said["total"] == 4
    assert "4 bad lines; nothing was stored" in said["detail"]
    assert get_set(ledger, "bad") is None
    assert http.post("/v1/problem-sets/bad", content=lines(GSM8K)).status_code == 201


def test_the_list_of_bad_lines_is_capped_and_the_total_told(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MOST_ERRORS", 3)
    said = http.post("/v1/problem-sets/bad", content=b"{\n" * 10).json()
    assert len(said["errors"]) == 3
    assert said["total"] == 10


def test_a_line_that_is_too_long(http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "LONGEST_LINE", 200)
    said = http.post("/v1/problem-sets/bad", content=lines(GSM8K, {**GSM8K, "question": "x" * 900}, MATH, b"{")).json()
    assert [error["line"] for error in said["errors"]] == [2, 4]
    assert "longer than 200 bytes" in said["errors"][0]["message"]


def test_streamed_in_pieces_with_a_byte_order_mark(http: TestClient) -> None:
    body = b"\xef\xbb\xbf" + lines(GSM8K, MATH)
    answer = http.post("/v1/problem-sets/pieces", content=(body[i : i + 7] for i in range(0, len(body), 7)))
    assert answer.json()["count"] == 2


@pytest.mark.parametrize("body", [b"", b"\n \n"])
def test_an_empty_set_is_refused(http: TestClient, body: bytes) -> None:
    answer = http.post("/v1/problem-sets/empty", content=body)
    assert answer.status_code == 422
    assert "holds no problems" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["a.b", "-a", "a b", "a" * 101, "ä"])
def test_names_are_plain(http: TestClient, name: str) -> None:
    assert http.post(f"/v1/problem-sets/{name}", content=lines(GSM8K)).status_code == 422


def test_the_same_again_is_no_conflict_other_content_is(http: TestClient) -> None:
    assert http.post("/v1/problem-sets/one", content=lines(GSM8K)).status_code == 201
    again = http.post("/v1/problem-sets/one", content=lines(GSM8K))
    assert (again.status_code, again.json()["created"]) == (200, False)
    for other in (lines(MATH), lines(GSM8K, MATH)):
        refused = http.post("/v1/problem-sets/one", content=other)
        assert refused.status_code == 409
        assert "already" in refused.json()["detail"]


def test_the_same_again_where_it_was_stored_before_problems_had_all_their_fields(http: TestClient, sums: str) -> None:
    rows = [{"id": f"p{n}", "question": f"1 + {n}?", "answer": str(n + 1)} for n in range(5)]
    again = http.post(f"/v1/problem-sets/{sums}", content=lines(*rows))
    assert (again.status_code, again.json()["created"]) == (200, False)


def test_rows_of_our_own_say_how_they_are_graded(http: TestClient, ledger: Ledger) -> None:
    choice = {"id": "c", "question": "Which?", "choices": ["iron", "zinc"], "answer": "B", "grading": {"kind": "letter"}}
    judged = {"id": "j", "question": "Plan a day.", "grading": {"kind": "judge", "rubric": "planning", "pass_mark": 60}}
    assert http.post("/v1/problem-sets/mixed", content=lines(GSM8K, choice, judged)).status_code == 201
    assert [body["grading"]["kind"] for body in iterate_problems(ledger, "mixed")] == ["answer", "letter", "judge"]
    bad = [
        {**choice, "answer": "C"},
        {**choice, "grading": {}},
        {**judged, "grading": {"kind": "judge"}},
        {**judged, "grading": {}},
    ]
    said = http.post("/v1/problem-sets/bad", content=lines(*bad)).json()
    assert [error["message"] for error in said["errors"]] == [
        "`answer` is 'C': no choice (A to B)",
        "`choices` and a grading of kind `letter` go together",
        "`grading`: rubric: goes with kind `judge`, and a judge needs one of facts, safety, sycophancy, planning",
        "no final answer: no `answer`",
    ]


def test_deleting(http: TestClient, sums: str) -> None:
    run = http.post("/v1/runs", json=RECIPE).json()["id"]
    refused = http.delete("/v1/problem-sets/sums")
    assert refused.status_code == 409
    assert run in refused.json()["detail"]
    http.post(f"/v1/runs/{run}/cancel")
    assert http.delete("/v1/problem-sets/sums").status_code == 204
    assert http.get("/v1/problem-sets/sums").status_code == 404
    assert http.delete("/v1/problem-sets/sums").status_code == 404
