"""Every prompt states its version, and a forgotten value is an error."""

import pytest
from jinja2 import UndefinedError

from shared import prompts


def test_solve_is_the_question_then_one_line():
    text = prompts.render("solve", question="  What is 2 < 3?\n")
    question, blank, ask = text.split("\n")
    assert question == "What is 2 < 3?" and blank == ""
    assert "one step per line" in ask and "The answer is X." in ask


def test_values_are_text_and_never_templates():
    assert "{{ 1 + 1 }} {# x #}" in prompts.render("solve", question="{{ 1 + 1 }} {# x #}")


@pytest.mark.parametrize("name", prompts.names())
def test_every_prompt_states_its_version(name):
    assert prompts.version(name).startswith(f"{name}@")
    assert int(prompts.version(name).split("@")[1]) >= 1


def test_unknown_prompts_and_missing_values_are_errors():
    with pytest.raises(LookupError, match="no prompt `nope`.*solve"):
        prompts.render("nope")
    with pytest.raises(LookupError, match="no prompt `nope`"):
        prompts.version("nope")
    with pytest.raises(UndefinedError, match="question"):
        prompts.render("solve")


def test_a_prompt_without_version_is_refused(tmp_path, monkeypatch):
    (tmp_path / "bare.j2").write_text("hello\n")
    monkeypatch.setattr(prompts, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=r"bare.j2: the first line must be its version"):
        prompts.version("bare")
