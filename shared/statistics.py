"""What thoughts look like in figures: the measures of Part 1's Table 3, and how many wrong turns they take."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from shared.contracts.thought import Role, Span

NGRAMS = ("wait", "alternatively", "let me", "let me check", "let me compute", "therefore", "but", "hmm", "so", "actually")
TOKEN_UNIT = "words, numbers and marks (regular expression)"
"""The unit of `tokens`: no model's tokeniser is at hand in the compiler, and each model has another."""

_TOKEN = re.compile(r"\d+(?:[.,]\d+)*|\w+|[^\w\s]")


_UNSPACED = "\u0e00-\u109f\u1780-\u17ff\u3005-\u312f\u31a0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
"""Thai, Lao, Tibetan, Burmese, Khmer, Chinese and Japanese: nothing stands between their words."""
_LETTER = rf"[^\W{_UNSPACED}]"
"""A letter, figure or underscore of a script that sets words apart by spaces."""


@lru_cache
def words_of(ngram: str) -> re.Pattern[str]:
    """What finds an n-gram as whole words, whatever its case and the white space between them.

    A word ends where no further letter follows. An end of the n-gram that is no such letter (a Chinese character, a mark) may stand
    anywhere: in a script without spaces, nothing tells where a word ends.
    """
    between = r"\s+".join(map(re.escape, ngram.split()))
    before = f"(?<!{_LETTER})" if re.match(rf"\s*{_LETTER}", ngram) else ""
    behind = f"(?!{_LETTER})" if re.search(rf"{_LETTER}\s*\Z", ngram) else ""
    return re.compile(f"{before}{between}{behind}", re.IGNORECASE)


class Statistics:
    """Figures of a set of texts, gathered one by one: nothing is kept but sums."""

    def __init__(self, ngrams: tuple[str, ...] = ()) -> None:
        """`ngrams`: words to be counted beside those of NGRAMS."""
        self.count = 0
        self._patterns = {ngram: words_of(ngram) for ngram in dict.fromkeys((*NGRAMS, *(one.casefold() for one in ngrams)))}
        self.turns: Counter[int] = Counter()
        """Number of wrong turns (backtracks) -> thoughts that take so many."""
        self._sums: Counter[str] = Counter()
        self._ngrams: Counter[str] = Counter()
        self._most_tokens = 0

    def add(self, text: str, spans: Sequence[Span] = ()) -> None:
        """Counts one completion, and the roles of its spans if it has any."""
        tokens = len(_TOKEN.findall(text))
        self.count += 1
        self._most_tokens = max(self._most_tokens, tokens)
        lines = sum(bool(line.strip()) for line in text.splitlines())
        self._sums.update({"tokens": tokens, "lines": lines, "words": len(text.split())})
        self._ngrams.update({ngram: len(pattern.findall(text)) for ngram, pattern in self._patterns.items()})
        if spans:
            roles = Counter(span.role for span in spans)
            self.turns[roles[Role.BACKTRACK]] += 1
            self._sums.update({f"{role}s": count for role, count in roles.items()})
            self._sums["verified"] += roles[Role.VERIFICATION] > 0

    def figures(self) -> dict[str, float]:
        """Flat figures: means a text unless their name says otherwise; `ngram WORD`: occurrences a text. Empty without texts."""
        if not self.count:
            return {}
        found = {
            "texts": float(self.count),
            "tokens": self._sums["tokens"] / self.count,
            "most tokens": float(self._most_tokens),
            "lines": self._sums["lines"] / self.count,
            "words a line": self._sums["words"] / max(1, self._sums["lines"]),
            **{f"ngram {ngram}": self._ngrams[ngram] / self.count for ngram in self._patterns},
        }
        if self.turns:
            found |= {
                "wrong steps": self._sums["wrong_steps"] / self.count,
                "reflections": self._sums["reflections"] / self.count,
                "backtracks": self._sums["backtracks"] / self.count,
                "verifications": self._sums["verifications"] / self.count,
                "share without wrong turn": self.turns[0] / self.count,
                "share with one wrong turn": self.turns[1] / self.count,
                "share with several wrong turns": sum(n for turns, n in self.turns.items() if turns > 1) / self.count,
                "share with verification": self._sums["verified"] / self.count,
            }
        return {name: round(value, 4) for name, value in found.items()}
