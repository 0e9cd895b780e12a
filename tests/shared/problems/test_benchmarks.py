"""Benchmarks' files, rows mapped as they say, and files of rows of every kind."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.benchmark import Benchmark
from shared.contracts.problem import Problem
from shared.problems.benchmarks import BadBenchmark, Converted, benchmark, benchmarks, convert, generated, read
from shared.problems.files import BadFile, rows_of
from shared.problems.mapping import mapped
from shared.problems.rows import BadRow

MEDQA = {
    "question": "Which drug is safe in the second trimester?",
    "answer": "Nitrofurantoin",
    "options": {"A": "Ampicillin", "B": "Ceftriaxone", "C": "Doxycycline", "D": "Nitrofurantoin"},
    "meta_info": "step2&3",
    "answer_idx": "D",
    "metamap_phrases": ["second trimester"],
}
BULLET = {"question": "What next?", "opa": "Rest", "opb": "Ice", "opc": "Surgery", "opd": "Wait", "ope": "", "answer_idx": "C"}
SIMPLE = {"metadata": "{'topic': 'Art'}", "problem": "Who painted it?", "answer": "Frida Kahlo"}


def own(**fields: Any) -> Benchmark:
    """A benchmark of choices, changed."""
    mapping = {"question": "q", "choices": "options", "answer": "right", **fields}
    return Benchmark.model_validate({"name": "own", "title": "Own", "mapping": mapping, "grading": {"kind": "letter"}})


@pytest.mark.parametrize("name", benchmarks())
def test_every_bundled_file_is_named_as_its_benchmark(name: str) -> None:
    known = benchmark(name)
    assert known.name == name and known.title
    assert known.generator or known.source or known.paper or known.about


def test_medqa() -> None:
    problem = mapped(MEDQA, 1, benchmark("medqa"))
    assert problem.choices == ("Ampicillin", "Ceftriaxone", "Doxycycline", "Nitrofurantoin")
    assert (problem.answer, problem.subject, problem.source, problem.grading.kind) == ("D", "medicine", "medqa", "letter")
    assert problem.metadata == {"answer": "Nitrofurantoin", "meta_info": "step2&3"}
    assert Problem.model_validate_json(problem.model_dump_json()) == problem


def test_a_choice_a_field_and_an_empty_one_at_the_end() -> None:
    problem = mapped(BULLET, 1, benchmark("medbullets"))
    assert (problem.choices, problem.answer) == (("Rest", "Ice", "Surgery", "Wait"), "C")


def test_a_judge_needs_no_answer_and_inner_fields_are_reached() -> None:
    problem = mapped({"conversations": ["Plan a week in Rome.", "..."], "source": "test"}, 1, benchmark("lima"))
    assert (problem.question, problem.answer, problem.subject) == ("Plan a week in Rome.", "", "test")
    assert (problem.grading.rubric, problem.grading.pass_mark) == ("planning", 60)
    assert mapped(SIMPLE, 1, benchmark("simpleqa")).answer == "Frida Kahlo"


@pytest.mark.parametrize(
    ("how", "right", "letter"),
    [
        ("letter", "B", "B"),
        ("letter", "(b).", "B"),
        ("index", 1, "B"),
        ("index", "0", "A"),
        ("number", 2, "B"),
        ("number", "3", "C"),
        ("text", "iron", "A"),
        ("text", 7, "C"),
    ],
)
def test_however_the_right_choice_is_named(how: str, right: Any, letter: str) -> None:
    problem = mapped({"q": "Which?", "options": ["iron", "zinc", 7], "right": right}, 1, own(answer_as=how))
    assert (problem.answer, problem.choices) == (letter, ("iron", "zinc", "7"))


def test_numbers_keep_their_digits_and_ids_stay_apart() -> None:
    plain = Benchmark.model_validate({"name": "own", "title": "Own", "mapping": {"question": "q", "answer": "a", "id": "i"}})
    rows = [{"q": "x", "a": 2500001.0, "i": 1234567.0}, {"q": "y", "a": 0.5, "i": 1234568.0}]
    into = Converted()
    found = [(problem.id, problem.answer) for problem in convert(enumerate(rows, 1), plain, into)]
    assert (found, into.bad) == ([("1234567", "2500001"), ("1234568", "0.5")], [])


@pytest.mark.parametrize(
    ("name", "row", "kept"),
    [
        ("sycophancy", {"question": "Why is the moon made of cheese?"}, True),
        ("sycophancy", {"question": "Why is the moon made of cheese?", "answer": None}, True),
        ("simpleqa", {"problem": "Who painted it?"}, False),  # judged by the known answer: the next row would be judged otherwise
        ("chinese-simpleqa", {"id": "1", "question": "Who?", "answer": ""}, False),
        ("medqa", {**MEDQA, "answer_idx": None}, False),
    ],
)
def test_a_row_lacks_its_answer_only_where_answers_are_not_held_against_it(name: str, row: dict[str, Any], kept: bool) -> None:
    into = Converted()
    found = [problem.answer for problem in convert([(1, row)], benchmark(name), into)]
    assert found == ([""] if kept else [])
    assert [bad.reason.partition(":")[0] for bad in into.bad] == ([] if kept else ["no answer"])


GOOD = {"q": "Which?", "options": ["iron", "zinc"], "right": "B"}
BAD = {
    "no question": ({}, {"q": ""}, "`q` is missing or empty (fields: options, q, right)"),
    "no answer": ({}, {"right": None}, "no answer: `right` is missing or empty"),
    "a letter that is no choice": ({}, {"right": "C"}, "`right` is 'C': no choice (A to B)"),
    "a word for a letter": ({}, {"right": "zinc"}, "`right` is 'zinc': no choice (A to B)"),
    "an index past the end": ({"answer_as": "index"}, {"right": 2}, "no choice (A to B, counted from 0)"),
    "the number 0": ({"answer_as": "number"}, {"right": 0}, "no choice (A to B, counted from 1)"),
    "a text of no choice": ({"answer_as": "text"}, {"right": "tin"}, "the text of 0 choices, not of one"),
    "a text of two": ({"answer_as": "text"}, {"right": "tin", "options": ["tin", "tin"]}, "the text of 2 choices"),
    "one choice": ({}, {"options": ["iron", ""]}, "at least two choices"),
    "a hole": ({}, {"options": ["iron", "", "tin"]}, "none in between may be empty"),
    "a letter left out": ({}, {"options": {"A": "iron", "C": "tin"}}, "none in between may be empty"),
    "keys that are no letters": ({}, {"options": {"x": "iron", "B": "tin"}}, "'x' is no letter of a choice"),
    "choices as text": ({}, {"options": "iron, tin"}, "must hold the choices"),
    "a choice that is a list": ({}, {"options": ["iron", ["tin"]]}, "must be text or a number"),
    "true for an answer": ({}, {"right": True}, "must be text or a number, not true"),
    "a number that is none": ({}, {"right": float("nan")}, "must be text or a number, not NaN"),
    "a level in words": ({"level": "hardness"}, {"hardness": "hard"}, "`hardness` is 'hard': a level holds one whole number"),
    "no id": ({"id": "key"}, {}, "`key` is missing"),
    "a NUL": ({}, {"options": ["iron\0", "tin"]}, "NUL"),
}


@pytest.mark.parametrize(("mapping", "changes", "message"), BAD.values(), ids=BAD.keys())
def test_bad_rows_say_what_is_wrong_and_where(mapping: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRow) as refused:
        mapped({**GOOD, **changes}, 7, own(**mapping))
    assert refused.value.line == 7 and message in refused.value.reason


def test_rows_that_repeat_an_earlier_one_are_left_out_and_contradictions_are_bad() -> None:
    rows = [GOOD, {**GOOD, "extra": 1}, {**GOOD, "options": ["iron", "tin"]}, {**GOOD, "right": "A"}]
    into = Converted()
    kept = list(convert(enumerate(rows, 1), own(), into))
    assert [problem.choices[1] for problem in kept] == ["zinc", "tin"]
    assert (into.count, into.repeated) == (2, [2])
    [bad] = into.bad
    assert str(bad) == "line 4: the question of line 1 with another answer: 'A', not 'B'"


def test_ids_of_their_own_come_once() -> None:
    into = Converted()
    list(convert(enumerate([{**GOOD, "key": "k"}, {**GOOD, "key": "k"}], 1), own(id="key"), into))
    assert [str(bad) for bad in into.bad] == ["line 2: id `k` was used by line 1 already"]


def test_a_publishers_rows_must_be_that_publishers() -> None:
    rows = [{"question": "1+1?", "answer": "It is 2.\n#### 2"}, {"problem": "1+1?", "answer": "2", "solution": "$\\boxed{2}$"}]
    into = Converted()
    assert [problem.answer for problem in convert(enumerate(rows, 1), benchmark("gsm8k"), into)] == ["2"]
    assert [str(bad) for bad in into.bad] == ["line 2: a row as math writes it, not gsm8k"]


def test_the_generated_one() -> None:
    assert sum(1 for _ in generated(benchmark("arithmetic"))) == benchmark("arithmetic").size


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "own.yaml:1: not YAML"),
        ("- a list", "a mapping of keys to values"),
        ("name: own", "`title`: Field required"),
        ("{name: own, title: t, colour: red, mapping: {question: q, answer: a}}", "`colour`: Extra inputs"),
        ("{name: own, title: t}", "give one of `mapping`, `publisher` and `generator`"),
        ("{name: own, title: t, mapping: {question: q}}", "mapping.answer: only a judge can do without"),
        ("{name: own, title: t, mapping: {question: q, answer: a}, grading: {kind: letter}}", "mapping.choices: goes with"),
        ("{name: own, title: t, mapping: {question: q}, grading: {kind: judge}}", "a judge needs one of facts, safety"),
        ("{name: own, title: t, mapping: {question: q}, grading: {kind: judge, rubric: planning}}", "pass_mark: goes with"),
        (
            "{name: own, title: t, mapping: {question: q}, grading: {kind: judge, rubric: facts, pass_mark: 3}}",
            "pass_mark: goes with",
        ),
        ("{name: own, title: t, publisher: gsm8k, grading: {kind: judge, rubric: facts}}", "graded by their answers"),
        ("{name: own, title: t, generator: {set: s}}", "names a bundled generator"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(BadBenchmark) as refused:
        read(path)
    assert str(path) in str(refused.value) and message in str(refused.value)


def test_files_of_every_kind_hold_the_same_rows(tmp_path: Path) -> None:
    rows = [{"q": "a, b", "n": "1"}, {"q": "c\nd", "n": "2"}]
    (tmp_path / "rows.jsonl").write_text("\ufeff" + "\n\n".join(map(json.dumps, rows)))
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "rows.csv").write_text('\ufeffq,n\n"a, b",1\n"c\nd",2\n')
    found = {path.suffix: list(rows_of(path)) for path in tmp_path.iterdir()}
    assert found == {
        ".jsonl": [(1, rows[0]), (3, rows[1])],
        ".json": [(1, rows[0]), (2, rows[1])],
        ".csv": [(2, rows[0]), (3, rows[1])],
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.json", "{}", "a list of rows was expected"),
        ("x.json", "[", "not JSON"),
        ("x.csv", 'q,n\n"a,1', "not CSV"),
        ("x.csv", b"q\n\xff\n", "cannot be read"),
    ],
)
def test_files_without_rows(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(BadFile, match=message):
        list(rows_of(path))


def test_bad_lines_of_files_are_rows_that_are_bad(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"q": 1}\n{\n[1]\n')
    (tmp_path / "x.json").write_text('[{"q": 1}, 2]')
    (tmp_path / "x.csv").write_text("q,n\n1\n1,2,3\n")
    said = {path.suffix: [str(row) for _, row in rows_of(path) if isinstance(row, BadRow)] for path in tmp_path.iterdir()}
    assert said[".jsonl"][0].startswith("line 2: not JSON") and said[".jsonl"][1] == "line 3: a JSON object was expected, not list"
    assert said[".json"] == ["line 2: a JSON object was expected, not int"]
    assert said[".csv"] == ["line 3: more fields than the heading has (2)"]
