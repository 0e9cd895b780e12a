"""What the arithmetic word problems are about: the words of each scenario, without numbers.

Every clause stands in the question as a sentence. `{N}` is the person's name, `{P}` and
`{p_obj}` the pronoun, `{O}` the things counted; `{a}`, `{b}`, `{n}`, `{k}` are numbers.
"""

from dataclasses import dataclass

NAMES = {
    "He": [
        "Tom", "Ben", "Sam", "Leo", "Max", "Jack", "Paul", "Omar", "Ravi", "Luis",
        "Noah", "Adam", "Erik", "Hugo", "Ivan", "Ken", "Dan", "Carl", "Theo", "Finn",
    ],
    "She": [
        "Ann", "Mia", "Eva", "Zoe", "Lily", "Sara", "Nora", "Ruth", "Maya", "Lena",
        "Rosa", "Jane", "Kim", "Tina", "Ivy", "Emma", "Aya", "Beth", "Cleo", "Dina",
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    """One kind of story."""

    things: tuple[str, ...]
    opening: str
    """`a` groups of `b` things (or `a` a day for `b` days): `a` is said first, and their product is the first result."""
    more: tuple[str, ...]
    """Each adds `n`."""
    groups: tuple[str, ...]
    """Each adds `a` groups of `b`."""
    less: tuple[str, ...] = ()
    """Each takes `n` away."""
    ask: str = "How many {O} does {N} have now?"
    share: tuple[tuple[str, str], ...] = ()
    """Endings that divide by `k`: a clause and its question."""
    price: tuple[tuple[str, str], ...] = ()
    """Endings that multiply by `k` dollars: a clause and its question."""


_SELL = (("{P} sells each one for {k} dollars", "How many dollars does {N} get?"),)
_FRIENDS = (("{P} splits them among {k} friends", "How many does each friend get?"),)

SCENARIOS: dict[str, Scenario] = {
    "desk": Scenario(
        ("pens", "crayons", "markers", "erasers"), "{N} has {a} boxes of {b} {O}",
        ("{P} buys {n} more", "{P} finds {n} more"), ("{P} gets {a} bags of {b} more",), ("{P} loses {n}", "{P} gives {n} away"),
        share=_FRIENDS,
    ),
    "bakery": Scenario(
        ("cookies", "muffins", "rolls", "buns"), "{N} bakes {a} trays of {b} {O}",
        ("{P} bakes {n} more", "{P} buys {n} more"), ("{P} adds {a} plates of {b}",), ("{P} eats {n}", "{P} burns {n}"),
        share=(("{P} packs them in boxes of {k}", "How many boxes does {N} fill?"),), price=_SELL,
    ),
    "orchard": Scenario(
        ("apples", "pears", "plums", "lemons"), "{N} picks {a} baskets of {b} {O}",
        ("{P} picks {n} more",), ("{P} adds {a} bags of {b}",), ("{P} drops {n}", "{P} eats {n}", "{n} are rotten"),
        share=(("{P} fills {k} crates equally", "How many {O} are in each crate?"),), price=_SELL,
    ),
    "cards": Scenario(
        ("cards", "stickers", "stamps", "marbles"), "{N} opens {a} packs of {b} {O}",
        ("{P} wins {n} more", "A friend gives {p_obj} {n}"), ("{P} trades for {a} sets of {b}",),
        ("{P} trades {n} away", "{P} loses {n}"),
        share=(("{P} puts them on {k} pages equally", "How many {O} are on each page?"),),
    ),
    "savings": Scenario(
        ("dollars",), "{N} saves {a} {O} a week for {b} weeks",
        ("{P} earns {n} more", "{P} gets {n} as a gift"), ("{P} sells {a} toys for {b} {O} each",),
        ("{P} spends {n}", "{P} pays {n} for lunch"),
        share=(("{P} shares it among {k} people", "How many {O} does each get?"),),
    ),
    "reading": Scenario(
        ("pages",), "{N} reads {a} {O} a day for {b} days",
        ("{P} reads {n} more at night", "{P} reads {n} more on a trip"), ("{P} reads {a} stories of {b} {O}",),
        ask="How many {O} does {N} read in all?",
    ),
    "running": Scenario(
        ("miles",), "{N} runs {a} {O} a day for {b} days",
        ("{P} walks {n} more", "{P} bikes {n} more"), ("{P} does {a} hikes of {b} {O}",),
        ask="How many {O} does {N} go in all?",
    ),
    "garden": Scenario(
        ("tulips", "roses", "trees", "bushes"), "{N} plants {a} rows of {b} {O}",
        ("{P} plants {n} more",), ("{P} adds {a} pots of {b}",), ("{n} of them die", "{P} digs up {n}"),
        ask="How many {O} are left?", price=(("{P} spends {k} dollars on each", "How many dollars does {N} spend?"),),
    ),
    "bus": Scenario(
        ("people", "pupils", "fans"), "{a} buses carry {b} {O} each",
        ("{n} more get on", "{n} more come by car"), ("{a} vans bring {b} each",), ("{n} get off", "{n} go home"),
        ask="How many {O} are there now?", share=(("They form teams of {k}", "How many teams are there?"),),
        price=(("Each pays {k} dollars", "How many dollars do they pay?"),),
    ),
    "hall": Scenario(
        ("chairs", "seats"), "A hall has {a} rows of {b} {O}",
        ("{N} brings {n} more", "{n} more are added"), ("{N} adds {a} rows of {b}",), ("{n} are broken", "{N} takes {n} away"),
        ask="How many {O} are left in the hall?",
    ),
    "beads": Scenario(
        ("beads", "shells", "buttons"), "{N} has {a} strings of {b} {O}",
        ("{P} finds {n} more", "{P} buys {n} more"), ("{P} makes {a} strings of {b}",), ("{P} drops {n}", "{P} uses {n}"),
        share=(("{P} puts {k} in each jar", "How many jars does {N} fill?"),),
    ),
    "tanks": Scenario(
        ("fish", "frogs", "snails"), "{N} keeps {a} tanks of {b} {O}",
        ("{n} are born", "{P} buys {n} more"), ("{P} gets {a} bowls of {b}",), ("{P} sells {n}", "{P} gives {n} away"),
        share=(("{P} moves them to {k} ponds equally", "How many {O} are in each pond?"),),
    ),
    "wall": Scenario(
        ("bricks", "stones", "tiles"), "{N} lays {a} rows of {b} {O}",
        ("{P} lays {n} more",), ("{P} lays {a} paths of {b}",), ("{n} crack", "{P} takes {n} back"),
        ask="How many {O} are in place?", price=(("Each costs {k} dollars", "How many dollars do they cost?"),),
    ),
    "tickets": Scenario(
        ("tickets", "passes"), "{N} sells {a} {O} a day for {b} days",
        ("{P} sells {n} more at the door", "{P} sells {n} more online"), ("{P} sells {a} blocks of {b}",), ("{n} are returned",),
        ask="How many {O} does {N} sell in all?", price=(("Each costs {k} dollars", "How many dollars is that?"),),
    ),
    "farm": Scenario(
        ("eggs",), "{N} has {a} hens that lay {b} {O} each",
        ("{P} finds {n} more", "{P} buys {n} more"), ("{P} gets {a} trays of {b}",), ("{P} breaks {n}", "{P} cooks {n}"),
        share=(("{P} packs them in boxes of {k}", "How many boxes does {N} fill?"),), price=_SELL,
    ),
}  # fmt: skip
