"""The report as a Markdown table."""

from shared.contracts.report import ModelScore, RunReport

SCORE = "score"
JUDGED = {SCORE: "score_mean", "not attempted": "not_attempted"}
"""Columns that only judged problems have, and their fields."""


def markdown(report: RunReport) -> str:
    """A heading, a row per model, and what must be known to read it (conditions, missing and ungraded samples)."""
    samples = max(score.conditions.samples for score in report.models.values())
    keywords = list(dict.fromkeys(word for score in report.models.values() for word in score.keywords))
    header = ["model", "pass@1", f"pass@{samples}", f"Maj@{samples}", "avg. tokens", "truncated", "unanswered"]
    header += [
        title for title, field in JUDGED.items() if any(getattr(score, field) is not None for score in report.models.values())
    ]
    rows = [header + [f"“{word}”" for word in keywords], ["---"] + ["---:"] * (len(header) + len(keywords) - 1)]
    rows += [_row(name, score, header, keywords) for name, score in report.models.items()]
    lines = [f"# {report.benchmark}", "", *("| " + " | ".join(row) + " |" for row in rows), "", *_notes(report)]
    return "\n".join(lines) + "\n"


def _row(name: str, score: ModelScore, header: list[str], keywords: list[str]) -> list[str]:
    accuracy = f"{100 * score.pass_at_1:.1f} ± {100 * score.stderr:.1f}"
    shares = [score.truncated, score.unanswered]
    return [
        name,
        accuracy,
        f"{100 * score.pass_at_k:.1f}",
        f"{100 * score.maj_at_k:.1f}",
        f"{score.avg_tokens:.0f}",
        *(f"{100 * value:.1f}%" for value in shares),
        *(_judged(score, title) for title in JUDGED if title in header),
        *(f"{100 * score.keywords.get(word, 0.0):.1f}%" for word in keywords),
    ]


def _judged(score: ModelScore, title: str) -> str:
    """A figure of what a judge said, where one was asked."""
    value = getattr(score, JUDGED[title])
    if value is None:
        return "–"
    return f"{value:.1f} ± {score.score_stderr or 0:.1f}" if title == SCORE else f"{100 * value:.1f}%"


def _notes(report: RunReport) -> list[str]:
    """Bullets below the table."""
    notes = ["Percentages; ± is one standard error, clustered by problem."]
    for conditions in dict.fromkeys(score.conditions for score in report.models.values()):
        who = [name for name, score in report.models.items() if score.conditions == conditions]
        about = "" if report.comparable else f"{', '.join(who)}: "
        notes.append(
            f"{about}{conditions.problem_count} problems × {conditions.samples} samples, temperature {conditions.temperature:g}, "
            f"top_p {conditions.top_p:g}, at most {conditions.max_tokens} tokens, prompt {conditions.prompt}, "
            f"seed {conditions.seed}, engine {conditions.engine}{', judge ' + conditions.judge if conditions.judge else ''}."
        )
    if not report.comparable:
        notes.append("**Not comparable:** the models were measured under different conditions.")
    if any(score.score_mean is not None for score in report.models.values()):
        notes.append("Score: the judge's, 0 to 100; pass@1 counts what reached the pass mark.")
    if report.samples_missing:
        notes.append(f"**{report.samples_missing} samples are missing** (their items died) and in no figure.")
    for name, score in report.models.items():
        if score.ungraded:
            notes.append(f"**{name}: {score.ungraded} samples could not be graded** and count neither as right nor as wrong.")
    return [f"- {note}" for note in notes]
