"""Stages: what a recipe can do, one class a kind, and the service that does it."""

from typing import Annotated

from pydantic import Field

from shared.contracts.stages.base import Service, StageBase
from shared.contracts.stages.compile import CompileStage, Refiner
from shared.contracts.stages.data import (
    AnnotateStage,
    CurateStage,
    DistillStage,
    ImportStage,
    ReformatStage,
    SelectStage,
    TranslateStage,
)
from shared.contracts.stages.search import SEARCH_PARAMETERS, EvalRewardStage, SearchStage
from shared.contracts.stages.train import EvaluateStage, PickStage, Regrade, RetrainStage, TrainStage

Stage = Annotated[
    ImportStage
    | CurateStage
    | ReformatStage
    | DistillStage
    | SelectStage
    | TranslateStage
    | AnnotateStage
    | SearchStage
    | EvalRewardStage
    | CompileStage
    | TrainStage
    | EvaluateStage
    | PickStage
    | RetrainStage,
    Field(discriminator="kind"),
]

__all__ = [
    "SEARCH_PARAMETERS",
    "AnnotateStage",
    "CompileStage",
    "CurateStage",
    "DistillStage",
    "EvalRewardStage",
    "EvaluateStage",
    "ImportStage",
    "PickStage",
    "Refiner",
    "ReformatStage",
    "Regrade",
    "RetrainStage",
    "SearchStage",
    "SelectStage",
    "Service",
    "Stage",
    "StageBase",
    "TrainStage",
    "TranslateStage",
]
