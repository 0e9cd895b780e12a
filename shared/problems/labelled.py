"""Published solutions whose steps people labelled: PRM800K's rows and MR-GSM8K's, each into a Problem with `steps`.

Steps become single lines. A step that only states the answer in the publisher's marks ("# Answer" in PRM800K, "#### 14" in GSM8K)
states it as all our solutions do: "The answer is 14."
"""

import json
import re
from typing import Any

from shared.contracts.problem import StepLabel
from shared.problems.rows import BadRow, digest, rest, text_of

_RATINGS = {1: StepLabel.CORRECT, 0: StepLabel.NEUTRAL, -1: StepLabel.INCORRECT, None: StepLabel.NONE}
_PRM_ANSWER = re.compile(r"\s*#\s*Answer\s*\n\s*(?P<answer>\S.*?)\s*$", re.DOTALL)
_GSM_ANSWER = re.compile(r"####\s*(?P<answer>\S.*?)\s*$")
_CALCULATOR = re.compile(r"<<[^<>]*>>")
_NO_STEP = ("", "N/A", "NA", "NONE")


def prm800k(row: dict[str, Any], line: int) -> dict[str, Any]:
    r"""PRM800K (https://github.com/openai/prm800k, README.md, "Data"): a solution of a MATH problem, grown step by step.

    {"labeler": "340d89bc-...", "timestamp": "2023-01-22T04:34:27.052924", "generation": 9, "is_quality_control_question": false,
    "is_initial_screening_question": false, "question": {"problem": "What is the greatest common factor of $20 !$ and $200,\\!000$?
    [...]", "ground_truth_solution": "[...]", "ground_truth_answer": "40,\\!000", "pre_generated_steps": ["I want to find [...]",
    ...], "pre_generated_answer": "320,000", "pre_generated_verifier_score": 0.0107}, "label": {"steps": [{"completions": [{"text":
    "I want to find [...]", "rating": 0, "flagged": null}], "human_completion": null, "chosen_completion": 0}, ...],
    "total_time": 278270, "finish_reason": "found_error"}}

    The labelled solution is the path that was gone: at each level the completion that was chosen, or the human's own (rated right
    by its writing). Where none was chosen (the last level of phase 2's "found_error", say) it is the step of the pre-generated
    solution if that is among the completions, else the first; had it several to choose from, the path ends there, and levels that
    follow, which nobody can place, are counted in `metadata.levels_left_out`. All other completions of a level stay beside the
    path's step as alternatives: every alternative's parent is the step above it on the path, so the whole tree can be built from
    them.

    Ratings 1, 0, -1 are correct, neutral, incorrect. A completion without a rating, or flagged (the labeller did not know), has no
    label. What follows an incorrect step on the path (phase 1 allows it) is `after_error`. `bad_problem` and `give_up` stand in
    `metadata.finish_reason`; such a row may have fewer steps, or none.
    """
    question, label = row["question"], row["label"]
    problem, answer = question.get("problem"), question.get("ground_truth_answer")
    if not isinstance(problem, str) or not problem.strip():
        raise BadRow(line, "no `question.problem`")
    if not isinstance(answer, str | int | float) or isinstance(answer, bool) or not str(answer).strip():
        raise BadRow(line, "no final answer: no `question.ground_truth_answer`")
    levels = label.get("steps") if isinstance(label, dict) else None
    if not isinstance(levels, list):
        raise BadRow(line, "`label.steps` must be a list")
    planned = question.get("pre_generated_steps")
    planned = planned if isinstance(planned, list) else []
    steps: list[dict[str, Any]] = []
    wrong = ended = False
    left_out = 0
    for place, level in enumerate(levels):
        found, chosen = _level(level, line, f"label.steps.{place}")
        if ended or not found:
            left_out += ended
            continue
        if chosen is None:
            texts = [one["text"] for one in found]
            written = _prm_text(planned[place]) if place < len(planned) else None
            chosen, ended = texts.index(written) if written in texts else 0, len(found) > 1
        step = found[chosen]
        others = [{**one, "label": _after(one["label"], wrong)} for number, one in enumerate(found) if number != chosen]
        steps.append({**step, "label": _after(step["label"], wrong), "alternatives": others})
        wrong = wrong or step["label"] is StepLabel.INCORRECT
    reason = label.get("finish_reason")
    about = {"finish_reason": reason if isinstance(reason, str) else None, "levels_left_out": left_out}
    return {
        "id": digest("prm800k", json.dumps(row, sort_keys=True)),
        "question": problem.strip(),
        "answer": str(answer).strip(),
        "solution": question.get("ground_truth_solution") or None,
        "source": "prm800k",
        "steps": steps,
        "metadata": {**rest(row, "question", "label"), **{key: value for key, value in about.items() if value}},
    }


