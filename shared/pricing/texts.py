"""Stages without a teacher: import, curate, select, compile, train, evaluate."""

from collections.abc import Callable

from shared.contracts.stages import (
    CompileStage,
    CurateStage,
    EvaluateStage,
    ImportStage,
    PickStage,
    RetrainStage,
    SelectStage,
    TrainStage,
)
from shared.contracts.work import COMPILE_TREES, EVALUATE_PROBLEMS, IMPORT_PROBLEMS, JUDGE_RETRIES, PAIR_PROBLEMS, REGRADE_SAMPLES
from shared.pricing.assumptions import Assumptions
from shared.pricing.judges import judgement, tries
from shared.pricing.ranges import NOTHING, Range, between, ranged, total
from shared.pricing.work import TURN, Asked, Given, Known, Problems, Texts, Work, bounded, frame, mixed, solve, writes


def import_(stage: ImportStage, known: Known) -> Work:
    """At most `IMPORT_PROBLEMS` an item; asks no model."""
    problems = known.problems(stage.problems)
    texts = Texts(problems.count, problems.count, problems.question + solve(), problems.solution)
    given = Given(trees=problems) if stage.format == "trees" else Given(texts={"sft": texts})
    items = (problems.count * (1 / IMPORT_PROBLEMS)).up()
    return Work(items=items, given=given, assumed=known.assumed_of(stage.problems))


def curate(stage: CurateStage, known: Known) -> Work:
    """One item; asks no model."""
    problems, say = known.problems(stage.problems), known.assumptions
    kept = problems.count * say.curated.at_most(1)
    if stage.difficulty:
        kept = kept * say.in_band.at_most(1)
    if stage.count:
        kept = kept.at_most(stage.count)
    found = Problems(kept, problems.question, problems.solution, problems.steps, problems.labelled)
    names = ("curated", *(("in_band",) if stage.difficulty else ()))
    return Work(items=ranged(1), given=Given(problems=found), assumed=names)


def select(stage: SelectStage, known: Known) -> Work:
    """One item; asks no model."""
    texts = mixed([known.done[name].texts["sft"] for name in stage.responses])
    share = known.assumptions.reflective.at_most(1) if stage.at_least and stage.contains else ranged(1)
    questions = texts.questions * share
    chosen = Texts((questions * stage.per_problem).at_most(texts.count), questions, texts.prompt, texts.completion)
    return Work(items=ranged(1), given=Given(texts={"sft": chosen}), assumed=("reflective",) if not share.exact else ())


def compile_(stage: CompileStage, known: Known) -> Work:
    """At most `COMPILE_TREES` trees or `PAIR_PROBLEMS` problems' responses an item, and one that closes."""
    say = known.assumptions
    items = ranged(1)
    asked: tuple[Asked, ...] = ()
    texts: dict[str, Texts] = {}
    names: tuple[str, ...] = ()
    if stage.trees is not None:
        trees = known.done[stage.trees].trees
        assert trees is not None
        items = items + (trees.count * (1 / COMPILE_TREES)).up()
        texts, asked = _of_trees(stage, known, trees)
        names = ("solved", "wrong_turns", "checks", *(("wrong_branch",) if stage.without_wrong_branch == "pass_over" else ()))
        names = (*names, *(("asked_again", "judgement") if stage.refiner.model else ()))
    if stage.data:
        texts["sft"] = mixed([known.done[name].texts["sft"] for name in stage.data])
    if stage.response_pairs:
        drawn = [found for name in stage.data if (found := known.done[name].drawn)]
        items = items + total((one.questions * (1 / PAIR_PROBLEMS)).up() for one in drawn)
        whole = mixed(drawn)
        able = whole.questions * say.pairable.at_most(1)
        pairs = Texts(able * stage.response_pairs.pairs, able, whole.prompt, whole.completion)
        texts["preference"] = mixed([found for found in (texts.get("preference"), pairs) if found])
        names = (*names, "pairable")
    learned = {name: _train_split(one, stage.test_share) for name, one in texts.items()}
    return Work(items=items, asked=asked, given=Given(texts=learned), assumed=names)


