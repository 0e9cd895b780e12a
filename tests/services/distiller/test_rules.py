"""The rules of curation on real-looking problems, those that must fall and those that must not."""

import pytest

from services.distiller.rules import RULES
from shared.contracts.problem import Problem
from shared.contracts.stages import CurateStage

STAGE = CurateStage(problems="train")


def fallen(question: str, answer: str = "7") -> set[str]:
    problem = Problem(id="p", question=question, answer=answer)
    return {name for name, rule in RULES.items() if rule(problem, STAGE)}


@pytest.mark.parametrize(
    ("rule", "question"),
    [
        ("image", "[asy] draw((0,0)--(1,1)); [/asy] What is $x$?"),
        ("image", "In the diagram, $AB = 5$. What is $BC$?"),
        ("image", "The figure below shows a square. Find its area."),
        ("image", "What is the area of the shaded region shown below?"),
        ("image", "The graph shown has equation $y = f(x)$. What is $f(2)$?"),
        ("image", "![a triangle](tri.png) What is its area?"),
        ("image", "How many triangles are there in the following figure?"),
        ("proof", "Prove that $n^2 + n$ is even."),
        ("proof", "Let $n$ be odd. Show that $n^2$ is odd."),
        ("proof", "Find all $n$ and prove there are no others."),
        ("proof", "Show, using induction, that the sum is $n(n+1)/2$."),
        ("multi_part", "(a) Find $x$. (b) Find $y$."),
        ("multi_part", "A train leaves at 9.\na) When does it arrive?\nb) How far does it go?"),
        ("multi_part", "Part A: what is 2 + 2? Part B: what is 3 + 3?"),
        ("multi_part", "How many apples are there? And how many pears are there?"),
    ],
)
def test_what_falls(rule: str, question: str) -> None:
    assert fallen(question) == {rule}


@pytest.mark.parametrize(
    "question",
    [
        "Tom takes 5 pictures a day. How many of the pictures are left after he deletes 3?",
        "The photographer sold 7 drawings. The rest of the drawings are charcoal. How many are charcoal?",
        "What is the slope of the graph of $y = 7x + 2$?",
        "Tom has to show that he read 7 books. He read 3. How many are left?",
        "If it is proven to be a win, how much is it?",
        "Which is larger? (A) 7 (B) 6 (C) 5",
        "Let $f(a) = a^2$ and $f(b) = 9$ with $a + b = 7$. What is $b$?",
        '"How are you?" asked Ann. She has 7 pens. How many pens does she have?',
        'There are 15 "Where\'s Waldo?" books with 30 puzzles each. How long does it take to find every Waldo?',
        'A sticker reads, "Why can\'t teachers solve their own problems?" It costs $9. How much do two cost?',
        "“What is it?” cost $4 and a pen $3. How much do both cost?",
        "Show your work. What is 3 + 4?",
    ],
)
def test_what_stays(question: str) -> None:
    assert fallen(question) == set()


@pytest.mark.parametrize("answer", ["N/A", r"\text{See solution}", "Proof", "Answers may vary", "?", "$-$", "x" * 300])
def test_answers_that_say_nothing(answer: str) -> None:
    assert "no_answer" in fallen("What is it?", answer)


@pytest.mark.parametrize(("answer", "falls"), [("7", False), (r"\frac12", False), ("0.5", False), (r"\sqrt2", True), ("(A)", True)])
def test_kinds_asked_for(answer: str, falls: bool) -> None:
    assert ("answer_kind" in fallen("What is it?", answer)) == falls
