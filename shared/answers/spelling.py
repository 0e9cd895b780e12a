"""LaTeX, emphasis and words for operators, written as plain arithmetic."""

import re

_SPELLINGS = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"(?<=\d)\s*\\frac\s*\{(\d+)\}\s*\{(\d+)\}", r" \1/\2"),  # a mixed number
        (r"\\frac\s*(\d)\s*(\d)", r"(\1/\2)"),
        (r"\d*\.\d*\\overline\s*\{[^{}]*\}", "√"),  # a period: not read
        (r",\\!(?=\d)", ","),
        (r"\\(?:text|textbf|mathrm|mathbf|boxed|mbox)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\(?:times|ast)(?![A-Za-z])", "×"),
        (r"\\cdot(?![A-Za-z])", "·"),
        (r"\\div(?![A-Za-z])", "÷"),
        (r"\\(?:approx|simeq)(?![A-Za-z])", "≈"),
        (r"\\(?:left|right|quad|qquad|displaystyle)(?![A-Za-z])|\\[()\[\],;!: ]", " "),
        (r"\$(?=[^$]*[=+*/^])([^$]+)\$(?!\d)", r" \1 "),  # mathematics between dollar signs, not an amount
        (r"\\([%$])", r"\1"),
        (r"(\d)\{,\}(?=\d)", r"\1,"),
        (r"\^\s*\{([^{}]*)\}", r"^(\1)"),
        (r"(?<=[\d)])\s*\*\*\s*(?=[\d(])", "^"),  # a power; any other ** is emphasis
        (r"\*\*", " "),
        (r"²", "^2"),
        (r"³", "^3"),
        (r"½", " 1/2"),
        (r"¼", " 1/4"),
        (r"¾", " 3/4"),
        (r"(?<=\d)\s*percent\b", "%"),
        (r"\bof\s+the\s+(?=[\d$(])", "of "),
        (r"\b(?:divided by)\b", "÷"),
        (r"\b(?:multiplied by|times)\b", "×"),
        (r"\bplus\b", "+"),
        (r"\bminus\b", "-"),
        (r"\b(?:is equal to|equals)\b", "="),
        (r"=\s*(?:about|approximately|roughly|around)\b", "≈"),
        (r"(\d+) and (\d+/\d+)(?!\s*[-=*/+\d×÷])", r"\1 \2"),
    )
)
_FRACTION = re.compile(r"\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")


def respelled(text: str) -> str:
    r"""`text` with LaTeX, emphasis and words for operators written plainly: `\frac{1}{2} \times 10` is `(1/2) × 10`."""
    for pattern, new in _SPELLINGS[:2]:
        text = pattern.sub(new, text)
    while (plainer := _FRACTION.sub(_plain_fraction, text)) != text:
        text = plainer
    for pattern, new in _SPELLINGS:
        text = pattern.sub(new, text)
    return text


def _plain_fraction(match: re.Match[str]) -> str:
    above, below = (part.strip() if re.fullmatch(r"[\s\d.,]*", part) else f"({part.strip()})" for part in match.groups())
    return f"({above}/{below})"
