"""Training speed: ours against a bare TRL script with its defaults, and against a plain PyTorch loop in pure bf16
(in pure fp32 on processors that do not multiply bf16).

Same model (SmolLM2-135M, all weights), same samples (worked solutions of the arithmetic generator), 8 samples a step. Each
contender runs in a process of its own, in turns, and is timed from its third step on; the figure is the median over the rounds of
prompt and completion tokens a second, padding not counted. Needs an idle machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SAMPLES, BATCH, WARM = 160, 8, 2
CONTENDERS = {
    "ours": "longthought's trainer",
    "trl": "a bare TRL script, its defaults",
    "plain": "a plain PyTorch loop, one type",
}


def main() -> None:
    """Runs the contenders in turns; the last line holds the ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="optimiser steps of a run, the first two not timed")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.contender:
        print(json.dumps({"ours": ours, "trl": bare_trl, "plain": plain_loop}[chosen.contender](chosen.model, chosen.steps)))
        return
    from shared.engines.models import resolve_model

    model = str(resolve_model("smollm2-135m-instruct"))
    found: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    console = Console(stderr=True)
    for turn in range(chosen.rounds):
        for name in CONTENDERS:
            found[name].append(_run(name, model, chosen.steps))
            console.print(f"round {turn + 1}: {CONTENDERS[name]:34} {found[name][-1]:7.0f} tokens/s")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("", "tokens/s", "lowest", "highest"):
        table.add_column(title, justify="left" if not title else "right")
    for name, speeds in found.items():
        table.add_row(CONTENDERS[name], *(f"{value:.0f}" for value in (statistics.median(speeds), min(speeds), max(speeds))))
    Console().print(table)
    middle = {name: statistics.median(speeds) for name, speeds in found.items()}
    ratios = {"ratio_to_trl": middle["ours"] / middle["trl"], "ratio_to_plain_loop": middle["ours"] / middle["plain"]}
    print(" ".join(f"{name}={ratio:.2f}" for name, ratio in ratios.items()))


def _run(name: str, model: str, steps: int) -> float:
    """Tokens a second of one contender, in a process with the environment that ours is given too."""
    from services.trainer.launch import environment

    command = [sys.executable, "-m", "benchmarks.train", "--contender", name, "--model", model, "--steps", str(steps)]
    surroundings = environment() if name == "ours" else {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    run = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{CONTENDERS[name]} failed:\n{run.stderr[-3000:]}")
    figures = json.loads(run.stdout.splitlines()[-1])
    return float(figures["tokens"] / figures["seconds"])


def samples() -> list[tuple[str, str]]:
    """Prompts and completions."""
    from shared.problems.generate import generate
    from shared.prompts import render

    problems = generate("arithmetic", seed=7, count=SAMPLES)
    return [(render("solve", question=one.question), one.solution or "") for one in problems]


def ours(model: str, steps: int) -> dict[str, float]:
    """The trainer's own code, as its process runs it."""
    from services.trainer.job import Event, Job, Sample, Step, write_rows
    from services.trainer.stopping import Stopping
    from services.trainer.training import train

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = [Sample(id=str(n), problem_id=str(n), prompt=p, completion=c) for n, (p, c) in enumerate(samples())]
        write_rows(folder / "rows.jsonl", rows)
        job = Job(
            base=model,
            data=str(folder / "rows.jsonl"),
            output=str(folder / "model"),
            checkpoints=str(folder),
            epochs=steps * BATCH / SAMPLES,
            learning_rate=1e-5,
            batch_size=BATCH,
            max_length=1024,
            warmup_share=0,
            save_steps=10_000,
            seed=0,
        )
        clock: list[float] = []

        def hear(event: Event) -> None:
            if isinstance(event, Step):
                clock.append(time.perf_counter())

        train(job, Stopping(), hear)
        return _timed(clock, _tokens_of_steps(model, job))


def _tokens_of_steps(model: str, job: Any) -> list[int]:
    """Tokens of every step of our schedule."""
    from services.trainer.data import schedule

    lengths = _lengths(model)
    order = schedule(lengths, job.batch_size, job.epochs, job.seed)
    return [sum(lengths[place] for place in order[at : at + BATCH]) for at in range(0, len(order), BATCH)]


def _lengths(model: str) -> list[int]:
    from transformers import AutoTokenizer

    from services.trainer.data import encode, end_tokens
    from services.trainer.job import Sample

    tokenizer = AutoTokenizer.from_pretrained(model)
    ends = end_tokens(tokenizer, None)
    rows = (Sample(id="s", problem_id="s", prompt=prompt, completion=completion) for prompt, completion in samples())
    return [len(encode(tokenizer, row, ends).input_ids) for row in rows]


def _timed(clock: list[float], tokens: list[int]) -> dict[str, float]:
    """Tokens and seconds from the end of step WARM to the end of the last; `clock` has the time of each step's end."""
    return {"tokens": sum(tokens[WARM:]), "seconds": clock[-1] - clock[WARM - 1]}


def bare_trl(model: str, steps: int) -> dict[str, float]:
    """What TRL's documentation shows: a dataset, a model, SFTTrainer."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    class Clock(TrainerCallback):
        ends: list[tuple[float, float]] = []

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.ends.append((time.perf_counter(), state.num_input_tokens_seen))

    chats = [
        {"prompt": [{"role": "user", "content": prompt}], "completion": [{"role": "assistant", "content": completion}]}
        for prompt, completion in samples()
    ]
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder,
            max_steps=steps,
            save_strategy="no",
            include_num_input_tokens_seen="non_padding",
            use_cpu=not torch.cuda.is_available(),  # without a GPU, the default of bf16 is refused unless this is said
        )
        trainer = SFTTrainer(model=model, args=settings, train_dataset=Dataset.from_list(chats), callbacks=[Clock()])
        trainer.train()
    first, last = Clock.ends[WARM - 1], Clock.ends[-1]
    return {"tokens": last[1] - first[1], "seconds": last[0] - first[0]}


def plain_loop(model: str, steps: int) -> dict[str, float]:
    """Forward, backward, step: weights, gradients and moments in one type, the loss over every completion token."""
    import random

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from services.trainer.data import IGNORED, encode, end_tokens
    from services.trainer.job import Sample
    from services.trainer.models import weights

    tokenizer = AutoTokenizer.from_pretrained(model)
    ends = end_tokens(tokenizer, None)
    rows = [encode(tokenizer, Sample(id="s", problem_id="s", prompt=p, completion=c), ends) for p, c in samples()]
    learner = AutoModelForCausalLM.from_pretrained(model, dtype=weights()).train()
    optimizer = torch.optim.AdamW(learner.parameters(), lr=1e-5, fused=True)
    order = random.Random(0).sample(rows, len(rows))
    clock, tokens = [], []
    for step in range(steps):
        batch = order[step * BATCH : (step + 1) * BATCH]
        longest = max(len(row.input_ids) for row in batch)
        ids = torch.tensor([row.input_ids + [tokenizer.pad_token_id] * (longest - len(row.input_ids)) for row in batch])
        labels = torch.tensor([row.labels + [IGNORED] * (longest - len(row.labels)) for row in batch])
        mask = torch.tensor([[1] * len(row.input_ids) + [0] * (longest - len(row.input_ids)) for row in batch])
        learner(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        tokens.append(sum(len(row.input_ids) for row in batch))
        clock.append(time.perf_counter())
    return _timed(clock, tokens)


if __name__ == "__main__":
    main()
