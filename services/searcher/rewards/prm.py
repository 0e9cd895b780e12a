"""prm: a process reward model scores each step (formats and marks: `shared/engines/prm`).

One request scores all candidates of a round, each after the steps of its path. A candidate's score is that of its own step; the
path's earlier steps are scored by the same pass and keep the scores they have. Final steps are scored like others: whether the
answer is right is the check's business, not the model's.

| a candidate | score, verdict |
|---|---|
| scores at least `threshold` | its score, correct: "scored 0.91 by NAME" |
| scores below it | its score, incorrect |
| its path has more tokens than the model's window | none, unknown: "4410 tokens are more than the 4096 that NAME reads" |

Anything else (another number of scores than of steps, NaN, an answer that is none) fails the item in words.
"""

from collections import Counter
from collections.abc import Sequence

from services.searcher.candidates import Candidate, Judgement, Rule
from services.searcher.growth import Growth
from services.searcher.rewards import Ask
from shared.contracts.rewards import RewardPart
from shared.contracts.tree import Verdict
from shared.engines.client import Endpoint
from shared.engines.prm.scorer import Path, Scorer


async def build(setting: RewardPart, ask: Ask) -> "PrmJudge":
    """The judge of `reward: {kind: prm, model: m, threshold: t}`. Raises EngineError."""
    return PrmJudge(await ask("reward"), setting.threshold)


class PrmJudge:
    """Asks a process reward model about all candidates of a round at once."""

    rule = Rule.SCORED

    def __init__(self, endpoint: Endpoint, threshold: float) -> None:
        self._endpoint = endpoint
        self._scorer = Scorer(endpoint)
        self._threshold = threshold
        self.spent: Counter[str] = Counter()

    async def judge(self, growth: Growth, candidates: Sequence[Candidate]) -> list[Judgement]:
        """Raises ValueError and EngineError as `Scorer.score` does."""
        before = self._scorer.spent
        try:
            paths = [[step.text for step in growth.steps(candidate)] for candidate in candidates]
            return [self._judged(path) for path in await self._scorer.score(growth.problem.question, paths)]
        finally:
            self.spent["reward_tokens"] += self._scorer.spent - before

    def _judged(self, path: Path) -> Judgement:
        if path.scores is None:
            said = f"{path.tokens} tokens are more than the {self._endpoint.window} that {self._endpoint.uri} reads"
            return Judgement(None, Verdict.UNKNOWN, said)
        score = path.scores[-1]
        verdict = Verdict.CORRECT if score >= self._threshold else Verdict.INCORRECT
        return Judgement(score, verdict, f"scored {score:.2f} by {self._endpoint.uri}")
