"""The Technical Transparency Index (Part 2, section 5): 25 yes/no checks, 100 points, no partial credit.

What a run's own records prove is read from them; what only a person can know, from a small YAML file. Nothing is credited by
default. A technique that the work openly says it does not use scores in full (`not_used: why`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["met", "missing", "not used"]


@dataclass(frozen=True)
class Facts:
    """What the gateway tells of a run."""

    recipe: Mapping[str, Any]
    report: Mapping[str, Any]
    status: Mapping[str, Any]

    def stages(self, *kinds: str) -> dict[str, Mapping[str, Any]]:
        """The recipe's stages of some kinds that are done."""
        done = {name for name, stage in self.status["stages"].items() if stage["state"] == "done"}
        return {name: stage for name, stage in self.recipe["stages"].items() if stage["kind"] in kinds and name in done}


Read = Callable[[Facts], str | None]
"""What in a run's records answers a check; None: nothing does."""


@dataclass(frozen=True)
class Check:
    """One of the 25. `read` finds its evidence in the records; `ask` is put to a person where it finds none."""

    id: str
    group: str
    points: int
    question: str
    ask: str
    read: Read = lambda facts: None
    technique: bool = False
    """May be said to be not used."""
    url: bool = False
    """A person's answer must be an address."""


@dataclass(frozen=True)
class Finding:
    """A check's outcome: its evidence, or what is missing."""

    check: Check
    state: State
    words: str

    @property
    def points(self) -> int:
        """All of the check's points, or none."""
        return 0 if self.state == "missing" else self.check.points


def _names(found: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in found)


def _generated(facts: Facts) -> str | None:
    sources = facts.recipe["problems"]
    if not sources or not all(source.get("generator") for source in sources.values()):
        return None
    return "; ".join(f"`{name}`: generator {source['generator']}, seed {source['seed']}" for name, source in sources.items())


def _distributions(facts: Facts) -> str | None:
    found = {name: one for name, one in facts.report["datasets"].items() if one["statistics"]}
    counts = "; ".join(
        f"{name}: {', '.join(f'{n} {config}' for config, n in one['counts'].items())}" for name, one in found.items()
    )
    return f"datasets with statistics, formats and counts in their cards: {counts}" if found else None


def _filtering(facts: Facts) -> str | None:
    found = facts.report["curations"]
    if not found:
        return None
    rules = "; ".join(
        f"{name}: {one['kept']} of {one['total']} kept, by {len(one['dropped'])} rules" for name, one in found.items()
    )
    return f"curations with the reason of every drop: {rules}"


def _synthetic(facts: Facts) -> str | None:
    makers = facts.stages("search", "distill", "reformat", "translate", "annotate")
    if not makers or not facts.report["datasets"]:
        return None
    return f"stages {_names(makers)}; prompts with their texts, refinement and rejection counts in the dataset's card"


def _search(facts: Facts) -> str | None:
    found = facts.stages("search")
    said = [f"`{name}`: {one['strategy']}, depth {one['max_depth']}, reward {one['reward']['kind']}" for name, one in found.items()]
    return f"the recipe has every parameter: {'; '.join(said)}" if said else None


def _thoughts(facts: Facts) -> str | None:
    found = {name: one for name, one in facts.stages("compile").items() if one["trees"]}
    said = [f"`{name}`: {one['wrong_trials']} wrong turns a node, refiner {one['refiner']['kind']}" for name, one in found.items()]
    return f"traversal, refinement and checks with all settings: {'; '.join(said)}" if said else None


def _pipeline(facts: Facts) -> str | None:
    found = facts.stages("train")
    said = [f"`{name}`: {one['method']} of `{one['base']}` on {one['config']} of `{one['data']}`" for name, one in found.items()]
    return "; ".join(said) or None


def _compute(facts: Facts) -> str | None:
    engines = sorted({score["conditions"]["engine"] for score in facts.report["models"].values()})
    trained = sum(one["seconds"] for one in facts.report["checkpoints"].values())
    if not engines and not trained:
        return None
    tokens = facts.status["usage"]["completion_tokens"]
    return f"{', '.join(engines) or 'no engine'}; {tokens:,} tokens written; {trained / 3600:.2f} h of training"


def _hyper(facts: Facts) -> str | None:
    found = facts.stages("train")
    said = [
        f"`{name}`: {one['epochs']:g} epochs, learning rate {one['learning_rate']:g}, batch {one['batch_size']}, seed {one['seed']}"
        for name, one in found.items()
    ]
    return "; ".join(said) or None


def _ablations(facts: Facts) -> str | None:
    trained = facts.stages("train")
    for name, one in facts.stages("evaluate").items():
        arms = [model for model in one["models"] if model in trained]
        if len(arms) > 1 and facts.report["benchmarks"].get(name, {}).get("comparable"):
            return f"`{name}` compares {', '.join(f'`{arm}`' for arm in arms)} under the same conditions"
    return None


def _dimension(facts: Facts) -> str | None:
    levels = [*(["answers"] if facts.stages("evaluate") else []), *(["steps"] if facts.stages("eval_reward") else [])]
    return f"graded by {' and by '.join(levels)}" if levels else None


def _metrics(facts: Facts) -> str | None:
    found = facts.stages("evaluate", "eval_reward")
    return f"{_names(found)}: defined in docs/method.md, and with each figure in the report" if found else None


def _same(facts: Facts) -> str | None:
    found = facts.report["benchmarks"]
    if not found or not all(one["comparable"] for one in found.values()):
        return None
    return f"one grader and one set of metrics for all models of {_names(found)}, under equal conditions"