def _of_trees(stage: CompileStage, known: Known, trees: Problems) -> tuple[dict[str, Texts], tuple[Asked, ...]]:
    say = known.assumptions
    solved = trees.count * say.solved.at_most(1)
    if stage.without_wrong_branch == "pass_over":
        solved = solved * say.wrong_branch.at_most(1)
    count = solved * stage.thoughts_per_tree
    prompt = trees.question + solve()
    path = trees.solution
    journey = path * _times(stage, trees, say)
    # of each step on the right path at most one pair: the step against a wrong sibling, after the steps before it
    pairs = count * between(0, max(1.0, trees.steps.expected / 4), max(1.0, trees.steps.high))
    step = path * (1 / max(1.0, trees.steps.expected))
    texts = {
        "journey": Texts(count, solved, prompt, journey),
        "shortcut": Texts(count, solved, prompt, path),
        "preference": Texts(pairs, solved, prompt + path * 0.5, step),
    }
    if stage.step_labels != "none":
        texts["prm"] = Texts(trees.count, trees.count, prompt, path)
    how = stage.refiner
    if how.model is None:
        return texts, ()
    calls = count * tries(how.retries, say)
    output = bounded(journey, how.sampling)
    draft = trees.question + journey + frame("refine", question="", draft="", answer="", findings=())
    asked = [Asked("refiner", how.model, calls, calls * draft, calls * output)]
    if how.reflect and stage.wrong_trials:
        turns = between(0, 1, max(1.0, stage.wrong_trials * trees.steps.high))
        told = trees.question + path + frame("reflect", question="", so_far="", steps="")
        asked.append(
            Asked("reflections", how.model, count * turns, count * turns * told, count * turns * judgement(how.sampling, say))
        )
    return texts, tuple(asked)


def _times(stage: CompileStage, trees: Problems, say: Assumptions) -> Range:
    """A long thought's length, of its shortcut's: the steps, wrong turns, and checks of all steps or of one or two."""
    turns = say.wrong_turns * (1 - stage.clean_share) if stage.wrong_trials else NOTHING
    checked = 1.0 if stage.verify_steps == "all" else min(1.0, 1.5 / max(1.0, trees.steps.expected))
    return ranged(1) + turns + say.checks * (stage.verify_share * checked)


def _train_split(texts: Texts, test_share: float) -> Texts:
    left = 1 - test_share
    return Texts(texts.count * left, texts.questions * left, texts.prompt, texts.completion)


def train(stage: TrainStage, known: Known) -> Work:
    """One item. Tokens: samples x epochs x their length, at most `max_length` each; of a preference pair both sides.

    Operations a parameter and token: 6 (Kaplan et al., arXiv 2001.08361), 2 fewer where an adapter is trained, as the weights' own
    gradients fall away, and 2 more where a reference reads along (dpo).
    """
    data = known.done[stage.data].texts[stage.config]
    samples = data.count.at_most(stage.max_samples) if stage.max_samples else data.count
    if stage.method == "grpo":
        return _grpo(stage, known, samples, data)
    what, sides = ("pairs", 2) if stage.method == "dpo" else ("samples", 1)
    learned = data.completion.at_most(stage.max_length)
    length = (data.prompt + data.completion).at_most(stage.max_length)
    trained = samples * stage.epochs * length * sides
    many = "" if stage.epochs == 1 else "s"
    notes = [f"{samples.expected:,.0f} {what} of {length.expected:,.0f} tokens, {stage.epochs:g} epoch{many}"]
    if stage.tokens_of:
        trained = known.done[stage.tokens_of].trained
        notes = [f"as many tokens as {stage.tokens_of}"]
    return Work(
        items=ranged(1),
        trained=trained,
        operations=_operations(stage),
        given=Given(writes=learned if stage.method == "sft" else None, trained=trained),
        notes=tuple(notes),
    )


def pick(stage: PickStage, known: Known) -> Work:
    """One item, which reads a report."""
    return Work(items=ranged(1))


def retrain(stage: RetrainStage, known: Known) -> Work:
    """One item: any of the trainings that may be picked, each as likely."""
    picked = known.recipe.stages[stage.like]
    assert isinstance(picked, PickStage)
    stages = [known.recipe.stages[name] for name in picked.models]
    candidates = [one for one in stages if isinstance(one, TrainStage)]
    again = [stage.of(one) for one in candidates]
    found = [train(one, known) for one in again]
    tokens, answers = [one.trained for one in found], [one.given.writes for one in found if one.given.writes]
    asked = [one.asked[0] for one in found if one.asked]  # of grpo all have it: a pick's trainings are of one method and one base
    trained = _any(tokens)
    given = Given(writes=_any(answers) if answers else None, trained=trained)
    if again == candidates:
        return Work(items=ranged(1), given=given, notes=(f"{' or '.join(picked.models)} itself: nothing is trained twice",))
    return Work(
        items=ranged(1),
        trained=trained,
        operations=max(one.operations for one in found),
        asked=_together(asked, _any),
        given=given,
        assumed=tuple(dict.fromkeys(name for one in found for name in one.assumed)),
        notes=(f"as {' or '.join(picked.models)}",),
    )


