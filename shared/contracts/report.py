"""RunReport and what it holds: one row of figures per model, under stated conditions."""

from typing import Annotated, Literal

from pydantic import Field

from shared.contracts.base import Frozen, Origin, Record

Share = Annotated[float, Field(ge=0, le=1)]


class Conditions(Frozen):
    """Under which conditions a model was measured. Rows are comparable only when these are equal."""

    problems: str
    problem_count: int
    samples: int
    temperature: float
    top_p: float
    max_tokens: int
    prompt: str
    seed: int
    engine: str
    """Name and version of what served the model."""
    grader: str = ""
    """What graded the answers, as `answers@1f0c3d9a (math-verify 0.9.0, ...)`; several, joined by ` + `, where a grader
    changed in between. '' where a judge did, and in reports older than this field."""
    judge: str = ""
    """The judge's URI, its prompts and its sampling, as `some/model (judge_facts@1), temperature 0, at most 512 tokens`; '' where
    none was asked."""
    reward: str = ""
    """The URI of the reward that weighs votes, and how scores become a weight, as `some/prm (min)`; '' where none was asked."""
    budget: int | None = None
    """Tokens after which a response was cut and made to answer; None where none was."""
    answer_tokens: int | None = None
    """Tokens that were then left for the answer."""
    waits: int = 0
    """How often a response that would have ended was made to go on."""


class GroupScore(Frozen):
    """One model's figures on the problems of one subject, or of one level; as those of ModelScore."""

    n: int
    """Problems measured."""
    samples: int
    pass_at_1: Share
    stderr: Annotated[float, Field(ge=0)]
    avg_tokens: Annotated[float, Field(ge=0)]


class ModelScore(Frozen):
    """One model's figures on one benchmark.

    `pass_at_1` is the mean over problems of the share of right samples; `stderr` its standard error, clustered by problem;
    `maj_at_k` the share of problems whose majority answer (over canonical answers, ties in expectation) is right;
    `weighted_maj_at_k` the same of the answer with the largest sum of weights, a sample's weight being what a reward gives it.
    """

    model: str
    uri: str
    n: int
    """Problems measured."""
    samples: int
    pass_at_1: Share
    stderr: Annotated[float, Field(ge=0)]
    maj_at_k: Share
    weighted_maj_at_k: Share | None = None
    """None where no reward was asked, or not one sample has a weight."""
    weighted_n: Annotated[int | None, Field(ge=0)] = None
    """Problems that it is the mean of: those with a graded sample that has a weight; None where no reward was asked."""
    unscored: Annotated[int, Field(ge=0)] = 0
    """Samples that the reward could not score: they have no part in the weighted majority."""
    pass_at_k: Share
    avg_tokens: Annotated[float, Field(ge=0)]
    tokens_estimated: Share = 0.0
    """Share of samples whose lengths are estimates, since a server told only what several answers came to together; their average
    is exact."""
    truncated: Share
    """Share of samples cut by the token limit."""
    forced: Share = 0.0
    """Share of samples that budget forcing made to answer, or to go on."""
    unanswered: Share
    """Share of samples that state no final answer."""
    ungraded: Annotated[int, Field(ge=0)] = 0
    """Samples whose answer could not be graded: counted neither as right nor as wrong."""
    score_mean: Annotated[float | None, Field(ge=0, le=100)] = None
    """Mean over problems of the mean score, 0 to 100, that a judge gave by a rubric of scores; None without such problems."""
    score_stderr: Annotated[float | None, Field(ge=0)] = None
    """Its standard error, clustered by problem."""
    not_attempted: Share | None = None
    """Mean over problems of the share of samples that did not attempt an answer, of those judged by facts; None without any."""
    keywords: dict[str, float] = {}
    """Share of samples holding each keyword ("wait" ...)."""
    by_subject: dict[str, GroupScore] = {}
    """Subject -> figures, in alphabetical order; problems that name none are in no group."""
    by_level: dict[str, GroupScore] = {}
    """Level -> figures, from the lowest; problems that name none are in no group."""
    conditions: Conditions


class CurvePoint(Frozen):
    """What accuracy a model has for a budget of output tokens, estimated from its samples."""

    kind: Literal["cut", "majority", "weighted"]
    """`cut`: one response, cut at the budget, right only if it ended within it. `majority`: Maj@k over whole responses, in
    expectation over the stored samples. `weighted`: the same of votes weighted by a reward, which is itself in no cost."""
    budget: Annotated[int, Field(ge=0)]
    """Output tokens that a problem may take at most: those at which the response is cut, or k times the limit of a response."""
    k: Annotated[int, Field(ge=1)]
    """Responses to a problem; 1 for a cut."""
    avg_tokens: Annotated[float, Field(ge=0)]
    """Output tokens that a problem takes on average."""
    accuracy: Share
    low: Share
    """Lower end of the accuracy's 95% interval (bootstrap over problems)."""
    high: Share


