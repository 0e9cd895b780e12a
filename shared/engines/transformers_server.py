"""transformers' OpenAI-compatible server in vLLM's place, for machines that vLLM cannot be installed on:

    python -m shared.engines.transformers_server FOLDER --name NAME --port PORT ...

It is the server of `transformers serve` 5.19 (https://huggingface.co/docs/transformers/serving), put together from its parts, with
continuous batching. As it comes, continuous batching there takes temperature and top_p of the *first* request for all that follow,
generates on over stop strings, and takes any length of prompt; each is silent (transformers.cli.serving.utils.CBGenerateManager).
Here every request has its own sampling (`per_request_processors`), stops at its stop strings, and is refused if it outgrows the
context. `/v1/models` names our model only, and `/render` gives a chat as the text that the model's template makes of it.

Still missing beside vLLM: prompts of token ids (400), `n` and `logprobs` (ignored), answers in a form, scores. So: text prompts,
one request a choice, and `Endpoint.takes_ids` and `.guides` are False. Requests that share a prefix share its pages of keys and
values. It listens on the loopback only.
"""

import argparse
import asyncio
import importlib.metadata
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.cpu import fast_dtype
from shared.engines.errors import EngineFailed
from shared.gpus import visible_gpus
from shared.settings import settings

if TYPE_CHECKING:
    from shared.engines.local import Plan

PAGE = 32
"""Tokens of a page of keys and values: whole pages are shared by prompts that begin alike."""
BATCH_TOKENS = 2048


def transformers_version() -> tuple[str, bool]:
    """(version, whether it will run on the CPU). Raises EngineFailed if there is none."""
    try:
        version = importlib.metadata.version("transformers")
        torch = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError as error:
        problem = f"{error.name} is not installed here, which `engine: transformers` needs: install the extra `text-engine`"
        raise EngineFailed(problem) from error
    return version, "+cpu" in torch or not visible_gpus()


