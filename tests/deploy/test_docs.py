"""What the documentation says of settings, recipes, routes and files is so."""

import re
from pathlib import Path

import pytest
import yaml

from services.gateway.app import create_app
from shared.contracts.recipe import Recipe
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_settings_table_is_complete_and_true():
    page = (ROOT / "docs" / "operations.md").read_text()
    told = dict(re.findall(r"^\| `LONGTHOUGHT_(\w+)` \| (?:`(.*?)`)? ?\|", page, re.MULTILINE))
    defaults = {name.upper(): "" if field.default is None else str(field.default) for name, field in Settings.model_fields.items()}
    assert told == defaults


def test_recipe_of_the_readme_is_valid():
    (text,) = re.findall(r"```yaml\n(name: .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    Recipe.model_validate(yaml.safe_load(text))


def test_routes_are_there():
    page = (ROOT / "docs" / "api.md").read_text()
    known = {re.sub(r"\{\w+(:path)?\}", "{}", path) for path in create_app().openapi()["paths"]}
    told = {re.sub(r"\{\w+\}", "{}", path) for path in re.findall(r"`(?:GET|POST|DELETE) (/v1/[^?`]*)", page)}
    assert told
    assert told <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
