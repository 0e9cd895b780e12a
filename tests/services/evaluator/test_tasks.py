"""The handler against a real ledger: samples, errors, resuming, the report."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from services.evaluator import sampling
from services.evaluator.forcing import CLOSING, WAIT, forced_draws
from services.evaluator.tasks import evaluate
from shared.answers.verify import GradingError
from shared.artifacts import DiskFull, read_bytes
from shared.contracts.base import Message
from shared.contracts.report import RunReport
from shared.contracts.thought import Response
from shared.engines.client import (
    Choice,
    Completion,
    Endpoint,
    EndpointDown,
    EndpointUnreachable,
    EngineDied,
    RequestRefused,
    SpendCapReached,
)
from shared.ledger.database import Ledger
from shared.ledger.items import commit
from shared.ledger.records import iterate_records
from shared.ledger.setbacks import release
from shared.work.context import Work
from shared.work.registry import Hopeless
from tests.disks import SmallDisk
from tests.services.evaluator.fakes import FakeEndpoint, said
from tests.shared.engines.banks import OpenBank

Take = Callable[..., Work]


def solver(question: str, draw: int) -> Choice:
    """Right at the first draw; at the second it is wrong, or cut before it answers."""
    number = int(question.split()[2])
    if draw == 0:
        return said(f"Step 1: {number} + 1 = {number + 1}\nThe answer is {number + 1}.", tokens=20)
    return said("The answer is 999.", tokens=10) if number % 2 else said("Wait, let me", tokens=512, finish_reason="length")


def samples_of(result) -> list[Response]:  # type: ignore[no-untyped-def]
    return [Response.model_validate(record.body) for record in result.records if record.kind == "sample"]


async def test_every_draw_of_every_problem_is_a_graded_record(take: Take) -> None:
    endpoint = FakeEndpoint(solver)
    result = await evaluate(take("base", endpoint))
    samples = samples_of(result)
    assert [record.key for record in result.records if record.kind == "sample"] == [
        f"base/p{n}#{draw}" for n in (1, 2, 3) for draw in (0, 1)
    ]
    assert [(s.extracted, s.verified, s.finish_reason, s.completion_tokens) for s in samples[:4]] == [
        ("2", True, "stop", 20), ("999", False, "stop", 10), ("3", True, "stop", 20), (None, False, "length", 512),
    ]  # fmt: skip
    assert {(s.split, s.model, s.origin.model, s.grading_error) for s in samples} == {("test", "base", "fake://model", None)}
    assert samples[0].origin.prompt is not None and samples[0].origin.prompt.startswith("solve@")
    assert len(endpoint.asked) == 3  # the draws of a problem are one request
    assert result.summary == {"model": "base", "samples": 6, "right": 3, "ungraded": 0}


@pytest.mark.parametrize(
    ("ids", "each", "lengths", "estimated"),
    [((), (), [11, 29], True), ((), (12, 28), [12, 28], False), ((1, 2), (), [2, 2], False)],
    ids=["a sum", "a request each", "token ids"],
)
async def test_lengths_that_are_estimates_are_marked(
    take: Take, monkeypatch: pytest.MonkeyPatch, ids: tuple[int, ...], each: tuple[int, ...], lengths: list[int], estimated: bool
) -> None:
    endpoint = FakeEndpoint(solver)

    async def chat(*asked: Any, **how: Any) -> Completion:
        return Completion((Choice("It is 2.", ids, "stop"), Choice("So the answer is 2. Yes.", ids, "stop")), 10, 40, each)

    monkeypatch.setattr(endpoint, "chat", chat)
    first, second = samples_of(await evaluate(take("base", endpoint)))[:2]
    assert [first.completion_tokens, second.completion_tokens] == lengths
    assert [first.tokens_estimated, second.tokens_estimated] == [estimated, estimated]


async def test_a_cut_sample_that_states_its_answer_counts(take: Take) -> None:
    endpoint = FakeEndpoint(lambda question, draw: said("The answer is 2. And further", finish_reason="length"))
    samples = samples_of(await evaluate(take("base", endpoint)))
    assert [sample.verified for sample in samples[:2]] == [True, True]


async def test_an_error_lets_the_other_problems_finish_and_a_retry_pays_for_none_twice(ledger: Ledger, take: Take) -> None:
    broken = FakeEndpoint(
        lambda question, draw: EndpointUnreachable("nobody there") if "2 +" in question else solver(question, draw)
    )
    work = take("base", broken)
    with pytest.raises(EndpointUnreachable, match="nobody there"):
        await evaluate(work)
    release(ledger, work.lease)
    again = FakeEndpoint(solver)
    result = await evaluate(take("base", again))
    assert again.asked == ["What is 2 + 1?"]
    assert [sample.problem_id for sample in samples_of(result)] == ["p1", "p1", "p2", "p2", "p3", "p3"]


@pytest.mark.parametrize(
    ("errors", "raised"),
    [
        ({"1": RequestRefused(400, "too long")}, Hopeless),
        ({"1": RequestRefused(400, "too long"), "2": EndpointUnreachable("away")}, EndpointUnreachable),
        ({"1": RequestRefused(400, "too long"), "2": EndpointUnreachable("away"), "3": EngineDied("gone")}, EngineDied),
        ({"1": EndpointUnreachable("away"), "2": EndpointDown("is down", 30.0)}, EndpointDown),
        ({"1": EndpointUnreachable("away"), "2": EngineDied("gone"), "3": SpendCapReached("no room")}, SpendCapReached),
    ],
)
async def test_the_error_that_decides_is_raised(take: Take, errors: dict[str, Exception], raised: type[Exception]) -> None:
    endpoint = FakeEndpoint(lambda question, draw: errors.get(question.split()[2]) or solver(question, draw))
    with pytest.raises(raised) as caught:
        await evaluate(take("base", endpoint))
    if raised is Hopeless:
        assert "problem p1" in str(caught.value)


async def test_the_report_holds_every_model_with_its_plot_and_table(ledger: Ledger, take: Take) -> None:
    for name, model in (("base", lambda question, draw: said("I do not know.", tokens=4)), ("tuned", solver)):
        work = take(name, FakeEndpoint(model))
        commit(ledger, work.lease, await evaluate(work))
    work = take("close")
    result = await evaluate(work)
    commit(ledger, work.lease, result)
    [body] = iterate_records(ledger, work.lease.run_id, "measure", "report")
    report = RunReport.model_validate(body)
    base, tuned = report.models["base"], report.models["tuned"]
    assert list(report.models) == ["base", "tuned"]
    assert (base.pass_at_1, base.stderr, base.maj_at_k, base.unanswered, base.avg_tokens) == (0, 0, 0, 1, 4)
    assert (tuned.n, tuned.samples, tuned.pass_at_1, tuned.pass_at_k, tuned.stderr) == (3, 6, 0.5, 1, 0)
    assert tuned.maj_at_k == pytest.approx((0.5 + 1 + 0.5) / 3)  # a tie, a right answer beside none, a tie
    assert (tuned.truncated, tuned.unanswered) == (pytest.approx(1 / 6), pytest.approx(1 / 6))
    assert tuned.keywords == {"wait": pytest.approx(1 / 6), "alternatively": 0}
    assert tuned.avg_tokens == pytest.approx((3 * 20 + 2 * 10 + 512) / 6)
    assert (tuned.conditions.engine, tuned.conditions.problems, tuned.conditions.problem_count) == ("fake 1.0", "sums", 3)
    assert report.comparable and report.samples_missing == 0
    assert report.plot is not None and read_bytes(report.plot).startswith(b"\x89PNG")
    assert report.table is not None and "| tuned | 50.0 ± 0.0 |" in read_bytes(report.table).decode()
    assert report.curves_plot is not None and read_bytes(report.curves_plot).startswith(b"\x89PNG")
    assert report.curves_vega is not None and {
        row["model"] for row in json.loads(read_bytes(report.curves_vega))["data"]["values"]
    } == {"base", "tuned"}
    assert report.table_latex is not None and rb"tuned & 50.0 $\pm$ 0.0 &" in read_bytes(report.table_latex)
    assert report.curves_table is not None and b"| Maj@2 |" in read_bytes(report.curves_table)
    assert report.curves_latex is not None and b"Maj@2 &" in read_bytes(report.curves_latex)
    last = report.curves["tuned"][-1]
    assert (last.kind, last.k, last.budget, last.accuracy) == ("majority", 2, 1024, pytest.approx(tuned.maj_at_k))
    assert result.summary == {"base": 0.0, "tuned": 0.5}


async def test_missing_and_ungraded_samples_are_shown_and_not_counted_wrong(
    ledger: Ledger, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = sampling.verify

    async def hangs_on_999(gold: str, answer: str) -> bool:
        if answer == "999":
            raise GradingError("took more than 5.0 s")
        return await verify(gold, answer)

    monkeypatch.setattr(sampling, "verify", hangs_on_999)
    work = take("tuned", FakeEndpoint(solver))
    commit(ledger, work.lease, await evaluate(work))
    [record] = (await evaluate(take("close"))).records  # base's item died
    report = RunReport.model_validate(record.body)
    assert list(report.models) == ["tuned"]
    assert report.samples_missing == 6
    score = report.models["tuned"]
    assert (score.ungraded, score.samples, score.pass_at_1) == (2, 6, pytest.approx((1 + 0.5 + 1) / 3))
    assert report.table is not None
    table = read_bytes(report.table).decode()
    assert "6 samples are missing" in table and "tuned: 2 samples could not be graded" in table


async def test_a_stage_without_samples_has_no_report(take: Take) -> None:
    with pytest.raises(Hopeless, match="every item of this stage died"):
        await evaluate(take("close"))


@pytest.mark.parametrize("left", [0, 64 * 1024])
async def test_a_full_disk_leaves_no_half_of_a_report(
    left: int, ledger: Ledger, take: Take, small_disk: Callable[[Path], SmallDisk]
) -> None:
    work = take("tuned", FakeEndpoint(solver))
    commit(ledger, work.lease, await evaluate(work))
    closing = take("close")
    folder = Path(closing.folder.removeprefix("file://"))
    disk = small_disk(folder.parent)
    disk.fill(left)
    with pytest.raises(DiskFull, match=rf"no room on the disk of {folder} \(0 MiB are free\): make room there"):
        await evaluate(closing)
    assert disk.files() == []
    disk.make_room()
    [record] = (await evaluate(closing)).records
    report = RunReport.model_validate(record.body)
    assert report.plot is not None and read_bytes(report.plot).endswith(b"IEND\xaeB`\x82")


@pytest.mark.engine
async def test_a_real_model_is_sampled_graded_and_reported(ledger: Ledger, take: Take, smollm_endpoint: Endpoint) -> None:
    work = take("base", smollm_endpoint)
    result = await evaluate(work)
    samples = samples_of(result)
    assert len(samples) == 6
    assert all(sample.text and 0 < sample.completion_tokens <= 512 for sample in samples)
    assert any(first.text != second.text for first, second in zip(samples[::2], samples[1::2], strict=True))  # draws, not copies
    commit(ledger, work.lease, result)
    [record] = (await evaluate(take("close"))).records
    score = RunReport.model_validate(record.body).models["base"]
    assert score.n == 3 and score.conditions.engine.startswith("vllm ")
    assert score.avg_tokens == sum(sample.completion_tokens for sample in samples) / 6


@pytest.mark.engine
@pytest.mark.parametrize(
    "options",
    [{"budget": 12, "answer_tokens": 10}, {"waits": 2}, {"budget": 60, "answer_tokens": 10, "waits": 1}],
    ids=["budget", "waits", "both"],
)
async def test_a_real_model_goes_on_from_token_ids(take: Take, smollm_endpoint: Endpoint, options: dict[str, int]) -> None:
    stage = take("close").stage.model_copy(update={"samples": 6, **options})
    bank = OpenBank()
    question = Message(role="user", content="What is 17 + 25? Explain every step, then say: The answer is X.")
    draws = await forced_draws(smollm_endpoint.metered("policy", cast(Any, bank)), question, stage)
    budget, waits = options.get("budget"), options.get("waits", 0)
    assert sum(one.tokens for one in draws) == sum(row.completion_tokens for row in bank.rows), "the server counted the same"
    assert {one.prompt_tokens for one in draws} == {len(await smollm_endpoint.tokenize_chat([question]))}
    assert all(one.tokens <= (budget + stage.answer_tokens if budget else stage.sampling.max_tokens) for one in draws)
    assert any(one.forced for one in draws)
    for one in draws:
        text = one.choice.text
        assert "<|im_end|>" not in text and text.strip()
        assert one.forced <= waits + (budget is not None)
        assert not one.forced or f"\n{WAIT}" in text or text.startswith(WAIT) or CLOSING in text
        if budget and one.tokens > budget:
            thought, _, answer = text.rpartition(CLOSING)
            assert thought and "\n" not in answer.strip(), "one line, after what was cut"
            assert answer, "an answer is not over before it began"
