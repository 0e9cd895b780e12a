"""Where words go: results to stdout, everything else to stderr. And the exit codes that scripts rely on."""

from pathlib import Path

from rich.console import Console

DONE = 0
FAILED = 1
REFUSED = 2
"""Bad input, or a rejected run."""
INTERRUPTED = 130

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def local(uri: str) -> str:
    """A file's path as one would type it here: below the working folder, relative to it."""
    path = Path(uri.removeprefix("file://"))
    if "://" in uri and not uri.startswith("file://"):
        return uri
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def say(message: str, error: bool = False) -> None:
    """A line for the person at the terminal, on stderr. An error's text is printed as it is, without markup."""
    if error:
        err.print(message, style="red" if err.is_terminal else None, markup=False, soft_wrap=True)
    else:
        err.print(message, soft_wrap=True)
