"""Stages that ask a teacher: reformat, distill, translate, annotate."""

from shared.contracts.stages import AnnotateStage, DistillStage, ReformatStage, TranslateStage
from shared.contracts.work import TRANSLATE_RESPONSES
from shared.pricing.judges import tries
from shared.pricing.ranges import Range, between, ranged, total
from shared.pricing.work import Asked, Given, Known, Texts, Work, bounded, frame, mixed, share_of, solve, writes


def reformat(stage: ReformatStage, known: Known) -> Work:
    """One item and one rewrite a problem; where all rewrites fail, the original stays."""
    problems, say = known.problems(stage.problems), known.assumptions
    calls = problems.count * tries(stage.retries, say)
    prompt = problems.question + problems.solution + frame("reformat", question="", solution="", answer="", findings=())
    output = bounded(problems.solution * say.reformatted, stage.sampling)
    given = Texts(problems.count, problems.count, problems.question + solve(), output)
    return Work(
        items=problems.count,
        asked=(Asked("teacher", stage.teacher, calls, calls * prompt, calls * output),),
        given=Given(texts={"sft": given}),
        assumed=(*known.assumed_of(stage.problems), "reformatted", "asked_again"),
    )


def distill(stage: DistillStage, known: Known) -> Work:
    """One item a problem. With `accept`, samples are bought round by round until so many verified."""
    problems, say = known.problems(stage.problems), known.assumptions
    bought, rounds = draws(stage.samples, stage.accept, say.verified)
    trained = stage.teacher in known.recipe.stages
    learned = bounded(writes(stage.teacher, known, problems), stage.sampling)
    each = learned if trained else share_of(stage.sampling.max_tokens, say.answer)
    calls, samples = problems.count * rounds, problems.count * bought
    prompt = problems.question + solve()
    wanted = float(stage.accept or stage.samples)
    right = (ranged(stage.samples) * say.verified.at_most(1)).at_most(wanted)
    kept = Texts(problems.count * right, problems.count * right.at_most(1), prompt, each)
    return Work(
        items=problems.count,
        asked=(Asked("teacher", stage.teacher, calls, calls * prompt, samples * each),),
        given=Given(texts={"sft": kept}, drawn=Texts(samples, problems.count, prompt, each)),
        assumed=(*known.assumed_of(stage.problems), *(() if trained else ("answer",)), "verified"),
        notes=("a checkpoint's answer is as long as what it learned",) if trained else (),
    )


def draws(samples: int, accept: int | None, verified: Range) -> tuple[Range, Range]:
    """Samples bought of one problem, and the requests that bring them."""
    if accept is None:
        return ranged(samples), ranged(1)
    share = min(1.0, max(verified.expected, 1e-9))
    expected = min(float(samples), accept / share)
    return between(accept, expected, samples), between(1, expected / accept, 1 + samples - accept)


def translate(stage: TranslateStage, known: Known) -> Work:
    """At most `TRANSLATE_RESPONSES` responses an item; of each its text, perhaps its reasoning, and its question once."""
    say = known.assumptions
    parts = [known.done[name].texts["sft"] for name in stage.responses]
    whole = mixed(parts)
    again = tries(stage.retries, say)
    words = frame("translate", language=stage.language, text="", findings=())
    asked_texts = whole.count * Range(low=1, expected=1, high=2) * again
    asked_questions = whole.questions * again
    question = bounded(whole.prompt * say.translated, stage.sampling)
    text = bounded(whole.completion * say.translated, stage.sampling)
    calls = asked_texts + asked_questions
    prompt = asked_texts * (whole.completion + words) + asked_questions * (whole.prompt + words)
    passed = Range(low=0.5, expected=0.95, high=1)
    made = Texts(whole.count * passed, whole.questions * passed, question, text)
    return Work(
        items=total((part.count * (1 / TRANSLATE_RESPONSES)).up() for part in parts),
        asked=(Asked("teacher", stage.teacher, calls, prompt, asked_texts * text + asked_questions * question),),
        given=Given(texts={"sft": mixed([whole, made]) if stage.keep_originals else made}),
        assumed=("translated", "asked_again"),
        notes=("50 to 100% of translations pass their checks, 95% expected",),
    )


def annotate(stage: AnnotateStage, known: Known) -> Work:
    """One item and one expansion a problem with a sketch; a sketch is taken to be as long as a solution."""
    problems, say = known.problems(stage.problems), known.assumptions
    calls = problems.count * tries(stage.retries, say)
    prompt = problems.question + problems.solution + frame("annotate", question="", sketch=(), answer="", findings=())
    each = share_of(stage.sampling.max_tokens, say.answer)
    given = Texts(problems.count, problems.count, problems.question + solve(), each)
    return Work(
        items=problems.count,
        asked=(Asked("teacher", stage.teacher, calls, calls * prompt, calls * each),),
        given=Given(texts={"sft": given}),
        assumed=(*known.assumed_of(stage.problems), "answer", "asked_again"),
        notes=("every problem is taken to have a sketch, as long as a solution",),
    )