def _any(ranges: list[Range]) -> Range:
    expected = sum(one.expected for one in ranges) / len(ranges)
    return between(min(one.low for one in ranges), expected, max(one.high for one in ranges))


def _grpo(stage: TrainStage, known: Known, samples: Range, data: Texts) -> Work:
    """Every question's completions are sampled by the model in training, at the speed of an engine, then trained on."""
    questions = samples * stage.epochs
    completion = bounded(data.completion * known.assumptions.spread, stage.rollout)
    completions = questions * stage.generations
    trained = completions * (data.prompt + completion)
    return Work(
        items=ranged(1),
        asked=(Asked("rollouts", stage.base, questions, questions * data.prompt, completions * completion),),
        trained=trained,
        operations=_operations(stage),
        given=Given(writes=completion, trained=trained),
        assumed=("spread",),
        notes=(f"{stage.generations} completions of each of {questions.expected:,.0f} questions",),
    )


def _operations(stage: TrainStage) -> float:
    return 6.0 - (2.0 if stage.lora else 0.0) + (2.0 if stage.method == "dpo" else 0.0)


def evaluate(stage: EvaluateStage, known: Known) -> Work:
    """At most `EVALUATE_PROBLEMS` problems of one model an item, and one that closes. A regrading asks no model at all."""
    problems = known.problems(stage.problems)
    if stage.regrade:
        note = f"samples of {stage.regrade.run} are graded anew, and no model is asked; items of at most {REGRADE_SAMPLES} each"
        return Work(items=ranged(2), notes=(note,))
    calls = problems.count
    read = calls * (problems.question + solve())
    asked: list[Asked] = []
    beside: dict[str, list[Asked]] = {"judge": [], "reward": []}  # who reads each sample with its question
    limit = stage.budget + stage.answer_tokens if stage.budget else stage.sampling.max_tokens
    for name in stage.models:
        output = bounded(writes(name, known, problems), stage.sampling.model_copy(update={"max_tokens": limit}))
        asked.append(Asked("policy", name, calls, read, calls * stage.samples * output))
        samples = calls * stage.samples
        if stage.judge:
            said = judgement(stage.judge_sampling, known.assumptions)
            judged = samples * tries(JUDGE_RETRIES, known.assumptions)
            read_by_judge = problems.question + output + frame("judge_facts", question="", answer="-", response="-", criteria="")
            beside["judge"].append(Asked("judge", stage.judge, judged, judged * read_by_judge, judged * said))
        if stage.reward:  # it writes nothing
            beside["reward"].append(Asked("reward", stage.reward, samples, samples * (problems.question + TURN + output), NOTHING))
    return Work(
        items=(problems.count * (1 / EVALUATE_PROBLEMS)).up() * len(stage.models) + 1,
        asked=(*asked, *_together(beside["judge"]), *_together(beside["reward"])),
        assumed=(*known.assumed_of(stage.problems), "spread", *(("judgement", "asked_again") if stage.judge else ())),
        notes=(
            "an answer is as long as what its model learned last; an untrained model's, as a solution",
            *(
                (f"{stage.waits} waits may lengthen it, at most to its limit, and make prompts be read again",)
                if stage.waits
                else ()
            ),
            *((f"every sample is taken to be judged by {stage.judge}, by a rubric like that of facts",) if stage.judge else ()),
        ),
    )


def _together(asked: list[Asked], joined: Callable[[list[Range]], Range] = total) -> tuple[Asked, ...]:
    """What is asked of one model in one role, in one line: all of it, or any."""
    if not asked:
        return ()
    first = asked[0]
    calls, prompt, output = (joined([getattr(one, field) for one in asked]) for field in ("calls", "prompt", "output"))
    return (Asked(first.role, first.model, calls, prompt, output),)
