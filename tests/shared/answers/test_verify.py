"""Grading, the worker processes included: they are real here."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import Future

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pebble import ProcessPool

from benchmarks.grading import grade
from shared.answers import verify as grading
from shared.answers.verify import GradingError, decide, verify

ENDLESS = "9^{9^{9^{9}}}"
"""A power tower: a comparison with it never ends."""


@pytest.mark.parametrize(
    ("gold", "answer", "verdict"),
    [
        # decided without algebra
        ("72", "72", True), ("72", "$72.00", True), ("72", "72 apples", True), ("1/2", "0.5", True), ("12", "-12", False),
        ("12", "1 2", False), ("50%", "0.5", True), ("0.5", r"50\%", True), ("50", "50%", True), ("50", "0.5", False),
        ("0.5", "50 percent", True), ("50 per cent", "1/2", True), ("50%", "50 percent", True), ("0.5", "50 percentiles", False),
        ("1/3", "0.333", False), ("B", "(B)", True), ("B", "C", False), ("Evelyn", "evelyn", True), ("3", "three", False),
        ("204_5", "204_{5}", True), ("204_5", "204", True), ("204_5", "204_6", False), ("204", "204_5", False), ("7", "", False),
        # left to algebra
        ("3", r"3\pi", None), ("12", "1,2", None), (r"\sqrt{4}", "2", None), ("x+1", "1+x", None),
    ],
)  # fmt: skip
def test_numbers_and_words_need_no_algebra(gold: str, answer: str, verdict: bool | None) -> None:
    assert decide(gold, answer) is verdict


@given(st.fractions(), st.fractions())
def test_two_numbers_are_always_decided(one: object, other: object) -> None:
    assert decide(str(one), str(other)) is (one == other)


RIGHT = [
    (r"\frac{\sqrt3}{3}", r"\frac{1}{\sqrt{3}}"), ("6r^2-4r-24", "-24 - 4r + 6r^{2}"), ("(a+5)(b+2)", "(b+2)(a+5)"),
    ("y = -2x", "-2x"), ("-2,1", "1,-2"), (r"3 \pm 2 \sqrt{2}", r"3+2\sqrt2, 3-2\sqrt2"), ("-2 + 7i", "7i-2"), ("1024", "2^{10}"),
    ("(3,4)", "y=4,x=3"), (r"\frac{\sqrt{3}}{2}", "√3/2"), (r"16\sqrt{3}", r"8\sqrt{12} \text{ cm}^2"),
    (r"\begin{pmatrix} -1/3 \\ 2/3 \end{pmatrix}", r"\begin{pmatrix} -\frac13 \\ \frac23 \end{pmatrix}"), ("120", "5!"),
]  # fmt: skip
WRONG = [
    ("12", "1,2"), ("3", r"3\pi"), (r"3\pi", "3"), ("6", "6xy"), ("3", "72 apples and 3 pears"), ("12", "12 or 13"),
    ("(1,2)", "(2,1)"), ("(1,2)", "[1,2]"), ("p - q", "q - p"), ("5r^5", "5r^4"), ("2k", "2"), ("1 - 12i", "1+12i"), ("5", "2x=10"),
    ("y = -2x", "y=2x"), ("8", "8^"), ("8", "{8"), ("9", "9)("), ("(3,4)", "y=3,x=4"), ("5", "5 halves"), ("5", "5 squared"),
    ("5", "5 (six)"),
    (r"2\pi", r"2\pi\text{ million}"), ("36", "36m^2"), ("2", "2 (3 + 4)"),
    ("3", r"\infty"), ("5", "x"),
]  # fmt: skip


async def test_algebra_sees_what_is_equal_and_what_is_not() -> None:
    pairs = RIGHT + WRONG
    verdicts = await asyncio.gather(*(verify(gold, answer) for gold, answer in pairs))
    assert dict(zip(pairs, verdicts, strict=True)) == {**dict.fromkeys(RIGHT, True), **dict.fromkeys(WRONG, False)}


async def test_a_comparison_that_hangs_is_an_error_and_the_next_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await verify("x+1", "1+x")  # the workers are up: the limit is for the comparison alone
    monkeypatch.setattr(grading, "TIMEOUT_SECONDS", 1.0)
    with pytest.raises(GradingError, match="took more than 1.0 s"):
        await verify("3", ENDLESS)
    assert await verify("x+2", "2+x")


async def test_a_worker_that_is_killed_is_an_error_and_the_next_comparison_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await verify("x+3", "3+x")
    monkeypatch.setattr(grading, "TIMEOUT_SECONDS", 60.0)
    submitted: list[tuple[ProcessPool, Future[bool]]] = []
    submit = grading._workers.submit
    monkeypatch.setattr(grading._workers, "submit", lambda pair: submitted.append(submit(pair)) or submitted[0])
    comparing = asyncio.create_task(verify("4", ENDLESS))
    while not (submitted and submitted[0][1].running()):
        await asyncio.sleep(0.01)
    workers = worker_processes()
    before = [sum(worker.cpu_times()[:2]) for worker in workers]
    await asyncio.sleep(1.0)
    busy = [sum(worker.cpu_times()[:2]) - seconds for worker, seconds in zip(workers, before, strict=True)]
    workers[busy.index(max(busy))].kill()  # the one at work; the others wait
    with pytest.raises(GradingError, match="ProcessExpired"):
        await comparing
    monkeypatch.undo()
    assert await verify("x+4", "4+x")


def worker_processes() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.parametrize("fate", ["kill", "suspend"])
async def test_idle_workers_that_are_lost_are_replaced(fate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, so that one of them has the lock of the pipe. Suspended ones: nobody takes up a comparison, none dies."""
    assert await verify(f"x+5+{fate}", f"5+x+{fate}")
    monkeypatch.setattr(grading, "PATIENCE_SECONDS", 10.0)
    workers = worker_processes()
    for worker in workers:
        getattr(worker, fate)()
    assert await verify(f"x+6+{fate}", f"6+x+{fate}")
    async with asyncio.timeout(60):
        while any(map(alive, workers)):
            await asyncio.sleep(0.1)