def transformers_command(plan: "Plan", port: int) -> tuple[list[str], dict[str, str]]:
    """Its command line and additions to the environment. Raises EngineFailed for what it cannot serve."""
    _, cpu = transformers_version()
    if plan.prm:
        raise EngineFailed(f"`{plan.model}`: process reward models (prm: {plan.prm}) are served by vLLM alone: set `engine: vllm`")
    command = [sys.executable, "-m", "shared.engines.transformers_server", str(plan.folder), "--name", plan.model]
    command += ["--port", str(port), "--max-model-len", str(plan.max_model_len or 0)]
    environment = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    if cpu:
        command += ["--device", "cpu", "--kv-gib", str(settings().engine_kv_gib * plan.share)]
        environment["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0)))
        environment["OMP_WAIT_POLICY"] = (
            "passive"  # beside other work, threads that spin while they wait do 2 tokens a second, not 25
        )
    else:
        command += ["--device", "cuda", "--gpu-share", f"{settings().engine_gpu_memory * plan.share:.3f}"]
    return command, environment


def page_bytes(config: dict[str, Any], bytes_per_number: int) -> int:
    """What one page of keys and values takes in all layers together, from a model's config.json."""
    heads = config.get("num_key_value_heads") or config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return int(2 * PAGE * config["num_hidden_layers"] * heads * width * bytes_per_number)


def cut_at(text: str, stops: list[str], keep: bool) -> str | None:
    """The text up to the first of the stop strings (kept, or not), or None if there is none in it."""
    found = [(text.index(stop), stop) for stop in stops if stop in text]
    if not found:
        return None
    place, stop = min(found)
    return text[: place + len(stop) if keep else place]


def build(folder: Path, name: str, device: str, max_len: int, kv_gib: float, gpu_share: float) -> Any:
    """The server as an ASGI application, its model loaded. Imports torch: for the child process."""
    import torch
    from fastapi import Body, HTTPException
    from transformers import ContinuousBatchingConfig, GenerationConfig
    from transformers.cli.serving.chat_completion import ChatCompletionHandler
    from transformers.cli.serving.completion import CompletionHandler, TransformersTextCompletionCreateParams
    from transformers.cli.serving.model_manager import ModelManager
    from transformers.cli.serving.response import ResponseHandler
    from transformers.cli.serving.server import build_server
    from transformers.cli.serving.transcription import TranscriptionHandler
    from transformers.cli.serving.utils import CBGenerateManager, CBWorkerDeadError, GenerationState
    from transformers.generation.continuous_batching import cb_logits_processors as processors
    from transformers.utils import logging

    class OneModel(ModelManager):  # type: ignore[misc]
        """One model, known by our name for it."""

        @staticmethod
        def process_model_name(model_id: str) -> str:
            return f"{folder}@main"

        @staticmethod
        def get_gen_models(cache_dir: str | None = None) -> list[dict[str, Any]]:
            return [{"id": name, "object": "model", "owned_by": "longthought"}]

    class Temperature(processors.ContinuousBatchingTemperatureLogitsWarper):  # type: ignore[misc]
        """Temperatures by request; 0 leaves the likeliest token alone."""

        def __call__(self, scores: Any, tensor_arg: Any) -> Any:
            temperatures = tensor_arg[: scores.size(0)].view(dtype=torch.float32).unsqueeze(-1)
            greedy = torch.full_like(scores, -torch.inf).scatter_(-1, scores.argmax(-1, keepdim=True), 0.0)
            return torch.where(temperatures == 0, greedy, scores / temperatures.where(temperatures > 0, 1.0))

    class TopP(processors.ContinuousBatchingTopPLogitsWarper):  # type: ignore[misc]
        """top_p by request; where none asks for it, the vocabulary is not sorted."""

        def __call__(self, scores: Any, tensor_arg: Any) -> Any:
            if bool((tensor_arg[: scores.size(0)].view(dtype=torch.float32) >= 1).all()):
                return scores
            return super().__call__(scores, tensor_arg)

    class Batching(CBGenerateManager):  # type: ignore[misc]
        """Continuous batching in which every request keeps its own sampling and stop strings."""

        _cb: Any

        def init_cb(self, model: Any, gen_config: Any) -> None:
            if self._cb is not None:
                return
            # neutral but for what makes both processors be there; each request brings its own values
            shared = GenerationConfig(do_sample=True, temperature=0.5, top_p=0.5, top_k=0, max_new_tokens=16, use_cache=False)
            shared.eos_token_id = model.generation_config.eos_token_id
            self._cb = model.init_continuous_batching(generation_config=shared, continuous_batching_config=self._cb_config)
            ours = {
                processors.ContinuousBatchingTemperatureLogitsWarper: Temperature,
                processors.ContinuousBatchingTopPLogitsWarper: TopP,
            }
            found = self._cb.logit_processor.logits_processor
            if {type(one) for one in found} != set(ours):
                raise RuntimeError(f"expected the processors of temperature and top_p alone, found {found}")
            for one in found:
                one.__class__ = ours[type(one)]
            self._cb.start()

        async def generate_non_streaming(
            self, model: Any, processor: Any, inputs: Any, gen_config: Any, request_id: str
        ) -> tuple[str, int, list[int]]:
            batching, prompt = self._cb, inputs["input_ids"]
            if len(prompt) + gen_config.max_new_tokens > max_len:
                raise HTTPException(
                    400,
                    f"maximum context length is {max_len} tokens; {len(prompt)} of the prompt and {gen_config.max_new_tokens} "
                    "of the answer were asked for",
                )
            self._check_alive(request_id)
            stops = gen_config.stop_strings or []
            stops = [stops] if isinstance(stops, str) else stops
            done: asyncio.Future[tuple[Any, str]] = asyncio.get_running_loop().create_future()

            def hear(output: Any) -> None:
                if done.done():
                    return
                text = processor.decode(output.generated_tokens, skip_special_tokens=True)
                cut = cut_at(text, stops, getattr(gen_config, "keep_stop", False))
                if cut is not None and not output.is_finished():
                    batching.cancel_request(request_id)
                if cut is not None or output.error is not None or output.is_finished():
                    done.set_result((output, text if cut is None else cut))

            batching.register_result_handler(request_id, hear)
            batching.add_request(
                prompt,
                request_id=request_id,
                max_new_tokens=gen_config.max_new_tokens,
                eos_token_id=gen_config.eos_token_id,
                streaming=True,
                temperature=float(1.0 if gen_config.temperature is None else gen_config.temperature),
                top_p=float(1.0 if gen_config.top_p is None else gen_config.top_p),
            )
            output, text = await done
            if output.error is not None:
                dead = batching.background_thread_status.fatal_error is not None
                raise (CBWorkerDeadError if dead else RuntimeError)(f"generation of {request_id} failed: {output.error}")
            return text, len(prompt), list(output.generated_tokens)

    class State(GenerationState):  # type: ignore[misc]
        _cb_manager: Any

        def get_manager(self, model_id: str, use_cb: bool = False) -> Any:
            if not use_cb:
                raise RuntimeError(f"{name}: transformers cannot batch this architecture continuously")
            self._cb_manager = self._cb_manager or Batching(cb_config=self._cb_config)
            return self._cb_manager

    class Params(TransformersTextCompletionCreateParams, total=False):  # type: ignore[misc, call-arg]
        include_stop_str_in_output: bool

    class Completions(CompletionHandler):  # type: ignore[misc]
        """Also takes vLLM's `include_stop_str_in_output`."""

        _valid_params_class = Params

        def _build_generation_config(self, body: dict[str, Any], model_generation_config: Any, use_cb: bool = False) -> Any:
            config = super()._build_generation_config(body, model_generation_config, use_cb=use_cb)
            config.keep_stop = bool(body.get("include_stop_str_in_output"))
            return config

    logging.set_verbosity_error()  # it warns of every request
    manager = OneModel(device=device, force_model=name, dtype="auto" if device != "cpu" else fast_dtype())
    model, processor = manager.load_model_and_processor(manager.process_model_name(name))
    tokenizer = getattr(processor, "tokenizer", processor)
    config = json.loads((folder / "config.json").read_text())
    config = config.get("text_config", config)
    known = int(config.get("max_position_embeddings") or 0)
    max_len = max_len or known or 2048
    if known and max_len > known:
        raise SystemExit(f"{name} knows {known} positions: max_model_len {max_len} is too much")
    chosen: dict[str, Any] = {"page_size": PAGE, "max_batch_tokens": BATCH_TOKENS, "per_request_processors": True}
    if kv_gib:
        pages = int(kv_gib * 2**30) // page_bytes(config, model.dtype.itemsize)
        chosen |= {"num_blocks": max(pages, -(-max_len // PAGE) + 1)}
    else:
        chosen |= {"max_memory_percent": gpu_share}
    state = State(continuous_batching=True, cb_config=ContinuousBatchingConfig(**chosen))
    app = build_server(
        manager,
        ChatCompletionHandler(manager, state),
        completion_handler=Completions(manager, state),
        response_handler=ResponseHandler(manager, state),
        transcription_handler=TranscriptionHandler(manager, state),
        generation_state=state,
    )
    # what completions put before every text: a rendered chat that has it already must not get it twice
    first = tokenizer.decode(tokenizer("")["input_ids"])

    @app.post("/render")  # type: ignore[untyped-decorator]
    def render(messages: list[dict[str, str]] = Body(embed=True)) -> dict[str, str]:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return {"text": text.removeprefix(first) if first else text}

    return app


def main() -> None:
    """Serves until it is told to end."""
    import uvicorn

    parser = argparse.ArgumentParser(description="Serves one model on the loopback.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--max-model-len", type=int, default=0)
    parser.add_argument("--kv-gib", type=float, default=0.0, help="memory for keys and values; 0: by --gpu-share")
    parser.add_argument("--gpu-share", type=float, default=0.9)
    told = parser.parse_args()
    app = build(told.folder, told.name, told.device, told.max_model_len, told.kv_gib, told.gpu_share)
    uvicorn.run(app, host="127.0.0.1", port=told.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
