"""`make bench-grading`: 10,000 responses graded, with 200 among them whose answers hang any algebra system.

Every verdict is known by the making of the response: what was only written otherwise is right, what was changed is wrong, what
hangs is neither (GradingError). 64 are graded at once, as an evaluator does. Ends with an error if a verdict is wrong or no worker
is left. The last line is JSON.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from random import Random

from shared.answers.extract import final_answer
from shared.answers.verify import GradingError, verify

AT_ONCE = 64
HANGING = (
    "{a}^{{{a}^{{{a}^{{{a}}}}}}}",
    "(({a}!)!)!",
    "\\sum_{{n=1}}^{{{a}0^{{7}}}} \\frac{{1}}{{n^{{1.5}}}}",
    "\\sqrt{{{a}^{{10^{{12}}}}+1}}",
    "(x+{a})^{{5000}}(x-{a})^{{5000}}",
    "(10^{{10^{{8}}}}+{a}) \\mod 7",
)
"""Forms that no comparison with a small number comes to an end with; {a} makes them different."""


def responses(count: int, hanging: int, seed: int) -> Iterator[tuple[str, str, bool | None]]:
    """(known answer, a response's text, whether it is right; None: it hangs), in random order."""
    rng = Random(seed)
    places = set(rng.sample(range(count), hanging))
    for place in range(count):
        if place in places:
            form = HANGING[place % len(HANGING)].format(a=11 + place % 83)
            yield str(rng.randrange(2, 99)), f"Some thoughts.\nThe answer is \\boxed{{{form}}}.", None
            continue
        gold, alike, other = _answer(rng)
        right = rng.random() < 0.5
        said = alike if right else other
        yield gold, rng.choice(["So it is.\nThe answer is {}.", "Hence \\boxed{{{}}}.", "Final answer: {}"]).format(said), right


def _answer(rng: Random) -> tuple[str, str, str]:
    """An answer, the same written otherwise, and another one."""
    n, m, k = rng.randrange(1000, 99999), rng.randrange(2, 60), rng.randrange(2, 40)
    kinds = (
        (str(n), f"{n:,}", f"{n + 1:,}"),
        (str(n), f"${n}.00", f"${n}.50"),
        (f"\\frac{{{m}}}{{{m + k}}}", f"{2 * m}/{2 * (m + k)}", f"{2 * m + 1}/{2 * (m + k)}"),
        (f"{m}.5", f"{2 * m + 1}/2", f"{2 * m - 1}/2"),
        (f"({m}, {m + k}]", f"({m},{m + k}]", f"[{m},{m + k})"),
        (f"{m}\\sqrt{{{k * k * 3}}}", f"{m * k}\\sqrt{{3}}", f"{m * k + 1}\\sqrt{{3}}"),
        (f"(x-{m})(x+{k})", f"x^2 + {k - m}x - {m * k}".replace("+ -", "- "), f"x^2 + {k + m}x - {m * k}"),
        (f"\\frac{{{m}}}{{\\sqrt{{2}}}}", f"\\frac{{{m}\\sqrt{{2}}}}{{2}}", f"\\frac{{{m + 1}\\sqrt{{2}}}}{{2}}"),
        (f"{m}\\pi", f"\\pi \\cdot {m}", f"\\pi + {m}"),
        ("\\text{even}", "even", "odd"),
    )
    return kinds[rng.randrange(len(kinds))]


async def grade(count: int, hanging: int, seed: int) -> dict[str, float | int]:
    """Grades all; what came out, by what should have."""
    slots = asyncio.Semaphore(AT_ONCE)
    found: Counter[str] = Counter()
    wrong: list[str] = []
    slowest = 0.0

    async def one(gold: str, text: str, right: bool | None) -> None:
        nonlocal slowest
        async with slots:
            began = time.perf_counter()
            stated = final_answer(text)
            assert stated is not None, text
            try:
                verdict: bool | None = await verify(gold, stated)
            except GradingError:
                verdict = None
            if right is not None:
                slowest = max(slowest, time.perf_counter() - began)
        found["hung" if verdict is None else "right" if verdict else "wrong"] += 1
        if verdict != right:
            wrong.append(f"{stated!r} for {gold!r}: {verdict}, and is {right}")

    began = time.perf_counter()
    await asyncio.gather(*(one(*response) for response in responses(count, hanging, seed)))
    seconds = time.perf_counter() - began
    for line in wrong[:10]:
        print(line)
    alive = await verify("2\\sqrt{3}", f"\\sqrt{{{12}}}")
    return {
        "responses": count, "hanging": hanging, **found, "wrong_verdicts": len(wrong), "workers_alive": int(alive),
        "seconds": round(seconds, 1), "longest_wait_of_an_honest_one": round(slowest, 1),
    }  # fmt: skip


def main() -> None:
    """Grades, and says what came of it."""
    parser = argparse.ArgumentParser(description="Grading among answers that hang.")
    parser.add_argument("--responses", type=int, default=10_000)
    parser.add_argument("--hanging", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    outcome = asyncio.run(grade(arguments.responses, arguments.hanging, arguments.seed))
    print(json.dumps(outcome))
    if outcome["wrong_verdicts"] or not outcome["workers_alive"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
