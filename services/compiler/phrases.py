"""The words of the template refiner: many ways to say each thing, so that no phrase becomes the mark of a mistake.

Several of them open checks of *right* steps with "Wait" or "Hmm" too: a set in which "Wait" only ever follows a slip teaches slips.
"""

SLIP = (
    "Wait, {left} = {right}, not {wrong}.",
    "Hmm, that is not right: {left} = {right}, not {wrong}.",
    "Wait, let me recompute that. {left} is {right}, not {wrong}.",
    "Hold on. {left} = {right}, so {wrong} is wrong.",
    "No, I made a slip there: {left} = {right}, not {wrong}.",
    "Let me check that: {left} = {right}. So {wrong} was wrong.",
    "But {left} is {right}, not {wrong}.",
    "Let me compute {left} again: it is {right}, not {wrong}.",
    "That does not look right. {left} = {right}, not {wrong}.",
    "Actually, {left} = {right}, not {wrong}.",
    "Checking this, I get {left} = {right}, but I wrote {wrong}.",
    "Is that correct? {left} = {right}, not {wrong}, so it is not.",
    "Oh, {left} is not {wrong}. It is {right}.",
    "Hmm, {left} should be {right}, and I wrote {wrong}.",
)
"""Why a step is wrong whose judge names an equality: `left` = `right`, not `wrong`."""

FAULT = (
    "Wait, that is not right. {Reason}",
    "Hmm, something is wrong here. {Reason}",
    "Hold on, that cannot be. {Reason}",
    "Let me look at this again. {Reason}",
    "No, this does not hold. {Reason}",
    "But wait. {Reason}",
    "On second thought, this is wrong. {Reason}",
    "Let me check this step. It does not hold: {reason}",
    "I made a mistake here. {Reason}",
    "Actually, no. {Reason}",
    "Is that correct? No. {Reason}",
)
"""Why a step is wrong, in the judge's own sentence."""

ANSWER = (
    "Wait, {answer} cannot be right.",
    "Hmm, {answer} does not check out.",
    "Let me hold {answer} against the question. It does not fit.",
    "But is it {answer}? Reading the question once more, no.",
    "That does not hold up: {answer} is not what the question asks for.",
    "No, {answer} is not the answer.",
    "Something must be wrong on the way here, because {answer} does not fit.",
    "Let me check that against the question. {answer} does not work.",
    "Hold on. If I read the question once more, {answer} cannot be it.",
    "Hmm, I do not trust {answer}: it does not agree with the question.",
    "Actually, {answer} does not answer the question.",
)
"""Why a walk failed that ended at a wrong answer without a step that a judge called wrong."""

DEAD_END = (
    "Wait, this is not right.",
    "Hmm, this does not work out.",
    "Let me stop here: this leads to a wrong answer.",
    "But this cannot be right.",
    "Hold on. This way does not come out right.",
    "No, this is not the way.",
    "That does not hold up.",
    "Something went wrong here.",
    "Actually, this does not lead to the answer.",
    "I do not think that this works.",
    "Let me think again. This is not right.",
)
"""That a step is wrong, where nobody said why."""

EARLIER = (
    "Wait, step {number} was already wrong.",
    "Hmm, this does not fit, and the mistake is in step {number}.",
    "Let me look back. Step {number} is where it went wrong.",
    "Hold on. There is a slip in step {number}.",
    "Reading this over, step {number} does not hold.",
    "Let me check the steps so far. Step {number} is wrong.",
    "But step {number} was not right.",
    "Actually, I should not have gone on from step {number}.",
    "Before I trust this: step {number} was wrong.",
    "No, this builds on a mistake in step {number}.",
    "Something is wrong here. Looking back, it is step {number}.",
)
"""Opens a reflection on a step that is not the last one said; the bare reason follows."""

TO_STEP = (
    "Let me go back to step {number}.",
    "Let me return to step {number} and go on from there.",
    "So, back to step {number}.",
    "Step {number} still holds, so I will go on from there.",
    "Alternatively, I can go on from step {number} in another way.",
    "Let me take it from step {number} again.",
    "I will go back to step {number} and try again.",
    "Up to step {number} all was well, so let me continue from there.",
    "Let me undo that and go back to step {number}.",
    "Therefore, I go back to step {number}.",
    "Let me try another way after step {number}.",
)
"""The way back to a numbered step."""

TO_STEP_AGAIN = (
    "Let me redo step {number}.",
    "Let me do step {number} again.",
    "Let me try step {number} once more.",
    "So, step {number} again.",
    "Alternatively, let me take step {number} another way.",
    "I will redo step {number}.",
    "Let me go back and correct step {number}.",
    "Let me take step {number} again, more carefully.",
    "So I need to redo step {number}.",
    "Let me rewrite step {number}.",
    "Let me undo that and do step {number} again.",
)
"""The way back where one wrong step is undone at once: `number` is that step's own."""

TO_START = (
    "Let me start over.",
    "Let me start again from the beginning.",
    "So, back to the beginning.",
    "Let me go back to the question.",
    "Alternatively, let me begin in another way.",
    "I will start afresh.",
    "Let me read the question again and start over.",
    "Let me undo all that and begin again.",
    "Back to the question, then.",
    "I had better start from the beginning.",
    "Let me try this from the start.",
)
"""The way back to the question itself."""

TO_LAST = (
    "Let me go back to where this was still right.",
    "Let me go back one step.",
    "So, back to the last step that holds.",
    "Let me undo that.",
    "Alternatively, I can go on differently from there.",
    "I will go back and try again.",
    "Let me try that again.",
    "Let me take it again from the last right step.",
    "Let me go back and do this differently.",
    "Everything before that still holds, so I will go on from there.",
    "Back to the step before, then.",
)
"""The way back to a step without a number."""

CHECK = (
    "Let me check: {fact}. Yes.",
    "Let me double-check that: {fact}. Good.",
    "Wait, is that right? {fact}. Yes, it is.",
    "Let me verify this: {fact}. Correct.",
    "Checking: {fact}. That is right.",
    "Hmm, let me make sure. {fact}. Yes.",
    "Let me compute that again: {fact}. It holds.",
    "Is that correct? {fact}, so yes.",
    "To be sure: {fact}. Fine.",
    "Let me go over that once more. {fact}. Right.",
    "Wait, let me recompute: {fact}. The same.",
    "A quick check: {fact}. That holds.",
)
"""A re-check of a right step: `fact` is its equality."""

CHECK_BACK = (
    "Let me check the other way round: {inverse}. Yes.",
    "Wait, does that hold? {inverse}, so it does.",
    "Let me verify this backwards: {inverse}. Good.",
    "To be sure, {inverse}. That agrees.",
    "Let me test it: {inverse}. Correct.",
    "Checking backwards, {inverse}. It fits.",
    "Is that right? {inverse}, so yes.",
    "Hmm, let me make sure. {inverse}. That fits.",
    "A check from the other side: {inverse}. Right.",
    "Let me confirm: {inverse}, as it should be.",
)
"""A re-check of a right step through the inverse operation."""
