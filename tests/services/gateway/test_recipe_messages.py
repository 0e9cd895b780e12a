"""Every mistake in a recipe is named with its place, in one clear message."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from services.gateway.app import create_app
from services.gateway.errors import InvalidRecipe
from services.gateway.recipes import parse_recipe
from shared.ledger.database import Ledger
from shared.ledger.problems import store_set
from shared.settings import settings as chosen

from .conftest import KEY, RECIPE

Change = Callable[[dict[str, Any]], Any]


def search(**changes: Any) -> Change:
    return lambda recipe: recipe["stages"]["search"].update(changes)


def stage(name: str, **fields: Any) -> Change:
    return lambda recipe: recipe["stages"].update({name: fields})


WRONG: dict[str, tuple[Change, str]] = {
    "below a bound": (search(width=1), "stages.search.width: must be at least 2 (got 1)"),
    "above a bound": (search(sampling={"temperature": 9}), "stages.search.sampling.temperature: must be at most 2 (got 9)"),
    "wrong type": (search(width="wide"), 'stages.search.width: must be a whole number (got "wide")'),
    "a fraction": (search(width=2.5), "stages.search.width: must be a whole number (got 2.5)"),
    "unknown key": (search(widht=3), "stages.search.widht: unknown key (did you mean `width`?"),
    "unknown key inside": (search(reward={"rolouts": 3}), "stages.search.reward.rolouts: unknown key (did you mean `rollouts`?"),
    "unknown key on top": (lambda recipe: recipe.update(stagse={}), "stagse: unknown key (did you mean `stages`?"),
    "unknown choice": (
        search(strategy="bfs"),
        "stages.search.strategy: must be 'beam', 'dvts', 'best_of_n', 'mcts', 'propose_critique' or 'debate' (got \"bfs\")",
    ),
    "missing": (lambda recipe: recipe["stages"]["search"].pop("policy"), "stages.search.policy: is missing"),
    "no kind": (lambda recipe: recipe["stages"]["search"].pop("kind"), "stages.search.kind: is missing (one of import,"),
    "no such kind": (search(kind="serch"), "stages.search.kind: there is no kind `serch` (known: import,"),
    "a reward that is no reward model": (
        search(reward={"kind": "prm", "model": "base"}),
        "stages.search.reward.model: `base` is no process reward model (a model with `prm`, or a training with method prm)",
    ),
    "no such model": (search(policy="nobody"), "stages.search.policy: nothing is named `nobody`"),
    "no such source": (search(problems="none"), "stages.search.problems: no problem source `none` (known: train"),
    "wrong kind of stage": (
        stage("thoughts", kind="compile", trees="base"),
        "stages.thoughts.trees: `base` is a model, not a search",
    ),
    "a validator inside": (
        stage("thoughts", kind="compile", trees="search", refiner={"kind": "llm"}),
        "stages.thoughts.refiner: `model` goes with kind `llm`",
    ),
    "a cycle": (search(needs=["measure"]), "stages: a cycle: search -> measure -> search"),
    "no stages": (lambda recipe: recipe.update(stages={}), "stages: must not be empty (got {})"),
    "stages as a list": (lambda recipe: recipe.update(stages=[]), "stages: must be a mapping (got [])"),
    "a bad name": (stage("Bad Name", kind="search"), "stages.Bad Name: a name is made of lower-case letters"),
    "the preflight's name": (
        stage("preflight", kind="search", policy="base", problems="train"),
        "stages.preflight: every run has a stage of this name already",
    ),
    "a model twice": (
        stage("twice", kind="evaluate", models=["base", "base"], problems="train"),
        "stages.twice.models: `base` is named more than once",
    ),
    "more to accept than there is": (
        stage("taught", kind="distill", teacher="base", problems="train", samples=2, accept=3),
        "stages.taught.accept: 3 of 2 samples can never verify",
    ),
    "a set and a generator": (
        lambda recipe: recipe["problems"]["train"].update(generator="arithmetic", count=3),
        "problems.train: give either `set` or `generator`",
    ),
    "no such set": (
        lambda recipe: recipe["problems"].update(train={"set": "lost"}),
        "problems.train.set: there is no problem set `lost`",
    ),
    "no such set among those to look for": (
        lambda recipe: (
            recipe["problems"].update(bench={"set": "lost"}),
            recipe["stages"].update(c={"kind": "curate", "problems": "train", "decontaminate": {"against": ["bench"]}}),
        ),
        "problems.bench.set: there is no problem set `lost`",
    ),
    "nothing left of a set": (
        lambda recipe: recipe["problems"]["train"].update(skip=5),
        "problems.train.skip: `sums` has 5 problems, none",
    ),
    "too much of a generator": (
        lambda recipe: recipe["problems"].update(train={"generator": "arithmetic", "skip": 10**9, "count": 1}),
        "problems.train: `skip` and `count` together must be at most",
    ),
    "an endpoint that is trained": (
        lambda recipe: (
            recipe["models"]["base"].update(url="http://x/v1"),
            recipe["stages"].update(i={"kind": "import", "problems": "train"}, t={"kind": "train", "base": "base", "data": "i"}),
        ),
        "stages.t.base: `base` is an endpoint, which cannot be trained",
    ),
    "NUL": (lambda recipe: recipe.update(description="a\0b"), "NUL character"),
}


@pytest.fixture(scope="module")
def one_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One gateway for all recipes of this module: none of them may leave anything behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONGTHOUGHT_DATABASE_URL", f"sqlite:///{tmp_path_factory.mktemp('recipes')}/ledger.db")
        patch.setenv("LONGTHOUGHT_BOOTSTRAP_API_KEY", KEY)
        chosen.cache_clear()
        with TestClient(create_app(), headers={"X-API-Key": KEY}) as client:
            store_set(Ledger(chosen().database_url), "sums", [{"id": str(n), "question": "?", "answer": "1"} for n in range(5)])
            yield client
    chosen.cache_clear()


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_recipes(one_gateway: TestClient, change: Change, message: str) -> None:
    recipe = copy.deepcopy(RECIPE)
    recipe["problems"]["more"] = {"generator": "arithmetic", "count": 3}
    recipe["stages"]["more"] = {"kind": "import", "problems": "more"}
    change(recipe)
    answer = one_gateway.post("/v1/runs", json=recipe)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(message) or message == "NUL character"
    place, _, said = message.partition(": ")
    assert any(error["place"] == place and error["message"].startswith(said) for error in answer.json()["errors"]) or not said
    assert one_gateway.get("/v1/runs").json()["runs"] == []
    assert [row["name"] for row in one_gateway.get("/v1/problem-sets").json()["problem_sets"]] == ["sums"]


def test_all_mistakes_at_once(one_gateway: TestClient) -> None:
    recipe = copy.deepcopy(RECIPE)
    search(width=1, widht=2)(recipe)
    places = [error["place"] for error in one_gateway.post("/v1/runs", json=recipe).json()["errors"]]
    assert places == ["stages.search.width", "stages.search.widht"]


BODIES = {
    "not YAML": (b"name: [", "text/yaml", "the recipe is not YAML: line 1"),
    "a key twice": (b"name: a\nstages: {}\nname: b\n", "application/yaml", "line 3: the key `name` stands twice"),
    "not JSON": (b"{'name'}", "application/json", "the recipe is not JSON"),
    "not text": (b"\xff\xfe", "application/yaml", "not UTF-8"),
    "a list": (b"- a", "application/yaml", "a recipe is a mapping"),
    "nothing": (b"", "application/yaml", "a recipe is a mapping"),
    "a mapping as a key": (b"{[a]: {b: c}}", "application/yaml", "the recipe is not YAML"),
}


@pytest.mark.parametrize(("body", "kind", "message"), BODIES.values(), ids=BODIES.keys())
def test_bodies_that_are_no_recipe(one_gateway: TestClient, body: bytes, kind: str, message: str) -> None:
    answer = one_gateway.post("/v1/runs", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 422
    assert message in answer.json()["detail"]


def test_a_few_lines_that_stand_for_billions_are_told_in_short() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)) + "name: *a59\n"
    with pytest.raises(InvalidRecipe) as refused:
        parse_recipe(bomb.encode(), "application/yaml")
    [name] = [error for error in refused.value.extras["errors"] if error["place"] == "name"]
    assert len(name["message"]) < 200


VALUES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2) | st.builds(dict)
)
PLACES = [("name",), ("models",), ("models", "base"), ("problems", "train"), ("stages",), ("stages", "search")]
PLACES += [("stages", "search", field) for field in ("kind", "width", "policy", "problems", "reward", "sampling", "needs", "x")]


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=3))
def test_whatever_is_put_anywhere_it_is_a_recipe_or_a_clear_refusal(changes: list[tuple[tuple[str, ...], Any]]) -> None:
    recipe = copy.deepcopy(RECIPE)
    for place, value in changes:
        target: Any = recipe
        for part in place[:-1]:
            target = target.get(part) if isinstance(target, dict) else None
        if isinstance(target, dict):
            target[place[-1]] = value
    for body, kind in ((json.dumps(recipe), "application/json"), (yaml.safe_dump(recipe), "application/yaml")):
        refused = refusal_of(body.encode(), kind)
        assert refused is None or refused.detail
        assert refused is None or all(".search.search" not in error["place"] for error in refused.extras["errors"])


def refusal_of(body: bytes, kind: str) -> InvalidRecipe | None:
    try:
        parse_recipe(body, kind)
    except InvalidRecipe as refused:
        return refused
    return None


CHOICE = {"id": "c", "question": "Which?", "choices": ["iron", "zinc"], "answer": "B", "grading": {"kind": "letter"}}
JUDGED = {"id": "j", "question": "Is it safe?", "grading": {"kind": "judge", "rubric": "safety"}}
MODELS = {"base": {"model": "some/model"}, "scorer": {"model": "some/prm", "prm": "skywork"}}


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            {"kind": "evaluate", "models": ["base"], "problems": "all"},
            "stages.it.judge: is missing: `mixed` holds problems that a judge grades; name a model of the recipe",
        ),
        (
            {"kind": "evaluate", "models": ["base"], "problems": "all", "judge": "scorer"},
            "stages.it.judge: `scorer` is a process reward model, which scores steps and does nothing else",
        ),
        (
            {"kind": "evaluate", "models": ["base"], "problems": "all", "judge": "nobody"},
            "stages.it.judge: nothing is named `nobody`",
        ),
        (
            {"kind": "search", "policy": "base", "problems": "all"},
            "stages.it.problems: `mixed` holds problems graded by judge and letter, not by a known answer: "
            "only evaluations take them",
        ),
        (
            {"kind": "distill", "teacher": "base", "problems": "choices"},
            "stages.it.problems: `mixed` holds problems graded by letter, not by a known answer: only evaluations take them",
        ),
        ({"kind": "evaluate", "models": ["base"], "problems": "choices"}, None),
        ({"kind": "evaluate", "models": ["base"], "problems": "all", "judge": "base"}, None),
        ({"kind": "search", "policy": "base", "problems": "plain"}, None),
    ],
)
def test_stages_that_cannot_do_with_how_their_problems_are_graded(
    http: TestClient, stage: dict[str, Any], message: str | None
) -> None:
    rows = [{"id": "a", "question": "1+1?", "answer": "2"}, CHOICE, JUDGED]
    http.post("/v1/problem-sets/mixed", content="\n".join(json.dumps(row) for row in rows).encode())
    problems = {"all": {"set": "mixed"}, "choices": {"set": "mixed", "count": 2}, "plain": {"set": "mixed", "count": 1}}
    answer = http.post("/v1/runs", json={"name": "tiny", "models": MODELS, "problems": problems, "stages": {"it": stage}})
    assert (answer.status_code, answer.json().get("detail")) == (422 if message else 202, message)