class RunReport(Record):
    """The outcome of an `evaluate` stage."""

    origin: Origin
    benchmark: str
    models: dict[str, ModelScore]
    comparable: bool
    """Whether all rows share their conditions, and their problems."""
    curves: dict[str, tuple[CurvePoint, ...]] = {}
    """Model -> its accuracy against budgets: cuts from the smallest budget up, then Maj@1, Maj@2, ..., then weighted ones."""
    plot: str | None = None
    """URI of the plot of accuracy against average tokens (PNG)."""
    table: str | None = None
    """URI of the table (Markdown)."""
    table_latex: str | None = None
    """URI of the same table in LaTeX (booktabs)."""
    curves_plot: str | None = None
    """URI of the plot of the budget curves (PNG)."""
    curves_vega: str | None = None
    """URI of the same plot in Vega-Lite (JSON), its data inside."""
    curves_table: str | None = None
    """URI of the budget curves as a table (Markdown)."""
    curves_latex: str | None = None
    """URI of the same table in LaTeX (booktabs)."""
    samples_missing: int = 0
    """Samples lost to dead items, not counted in any figure."""


class DatasetReport(Record):
    """The outcome of a `compile` or data stage: what was written, from what, and why the rest was passed over."""

    origin: Origin
    uri: str | None
    """URI of the exported folder; None where nothing was to export."""
    counts: dict[str, int]
    """Records by configuration: journey, shortcut, preference, sft ..."""
    skipped: dict[str, int] = {}
    """Sources passed over, by reason."""
    refinement: dict[str, int] = {}
    """How thoughts were refined: template, llm, template-fallback, retries."""
    statistics: dict[str, dict[str, float]] = {}
    """By configuration: tokens, lines, words a line, n-gram counts."""


class Fallen(Frozen):
    """A problem that a curation dropped."""

    problem_id: str
    question: str
    """Its first 300 characters."""
    rule: str
    reason: str


class CurationReport(Record):
    """The outcome of a `curate` stage: how many problems fell to which rule."""

    origin: Origin
    source: str
    """What was curated: the stored set."""
    total: int
    kept: int
    dropped: dict[str, int]
    """Rule -> problems that fell to it first: the stage's rules, contamination, not_measured, too_hard, too_easy, near_duplicate,
    count."""
    examples: dict[str, tuple[Fallen, ...]]
    benchmarks: dict[str, int] = {}
    """Benchmark -> its problems, which were looked for."""


class NgramCount(Frozen):
    """How often an n-gram occurs, and in how many responses."""

    times: int
    responses: int


class SelectionReport(Record):
    """The outcome of a `select` stage."""

    origin: Origin
    considered: int
    chosen: int
    problems: int
    """Problems of which a response was chosen; in two languages, one is two."""
    chosen_from: dict[str, int]
    """Stage -> responses of it that were chosen."""
    passed_over: dict[str, int]
    """Reason -> responses."""
    ngrams: dict[str, NgramCount]
    """Of the chosen ones."""


class Pick(Record):
    """The outcome of a `pick` stage."""

    origin: Origin
    measured: str
    """The evaluate stage that was gone by."""
    model: str
    """The training that was chosen."""
    candidates: dict[str, tuple[float, float, float]]
    """Training -> its pass@1, the standard error of that, and its average output tokens; as the recipe has them."""


class Checkpoint(Record):
    """A trained model, with its lineage."""

    origin: Origin
    uri: str
    base: str
    method: str
    data: str = ""
    """The stage whose records it was trained on, and as what (`config`)."""
    config: str = ""
    seed: int = 0
    code: str = ""
    """Version of this system, and the commit it stood at where that is known."""
    samples: int
    steps: int
    epochs: float
    train_tokens: int
    loss: float
    """Mean training loss over the last tenth of the steps (nats per token)."""
    seconds: float
    """From the first step to the last, of all attempts (steps that were lost with a killed one are not in it)."""
    too_long: int = 0
    """Samples left out because they, or their counterparts of the other arm, are longer than `max_length`."""
    unfit: int = 0
    """Samples left out because they, or those counterparts, hold the end of a turn within the answer."""
    device: str = ""
    """What it was trained on: a GPU's name, or `cpu (2 threads)`."""
    resumed_from: int | None = None
    """The optimiser step at which the last attempt went on; None when undisturbed."""
