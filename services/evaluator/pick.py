"""The best of several trainings, by a report of the same run."""

from collections.abc import Mapping

from shared.contracts.base import Origin
from shared.contracts.report import ModelScore, Pick
from shared.contracts.stages import PickStage


def pick(stage: PickStage, scores: Mapping[str, ModelScore], origin: Origin) -> Pick:
    """Highest pass@1; of equals the one with fewer output tokens, then the first. Raises KeyError for one that has no score."""
    measured = {name: scores[name] for name in stage.models}
    return Pick(
        origin=origin,
        measured=stage.measured,
        model=max(stage.models, key=lambda name: (measured[name].pass_at_1, -measured[name].avg_tokens)),
        candidates={name: (score.pass_at_1, score.stderr, score.avg_tokens) for name, score in measured.items()},
    )
