"""The benchmarks that are known by name, a small YAML file each, and files of the same form that people write themselves.

A file says of a publisher's rows what is certain. Where nothing is (of a hub's id, or a split), it says nothing, and the rows are
given as a file.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from shared.contracts.benchmark import Benchmark
from shared.contracts.problem import Problem
from shared.problems.files import Row
from shared.problems.formats import parse_row
from shared.problems.generate import generate
from shared.problems.mapping import mapped
from shared.problems.rows import BadRow, explained

FOLDER = Path(__file__).parent


class BadBenchmark(ValueError):
    """A benchmark's file that cannot be used; one line a fault."""


@lru_cache
def benchmarks() -> dict[str, Benchmark]:
    """All that are known by name, sorted. Raises BadBenchmark."""
    found = [read(path) for path in sorted(FOLDER.glob("*.yaml"))]
    return {one.name: one for one in found}


def benchmark(name: str) -> Benchmark:
    """One of them. Raises BadBenchmark for a name that is not known."""
    if name not in benchmarks():
        raise BadBenchmark(f"no benchmark `{name}` (known: {', '.join(benchmarks())}); a file of your own goes with --mapping")
    return benchmarks()[name]


def read(path: Path) -> Benchmark:
    """A benchmark's file. Raises BadBenchmark, which names the file and every place that is wrong."""
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadBenchmark(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadBenchmark(f"{path}:{line}: not YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise BadBenchmark(f"{path}: not YAML: {error}") from None
    if not isinstance(body, dict):
        raise BadBenchmark(f"{path}: a benchmark is a mapping of keys to values (name, title, mapping, grading ...)")
    try:
        return Benchmark.model_validate(body)
    except ValidationError as error:
        raise BadBenchmark("\n".join(f"{path}: {fault}" for fault in explained(error))) from None


@dataclass
class Converted:
    """What became of a benchmark's rows. A row is a problem, bad, or (where rows have no ids) an earlier one once more."""

    bad: list[BadRow] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    count: int = 0


def convert(rows: Iterable[Row], known: Benchmark, into: Converted) -> Iterator[Problem]:
    """The problems of rows, one after the other; `into` says of the others why they are none."""
    seen: dict[str, tuple[int, Problem | None]] = {}
    for line, row in rows:
        try:
            problem = _problem(row, line, known)
            first = seen.get(problem.id)
            if first is not None:
                _repeats(problem, line, *first)
                into.repeated.append(line)
                continue
        except BadRow as error:
            into.bad.append(error)
            continue
        # a row with an id of its own repeats none, so only its line is kept
        seen[problem.id] = (line, None if known.mapping and known.mapping.id else problem)
        into.count += 1
        yield problem


def _problem(row: dict[str, Any] | BadRow, line: int, known: Benchmark) -> Problem:
    if isinstance(row, BadRow):
        raise row
    if known.publisher is None:
        return mapped(row, line, known)
    problem = parse_row(row, line)
    if problem.source != known.publisher:
        raise BadRow(line, f"a row as {problem.source or 'nobody known'} writes it, not {known.publisher}")
    return problem


def _repeats(problem: Problem, line: int, first: int, earlier: Problem | None) -> None:
    """Raises BadRow unless a problem of the same id asks the same, and has the same answer."""
    if earlier is None or problem.question != earlier.question:
        raise BadRow(line, f"id `{problem.id[:80]}` was used by line {first} already")
    if problem.answer != earlier.answer:
        raise BadRow(
            line, f"the question of line {first} with another answer: {problem.answer[:40]!r}, not {earlier.answer[:40]!r}"
        )


def generated(known: Benchmark) -> Iterator[Problem]:
    """The problems of a benchmark that a bundled generator makes."""
    source = known.generator
    assert source is not None and source.generator is not None, known.name
    return generate(source.generator, source.seed, source.skip, source.count)


def download(known: Benchmark) -> Iterator[Row]:
    """A benchmark's rows from the hub, numbered from 1. Raises BadBenchmark, which says what to do without a network."""
    hub = known.hub
    if hub is None:
        raise BadBenchmark(
            f"{known.name}: not known to be on a hub; get its rows from {known.source or 'its publisher'}, as a file"
        )
    where = ", ".join(part for part in (hub.id, hub.config, hub.split, hub.revision) if part)
    try:
        import datasets  # seconds, and a network: only for those who ask for it

        found = datasets.load_dataset(hub.id, hub.config, split=hub.split, revision=hub.revision)
    except ImportError as error:
        raise BadBenchmark(
            f"{known.name}: `datasets` is not installed here ({error}): install it, or give the rows as a file"
        ) from None
    except Exception as error:  # whatever the library makes of a network that is away, a name that moved, a gate
        why = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        said = f"{known.name}: {where} did not come from the hub: {why}"
        raise BadBenchmark(f"{said}\nWithout a network, get the rows elsewhere and give them as a file.") from error
    yield from enumerate((dict(row) for row in found), 1)
