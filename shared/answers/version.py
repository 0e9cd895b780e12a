"""Which grader this is: verdicts of two graders are not comparable, so what was graded says by whom."""

import ast
import hashlib
import importlib.metadata
from pathlib import Path

ALGEBRA = ("math-verify", "latex2sympy2_extended", "sympy")
"""Packages that decide where canonical forms do not."""


def _name() -> str:
    sources = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256("\n".join(code(source.read_text()) for source in sources).encode()).hexdigest()
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ALGEBRA)
    return f"answers@{digest[:8]} ({packages})"


def code(source: str) -> str:
    """A module's syntax tree, for comparison: comments, layout and strings that stand alone (docstrings) are not in it."""
    return ast.dump(_Bare().visit(ast.parse(source)))


class _Bare(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


GRADER = _name()
"""This grader's name, as `answers@1f0c3d9a (math-verify 0.9.0, ...)`: another one where its code is another. Taken when it is
imported, as the code is: what runs is what is named."""
