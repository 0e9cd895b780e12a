"""The report as a table, in Markdown and in LaTeX."""

from collections.abc import Mapping

from services.evaluator import latex
from shared.contracts.report import Conditions, GroupScore, ModelScore, RunReport

SCORE = "score"
WEIGHTED = "weighted "
JUDGED = {SCORE: "score_mean", "not attempted": "not_attempted"}
"""Columns that only judged problems have, and their fields."""


def markdown(report: RunReport) -> str:
    """A heading, a row per model, and what must be known to read it (conditions, missing and ungraded samples).

    Below it, where there is more than one: a row per subject, and a row per level.
    """
    header, *models = _rows(report)
    rows = [header, ["---"] + ["---:"] * (len(header) - 1), *models]
    lines = [
        f"# {report.benchmark}",
        "",
        *("| " + " | ".join(row) + " |" for row in rows),
        "",
        *(f"- {note}" for note in _notes(report)),
    ]
    for title in ("subject", "level"):
        lines += _breakdown(title, {name: getattr(score, f"by_{title}") for name, score in report.models.items()})
    return "\n".join(lines) + "\n"


def latex_table(report: RunReport) -> str:
    """The same rows and notes for `booktabs`, without the breakdowns."""
    header, *models = _rows(report)
    notes = [note.replace("**", "") for note in _notes(report)]
    return latex.table(f"Models measured on {report.benchmark}.", report.benchmark, header, [models], notes)


def _rows(report: RunReport) -> list[list[str]]:
    """The header, and a row per model."""
    samples = max(score.conditions.samples for score in report.models.values())
    keywords = list(dict.fromkeys(word for score in report.models.values() for word in score.keywords))
    weighted = [f"{WEIGHTED}Maj@{samples}"] if any(score.conditions.reward for score in report.models.values()) else []
    header = ["model", "pass@1", f"pass@{samples}", f"Maj@{samples}", *weighted, "avg. tokens", "truncated", "unanswered"]
    header += [
        title for title, field in JUDGED.items() if any(getattr(score, field) is not None for score in report.models.values())
    ]
    rows = [_row(name, score, header, keywords) for name, score in report.models.items()]
    return [header + [f"“{word}”" for word in keywords], *rows]


def _row(name: str, score: ModelScore, header: list[str], keywords: list[str]) -> list[str]:
    accuracy = f"{100 * score.pass_at_1:.1f} ± {100 * score.stderr:.1f}"
    shares = [score.truncated, score.unanswered]
    return [
        name,
        accuracy,
        f"{100 * score.pass_at_k:.1f}",
        "–" if score.conditions.judge else f"{100 * score.maj_at_k:.1f}",
        *(_weighted(score) for title in header if title.startswith(WEIGHTED)),
        f"{score.avg_tokens:.0f}" if score.avg_tokens else "–",
        *(f"{100 * value:.1f}%" for value in shares),
        *(_judged(score, title) for title in JUDGED if title in header),
        *(f"{100 * score.keywords.get(word, 0.0):.1f}%" for word in keywords),
    ]


def _weighted(score: ModelScore) -> str:
    """Weighted Maj@k, where any sample has a weight, and votes are answers."""
    return "–" if score.weighted_maj_at_k is None or score.conditions.judge else f"{100 * score.weighted_maj_at_k:.1f}"


def _judged(score: ModelScore, title: str) -> str:
    """A figure of what a judge said, where one was asked."""
    value = getattr(score, JUDGED[title])
    if value is None:
        return "–"
    return f"{value:.1f} ± {score.score_stderr or 0:.1f}" if title == SCORE else f"{100 * value:.1f}%"


