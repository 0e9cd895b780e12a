"""Budget forcing against a scripted model: what it is asked to go on from, what counts as its tokens, what the records say."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.evaluator.forcing import Drawn, forced_draws
from services.evaluator.tasks import evaluate
from shared.contracts.base import Message
from shared.contracts.models import ModelSpec, Sampling
from shared.contracts.recipe import Recipe
from shared.contracts.report import RunReport
from shared.contracts.stages import EvaluateStage
from shared.contracts.thought import Response
from shared.contracts.work import ModelRef, Payload, Slice
from shared.engines import quickstart
from shared.engines.bank import Bank
from shared.engines.client import Choice, Completion
from shared.engines.local import LocalServer, Plan
from shared.ledger.database import Ledger
from shared.ledger.items import NewItem, claim, commit, item_name
from shared.ledger.opening import open_stage
from shared.ledger.runs import NewStage, close_stage, create_run, move_run
from shared.ledger.tables import RunState, StageState
from shared.work.context import Work

Script = dict[str, str]
"""What the model wrote so far -> what it goes on with; END ends it, else the token limit cuts it."""
END = "\0"
QUESTION = Message(role="user", content="What is 1 + 1?")


class Scripted:
    """A local engine at the network's edge: a token a character, the end of a text included. A rendered chat is `<Q>`."""

    def __init__(self, script: Script, ids: bool = True, window: int | None = None, chat: str = "<Q>") -> None:
        self.model, self.uri, self.engine, self.local, self.takes_ids = "fake", "fake://model", "fake 1.0", True, ids
        self.window = window
        self.asked: list[tuple[str, int]] = []
        """(what it wrote so far, tokens it may write)."""
        self._script = script
        self._chat = chat

    def metered(self, role: str, bank: Bank) -> "Scripted":
        return self

    async def tokenize_chat(self, messages: Sequence[Message]) -> list[int]:
        assert self.takes_ids
        return [ord(char) for char in self._chat]

    async def tokenize(self, text: str) -> list[int]:
        assert self.takes_ids
        return [ord(char) for char in text]

    async def detokenize(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))

    async def render_chat(self, messages: Sequence[Message]) -> str:
        assert not self.takes_ids
        return self._chat

    async def line_breaks(self) -> dict[int, str]:
        return {ord("\n"): "\n"}

    async def complete(
        self,
        prompt: str | Sequence[int],
        *,
        sampling: Sampling,
        stop: Sequence[str] = (),
        include_stop: bool = False,
        stop_ids: Sequence[int] = (),
        min_tokens: int = 0,
    ) -> Completion:
        text = prompt if isinstance(prompt, str) else "".join(map(chr, prompt))
        assert isinstance(prompt, str) != self.takes_ids and text.startswith(self._chat)
        assert END not in text, "the end of a text is no part of a prompt"
        written, limit = text.removeprefix(self._chat), sampling.max_tokens
        assert limit > 0
        self.asked.append((written, limit))
        limit = limit if self.window is None else min(limit, self.window - len(text))
        more = self._script.get(written, "blah " * 1000)
        if stop:
            more = more[: more.find("\n", min_tokens) + 1] or more
        said = more[:limit]
        reason = "stop" if said == more and said.endswith((END, *stop)) else "length"
        shown = said.removesuffix(END)
        ids = tuple(map(ord, said)) if self.takes_ids else ()
        return Completion((Choice(shown, ids, reason),), len(text), len(said))


def stage(**changes: Any) -> EvaluateStage:
    body = {"models": ["base"], "problems": "held", "samples": 1, "sampling": {"max_tokens": 100}}
    return EvaluateStage.model_validate({**body, **changes})


async def drawn(endpoint: Any, **changes: Any) -> Drawn:
    [one] = await forced_draws(endpoint, QUESTION, stage(**changes))
    return one


LONG = "One and one, so. " * 3
SHORT = "1 + 1 = 3\nThe answer is 3."
KEPT = "1 + 1 = 3\nWait"


@pytest.mark.parametrize("ids", [True, False])
async def test_a_response_that_is_too_long_is_made_to_answer(ids: bool) -> None:
    cut = LONG[:20]
    endpoint = Scripted({"": LONG + END, f"{cut}\nThe answer is": " 2.\nAnd so on"}, ids)
    one = await drawn(endpoint, budget=20, answer_tokens=9)
    assert one.choice.text == f"{cut}\nThe answer is 2."
    assert (one.choice.finish_reason, one.forced, one.prompt_tokens) == ("stop", 1, len("<Q>"))
    assert one.tokens == 20 + len(" 2.\n")
    assert endpoint.asked == [("", 20), (f"{cut}\nThe answer is", 9)]


async def test_an_answer_that_begins_with_a_newline_is_not_over_at_once() -> None:
    endpoint = Scripted({f"{LONG[:20]}\nThe answer is": "\n2.\n", "": LONG})
    assert (await drawn(endpoint, budget=20)).choice.text.endswith("The answer is\n2.")


