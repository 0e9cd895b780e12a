"""A long thought printed in full: every span in the colour of its role."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.text import Text

STYLES = {
    "step": "",
    "wrong_step": "red",
    "reflection": "yellow",
    "backtrack": "magenta",
    "verification": "cyan",
    "conclusion": "bold green",
}


def thought_panel(thought: Mapping[str, Any]) -> Panel:
    """Question, then the thought, then what the colours mean."""
    text = Text()
    for span in thought["spans"]:
        text.append(span["text"], style=STYLES[span["role"]])
    text.rstrip()
    legend = Text("  ").join(Text(role.replace("_", " "), style=style) for role, style in STYLES.items())
    title = f"[bold]{thought['id']}[/bold]"
    body = Group(Text(thought["question"], style="italic"), "", text, "", legend)
    return Panel(body, title=title, title_align="left", border_style="dim", padding=(1, 2))


def most_telling(thoughts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The thought with the most kinds of span; of these, one of middling length."""
    if not thoughts:
        return None
    kinds = {thought["id"]: len({span["role"] for span in thought["spans"]}) for thought in thoughts}
    richest = [thought for thought in thoughts if kinds[thought["id"]] == max(kinds.values())]
    richest.sort(key=lambda thought: (sum(len(span["text"]) for span in thought["spans"]), thought["id"]))
    return richest[len(richest) // 2]
