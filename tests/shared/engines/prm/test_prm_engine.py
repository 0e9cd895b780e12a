"""Every format on vLLM itself, from a checkpoint like the published ones to scores, against what its card computes."""

from pathlib import Path

import pytest

from services.evaluator.weighing import Weigher
from shared.contracts.problem import Problem
from shared.engines.client import Endpoint
from shared.engines.local import LocalServer, Plan, vllm_command
from shared.engines.pooling import servable_model
from shared.engines.prm.scorer import Scorer
from tests.services.evaluator.test_report import response

pytestmark = pytest.mark.engine

QUESTION = "Tom has 5 boxes of 6 pens. He loses 4. How many pens are left?"
PATHS = [
    ["Step 1: Tom has 5 boxes of 6 pens, so 5 * 6 = 30 pens."],
    ["Step 1: Tom has 5 boxes of 6 pens, so 5 * 6 = 30 pens.", "Step 2: He loses 4, so 30 - 4 = 26 pens.", "The answer is 26."],
    ["Step 1: Tom has 5 boxes of 6 pens, so 5 * 6 = 30 pens.", "Step 2: He loses 4, so 30 - 4 = 24 pens.", "The answer is 24."],
    ["Five boxes – six pens each: 5 × 6 = 30 ✓", "\\[30 - 4 = 26\\]", "∴ $\\boxed{26}$"],
]
LINES = ["We compute:\n5 * 6 = 30.\n\nSo 30 pens.", "30 - 4 = 26."]
"""A step of several lines, one of them blank."""
CLOSE = 1e-3
"""What sets one score apart from another here is 0.01 and more. Most agree to 1e-5; on a Xeon with AMX one
was 1.4e-4 away in one run, and why is not known."""


def in_fp32(plan: Plan, port: int) -> tuple[list[str], dict[str, str]]:
    command, environment = vllm_command(plan, port)
    return [*command, "--dtype", "float32"], environment


@pytest.mark.parametrize("prm", ["math-shepherd", "rlhflow", "skywork", "qwen2.5-math-prm", "longthought"])
async def test_scores_are_the_cards(prm: str, tmp_path: Path, monkeypatch):
    import torch  # where engines are, it is

    from shared.settings import Settings
    from tests.shared.engines.prm import reference, tiny

    monkeypatch.setattr("shared.engines.pooling.settings", lambda: Settings(cache_dir=tmp_path / "cache"))
    torch.manual_seed(7)
    name = prm.replace("-", "_").removesuffix("2.5_math_prm")
    folder = tmp_path / prm
    folder.mkdir()
    getattr(tiny, name)(folder)
    expected = [getattr(reference, name)(folder, QUESTION, path) for path in [*PATHS, LINES]]
    if prm == "skywork":  # it scores lines; a step's is the last of its own: of "We compute:", "5 * 6", "", "So", "30 - 4"
        assert len(expected[-1]) == 5
        expected[-1] = expected[-1][3:]
    assert len({round(score, 2) for scores in expected for score in scores}) > 5, "scores that hardly differ would prove little"
    async with served(Plan("org/prm", servable_model(str(folder), prm), prm=prm)) as endpoint:
        scorer = Scorer(endpoint)
        found = await scorer.score(QUESTION, [*PATHS, LINES])
        for path, scores in zip(found, expected, strict=True):
            assert path.scores == pytest.approx(scores, abs=CLOSE)
        assert scorer.spent == sum(path.tokens for path in found)

        assert endpoint.window == (256 if prm == "qwen2.5-math-prm" else 512)
        longer = [*PATHS[1], "and so on " * 300]
        both = await scorer.score(QUESTION, [longer, PATHS[0]])
        assert both[0].scores is None and both[0].tokens > endpoint.window
        assert both[1].scores == pytest.approx(expected[0], abs=CLOSE)
        full = await endpoint.score([[5] * endpoint.window])
        assert full.tokens == len(full.outputs[0]) == endpoint.window

        texts = ["\n\n".join(PATHS[1]), "\n".join(PATHS[3]) + "\n", "\n".join(longer)]
        problem = Problem(id="pens", question=QUESTION, answer="26")
        weighed = await Weigher(endpoint, "min").weigh(
            problem, [response("m", "pens", n, text=text) for n, text in enumerate(texts)]
        )
        assert [one.scoring.scores for one in weighed] == [
            pytest.approx(expected[1], abs=CLOSE),
            pytest.approx(expected[3], abs=CLOSE),
            (),
        ]
        assert [one.weight for one in weighed[:2]] == pytest.approx([min(expected[1]), min(expected[3])], abs=CLOSE)
        assert weighed[2].weight is None and f"are more than the {endpoint.window} that" in weighed[2].scoring.error


class served:
    """A server of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._server = LocalServer(plan, in_fp32)

    async def __aenter__(self) -> Endpoint:
        await self._server.start()
        return self._server.endpoint()

    async def __aexit__(self, *problem: object) -> None:
        await self._server.stop()
