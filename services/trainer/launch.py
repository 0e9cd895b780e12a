"""The training process as the worker holds it: started under `accelerate launch`, heard, and stopped in order when cancelled."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from services.trainer.checkpoints import full_disk
from services.trainer.job import Done, Event, Failed, Job, Refused, parse_event
from services.trainer.sinks import places
from shared.engines.supervise import supervised
from shared.gpus import visible_gpus
from shared.settings import settings
from shared.work.registry import Hopeless

log = structlog.get_logger()

GRACE_SECONDS = 540.0
"""How long a training may take to finish its step and save a checkpoint once it is told to stop: 7 billion weights with master copy
and moments are 100 GB. Less than what containers are given to end (k8s/, docker-compose.yml)."""
ON_CPU = {
    # glibc gives every large tensor fresh pages and takes them back; zeroing them costs a sixth of a step. So: keep them.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(64 << 30),
    # Threads that wait for each other by spinning fight with whatever else runs: four times the CPU time on a loaded machine.
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Environment that makes training on a CPU faster (measured on 2 cores, torch 2.13)."""


class TrainingFailed(Exception):
    """The training process ended without a model; the message holds the end of its log."""


def command(job_file: Path, job: Job) -> list[str]:
    """`accelerate launch` with everything said, so that a configuration file of the user's home changes nothing."""
    options = ["--num_processes", str(job.processes), "--num_machines", "1", "--dynamo_backend", "no", "--main_process_port", "0"]
    options += ["--num_cpu_threads_per_process", str(max(1, len(os.sched_getaffinity(0)) // job.processes))]
    if job.accelerate:
        options += ["--config_file", str(accelerate_file(job.accelerate))]
    else:
        options += ["--mixed_precision", "no", *(["--multi_gpu"] if job.processes > 1 else [])]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--quiet", *options]
    return [*launcher, "-m", "services.trainer.train", str(job_file)]


def accelerate_file(name: str) -> Path:
    """The accelerate configuration of this name, whether it is there or not."""
    folder = settings().accelerate_dir or Path(__file__).parents[2] / "recipes" / "accelerate"
    return folder.expanduser() / f"{name}.yaml"


def environment(processes: int = 1) -> dict[str, str]:
    """The process's environment: models are local folders by now, so no hub is asked.

    One process sees one GPU: transformers would give it all of them, and as many times the batch.
    """
    fixed = {**places(), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    fixed["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(round(GRACE_SECONDS))  # or it kills several processes after 30 s
    gpus = visible_gpus()
    if not gpus:
        fixed |= {"ACCELERATE_USE_CPU": "true", **ON_CPU}
    elif processes == 1:
        fixed["CUDA_VISIBLE_DEVICES"] = gpus[0]
    return {**os.environ, **fixed}


async def run(job: Job, job_file: Path, log_file: Path, hear: Callable[[Event], Awaitable[None]]) -> Done:
    """Runs a job to its end; every event goes to `hear`. Whatever ends this coroutine ends the process first.

    Raises Hopeless if the process refuses the model or the data, TrainingFailed if it ends in any other way without a model.
    """
    await asyncio.to_thread(job_file.write_text, job.model_dump_json(indent=2))
    with log_file.open("ab") as stderr:
        process = await asyncio.create_subprocess_exec(
            *supervised(command(job_file, job), grace=GRACE_SECONDS),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            env=environment(job.processes),
            start_new_session=True,
            limit=1 << 22,
        )
    done = refused = failed = None
    assert process.stdout
    try:
        async for line in process.stdout:
            event = parse_event(line)
            if event is None:
                continue
            await hear(event)
            done = event if isinstance(event, Done) else done
            refused = event if isinstance(event, Refused) else refused
            failed = event if isinstance(event, Failed) else failed
        code = await process.wait()
    finally:
        await asyncio.shield(asyncio.create_task(stop(process)))
    if refused:
        raise Hopeless(refused.message)
    if failed:
        raise TrainingFailed(failed.message)
    if done is None or code:
        ended = f"the training process ended with code {code} and no model"
        if full := full_disk(None, Path(job.output).parent, Path(job.checkpoints)):  # it may have been killed by that
            raise TrainingFailed(f"{full}; {ended}")
        raise TrainingFailed(f"{ended}: {tail(log_file)}")
    return done


async def stop(process: asyncio.subprocess.Process) -> None:
    """Ends a training and all its processes: its supervisor asks by SIGTERM, waits for the checkpoint, then kills."""
    if process.returncode is None:
        process.terminate()
    assert process.stdin and process.stdout
    process.stdin.close()
    while await process.stdout.read(1 << 16):
        continue  # a full pipe would hold the training up
    await process.wait()


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]).strip() or "(its log is empty)"
