"""A recipe's price, drawn: a row a stage, totals, and below them everything that the figures rest on."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from shared.pricing.assumptions import Assumptions
from shared.pricing.lengths import Measured
from shared.pricing.price import CallsPrice, RecipePrice, StagePrice
from shared.pricing.ranges import Range
from shared.pricing.speed import REFERENCE

if TYPE_CHECKING:
    from services.cli.dry_run import Quote

COLUMNS = (
    ("items", "items"),
    ("model\ncalls", "calls"),
    ("prompt\ntokens", "prompt_tokens"),
    ("output\ntokens", "output_tokens"),
    ("trained\ntokens", "training_tokens"),
    ("GPU\nhours", "device_hours"),
    ("US\ndollars", "dollars"),
)
"""Title and figure."""
NARROW = 108
"""Below so many columns of the terminal, low and high stand below each other."""
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def picture(found: "Quote", width: int) -> RenderableType:
    """The whole quote, for a terminal of `width` columns."""
    title = f"What {found.recipe.name} will take: expected, and from low to high"
    parts: list[RenderableType] = ["", table(title, found, "\n" if width < NARROW else "–")]
    for heading, lines in notes(found):
        if lines:
            parts += [Text(f"  {heading}", style="bold cyan"), *(Padding(Text(line, style="dim"), (0, 0, 0, 4)) for line in lines)]
    return Group(*parts, "")


def table(title: str, found: "Quote", between: str) -> Table:
    """A row a stage; where a stage asks several models, a line for each. Columns in which nothing stands are left out."""
    whole = found.price
    shown = [column for column in COLUMNS if column[1] == "items" or _figure(whole, column[1]).high]
    drawn = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, header_style="bold", show_footer=True)
    drawn.add_column("stage", footer=Text("total", style="bold"), overflow="fold")  # where there is no room, no figure is cut
    for heading, name in shown:
        heading = "CPU\nhours" if name == "device_hours" and found.device.startswith("cpu") else heading
        footer = (
            Text("")
            if name == "items"
            else cell(_figure(whole, name), name, between, "bold green" if name == "dollars" else "bold")
        )
        drawn.add_column(heading, justify="right", footer=footer, no_wrap=True)
    for stage in whole.stages:
        drawn.add_row(Text.assemble((stage.name, "bold"), (f"\n{stage.kind}", "cyan")), *_cells(stage, shown, between))
        for one in stage.asked if len(stage.asked) > 1 else ():
            drawn.add_row(Text.assemble((f"  {one.role}", "cyan"), (f"\n  {one.model}", "dim")), *_cells(one, shown, between))
    return drawn


def _cells(row: StagePrice | CallsPrice, shown: list[tuple[str, str]], between: str) -> Iterator[Text]:
    for _, name in shown:
        there = name == "dollars" or hasattr(row, name)
        yield cell(_figure(row, name), name, between, "" if isinstance(row, StagePrice) else "dim") if there else Text("")


def _figure(row: StagePrice | CallsPrice | RecipePrice, name: str) -> Range:
    if name == "dollars" and isinstance(row, StagePrice):
        return row.endpoint_dollars + row.device_dollars
    found = getattr(row, name, None)
    return found if isinstance(found, Range) else Range(low=0, expected=0, high=0)


def cell(figure: Range, name: str, between: str, style: str = "") -> Text:
    """The expected figure, and below it from where to where; a dash for nothing."""
    if not figure.high:
        return Text("–", style="dim")
    say = dollars if name == "dollars" else short
    if figure.exact:
        return Text(say(figure.expected), style=style)
    return Text.assemble((say(figure.expected), style), (f"\n{say(figure.low)}{between}{say(figure.high)}", "dim"))


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


def notes(found: "Quote") -> Iterator[tuple[str, list[str]]]:
    """What must be known to read the table: headings, and lines below them."""
    whole = found.price
    yield "Checked", [found.validated]
    yield "Stages", [f"{stage.name}: {note}" for stage in whole.stages for note in stage.notes]
    yield "Problems", [_problems(name, one) for name, one in found.measured.items()]
    yield "Assumed (--assume NAME=VALUE)", [_assumed(name, found.assumptions) for name in found.used]
    yield "Devices", list(_devices(found)) if whole.device_hours.high else []
    yield "Endpoints", list(_endpoints(found))


def _problems(name: str, one: Measured) -> str:
    solution = "no solution" if one.solution is None else f"a solution {one.solution:.0f} in {one.steps or 0:.1f} steps"
    return f"{name}: {one.count:,}; measured on {one.read:,}: a question has {one.question:.0f} tokens, {solution}"


def _assumed(name: str, assumptions: Assumptions) -> str:
    figures: Range = getattr(assumptions, name)
    value = f"{figures.expected:g}" + ("" if figures.exact else f" ({figures.low:g} to {figures.high:g})")
    return f"{name}: {value}: {Assumptions.model_fields[name].description}"


def _devices(found: "Quote") -> Iterator[str]:
    speed = found.speed
    yield (
        f"throughput, {found.device}, a model of {REFERENCE / 1e9:g}b: {short(speed.engine)} tokens/s written, "
        f"{short(speed.prompt)} read, {short(speed.train)} trained on; of others inversely by size ({speed.source})"
    )
    yield from (f"{name}: {short(size).lower().replace('g', 'b')} parameters, {how}" for name, (size, how) in found.sizes.items())
    yield f"an hour: {dollars(found.hour)} US dollars" if found.hour else "an hour of a device has no price: --gpu-hour DOLLARS"
    yield "prompts are counted as if no cache held any of them"


def _endpoints(found: "Quote") -> Iterator[str]:
    whole, cap = found.price, found.recipe.spend_cap
    if whole.endpoint_dollars.high:
        yield f"by price_per_million: {dollars(whole.endpoint_dollars.expected)} US dollars expected"
    if whole.unpriced:
        yield f"without a price, in no figure: {', '.join(whole.unpriced)} (price_per_million)"
    if cap is not None and whole.endpoint_dollars.high > cap:
        when = "will, as expected, be" if whole.endpoint_dollars.expected > cap else "may be"
        yield f"the spend_cap of {dollars(cap)} {when} reached: the run is paused there, and `longthought resume` goes on"
