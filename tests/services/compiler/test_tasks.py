"""The compile stage's items: trees into records, and records into a dataset that opens."""

import json

import datasets
import pyarrow.parquet as pq
import pytest
import yaml

from services.compiler.tasks import compile_item
from shared.contracts.recipe import Recipe
from shared.contracts.report import CurationReport, DatasetReport
from shared.contracts.thought import LongThought, PreferencePair, Shortcut
from shared.contracts.tree import ReasoningTree
from tests.services.compiler.fakes import ScriptedEndpoint, memory_work, recipe_of
from tests.services.compiler.growing import ORIGIN, PENS, build
from tests.services.compiler.test_responses import response

BARREN = [*PENS[:7], (4, "The answer is 17.", {**PENS[7][2], "answer": "17", "verified": False}), *PENS[8:]]


def forest(count=30):
    """Some trees, one in five of them without a verified leaf, as the ledger holds them."""
    trees = [build(PENS if number % 5 else BARREN, problem_id=f"pens-{number:02}") for number in range(count)]
    return {("search", "tree"): {tree.problem.id: tree.model_dump(mode="json") for tree in trees}}


async def compiled(store, tmp_path, recipe=None, parts=2):
    """Runs the items and the closing item; returns the report."""
    recipe = recipe or recipe_of(test_share=0.3)
    keys = sorted(store["search", "tree"])
    for part in range(parts):
        work = memory_work(recipe, store, tmp_path, key=f"trees-{part}", keys=keys[part::parts])
        work.take(await compile_item(work))
    close = memory_work(recipe, store, tmp_path, key="close", close=True)
    result = await compile_item(close)
    (record,) = result.records
    assert (record.kind, record.key) == ("dataset", "dataset")
    return DatasetReport.model_validate(record.body)


async def test_every_record_is_sound_and_leads_back_to_its_tree(tmp_path):
    store = forest()
    await compiled(store, tmp_path)
    assert len(store["compile", "thought"]) == len(store["compile", "shortcut"]) == 24
    for key, body in store["compile", "thought"].items():
        thought = LongThought.model_validate(body)
        tree = ReasoningTree.model_validate(store["search", "tree"][thought.problem_id])
        assert key == thought.id and thought.tree_id == tree.id and tree.nodes[thought.leaf_id].verified
        assert all(0 <= span.node_id < len(tree.nodes) for span in thought.spans)
        assert thought.completion.endswith("The answer is 18.") and thought.draft
    for body in store["compile", "shortcut"].values():
        Shortcut.model_validate(body)
    for body in store["compile", "pair"].values():
        PreferencePair.model_validate(body)


async def test_the_report_counts_what_came_and_what_did_not(tmp_path):
    report = await compiled(forest(), tmp_path)
    assert report.counts["journey"] == report.counts["shortcut"] == 24 and report.counts["preference"] == 72
    assert report.skipped == {"no verified leaf": 6} and report.refinement == {"template": 24}
    figures = report.statistics["journey"]
    assert figures["texts"] == 24 and figures["tokens"] > report.statistics["shortcut"]["tokens"]
    shares = [figures[f"share with{kind}"] for kind in ("out wrong turn", " one wrong turn", " several wrong turns")]
    assert sum(shares) == pytest.approx(1, abs=1e-3) and 0 < shares[0] < 1
    assert figures["backtracks"] == figures["reflections"] > 0


