"""Cross-entropy on the loss tokens alone, for CPUs.

TRL's fused head scores every position where it has no Triton, and recomputes the logits in fp32 in the backward pass. On two cores
that is most of a small model's time. Here the head sees only positions that have a label, a slice at a time that fits the cache,
and the gradient of the logits is made in the same pass.
"""

import types
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from services.trainer.data import IGNORED

SLICE = 128
"""Positions scored at once: 128 x 49,152 logits in fp32 are 25 MB."""

CHANGES_LOGITS = (
    "final_logit_softcapping",
    "logit_scale",
    "output_multiplier",
    "lm_head_multiplier",
    "logits_scaling",
    "router_aux_loss_coef",
)
"""Settings of models whose logits (or loss) are more than a product; TRL's own head knows them (its `add_fused_lm_head`)."""


class SummedCrossEntropy(torch.autograd.Function):  # type: ignore[misc]
    """Sum over positions of -log p(target), for logits = hidden @ weight.T."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """hidden (N, H) and weight (V, H) of one type, targets (N,) -> scalar in fp32, in nats."""
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty((hidden.shape[0], weight.shape[0]), dtype=hidden.dtype, device=hidden.device)
        for start in range(0, hidden.shape[0], SLICE):
            part = slice(start, start + SLICE)
            logits = (hidden[part] @ weight.t()).float()
            target = targets[part, None]
            log_z = torch.logsumexp(logits, dim=-1, keepdim=True)
            total += (log_z - logits.gather(1, target)).sum()
            softmax = logits.sub_(log_z).exp_()
            gradient[part] = softmax.scatter_add_(1, target, softmax.new_full(target.shape, -1.0))
        ctx.save_for_backward(hidden, weight, gradient)
        return total

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Both products take the gradient of the logits in the weights' type, as autograd's would."""
        hidden, weight, gradient = ctx.saved_tensors
        gradient = gradient * scale.to(gradient.dtype)
        return gradient @ weight, gradient.t() @ hidden, None


def score_loss_tokens(model: Any) -> None:
    """Gives a causal language model's forward a `loss_labels` argument: with it, it returns the summed loss instead of logits.

    Part of the forward, not of the trainer, so that wrappers (DDP) see one call. Only for models with a `plain_head`.
    """
    original = model.forward

    def forward(self: Any, *args: Any, loss_labels: torch.Tensor | None = None, **kwargs: Any) -> Any:
        if loss_labels is None:
            return original(*args, **kwargs)
        hidden = self.base_model(*args, **kwargs, use_cache=False).last_hidden_state[:, :-1]
        targets = loss_labels[:, 1:]
        scored = targets != IGNORED
        return SummedCrossEntropy.apply(hidden[scored], self.get_output_embeddings().weight, targets[scored])

    model.forward = types.MethodType(forward, model)


def plain_head(model: Any) -> bool:
    """Whether the logits are hidden @ weight.T and nothing else (no bias, scale or cap)."""
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    plain = head is not None and getattr(head, "bias", None) is None
    return plain and not any(getattr(config, name, None) for name in CHANGES_LOGITS)