async def test_an_answer_that_does_not_end_is_cut() -> None:
    one = await drawn(Scripted({"": LONG}), budget=20, answer_tokens=7)
    assert (one.choice.finish_reason, one.tokens, one.forced) == ("length", 27, 1)


@pytest.mark.parametrize("budget", [len(SHORT) + 1, 60])
async def test_a_response_that_ends_within_the_budget_is_left_alone(budget: int) -> None:
    endpoint = Scripted({"": SHORT + END})
    one = await drawn(endpoint, budget=budget)
    assert (one.choice.text, one.choice.finish_reason, one.tokens, one.forced) == (SHORT, "stop", len(SHORT) + 1, 0)
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("ids", [True, False])
async def test_a_response_that_ends_goes_on_behind_wait(ids: bool) -> None:
    again = ", it is 2.\nThe answer is 2."
    endpoint = Scripted({"": SHORT + END, KEPT: again + END}, ids)
    one = await drawn(endpoint, waits=1)
    assert (one.choice.text, one.choice.finish_reason, one.forced) == (KEPT + again, "stop", 1)
    assert one.tokens == len(SHORT) + 1 + len(again) + 1, "the line that was taken off was written, `Wait` was not"
    assert endpoint.asked == [("", 100), (KEPT, 100 - len(SHORT) - 1)]


async def test_it_waits_as_often_as_asked() -> None:
    script = {"": f"3.{END}", "Wait": f", 4?\nThe answer is 4.{END}", "Wait, 4?\nWait": f", 2!\nThe answer is 2.{END}"}
    one = await drawn(Scripted(script), waits=2)
    assert (one.choice.text, one.forced) == ("Wait, 4?\nWait, 2!\nThe answer is 2.", 2)


async def test_without_room_it_does_not_wait() -> None:
    endpoint = Scripted({"": SHORT + END})
    one = await drawn(endpoint, waits=3, sampling={"max_tokens": len(SHORT) + 1})
    assert (one.choice.text, one.forced, len(endpoint.asked)) == (SHORT, 0, 1)


async def test_one_that_waits_too_long_is_made_to_answer() -> None:
    endpoint = Scripted({"": SHORT + END, KEPT: LONG, f"{KEPT}{LONG[:13]}\nThe answer is": f" 2.{END}"})
    one = await drawn(endpoint, waits=1, budget=len(SHORT) + 1 + 13)
    assert one.choice.text == f"{KEPT}{LONG[:13]}\nThe answer is 2."
    assert (one.forced, one.tokens) == (2, len(SHORT) + 1 + 13 + len(" 2.") + 1)


@pytest.mark.parametrize(
    ("window", "asked"),
    [
        (15, 1),  # the context cuts before the budget does
        (len("<Q>") + 20 + 5, 1),  # there is no room for the words that ask for the answer
        (len("<Q>") + 20 + len("\nThe answer is") + 1, 2),
    ],
)
async def test_a_full_context_is_asked_for_nothing(window: int, asked: int) -> None:
    endpoint = Scripted({"": LONG}, window=window)
    one = await drawn(endpoint, budget=20)
    assert (len(endpoint.asked), one.choice.finish_reason, one.forced) == (asked, "length", asked - 1)


@pytest.mark.parametrize(("chat", "begin"), [("<Q>", "<think>"), ("<Q><think>\n", "")])
async def test_a_marked_thought_is_closed_before_the_answer(chat: str, begin: str) -> None:
    cut = f"{begin}{LONG}"[:30]
    closed = f"{cut}\n</think>\n\nThe answer is"
    endpoint = Scripted({"": begin + LONG, closed: f" 2.{END}"}, chat=chat)
    one = await drawn(endpoint, budget=30)
    assert (one.choice.text, one.choice.reasoning) == ("The answer is 2.", cut.removeprefix("<think>").strip())


async def test_a_marked_thought_goes_on_in_place_of_its_end() -> None:
    script = {
        "": f"<think>\nIt is 3.\n</think>\n\nSo:\nThe answer is 3.{END}",
        "<think>\nIt is 3.\nWait": f", it is 2.\n</think>\nThe answer is 2.{END}",
    }
    one = await drawn(Scripted(script), waits=1)
    assert (one.choice.reasoning, one.choice.text) == ("It is 3.\nWait, it is 2.", "The answer is 2.")


texts = st.lists(st.sampled_from(["a", "b c", "\n", "The answer is 2.", END]), max_size=12).map("".join)


@pytest.mark.engine
async def test_a_real_model_that_takes_text_is_made_to_answer() -> None:
    server = LocalServer(Plan(quickstart.NAME, quickstart.quickstart_model(), max_model_len=512, engine="transformers"))
    await server.start()
    try:
        draws = await forced_draws(server.endpoint(), QUESTION, stage(samples=4, budget=8, answer_tokens=12))
    finally:
        await server.stop()
    assert all(one.tokens <= 8 + 12 for one in draws)
    cut = [one for one in draws if one.forced]
    assert cut and all("\nThe answer is" in one.choice.text and one.tokens > 8 for one in cut)