def _level(level: Any, line: int, where: str) -> tuple[list[dict[str, Any]], int | None]:
    """The steps proposed at one level, and which of them was chosen (None: none was)."""
    if not isinstance(level, dict):
        raise BadRow(line, f"`{where}` must be an object")
    completions, chosen, human = level.get("completions") or [], level.get("chosen_completion"), level.get("human_completion")
    if not isinstance(completions, list):
        raise BadRow(line, f"`{where}.completions` must be a list")
    if chosen is not None and (not isinstance(chosen, int) or isinstance(chosen, bool) or not 0 <= chosen < len(completions)):
        raise BadRow(line, f"`{where}.chosen_completion` is {json.dumps(chosen)}, and there are {len(completions)} completions")
    found: list[dict[str, Any]] = []
    places: dict[int, int] = {}
    for place, one in enumerate(completions):
        text = _prm_text(one.get("text")) if isinstance(one, dict) else ""
        if not text:
            if place == chosen:
                raise BadRow(line, f"`{where}.completions.{place}`: no `text`, and it was chosen")
            continue  # a model's empty step, which is none
        rating = one.get("rating")
        if not isinstance(rating, int | None) or isinstance(rating, bool) or rating not in _RATINGS:
            raise BadRow(line, f"`{where}.completions.{place}.rating` must be -1, 0, 1 or null, not {json.dumps(rating)}")
        places[place] = len(found)
        found.append({"text": text, "label": StepLabel.NONE if one.get("flagged") else _RATINGS[rating]})
    if chosen is not None:
        return found, places[chosen]
    written = _prm_text(human.get("text") if isinstance(human, dict) else human)
    if not written:
        return found, None
    return [*found, {"text": written, "label": StepLabel.CORRECT}], len(found)


def _after(label: StepLabel, wrong: bool) -> StepLabel:
    """A step's label, given whether a step above it was wrong."""
    return StepLabel.AFTER_ERROR if wrong and label is not StepLabel.NONE else label


def _prm_text(text: Any) -> str:
    if not isinstance(text, str):
        return ""
    return " ".join(_PRM_ANSWER.sub(lambda found: f" {_answer(found['answer'])}", text).split())


def mr_gsm8k(row: dict[str, Any], line: int) -> dict[str, Any]:
    """MR-GSM8K (https://github.com/dvlab-research/MR-GSM8K, README.md, "Benchmark Details"; arXiv 2312.17080).

    {"uuid": "67e15a37-b074-41b9-b388-0738135bfb66", "question": "For a New Year's resolution, Andy wants to lose 30 lbs. [...]",
    "ground_truth_solution": "[...]\\n#### 525", "ground_truth_answer": 525, "model_output_steps": ["Step 1:  First, [...] 19th of
    July - 31st of December = <<19-31=12>>12 days.", ..., "Step 4: #### 1.2"], "model_output_answer_correctness": "wrong",
    "model_output_solution_correctness": "wrong", "model_output_solution_first_error_step": 1,
    "model_output_solution_first_error_reason": "[...]", "question_type": "original"}

    A correct solution's steps are all correct. Of a wrong one those before the first error are correct, those behind it
    `after_error`; where its first error is "N/A", nothing is known of its steps. The calculator's marks <<...>> are taken out.
    """
    question, steps = row.get("question"), row["model_output_steps"]
    if not isinstance(question, str):
        raise BadRow(line, "no `question`")
    if not isinstance(steps, list) or not all(isinstance(step, str) and step.strip() for step in steps):
        raise BadRow(line, "`model_output_steps` must be a list of texts, none of them empty")
    answer = text_of(row.get("ground_truth_answer"))
    if answer is None or not answer.strip():
        raise BadRow(line, "no final answer: no `ground_truth_answer`")
    labels = _mr_labels(row, len(steps), line)
    worked = row.get("ground_truth_solution")
    kept = ("question_type", "model_output_answer_correctness", "model_output_solution_first_error_reason")
    return {
        "id": str(row["uuid"]) if "uuid" in row else digest("mr-gsm8k", json.dumps(row, sort_keys=True)),
        "question": question,
        "answer": answer.replace(",", "").strip(),
        "solution": "\n".join(map(_gsm_text, filter(str.strip, worked.splitlines()))) if isinstance(worked, str) else None,
        "source": "mr-gsm8k",
        "steps": [{"text": _gsm_text(text), "label": label} for text, label in zip(steps, labels, strict=True)],
        "metadata": {key: row[key] for key in kept if isinstance(row.get(key), str)},
    }


def _mr_labels(row: dict[str, Any], count: int, line: int) -> list[StepLabel]:
    whole = str(row.get("model_output_solution_correctness", "")).strip().lower()
    if whole == "correct":
        return [StepLabel.CORRECT] * count
    if whole != "wrong":
        raise BadRow(line, f"`model_output_solution_correctness` must be `correct` or `wrong`, not {whole!r}")
    said = str(row.get("model_output_solution_first_error_step", "")).strip()
    if said.upper() in _NO_STEP:
        return [StepLabel.NONE] * count
    if not said.isascii() or not said.isdigit() or not 1 <= int(said) <= count:
        raise BadRow(line, f"`model_output_solution_first_error_step` is {said!r}: it must be 1 to {count}, or N/A")
    first = int(said)
    return [StepLabel.CORRECT] * (first - 1) + [StepLabel.INCORRECT] + [StepLabel.AFTER_ERROR] * (count - first)


def _gsm_text(text: str) -> str:
    plain = " ".join(_CALCULATOR.sub("", text).split())
    return _GSM_ANSWER.sub(lambda found: _answer(found["answer"]), plain) or text.strip()


def _answer(stated: str) -> str:
    return f"The answer is {stated.rstrip('.')}."