def _breakdown(title: str, groups: Mapping[str, Mapping[str, GroupScore]]) -> list[str]:
    """A section with a row per group and, for every model, its accuracy and its tokens; nothing if there are not two groups.

    `groups`: model -> group -> figures. A model that was not measured on a group has a dash there.
    """
    names = sorted({name for scores in groups.values() for name in scores}, key=int if title == "level" else str.casefold)
    if len(names) < 2:
        return []
    header = [title, "problems", *(cell for model in groups for cell in (model, "avg. tokens"))]
    rows = [header, ["---"] + ["---:"] * (len(header) - 1)]
    for name in names:
        row = [name.replace("|", "\\|"), str(max(scores[name].n for scores in groups.values() if name in scores))]
        for scores in groups.values():
            one = scores.get(name)
            row += [f"{100 * one.pass_at_1:.1f} ± {100 * one.stderr:.1f}", f"{one.avg_tokens:.0f}"] if one else ["–", "–"]
        rows.append(row)
    return ["", f"## pass@1 by {title}", "", *("| " + " | ".join(row) + " |" for row in rows)]


def _forcing(conditions: Conditions) -> str:
    """How answers were forced, if they were."""
    cut = (
        f", made to answer after {conditions.budget} tokens with at most {conditions.answer_tokens} more"
        if conditions.budget
        else ""
    )
    return f"{cut}, made to go on {conditions.waits} times" if conditions.waits else cut


def _notes(report: RunReport) -> list[str]:
    """What stands below the table, a sentence each, the gravest in Markdown's bold."""
    notes = ["Percentages; ± is one standard error, clustered by problem."]
    for conditions in dict.fromkeys(score.conditions for score in report.models.values()):
        who = [name for name, score in report.models.items() if score.conditions == conditions]
        about = "" if report.comparable else f"{', '.join(who)}: "
        notes.append(
            f"{about}{conditions.problem_count} problems × {conditions.samples} samples, temperature {conditions.temperature:g}, "
            f"top_p {conditions.top_p:g}, at most {conditions.max_tokens} tokens, prompt {conditions.prompt}, "
            f"seed {conditions.seed}, engine {conditions.engine}{', grader ' + conditions.grader if conditions.grader else ''}"
            f"{', judge ' + conditions.judge if conditions.judge else ''}"
            f"{', reward ' + conditions.reward if conditions.reward else ''}"
            f"{_forcing(conditions)}."
        )
    if not report.comparable:
        notes.append("**Not comparable:** the models were measured under different conditions, or on different problems.")
    if any(score.conditions.judge for score in report.models.values()):
        notes.append("No Maj@k of what a judge graded: a majority of verdicts is no answer that a model could give.")
    for name, score in report.models.items():
        if score.forced:
            notes.append(f"{name}: {100 * score.forced:.1f}% of the samples were made to answer, or to go on.")
    if any(score.score_mean is not None for score in report.models.values()):
        notes.append("Score: the judge's, 0 to 100; pass@1 counts what reached the pass mark.")
    if any(score.conditions.reward for score in report.models.values()):
        notes.append("Weighted: a sample's vote counts as much as the reward scores its lines (how, in brackets).")
    if report.samples_missing:
        notes.append(f"**{report.samples_missing} samples are missing** (their items died) and in no figure.")
    for name, score in report.models.items():
        if not score.avg_tokens:  # the end of an answer is a token, too: none has 0
            notes.append(f"**{name}: its server told no numbers of tokens**, so what its answers cost is not known.")
        if score.tokens_estimated:
            share = f"{100 * score.tokens_estimated:.1f}%"
            notes.append(
                f"{name}: the lengths of {share} of the samples are estimates (of several, the sum was told); the average is exact."
            )
        if score.ungraded:
            notes.append(f"**{name}: {score.ungraded} samples could not be graded** and count neither as right nor as wrong.")
        if score.unscored:
            left_out = score.n - (score.weighted_n or 0)
            more = f"; {left_out} problems have no other, and are not in it" if left_out else ""
            notes.append(
                f"**{name}: {score.unscored} samples could not be scored** and have no part in the weighted majority{more}."
            )
    return notes
