r"""Reference solutions rewritten by a teacher: step by step, in detail, longer, the answer in \boxed{} (Part 2, 2.1)."""

from collections.abc import Sequence

from services.distiller.asking import Asked, Finding, Teacher, answer_lost
from shared import prompts
from shared.answers.extract import last_box
from shared.contracts.problem import Problem

PROMPT = "reformat"
TOO_LONG = "it was too long and was cut off before its end: write less"


async def reformat(problem: Problem, teacher: Teacher, retries: int) -> Asked:
    """The problem's solution in the teacher's words, if one of them passed the checks. Raises EngineError."""
    original = (problem.solution or "").strip()

    def prompt(findings: Sequence[str]) -> str:
        return prompts.render(PROMPT, question=problem.question, solution=original, answer=problem.answer, findings=findings)

    async def check(text: str) -> list[Finding]:
        return await rewrite_findings(problem.answer, original, text)

    return await teacher.ask("solution", prompt, check, retries, when_cut=TOO_LONG)


async def rewrite_findings(answer: str, original: str, text: str) -> list[Finding]:
    """What is wrong with a rewrite of a solution."""
    findings = []
    if last_box(text) is None:
        findings.append(Finding("no box", r"its final answer does not stand in \boxed{}"))
    findings += await answer_lost(answer, text)
    if _length(text) <= _length(original):
        findings.append(Finding("not longer", "it is no longer than the solution it rewrites: explain each step in detail"))
    return findings


def _length(text: str) -> int:
    """Characters that are no white space: blank lines explain nothing."""
    return len("".join(text.split()))
