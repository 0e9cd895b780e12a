"""A change of checkpoint inside a running vLLM server: weights loaded in place, instead of a new process with all its imports.

With `--worker-extension-cls shared.engines.vllm_reload.Worker`, the server's route `POST /reload` (`vllm_routes`) waits for
requests in flight, has every worker load the folder's weights into the model that is there (`reload_weights` of vLLM 0.32,
model_executor/model_loader/reload/inplace.py), forgets the prefix cache (keys and values of other weights are silent poison), and
serves under the new name. vLLM's own routes for this (VLLM_SERVER_DEV_MODE) stay off: they call any method of a worker, and cannot
change the served name.

Whoever asks has made sure that the checkpoints differ in nothing but the numbers in their weights
(`shared.engines.checkpoints`). If it fails, what the weights are is unknown: the answer is 500, and the server has to be ended.
"""

from collections.abc import Callable
from typing import Any


class Worker:
    """What vLLM's workers can do besides: mixed into their class."""

    reload_weights: Callable[..., None]
    get_model: Callable[[], Any]

    def load_checkpoint(self, folder: str) -> None:
        """Loads a folder's weights in place.

        `reload_weights` leaves out a head that is tied to the embedding, for no weights come under its name. Its numbers are new
        all the same, being the embedding's, but on a CPU what computes with them is a packed copy, made when the model was loaded
        (`dispatch_cpu_unquantized_gemm`). Without the last lines here, an old head reads new hidden states, in silence.
        """
        from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead

        self.reload_weights(weights_path=folder)
        for layer in self.get_model().modules():
            if isinstance(layer, ParallelLMHead):
                layer.quant_method.process_weights_after_loading(layer)


async def reload(state: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Loads the weights of `asked["folder"]` into the server whose application has this state, and calls it `asked["model"]`."""
    engine, served = state.engine_client, state.openai_serving_models
    await engine.pause_generation(mode="wait")
    try:
        await engine.collective_rpc("load_checkpoint", args=(asked["folder"],))
        if not await engine.reset_prefix_cache():
            raise RuntimeError("the prefix cache could not be reset: blocks are still held")
        await engine.reset_mm_cache()
        [path] = served.base_model_paths
        path.name, path.model_path = asked["model"], asked["folder"]
    finally:
        await engine.resume_generation()
    return {"model": asked["model"]}
