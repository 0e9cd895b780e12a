"""What strategies that go round by round share: pruning by verdict and by the value of paths, and what a tree has of both kinds."""

import pytest

from services.searcher.candidates import Candidate, Judgement, Rule
from services.searcher.growth import Growth
from services.searcher.rounds import missing, prune
from shared.contracts.tree import Node, Verdict
from tests.services.searcher.fakes import stage_of

RIGHT, WRONG, OPEN = Verdict.CORRECT, Verdict.INCORRECT, Verdict.UNKNOWN


class Ruled:
    """A reward of which only the rule is asked."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule


def growth_of(problem, rule=Rule.JUDGED, nodes=(), **fields) -> Growth:
    root = Node(id=0, parent=None, depth=0, text="")
    return Growth(problem, stage_of(**fields), None, Ruled(rule), None, nodes=[root, *nodes])


@pytest.mark.parametrize(
    ("rule", "keep", "kept"),
    [
        (Rule.JUDGED, 1, ["3"]),
        (Rule.JUDGED, 5, ["0", "1", "3", "4"]),
        (Rule.SCORED, 2, ["1", "3"]),
        (Rule.SCORED, 4, ["0", "1", "2", "3"]),  # the one without a score comes last
        (Rule.SCORED, 9, ["0", "1", "2", "3", "4"]),
    ],
)
def test_pruning_by_score_and_by_verdict(problem, rule, keep, kept):
    judged = [(0.5, OPEN, 3), (1.0, RIGHT, 1), (0.0, WRONG, 9), (1.0, RIGHT, 2), (None, OPEN, 9)]
    made = [
        Candidate(0, str(place), multiplicity=many, judgement=Judgement(score, verdict))
        for place, (score, verdict, many) in enumerate(judged)
    ]
    made += [Candidate(0, "end", ended="no_answer"), Candidate(0, "answer", final=True, verified=False)]
    prune(growth_of(problem, rule), made, keep)
    assert [one.text for one in made if one.kept] == [*kept, "answer"]


@pytest.mark.parametrize(
    ("aggregate", "kept"),
    [("last", "late"), ("min", "even"), ("product", "early"), ("mean", "early")],
)
def test_survivors_are_ranked_by_the_value_of_their_paths(problem, aggregate, kept):
    nodes = [
        Node(id=1, parent=0, depth=1, text="good", score=0.9),
        Node(id=2, parent=0, depth=1, text="fair", score=0.6),
        Node(id=3, parent=0, depth=1, text="poor", score=0.1),
    ]
    growth = growth_of(problem, Rule.SCORED, nodes, reward={"aggregate": aggregate})
    made = [
        Candidate(parent, text, judgement=Judgement(score, OPEN))
        for parent, text, score in [(1, "early", 0.55), (2, "even", 0.6), (3, "late", 1.0)]
    ]
    prune(growth, made, 1)
    assert [one.text for one in made if one.kept] == [kept]


@pytest.mark.parametrize(
    ("nodes", "lacks"),
    [
        ([], {"right", "wrong"}),
        ([{"verdict": RIGHT}], {"right", "wrong"}),
        ([{"verdict": WRONG}], {"right"}),
        ([{"final": True, "verified": False}], {"right"}),
        ([{"final": True, "verified": True}], {"wrong"}),
        ([{"final": True, "verified": True, "verdict": WRONG}], {"wrong"}),  # one branch is not both
        ([{"verdict": WRONG}, {"parent": 1, "depth": 2, "final": True, "verified": True}], {"wrong"}),
        ([{"verdict": WRONG}, {"final": True, "verified": True}], set()),
    ],
)
def test_what_a_tree_has_no_branch_of(problem, nodes, lacks):
    rows = [{"id": place, "parent": 0, "depth": 1, "text": str(place), **node} for place, node in enumerate(nodes, start=1)]
    assert missing(growth_of(problem, nodes=[Node.model_validate(row) for row in rows])) == lacks
    if all(row["parent"] == 0 for row in rows):  # the same said of candidates
        made = [
            Candidate(
                0,
                row["text"],
                final=row.get("final", False),
                verified=row.get("verified"),
                judgement=Judgement(None, row.get("verdict", OPEN)),
            )
            for row in rows
        ]
        assert missing(growth_of(problem), made) == lacks
