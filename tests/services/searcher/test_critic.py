"""A critic's judgements: what is asked, what is read, what is asked again, and what fails."""

import json

import pytest

from services.searcher.candidates import Candidate, Rule
from services.searcher.growth import Growth
from services.searcher.rewards import reward
from services.searcher.rewards.critic import FIELDS, Finding
from shared.contracts.rewards import Reward
from shared.contracts.tree import Node, Verdict
from shared.engines.client import Choice, Completion
from shared.engines.forms import Unreadable, read
from shared.engines.forms import form as form_of
from tests.services.searcher.fakes import stage_of

STEPS = ("Step 1: 5 * 6 = 30 pens.", "Step 2: 30 - 4 = 24 pens.")


def finding(verdict: str = "correct", reason: str = "The sum is right.") -> str:
    return json.dumps({"reason": reason, "verdict": verdict})


class Critic:
    """Answers each request with the next of its answers about the step that it asks for."""

    uri = "fake://critic"
    guides = False

    def __init__(self, *answers: str | Choice) -> None:
        self.answers = [one if isinstance(one, Choice) else Choice(one, (), "stop") for one in answers]
        self.asked: list[tuple[list, object]] = []

    async def chat(self, messages, *, sampling, form):
        self.asked.append((list(messages), form))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return Completion((answer,), 10, 3)


async def judged(problem, critic, candidates, retries=2):
    roles = []

    async def ask(role):
        roles.append(role)
        return critic

    setting = Reward(kind="critic", model="m", retries=retries)
    judge = await reward(setting, ask)
    assert roles == ["reward"] and judge.rule is Rule.JUDGED
    growth = Growth(problem, stage_of(), policy=None, reward=judge, save=None)
    growth.nodes.append(Node(id=1, parent=0, depth=1, text=STEPS[0]))
    await growth.judge(candidates)
    return judge


async def test_each_step_is_one_request_that_does_not_show_the_answer(problem):
    critic = Critic(finding(), finding("incorrect", "30 - 4\n is 26."))
    candidates = [Candidate(0, STEPS[0]), Candidate(1, STEPS[1])]
    judge = await judged(problem, critic, candidates)
    [first, second] = [messages[0].content for messages, form in critic.asked if form == form_of(FIELDS, limited=False)]
    assert problem.question in first and "(none)" in first and STEPS[0] in first
    assert STEPS[0] in second and second.index(STEPS[0]) < second.index(STEPS[1])
    assert problem.answer not in second.replace(problem.question, "").replace("\n".join(STEPS), "")
    assert [one.judgement.verdict for one in candidates] == [Verdict.CORRECT, Verdict.INCORRECT]
    assert [(one.judgement.score, one.judgement.reason) for one in candidates] == [
        (1.0, "The sum is right."),
        (0.0, "30 - 4 is 26."),
    ]
    assert judge.spent == {"reward_tokens": 26}


BAD = {
    "no JSON": ("It looks fine to me.", "Invalid JSON"),
    "another verdict": (finding("perhaps"), "verdict: "),
    "no reason": (json.dumps({"verdict": "correct"}), "reason: Field required"),
    "an empty reason": (finding(reason=" "), "it is empty"),
    "a number for a verdict": (json.dumps({"reason": "r", "verdict": 1}), "verdict: "),
    "more than was asked for": (json.dumps({"reason": "r", "verdict": "correct", "score": 3}), "score: "),
    "a list": ("[]", "object"),
    "nothing": ("", "Invalid JSON"),
    "cut": (Choice(finding(), (), "length"), "cut by the token limit"),
}


@pytest.mark.parametrize(("answer", "wrong"), BAD.values(), ids=BAD.keys())
async def test_what_cannot_be_read_is_asked_again_and_counted(problem, answer, wrong):
    critic = Critic(answer, finding("incorrect", "No."))
    candidate = Candidate(0, STEPS[0])
    judge = await judged(problem, critic, [candidate])
    assert candidate.judgement.verdict is Verdict.INCORRECT
    assert judge.spent == {"reward_tokens": 26, "format_errors": 1}
    roles = [message.role for message in critic.asked[1][0]]
    if answer == "":
        assert roles == ["user"]  # some endpoints refuse an empty turn
    else:
        assert roles == ["user", "assistant", "user"] and wrong in critic.asked[1][0][2].content


async def test_after_the_last_try_it_fails_with_the_judges_words(problem):
    critic = Critic("I would rather not say.")
    with pytest.raises(Unreadable, match=r"critic fake://critic: asked 2 times about the step 'Step 1.*I would rather not say"):
        await judged(problem, critic, [Candidate(0, STEPS[0])], retries=1)
    assert len(critic.asked) == 2


@pytest.mark.parametrize("text", [finding(), f"\n {finding()} ", f"```json\n{finding()}\n```", f"```\n{finding()}\n```"])
def test_space_and_fences_around_an_answer_do_no_harm(text):
    assert read(Choice(text, (), "stop"), Finding).verdict == "correct"