@given(st.lists(texts, min_size=1, max_size=6), st.integers(1, 40), st.integers(0, 4), st.booleans(), st.booleans())
async def test_tokens_keep_within_the_limits_and_are_those_written(
    parts: list[str], budget: int, waits: int, has_budget: bool, ids: bool
) -> None:
    class InTurn(Scripted):
        async def complete(self, prompt: Any, **options: Any) -> Completion:
            written = (prompt if isinstance(prompt, str) else "".join(map(chr, prompt))).removeprefix("<Q>")
            more = parts[len(self.asked) % len(parts)]
            self._script = {written: more.partition(END)[0] + END if END in more else more + "x" * 200}
            done = await super().complete(prompt, **options)
            total.append(done.completion_tokens)
            return done

    total: list[int] = []
    limits: dict[str, Any] = {"budget": budget, "answer_tokens": 5} if has_budget else {"sampling": {"max_tokens": budget}}
    one = await drawn(InTurn({}, ids), waits=waits, **limits)
    assert one.tokens == sum(total) <= budget + (5 if has_budget else 0)
    assert one.forced == len(total) - 1 <= waits + has_budget


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"budget": 90}, "budget: 90 and answer_tokens, 32, are 122 together, and sampling.max_tokens is 100"),
        ({"answer_tokens": 9}, "answer_tokens: only a response that is cut at a `budget` is made to answer"),
        ({"models": [], "regrade": {"run": "r", "stage": "s"}, "sampling": {}, "waits": 1}, "a stage with `regrade` asks no model"),
    ],
)
def test_options_that_do_not_fit_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        stage(**changes)


def recipe(**options: Any) -> dict[str, Any]:
    return {
        "name": "forced",
        "models": {"base": {"model": "some/base"}, "far": {"model": "m", "url": "http://x.test/v1"}},
        "problems": {"held": {"set": "sums", "skip": 1, "count": 1}},
        "stages": {"measure": {"kind": "evaluate", "models": ["base"], "problems": "held", "samples": 2, **options}},
    }


@pytest.mark.parametrize("options", [{"budget": 9}, {"waits": 1}])
def test_an_endpoint_cannot_be_forced(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="stages.measure.models.1: `far` is an endpoint, which cannot go on with an answer"):
        Recipe.model_validate(recipe(models=["base", "far"], **options))
    Recipe.model_validate(recipe(**options))


@pytest.fixture
def measured(ledger: Ledger) -> Callable[..., Any]:
    """Measures one problem with these options; returns the samples and the report."""

    async def made(endpoint: Scripted, **options: Any) -> tuple[list[Response], RunReport]:
        parsed = Recipe.model_validate(recipe(**options))
        ref = ModelRef(name="base", spec=ModelSpec(model="some/base"))
        part = Payload(roles={"policy": ref}, problems=Slice(set="sums", skip=1, count=1))
        run = create_run(ledger, "forced", parsed.model_dump(mode="json"), [NewStage("measure", "evaluate", ())])[0]
        close_stage(ledger, run, "preflight", StageState.DONE)
        move_run(ledger, run, RunState.CHECKING, RunState.RUNNING)
        payloads = {"base": part, "close": Payload(close=True)}
        new = [NewItem(key=key, service="evaluator", payload=one.model_dump(mode="json")) for key, one in payloads.items()]
        open_stage(ledger, run, "measure", new)

        class Serving:
            async def endpoint(self, ref: ModelRef) -> Scripted:
                return endpoint

        serving: Any = Serving()
        results = []
        for key in payloads:
            lease = claim(ledger, item_name(run, "measure", key), "hands", 60)
            assert lease is not None
            results.append(await evaluate(Work(ledger, lease, parsed, serving, "hands")))
            commit(ledger, lease, results[-1])
        samples = [Response.model_validate(record.body) for record in results[0].records if record.kind == "sample"]
        return samples, RunReport.model_validate(results[1].records[-1].body)

    return made


async def test_samples_and_conditions_tell_what_was_forced(measured: Callable[..., Any]) -> None:
    script = {"": SHORT + END, KEPT: LONG, f"{KEPT}{LONG[:10]}\nThe answer is": f" 2.{END}"}
    budget = len(SHORT) + 1 + 10
    samples, report = await measured(Scripted(script), budget=budget, answer_tokens=16, waits=1)
    told = {(one.extracted, one.verified, one.forced, one.completion_tokens, one.prompt_tokens) for one in samples}
    assert (len(samples), told) == (2, {("2", True, 2, budget + 4, 3)})
    forced = report.models["base"].conditions
    assert (forced.budget, forced.answer_tokens, forced.waits, forced.max_tokens) == (budget, 16, 1, 512)
    _, other = await measured(Scripted(script), budget=budget, answer_tokens=16)
    left_alone = other.models["base"].conditions
    assert left_alone != forced, "what is measured under either is not comparable"
    assert left_alone == forced.model_copy(update={"waits": 0})