def alive(process: psutil.Process) -> bool:
    """Asks without waiting for it: that is its parent's business, which would miss its end."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_threads_may_verify_too() -> None:
    """As in a Celery worker: an event loop that is not the main thread's, several at once."""
    verdicts: list[bool] = []
    threads = [
        threading.Thread(target=lambda number=number: verdicts.append(asyncio.run(verify(f"x+{number}+1", f"{number}+1+x"))))
        for number in range(10, 16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == [True] * 6


CHILD = """
import asyncio, sys, threading
from shared.answers.verify import verify
if __name__ == "__main__":
    thread = threading.Thread(target=lambda: print(asyncio.run(verify("x+1", "1+x")), flush=True))
    thread.start()
    thread.join()
    if sys.argv[1] != "exits":
        sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["exits", "killed"])
def test_no_worker_outlives_its_parent(how: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, script, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        if how == "killed":
            assert parent.stdout.readline() == b"True\n"
            children = psutil.Process(parent.pid).children(recursive=True)
            assert children
            parent.kill()
            _, alive = psutil.wait_procs(children, timeout=60)
            assert not alive
        else:
            assert parent.communicate(timeout=60)[0] == b"True\n"
            assert parent.returncode == 0


async def test_hanging_answers_among_many_leave_every_other_verdict_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make bench-grading` in small: 300 responses at once, six of which hang."""
    monkeypatch.setattr(grading, "TIMEOUT_SECONDS", 2.0)
    outcome = await grade(300, 6, seed=1)
    assert (outcome["wrong_verdicts"], outcome["hung"], outcome["workers_alive"]) == (0, 6, 1)
