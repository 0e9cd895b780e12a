"""Tables of a report in LaTeX: `booktabs` is the one package they need."""

import re
from collections.abc import Sequence

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    "±": r"$\pm$", "×": r"$\times$", "–": "--", "“": "``", "”": "''", "→": r"$\to$",
}  # fmt: skip


def escape(text: str) -> str:
    """`text` as LaTeX prints it."""
    return "".join(_SPECIAL.get(char, char) for char in " ".join(text.split()))


def table(
    caption: str,
    name: str,
    header: Sequence[str],
    blocks: Sequence[Sequence[Sequence[str]]],
    notes: Sequence[str] = (),
    above: Sequence[tuple[str, int]] = (),
) -> str:
    """A floating table of plain texts: the first column to the left, the others to the right, a rule between blocks of rows.

    `above`: headings over the columns from the second on, each with the number of columns that it spans. `name`: becomes the
    label. `notes`: sentences below.
    """
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape(caption)}}}",
        rf"  \label{{tab:{'-'.join(re.findall('[a-z0-9]+', name.lower()))}}}",
        rf"  \begin{{tabular}}{{@{{}}l{'r' * (len(header) - 1)}@{{}}}}",
        r"    \toprule",
    ]
    if above:
        headings = [rf"\multicolumn{{{span}}}{{c}}{{{escape(text)}}}" for text, span in above]
        lines += [rf"    & {' & '.join(headings)} \\", f"    {_rules(above)}"]
    lines.append(_row(header))
    for block in blocks:
        lines += [r"    \midrule", *map(_row, block)]
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    if notes:
        lines += ["", r"  \smallskip", rf"  \parbox{{\linewidth}}{{\footnotesize {' '.join(map(escape, notes))}}}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _row(cells: Sequence[str]) -> str:
    row = " & ".join(map(escape, cells))
    return f"    {'{}' if row[:1] in ('[', '*') else ''}{row} \\\\"  # behind a row's end, these would be its options


def _rules(above: Sequence[tuple[str, int]]) -> str:
    """A partial rule below each of the headings."""
    rules, column = [], 2
    for _, span in above:
        rules.append(rf"\cmidrule(lr){{{column}-{column + span - 1}}}")
        column += span
    return " ".join(rules)
