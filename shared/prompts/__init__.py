"""Every prompt, a Jinja file each: `render` fills one in, `version` says which text a record was made with.

A prompt's first line is a comment that holds its version, raised whenever its words change:

```
{# version: 1 #}
{{ question | trim }}
```
"""

import re
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateNotFound

FOLDER = Path(__file__).parent
_VERSION = re.compile(r"\{#-? version: (\d+) -?#\}")
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(FOLDER),
    undefined=StrictUndefined,  # a value that the caller forgot is an error, not an empty string
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # prompts are plain text: "<" stays "<"
)


def render(name: str, **values: object) -> str:
    """The text of prompt `name` with its values filled in, without white space around it.

    Raises LookupError for an unknown prompt, jinja2.UndefinedError for a value that the prompt needs and did not get.
    """
    try:
        return _ENVIRONMENT.get_template(f"{name}.j2").render(**values).strip()
    except TemplateNotFound as error:
        raise LookupError(_unknown(name)) from error


@lru_cache
def version(name: str) -> str:
    """`solve@1`: the prompt's name and the version its first line states. Raises LookupError, ValueError."""
    path = FOLDER / f"{name}.j2"
    if not path.is_file():
        raise LookupError(_unknown(name))
    found = _VERSION.fullmatch(path.read_text(encoding="utf-8").split("\n", 1)[0].strip())
    if found is None:
        raise ValueError(f"shared/prompts/{name}.j2: the first line must be its version, as {{# version: 1 #}}")
    return f"{name}@{found[1]}"


def source(name: str) -> str:
    """The prompt's own text, as its file holds it, version included. Raises LookupError."""
    path = FOLDER / f"{name}.j2"
    if not path.is_file():
        raise LookupError(_unknown(name))
    return path.read_text(encoding="utf-8").strip()


def names() -> list[str]:
    """All prompts, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.j2"))


def _unknown(name: str) -> str:
    return f"no prompt `{name}` in shared/prompts (there are: {', '.join(names())})"
