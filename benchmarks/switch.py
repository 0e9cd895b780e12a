"""`make bench-switch`: how long an engine takes to serve another checkpoint of the same architecture, started anew and reloaded.

SmolLM2 and a copy of it with noise in its weights, on whatever vLLM is installed here. Each way is timed once, from the decision to
the end of a short answer, and both engines must give the same greedy answer, not the old one's. The last line is JSON.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from shared.contracts.base import Message
from shared.contracts.models import Sampling
from shared.engines import quickstart
from shared.engines.checkpoints import difference
from shared.engines.local import LocalServer, Plan

QUESTION = [Message(role="user", content="What is the capital of France?")]
GREEDY = Sampling(temperature=0.0, max_tokens=24)
NOISE = """
import sys, torch
from safetensors.torch import load_file, save_file
tensors = load_file(sys.argv[1] + "/model.safetensors")
torch.manual_seed(0)
for tensor in tensors.values():
    if tensor.dim() > 1:
        tensor += (torch.randn(tensor.shape) * 0.12 * tensor.float().std()).to(tensor.dtype)
save_file(tensors, sys.argv[2] + "/model.safetensors", metadata={"format": "pt"})
"""


def changed_copy(folder: Path) -> Path:
    """SmolLM2 with noise in all its matrices. In a child: nothing here needs torch."""
    source = quickstart.quickstart_model()
    for path in source.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    subprocess.run([sys.executable, "-c", NOISE, str(source), str(folder)], check=True)
    if why := difference(source, folder):
        raise SystemExit(f"the copy cannot be loaded over the original: {why}")
    return folder


async def answer(server: LocalServer) -> str:
    """The greedy answer to one question."""
    return (await server.endpoint().chat(QUESTION, sampling=GREEDY)).choices[0].text


async def measure(other: Path) -> dict[str, float | str]:
    """Seconds of each way."""
    server = LocalServer(Plan("one", quickstart.quickstart_model(), max_model_len=512))
    try:
        await server.start()
        engine, old = server.endpoint().engine, await answer(server)
        began = time.perf_counter()
        await server.reload(Plan("other", other, max_model_len=512))
        reloaded = await answer(server)
        reload_seconds = time.perf_counter() - began
        began = time.perf_counter()
    finally:
        await server.stop()  # a part of a restart
    server = LocalServer(Plan("other", other, max_model_len=512))
    try:
        await server.start()
        fresh = await answer(server)
        restart_seconds = time.perf_counter() - began
    finally:
        await server.stop()
    if not fresh == reloaded != old:
        raise SystemExit(f"wrong weights answer: old {old!r}, reloaded {reloaded!r}, started anew {fresh!r}")
    return {"engine": engine, "restart_s": round(restart_seconds, 2), "reload_s": round(reload_seconds, 2)}


def main() -> None:
    """Prints both figures."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(changed_copy(Path(folder))))
    print(f"{found['engine']}, {os.cpu_count()} cores, load {load:.1f} at the start")
    print(f"started anew: {found['restart_s']:6} s from the decision to an answer")
    print(f"reloaded:     {found['reload_s']:6} s")
    print(json.dumps({**found, "load": round(load, 1)}))


if __name__ == "__main__":
    main()
