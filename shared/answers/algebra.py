"""Comparison of two answers by math-verify: what runs in `verify`'s worker processes.

Its own guard (SIGALRM) is off here: it fails outside a main thread, and a process that can be killed needs none.
"""

import logging
import resource

MEMORY_BYTES = 4 * 1024**3
CPU_SECONDS = 10
"""What one comparison may burn at most, should the process that watches it be gone."""


def prepare() -> None:
    """Loads the algebra system (a second or two) and bounds the process."""
    import math_verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    math_verify.parse("$1$", parsing_timeout=None)


def equal(gold: str, answer: str) -> bool:
    r"""Whether `answer` is mathematically what `gold` is; False where either is no mathematics. Exceptions are grading errors.

    Both are read whole, as one LaTeX expression: a number somewhere in a sentence is not an answer.
    """
    from math_verify import LatexExtractionConfig, parse, verify

    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    sides = [
        parse(f"${side}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=None, raise_on_error=True)
        for side in (gold, answer)
    ]
    return bool(verify(sides[0], sides[1], timeout_seconds=None, raise_on_error=True))
