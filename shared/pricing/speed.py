"""Tokens a second of a device, by what is done and by the model's number of parameters.

A model of P parameters takes about 2P floating-point operations for a token that it reads or writes, and 6P for one that it is
trained on (Kaplan et al., arXiv 2001.08361, section 2.1). So tokens a second fall as 1/P, and one size gives all others.
"""

import re
from collections.abc import Mapping

from pydantic import Field

from shared.contracts.base import Frozen

REFERENCE = 7e9
"""Parameters of the model that `--throughput` speaks of, unless it says another size."""
UNKNOWN = 7e9
"""Parameters of a model whose name tells none."""
KINDS = ("engine", "prompt", "train")


class Throughput(Frozen):
    """Tokens a second of one device, for a model of `REFERENCE` parameters."""

    engine: float = Field(gt=0)
    """Written, all sequences of a full batch together."""
    prompt: float = Field(gt=0)
    """Read: prompts that are in no cache, and what a process reward model scores."""
    train: float = Field(gt=0)
    """Trained on, all parameters, in bf16 (`cpu-fp32`: in fp32)."""
    source: str
    """Where the figures are from, in words."""


def _by_peak(peak: float, name: str) -> Throughput:
    """Shares of a device's dense bf16 peak: 40% in training and reading (Llama 3 was trained at 38 to 43% on H100s:
    arXiv 2407.21783, section 3.3), 10% in writing, which waits for memory (a guess).
    """
    return Throughput(
        engine=round(0.10 * peak / (2 * REFERENCE), -1),
        prompt=round(0.40 * peak / (2 * REFERENCE), -1),
        train=round(0.40 * peak / (6 * REFERENCE), -1),
        source=f"not measured: 40% of {name}'s peak of {peak / 1e12:g} TFLOP/s in training and reading, 10% in writing",
    )


_SMOLLM2 = 135e6 / REFERENCE
DEVICES: dict[str, Throughput] = {
    "cpu": Throughput(
        engine=717 * _SMOLLM2,
        prompt=3 * 475 * _SMOLLM2,
        train=475 * _SMOLLM2,
        source="two cores that multiply bf16, SmolLM2-135M: 717 tokens/s written, 475 trained on; read, not measured: thrice that",
    ),
    "cpu-fp32": Throughput(
        engine=145 * _SMOLLM2,
        prompt=3 * 115 * _SMOLLM2,
        train=115 * _SMOLLM2,
        source="two cores with AVX2 alone, SmolLM2-135M: 145 tokens/s written, 115 trained on; read, not measured: thrice that",
    ),
    "a100": _by_peak(312e12, "an A100"),
    "h100": _by_peak(989e12, "an H100 SXM"),
}
"""Device kind -> its defaults. One device each; two cores count as one."""


class BadSpeed(ValueError):
    """A throughput or a size that cannot be read; says which."""


def throughput(device: str, given: str = "") -> Throughput:
    """A device's defaults, with `engine=7000,train=9000@7b` in place of some of them. Raises BadSpeed."""
    if device not in DEVICES:
        raise BadSpeed(f"no device `{device}` (known: {', '.join(DEVICES)})")
    found: dict[str, float] = {}
    for part in filter(None, given.split(",")):
        kind, equals, text = part.partition("=")
        speed, _, size = text.partition("@")
        if kind not in KINDS or not equals:
            raise BadSpeed(
                f"{part}: expected one of {', '.join(KINDS)}, `=` and tokens a second, as engine=7000 or engine=700@135m"
            )
        try:
            value = float(speed)
        except ValueError:
            value = 0.0
        if not 0 < value < float("inf"):
            raise BadSpeed(f"{part}: tokens a second must be a number above 0 (got {speed})")
        found[kind] = value * (parameters(size) / REFERENCE if size else 1)
    if not found:
        return DEVICES[device]
    rest = [kind for kind in KINDS if kind not in found]
    source = f"{' and '.join(found)} as given" + (f"; {' and '.join(rest)}: {DEVICES[device].source}" if rest else "")
    return DEVICES[device].model_copy(update={**found, "source": source})


_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d+)x)?(\d+(?:\.\d+)?)([bm])(?![a-z0-9])", re.IGNORECASE)


def size_in(name: str) -> float | None:
    """Parameters that a model's name tells (`Qwen2.5-72B`, `smollm2-135m`, `8x7b`); None if it tells none.

    Of a path, the last part counts.
    """
    found = _SIZE.search(name.rstrip("/").rpartition("/")[2])
    if found is None:
        return None
    experts, number, unit = found.groups()
    return int(experts or 1) * float(number) * (1e9 if unit.lower() == "b" else 1e6)


def parameters(text: str) -> float:
    """`7b`, `135m` or `7e9` as a number. Raises BadSpeed."""
    if (found := size_in(text)) is not None:
        return found
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise BadSpeed(f"{text}: expected a number of parameters, as 7b, 135m or 7e9")
    return value


def sizes(names: Mapping[str, str], given: Mapping[str, str]) -> dict[str, tuple[float, str]]:
    """Recipe's name of a model -> its parameters, and how they are known. `given` names some outright. Raises BadSpeed."""
    unknown = [name for name in given if name not in names]
    if unknown:
        raise BadSpeed(f"{unknown[0]}: the recipe has no such model (it has: {', '.join(names) or 'none'})")
    found: dict[str, tuple[float, str]] = {}
    for name, model in names.items():
        read = size_in(model)
        if name in given:
            found[name] = parameters(given[name]), "as given"
        elif read is not None:
            found[name] = read, "by its name"
        else:
            found[name] = UNKNOWN, "assumed: its name tells none"
    return found
