"""vLLM without a server, in a process of its own: `python -m benchmarks.search.offline limit|lockstep JOB.json RESULT.json`.

`limit`: one `LLM.generate` over all prompts of a search at once, which is what the engine can do at most.
`lockstep`: beam search as the field writes it: one `generate` a depth over all beams of a batch of problems, then the next depth.
The engine's settings are those of the searcher's own engine, taken from its command line.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.searcher.candidates import Candidate, normalised
from services.searcher.rewards.arithmetic import judge_step
from shared import prompts
from shared.answers.extract import final_answer
from shared.answers.verify import verify
from shared.contracts.tree import Verdict
from shared.engines.local import Plan, vllm_command
from shared.engines.models import resolve_model


def main() -> None:
    """Reads the job, starts the engine, warms it with one prompt, measures, writes the result."""
    way, job_file, result_file = sys.argv[1:]
    job = json.loads(Path(job_file).read_text())
    plan = Plan(job["model"], resolve_model(job["model"]), job["max_model_len"])
    command, environment = vllm_command(plan, 0)
    os.environ |= environment  # before vLLM is imported
    llm = _engine(command)
    _generate(llm, [[1, 2, 3]], 1, {"max_tokens": 4})
    measured = _limit(llm, job) if way == "limit" else [_lockstep(llm, job, batch) for batch in job["batches"]]
    Path(result_file).write_text(json.dumps(measured))


def _engine(command: Sequence[str]) -> Any:
    from vllm import LLM, EngineArgs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(list(command[3:]))
    return LLM.from_engine_args(EngineArgs.from_cli_args(arguments))


def _generate(llm: Any, ids: Sequence[Sequence[int]], n: int, sampling: dict[str, Any]) -> list[Any]:
    from vllm import SamplingParams

    parameters = SamplingParams(n=n, **sampling)
    return list(llm.generate([{"prompt_token_ids": list(one)} for one in ids], parameters, use_tqdm=False))


def _limit(llm: Any, job: dict[str, Any]) -> dict[str, float]:
    """All prompts at once, each with its own n and sampling."""
    from vllm import SamplingParams

    asked = [json.loads(line) for line in Path(job["requests"]).read_text().splitlines()]
    parameters = [
        SamplingParams(
            n=one.get("n", 1),
            temperature=one["temperature"],
            top_p=one["top_p"],
            max_tokens=one["max_tokens"],
            stop=one["stop"],
            stop_token_ids=one["stop_token_ids"],
            min_tokens=one.get("min_tokens", 0),
            include_stop_str_in_output=True,
        )
        for one in asked
    ]
    began, cpu = time.monotonic(), time.process_time()
    answers = llm.generate([{"prompt_token_ids": one["prompt"]} for one in asked], parameters, use_tqdm=False)
    seconds = time.monotonic() - began
    cpu = time.process_time() - cpu
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "tokens": sum(len(choice.token_ids) for answer in answers for choice in answer.outputs),
    }


@dataclass
class Beam:
    """A partial solution in the plain search."""

    problem: int
    ids: list[int]
    steps: list[str]


def _lockstep(llm: Any, job: dict[str, Any], batch: int) -> dict[str, float]:
    """Problems in batches, each batch depth by depth: generate for all its beams, judge, keep the best of each problem."""
    tokenizer, problems = llm.get_tokenizer(), job["problems"]
    began, tokens = time.monotonic(), 0
    for first in range(0, len(problems), batch):
        part = problems[first : first + batch]
        beams = [Beam(place, _prompt(tokenizer, problem["question"]), []) for place, problem in enumerate(part)]
        for _ in range(job["depth"]):
            answers = _generate(llm, [beam.ids for beam in beams], job["width"], job["sampling"]) if beams else []
            tokens += sum(len(choice.token_ids) for answer in answers for choice in answer.outputs)
            beams = _survivors(part, beams, answers, job["keep"])
    return {"batch": batch, "problems": len(problems), "seconds": time.monotonic() - began, "tokens": tokens}


def _survivors(problems: Sequence[dict[str, Any]], beams: Sequence[Beam], answers: Sequence[Any], keep: int) -> list[Beam]:
    by_problem: dict[int, list[tuple[Candidate, Beam]]] = {}
    for beam, answer in zip(beams, answers, strict=True):
        for candidate in _candidates(problems[beam.problem], beam, answer):
            by_problem.setdefault(beam.problem, []).append((candidate, beam))
    found = []
    for ones in by_problem.values():
        able = [one for one in ones if one[0].open and one[0].judgement.verdict is not Verdict.INCORRECT]
        able.sort(key=lambda one: (-(one[0].judgement.score or 0.0), -one[0].multiplicity))
        found += [
            Beam(beam.problem, [*beam.ids, *candidate.token_ids], [*beam.steps, candidate.text]) for candidate, beam in able[:keep]
        ]
    return found


def _candidates(problem: dict[str, Any], beam: Beam, answer: Any) -> list[Candidate]:
    """The steps of one beam's answer, equal ones merged, checked and judged: what the searcher does with them, without its tree."""
    found: dict[str, Candidate] = {}
    for choice in answer.outputs:
        text = choice.text.strip()
        if choice.finish_reason == "length" or not text:
            continue
        ended = None if choice.text.endswith("\n") else "no_answer"
        candidate = found.setdefault(normalised(text), Candidate(0, text, tuple(choice.token_ids), ended=ended))  # type: ignore[arg-type]
        candidate.multiplicity += 1
    for candidate in found.values():
        stated = final_answer(candidate.text)
        if stated is not None:
            candidate.final, candidate.answer = True, stated
            candidate.verified = asyncio.run(verify(problem["answer"], stated))
        candidate.judgement = judge_step(candidate.text, beam.steps, candidate.answer, candidate.verified)
    return list(found.values())


def _prompt(tokenizer: Any, question: str) -> list[int]:
    turn = {"role": "user", "content": prompts.render("solve", question=question)}
    ids = tokenizer.apply_chat_template([turn], add_generation_prompt=True, tokenize=True, return_dict=False)
    return list(ids)


if __name__ == "__main__":
    main()
