"""`longthought run RECIPE --dry-run`: the recipe checked and priced; nothing is stored, nothing starts."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from services.cli.connect import gateway, stop
from services.cli.price_table import picture
from services.cli.recipe_file import RecipeFile
from services.cli.terminal import REFUSED, out
from shared.client import ApiError, GatewayAway
from shared.contracts.faults import checked
from shared.contracts.recipe import Recipe
from shared.cpu import fast_dtype
from shared.pricing.assumptions import Assumptions, BadAssumption, assumed
from shared.pricing.lengths import SAMPLE, Measured, measure
from shared.pricing.price import RecipePrice, price
from shared.pricing.speed import BadSpeed, Throughput, size_in, sizes, throughput
from shared.problems.generate import MOST_GENERATED, generate

SMALL = 1e9
"""Below so many parameters all, a recipe's models are priced on a CPU like this one, unless `--device` says otherwise."""
WIDTH = 120
"""Columns of what goes to a file or a pipe."""
Named = Callable[[dict[str, Any]], str]
"""A fault of a recipe (`place`, `message`) with its file and line."""


@dataclass(frozen=True)
class Wishes:
    """What the command's options say."""

    device: str | None = None
    throughput: str = ""
    parameters: str = ""
    hour: float = 0.0
    assume: Iterable[str] = ()


@dataclass(frozen=True)
class Quote:
    """A price, and what it rests on."""

    recipe: Recipe
    price: RecipePrice
    validated: str
    """`by the gateway`, or `here` and why."""
    measured: dict[str, Measured]
    device: str
    speed: Throughput
    sizes: dict[str, tuple[float, str]]
    """Models that are served here: parameters, and how they are known."""
    hour: float
    assumptions: Assumptions

    @property
    def used(self) -> list[str]:
        """Names of the assumptions that any stage rests on."""
        names = {name for stage in self.price.stages for name in stage.assumed}
        return [name for name in Assumptions.model_fields if name in names]


def show_price(file: RecipeFile, named: Named, wishes: Wishes, as_json: bool) -> None:
    """Prints what a recipe will cost. A recipe that posting would refuse, or a bad option, ends the command with 2."""
    recipe, measured, validated = known(file, named)
    found = quote(recipe, measured, validated, wishes)
    if as_json:
        print(json.dumps(as_body(found)))
    else:
        console = out if out.is_terminal else Console(highlight=False, width=WIDTH)
        console.print(picture(found, console.width))


def known(file: RecipeFile, named: Named) -> tuple[Recipe, dict[str, Measured], str]:
    """The recipe, what is known of its problems, and who checked it: the gateway if one answers, else this command."""
    with gateway(patience=0.0) as client:
        try:
            answer = client.check_recipe(file.body)
        except GatewayAway:
            return locally(
                file, named, f"no gateway at {client.url}: checked here, stored problem sets and models are not looked for"
            )
        except ApiError as error:
            if not error.errors:
                raise
            stop("\n".join(map(named, error.errors)), REFUSED)
    measured = {name: Measured.model_validate(one) for name, one in answer["problems"].items()}
    return (
        Recipe.model_validate(answer["recipe"]),
        measured,
        "checked by the gateway, as posting it would be; models are not looked for",
    )


def locally(file: RecipeFile, named: Named, note: str) -> tuple[Recipe, dict[str, Measured], str]:
    """The same without a gateway: bundled problems are generated and measured, stored ones are unknown."""
    recipe, mistakes = checked(file.body)
    if recipe is None:
        stop("\n".join(named({"place": place, "message": message}) for place, message in mistakes), REFUSED)
    measured = {}
    for name, source in recipe.problems.items():
        if source.generator and source.count:
            if source.skip + source.count > MOST_GENERATED:
                fault = {"place": f"problems.{name}", "message": f"`skip` and `count` together must be at most {MOST_GENERATED}"}
                stop(named(fault), REFUSED)
            problems = generate(source.generator, source.seed, source.skip, min(source.count, SAMPLE))
            measured[name] = measure(problems, source.count)
    return recipe, measured, note


def quote(recipe: Recipe, measured: dict[str, Measured], validated: str, wishes: Wishes) -> Quote:
    """The price by the command's options. A bad option ends the command with 2."""
    served = {name: spec.model for name, spec in recipe.models.items() if spec.url is None}
    small = bool(served) and all((size_in(model) or SMALL) < SMALL for model in served.values())
    here = "cpu" if fast_dtype() == "bfloat16" else "cpu-fp32"
    device = wishes.device or (here if small else "h100")
    try:
        parameters = sizes(served, pairs("--parameters", wishes.parameters.split(",")))
        speed = throughput(device, wishes.throughput)
        assumptions = assumed(pairs("--assume", wishes.assume))
    except BadSpeed as error:
        stop(f"--device, --throughput, --parameters: {error}", REFUSED)
    except BadAssumption as error:
        stop(f"--assume {error}", REFUSED)
    every = dict.fromkeys(recipe.models, 0.0) | {name: size for name, (size, _) in parameters.items()}
    found = price(recipe, speed, every, wishes.hour, assumptions, measured)
    return Quote(recipe, found, validated, measured, device, speed, parameters, wishes.hour, assumptions)


def pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping; empty ones are none. A bad one ends the command with 2."""
    found = {}
    for text in filter(None, texts):
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            stop(f"{option} {text}: expected NAME=VALUE", REFUSED)
        found[name] = value
    return found


def as_body(found: Quote) -> dict[str, Any]:
    """The whole quote as JSON."""
    why = {name: Assumptions.model_fields[name].description for name in found.used}
    return {
        "recipe": found.recipe.name,
        "validated": found.validated,
        "device": found.device,
        "throughput": found.speed.model_dump(mode="json"),
        "parameters": {name: {"parameters": size, "known": how} for name, (size, how) in found.sizes.items()},
        "device_hour_dollars": found.hour,
        "problems": {name: one.model_dump(mode="json") for name, one in found.measured.items()},
        "assumptions": {
            name: {**getattr(found.assumptions, name).model_dump(mode="json"), "why": why[name]} for name in found.used
        },
        "spend_cap": found.recipe.spend_cap,
        **found.price.model_dump(mode="json"),
    }