@pytest.fixture
def quiet_datasets(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", True)
    datasets.disable_progress_bars()
    return str(tmp_path / "cache")


async def test_the_folder_opens_with_its_configurations(tmp_path, quiet_datasets):
    store = forest()
    folder = tmp_path / "export"
    report = await compiled(store, folder)
    assert report.uri == f"file://{folder}"
    journey = datasets.load_dataset(str(folder), "journey", cache_dir=quiet_datasets)
    assert set(journey) == {"train", "test"} and sum(map(len, journey.values())) == 24
    assert not set(journey["train"]["problem_id"]) & set(journey["test"]["problem_id"])
    row = journey["train"][0]
    thought = LongThought.model_validate(store["compile", "thought"][row["id"]])
    assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
    assert row["messages"][1]["content"] == thought.completion and row["question"] in row["messages"][0]["content"]
    assert [(span["text"], span["role"], span["node_id"]) for span in row["spans"]] == [
        (span.text, span.role.value, span.node_id) for span in thought.spans
    ]
    shortcut = datasets.load_dataset(str(folder), "shortcut", split="train", cache_dir=quiet_datasets)
    assert shortcut["problem_id"] == journey["train"]["problem_id"]
    pair = datasets.load_dataset(str(folder), "preference", split="train", cache_dir=quiet_datasets)[1]
    assert pair["chosen"][0]["content"].startswith(pair["prefix"]) and pair["chosen"] != pair["rejected"]
    for split in ("train", "test"):
        lines = [json.loads(line) for line in (folder / "journey" / f"{split}.jsonl").read_text().splitlines()]
        assert lines == pq.read_table(folder / "journey" / f"{split}.parquet").to_pylist()
        assert [line["id"] for line in lines] == sorted(line["id"] for line in lines)


async def test_the_same_records_give_the_same_bytes(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    await compiled(forest(), first)
    await compiled(forest(), second, parts=5)
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(names) == 13
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


async def test_the_card_says_what_is_in_it_and_where_from(tmp_path):
    await compiled(forest(), tmp_path)
    card = (tmp_path / "README.md").read_text()
    matter = yaml.safe_load(card.split("---")[1])
    assert [config["config_name"] for config in matter["configs"]] == ["journey", "shortcut", "preference"]
    for part in (
        "passed over: no verified leaf | 6",
        "## Wrong turns a thought",
        "policy (solve@1): 30",
        "`solve@",
        "conclusion",
        "| gsm8k | 2 | MIT",
        "| search | base | 7 | 100 | 50 | 0.2500 |",
    ):
        assert part in card, part


def taught(problems=12, draws=12):
    """A teacher's responses to some of the forest's questions: one in four right, one in six cut."""
    found = {}
    for place in range(problems):
        question = build(PENS, problem_id=f"pens-{place:02}").problem.question
        for draw in range(draws):
            one = response(draw, draw % 4 == 0, problem=f"pens-{place:02}", finish_reason="length" if draw % 6 == 5 else "stop")
            found[one.id] = one.model_copy(update={"question": question}).model_dump(mode="json")
    return found


async def test_trees_and_responses_make_one_dataset_that_opens_whole(tmp_path, quiet_datasets):
    store = forest() | {("taught", "response"): taught()}
    recipe = recipe_of(
        data=["taught"], response_pairs={"right": 2, "wrong": 2, "pairs": 2}, step_labels="verdicts", test_share=0.3
    )  # fmt: skip
    pairs = memory_work(recipe, store, tmp_path, key="pairs", keys=list(store["taught", "response"]), stage="taught")
    pairs.take(await compile_item(pairs))
    report = await compiled(store, tmp_path / "export", recipe)
    assert report.counts == {"journey": 24, "shortcut": 24, "preference": 72 + 24, "prm": 30 * 5, "sft": 12 * 3}
    assert report.skipped["sft: a response that was cut"] == 24 and report.skipped["sft: a response that did not verify"] == 84
    sides: dict[str, set] = {"train": set(), "test": set()}
    for config in report.counts:
        for split, rows in datasets.load_dataset(str(tmp_path / "export"), config, cache_dir=quiet_datasets).items():
            sides[split] |= set(rows["question"])
    assert sides["train"] and sides["test"] and not sides["train"] & sides["test"], "no question on both sides"
    prm = datasets.load_dataset(str(tmp_path / "export"), "prm", split="train", cache_dir=quiet_datasets)[0]
    assert len(prm["completions"]) == len(prm["labels"]) == len(prm["node_ids"]) and prm["prompt"] == prm["question"]
    sft = datasets.load_dataset(str(tmp_path / "export"), "sft", split="train", cache_dir=quiet_datasets)[0]
    assert (sft["model"], sft["model_prompt"], sft["stage"]) == ("big", "solve@1", "taught")
    assert "18" in sft["messages"][1]["content"]


async def test_a_dataset_of_responses_alone(tmp_path):
    store = {("search", "tree"): {}, ("taught", "response"): taught(2)}
    report = await compiled(store, tmp_path, recipe_of(trees=None, data=["taught"]), parts=0)
    assert report.counts == {"sft": 6}
    card = (tmp_path / "README.md").read_text()
    assert "teachers' verified responses" in card and "Long thoughts of" in card


async def test_the_card_says_how_the_problems_were_chosen(tmp_path):
    recipe = recipe_of(data=["taught"])
    stages = {**recipe.model_dump(mode="json")["stages"], "kept": {"kind": "curate", "problems": "train"}}
    stages["search"]["problems"] = "kept"
    report = CurationReport(
        origin=ORIGIN, source="sums", total=40, kept=30, dropped={"proof": 10}, examples={}, benchmarks={"held": 7}
    )  # fmt: skip
    store = forest() | {("kept", "curation"): {"curation": report.model_dump(mode="json")}}
    await compiled(store, tmp_path, Recipe.model_validate({**recipe.model_dump(mode="json"), "stages": stages}))
    card = (tmp_path / "README.md").read_text()
    for part in ("`kept` kept 30 of the 40 problems of `sums`", "against `held` (7 problems)", "| proof | 10 | 25.0% |"):
        assert part in card, part


async def test_no_thoughts_at_all_is_an_outcome_that_says_so(tmp_path):
    barren = build(BARREN, problem_id="barren")
    store = {("search", "tree"): {"barren": barren.model_dump(mode="json")}}
    report = await compiled(store, tmp_path, parts=1)
    assert report.counts == {"journey": 0, "shortcut": 0, "preference": 0} and report.skipped == {"no verified leaf": 1}
    card = (tmp_path / "README.md").read_text()
    assert "This dataset is empty" in card and "no verified leaf | 1" in card
    assert yaml.safe_load(card.split("---")[1])["configs"] == []


async def test_a_boxed_wrong_trial_that_hides_the_answer_is_passed_over(tmp_path):
    """A box counts as the answer wherever it stands: such a thought would be trained on, and graded wrong."""
    rows = [PENS[0], PENS[1], (1, *PENS[4][1:]), (2, *PENS[7][1:])]
    rows.append((2, r"So \boxed{30}.", {"final": True, "answer": "30", "verified": False}))
    store = {("search", "tree"): {"boxed": build(rows, problem_id="boxed").model_dump(mode="json")}}
    report = await compiled(store, tmp_path, recipe_of(clean_share=0.0), parts=1)
    assert report.counts["journey"] == 0 and report.counts["shortcut"] == 1
    assert report.skipped == {"the thought's text states another final answer than its leaf": 1}


async def test_rewrites_are_not_bought_twice(tmp_path):
    """A second attempt at an item asks only for what the first had not got."""
    store = forest(10)
    recipe = recipe_of(refiner={"kind": "llm", "model": "big", "retries": 0})
    keys = sorted(store["search", "tree"])

    class Killed(Exception):
        pass

    def dying(prompt):
        return Killed() if len(endpoint.prompts) == 4 else "no thought"

    endpoint = ScriptedEndpoint(dying)
    work = memory_work(recipe, store, tmp_path, keys=keys, endpoint=endpoint)
    with pytest.raises(Killed):
        await compile_item(work)
    stored = len(work.partials)
    again = ScriptedEndpoint(lambda prompt: "no thought")
    retry = memory_work(recipe, store, tmp_path, keys=keys, endpoint=again)
    retry.partials = work.partials
    retry.take(await compile_item(retry))
    assert stored and len(again.prompts) == 8 - stored
    assert {body["refiner"] for body in store["compile", "thought"].values()} == {"template-fallback"}
    close = memory_work(recipe, store, tmp_path, key="close", close=True)
    (record,) = (await compile_item(close)).records
    assert record.body["refinement"] == {"template-fallback": 8, "found: its length": 8}