def _conditions(facts: Facts) -> str | None:
    models = facts.report["models"]
    said = {
        f"temperature {c['temperature']:g}, top_p {c['top_p']:g}, at most {c['max_tokens']} tokens, {c['samples']} samples"
        for c in (score["conditions"] for score in models.values())
    }
    return f"for each of {len(models)} models: {'; '.join(sorted(said))}" if models else None


D, M, E, O = "Data", "Methodology", "Evaluation", "Open source"  # noqa: E741
CHECKS = (
    Check("data_sources", D, 3, "Are the data's names and sources cited?", "Name each set's publisher and address.", _generated),
    Check("data_format", D, 3, "Are distributions and formats documented?", "Say where the data is described.", _distributions),
    Check("data_filtering", D, 4, "Are selection and filtering justified?", "Say how problems were chosen, and why.", _filtering),
    Check("data_synthesis", D, 4, "Are synthetic data's prompts and checks shown?", "Say how it is made.", _synthetic, True),
    Check("base_model", M, 4, "Is the base model described?", "Name the base model, its size, its licence and its address."),
    Check("search", M, 6, "Is the search algorithm complete?", "Describe the search.", _search, True),
    Check("reinforcement", M, 6, "Is the RL algorithm specified?", "Describe the reinforcement learning.", technique=True),
    Check("long_thoughts", M, 6, "Is the making of long thoughts explained?", "Say how long thoughts are made.", _thoughts, True),
    Check("pipeline", M, 3, "Is every stage of the training described?", "Describe the training's stages.", _pipeline),
    Check("compute", M, 2, "Are compute and infrastructure stated?", "Say on what it ran, and for how long.", _compute),
    Check("hyper_parameters", M, 2, "Are the hyper-parameters given?", "Give the hyper-parameters.", _hyper),
    Check("ablations", M, 4, "Are there ablations?", "Say what was left out or changed, and what that did.", _ablations),
    Check("benchmarks", E, 4, "Is the choice of benchmarks justified?", "Say why these benchmarks."),
    Check("dimension", E, 4, "Is it said what is graded: answers or steps?", "Say what is graded.", _dimension),
    Check("metrics", E, 4, "Are the metrics defined?", "Define the metrics.", _metrics),
    Check("custom_metrics", E, 4, "Are metrics of one's own justified?", "Say why metrics of your own are needed.", technique=True),
    Check("same_metrics", E, 4, "Are all baselines measured alike?", "Say how the baselines were measured.", _same),
    Check("conditions", E, 4, "Are temperature, top-p and the like given for all?", "Give the conditions.", _conditions),
    Check("open_data", O, 3, "Is the post-training data open?", "Give its address.", url=True),
    Check("open_thoughts", O, 5, "Are the synthetic long thoughts open?", "Give their address.", url=True),
    Check("open_weights", O, 5, "Are the weights open?", "Give their address.", url=True),
    Check("open_training", O, 4, "Is the training code open?", "Give its address.", url=True),
    Check("open_evaluation", O, 4, "Is the evaluation code open?", "Give its address.", url=True),
    Check("guide", O, 4, "Is there a guide to use it?", "Give its address.", url=True),
    Check("paper", O, 4, "Is there a technical paper?", "Give its address.", url=True),
)  # fmt: skip


class BadAnswers(Exception):
    """What is wrong with a person's answers, one line a fault."""


def judge(facts: Facts, answers: Mapping[str, Any]) -> list[Finding]:
    """The outcome of all 25 checks. A person's answer goes before what the records say. Raises BadAnswers."""
    known = {check.id: check for check in CHECKS}
    faults = [f"{name}: there is no such check (there are: {', '.join(known)})" for name in answers if name not in known]
    faults += [f"{name}: {fault}" for name, answer in answers.items() if name in known and (fault := _fault(known[name], answer))]
    if faults:
        raise BadAnswers("\n".join(faults))
    return [_judged(check, facts, answers.get(check.id)) for check in CHECKS]


def _fault(check: Check, answer: Any) -> str | None:
    if answer is None or answer == "":
        return None  # left open
    if isinstance(answer, dict):
        if set(answer) != {"not_used"} or not str(answer["not_used"] or "").strip():
            return "give a text, or `not_used: why`"
        return None if check.technique else "not_used: this is no technique that one may do without"
    if not isinstance(answer, str) or len(answer.split()) < (1 if check.url else 3):
        return "give a text of some words"
    if check.url and not answer.startswith(("http://", "https://")):
        return f"an address was expected (https://...), not {answer!r}"
    return None


def _judged(check: Check, facts: Facts, answer: Any) -> Finding:
    if isinstance(answer, dict):
        return Finding(check, "not used", str(answer["not_used"]).strip())
    if answer:
        return Finding(check, "met", answer.strip())
    if (evidence := check.read(facts)) is not None:
        return Finding(check, "met", evidence)
    unless = " (or `not_used: why`)" if check.technique else ""
    return Finding(check, "missing", f"{check.ask}{unless}")


def template(findings: list[Finding]) -> str:
    """A YAML file with the open questions."""
    lines = ["# Answers for the Technical Transparency Index. Leave out what does not hold: nothing is credited by default."]
    for finding in findings:
        if finding.state == "missing":
            lines += ["", f"# {finding.check.question} ({finding.check.points} points) {finding.words}", f"{finding.check.id}:"]
    return "\n".join(lines) + "\n"
