"""A recipe's price, drawn: a row a stage, totals, and below them everything that the figures rest on."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.pricing.assumptions import Assumptions
from shared.pricing.price import CallsPrice, RecipePrice, StagePrice
from shared.pricing.ranges import Range
from shared.pricing.speed import REFERENCE

if TYPE_CHECKING:
    from services.cli.dry_run import Quote

COLUMNS = (
    ("items", "items"),
    ("model calls", "calls"),
    ("prompt tokens", "prompt_tokens"),
    ("output tokens", "output_tokens"),
    ("tokens trained", "training_tokens"),
    ("GPU hours", "device_hours"),
    ("US dollars", "dollars"),
)
"""Title and figure."""
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
MEASURED = ("question", "solution", "steps")


def picture(found: "Quote") -> RenderableType:
    """The whole quote."""
    title = f"What {found.recipe.name} will take: expected, and from low to high"
    return Group("", table(title, found), *(Text(f"  {line}", style="dim") for line in notes(found)), "")


def table(title: str, found: "Quote") -> Table:
    """A row a stage; where a stage asks several models, a line for each. Columns in which nothing stands are left out."""
    whole = found.price
    shown = [column for column in COLUMNS if column[1] == "items" or _figure(whole, column[1]).high]
    drawn = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, header_style="bold", show_footer=True)
    drawn.add_column("stage", footer=Text("total", style="bold"), no_wrap=True)
    for heading, name in shown:
        heading = "CPU hours" if name == "device_hours" and found.device == "cpu" else heading
        footer = Text("") if name == "items" else cell(_figure(whole, name), name, "bold green" if name == "dollars" else "bold")
        drawn.add_column(heading, justify="right", footer=footer, no_wrap=True)
    for stage in whole.stages:
        drawn.add_row(Text.assemble((stage.name, "bold"), (f"\n{stage.kind}", "cyan")), *_cells(stage, shown))
        for one in stage.asked if len(stage.asked) > 1 else ():
            drawn.add_row(Text.assemble((f"  {one.role}", "cyan"), (f"\n  {one.model}", "dim")), *_cells(one, shown))
    return drawn


def _cells(row: StagePrice | CallsPrice, shown: list[tuple[str, str]]) -> Iterator[Text]:
    for _, name in shown:
        there = name == "dollars" or hasattr(row, name)
        yield cell(_figure(row, name), name, "" if isinstance(row, StagePrice) else "dim") if there else Text("")


def _figure(row: StagePrice | CallsPrice | RecipePrice, name: str) -> Range:
    if name == "dollars" and isinstance(row, StagePrice):
        return row.endpoint_dollars + row.device_dollars
    found = getattr(row, name, None)
    return found if isinstance(found, Range) else Range(low=0, expected=0, high=0)


def cell(figure: Range, name: str, style: str = "") -> Text:
    """The expected figure, and below it from where to where; a dash for nothing."""
    if not figure.high:
        return Text("–", style="dim")
    say = dollars if name == "dollars" else short
    if figure.exact:
        return Text(say(figure.expected), style=style)
    return Text.assemble((say(figure.expected), style), (f"\n{say(figure.low)} – {say(figure.high)}", "dim"))


def short(value: float) -> str:
    """`1.23M`: three significant digits."""
    for size, unit in UNITS:
        if value >= 0.9995 * size:
            scaled = value / size
            digits = max(0, 2 - len(str(int(scaled + 0.0005))) + 1)
            text = f"{scaled:.{digits}f}"
            return f"{text.rstrip('0').rstrip('.') if '.' in text else text}{unit}"
    return "0" if not value else "<0.001" if value < 0.001 else f"{value:.3f}".rstrip("0")


def dollars(value: float) -> str:
    """`1,234.50`; of less than ten dollars three places."""
    return "0" if not value else "<0.001" if value < 0.001 else f"{value:,.3f}" if value < 10 else f"{value:,.2f}"


def notes(found: "Quote") -> Iterator[str]:
    """What must be known to read the table."""
    whole, cap = found.price, found.recipe.spend_cap
    yield f"{found.recipe.name}: {found.validated}"
    for stage in whole.stages:
        yield from (f"{stage.name}: {note}" for note in stage.notes)
    for name, one in found.measured.items():
        solution = "no solution" if one.solution is None else f"a solution {one.solution:.0f} in {one.steps or 0:.1f} steps"
        yield f"problems {name}: {one.count:,}; of the first {one.read:,} a question has {one.question:.0f} tokens, {solution}"
    for name in found.used:
        figures: Range = getattr(found.assumptions, name)
        value = f"{figures.expected:g}" + ("" if figures.exact else f" ({figures.low:g} to {figures.high:g})")
        yield f"assumed {name}: {value}: {Assumptions.model_fields[name].description}"
    if whole.device_hours.high:
        speed = found.speed
        yield (
            f"throughput, {found.device}, a model of {REFERENCE / 1e9:g}b: {speed.engine:,.3g} tokens/s written, {speed.prompt:,.3g} "
            f"read, {speed.train:,.3g} trained on; of others in inverse proportion to their parameters ({speed.source})"
        )
        yield from (
            f"parameters of {name}: {short(size).lower().replace('g', 'b')}, {how}" for name, (size, how) in found.sizes.items()
        )
        rate = f"{found.hour:,.2f} US dollars" if found.hour else "not priced: --gpu-hour DOLLARS"
        yield f"an hour of a device: {rate}; prompts are counted as if no cache held any of them"
    if whole.unpriced:
        yield f"without a price, in no figure: {', '.join(whole.unpriced)} (price_per_million)"
    if cap is not None and whole.endpoint_dollars.high > cap:
        when = "expected" if whole.endpoint_dollars.expected > cap else "possible"
        yield f"spend_cap {cap:,.2f}: {when} to be reached; the run is paused there, and `longthought resume` goes on"
