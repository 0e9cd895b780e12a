"""The replication at a larger size, for a GPU: the laptop's recipe with more problems, more samples and more seeds."""

import copy
import importlib.util
import re
from collections.abc import Mapping
from typing import Any

TIMES = 4
"""Problems and samples, as multiples of the laptop's."""
SEEDS = 5


def enlarged(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe as JSON, enlarged. `vllm` serves where it is installed, `transformers` elsewhere.

    Slices begin TIMES as far into their sequences, too, so that those which shared no problem share none.
    """
    body: dict[str, Any] = copy.deepcopy(dict(recipe))
    if importlib.util.find_spec("vllm") is None:
        body["models"]["base"]["engine"] = "transformers"
    for source in body["problems"].values():
        source["skip"], source["count"] = TIMES * source.get("skip", 0), TIMES * source["count"]
    for stage in body["stages"].values():
        if "max_samples" in stage:
            stage["max_samples"] *= TIMES
    arms = {name.removesuffix("-1"): stage for name, stage in body["stages"].items() if _is_seed(name, stage)}
    for arm, first in arms.items():
        for seed in range(2, SEEDS + 1):
            again = {**first, "seed": seed}
            if "tokens_of" in again:
                again["tokens_of"] = re.sub(r"-1$", f"-{seed}", again["tokens_of"])
            body["stages"][f"{arm}-{seed}"] = again
    for stage in body["stages"].values():
        if stage["kind"] == "evaluate":
            stage["models"] = [name for model in stage["models"] for name in _seeds_of(model, arms)]
    return body


def _is_seed(name: str, stage: Mapping[str, Any]) -> bool:
    return stage["kind"] == "retrain" and name.endswith("-1")


def _seeds_of(model: str, arms: Mapping[str, Any]) -> list[str]:
    """A model that is an arm's first seed stands for all of them; the laptop's other seeds are among those."""
    arm, _, seed = model.rpartition("-")
    if arm not in arms or not seed.isdigit():
        return [model]
    return [f"{arm}-{number}" for number in range(1, SEEDS + 1)] if seed == "1" else []
