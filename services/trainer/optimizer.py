"""AdamW for bf16 weights, with a master copy and moments in fp32.

bf16 keeps 8 bits of a number: an update smaller than 1/256 of a weight is lost, and so is the decay of the second moment (0.1% a
step). The master copy keeps them; the model's own bf16 weights are its rounding. Costs 12 bytes a parameter. Weights that are fp32
themselves are their own master (8 bytes): so a training that began in one type goes on in the other.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch.optim.adamw import adamw
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.optimizer import Optimizer


class MasterAdamW(Optimizer):  # type: ignore[misc]
    """AdamW (Loshchilov and Hutter, 2019) on fp32 copies of the parameters; gradients may be of any type."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient."""
        if closure is not None:
            raise NotImplementedError("AdamW evaluates no closure")
        for group in self.param_groups:
            live = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not live:  # an adapter has no biases
                continue
            states = [self._state_of(parameter) for parameter in live]
            masters = [state["master"] for state in states]
            adamw(
                masters,
                [parameter.grad.float() for parameter in live],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=True,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )
            for parameter, master in zip(live, masters, strict=True):  # one by one: sharded tensors know no foreach copy
                if parameter.dtype != master.dtype:
                    parameter.copy_(master)
        return None

    def _state_of(self, parameter: torch.Tensor) -> dict[str, torch.Tensor]:
        state: dict[str, torch.Tensor] = self.state[parameter]
        if not state:
            state["master"] = parameter.detach().float().clone()
            state["exp_avg"] = torch.zeros_like(state["master"])
            state["exp_avg_sq"] = torch.zeros_like(state["master"])
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        if parameter.dtype == torch.float32:
            state["master"] = parameter.detach()  # every time: a parameter's tensor may have been replaced
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, but the state stays in fp32: torch's own casts it to the parameters' type."""
        super().load_state_dict(state_dict)
        parameters = [parameter for group in self.param_groups for parameter in group["params"]]
        saved = [number for group in state_dict["param_groups"] for number in group["params"]]
        for parameter, number in zip(parameters, saved, strict=True):
            if number in state_dict["state"]:
                state = state_dict["state"][number]
                self.state[parameter] = {key: value.to(parameter.device, copy=True) for key, value in state.items()}
                if parameter.dtype == torch.float32:  # the master has digits that weights saved beside it may not have
                    parameter.data.copy_(state["master"])


def linear_schedule(trainer: Any) -> Callable[..., LambdaLR]:
    """`create_scheduler` for a trainer: linear warm-up and decay.

    transformers' own has a first step at learning rate 0: one of few, in a short training.
    """

    def create_scheduler(num_training_steps: int, optimizer: Optimizer | None = None) -> LambdaLR:
        warmup: int = trainer.args.get_warmup_steps(num_training_steps)

        def rate(step: int) -> float:
            return min((step + 1) / (warmup + 1), (num_training_steps - step) / (num_training_steps - warmup))

        trainer.lr_scheduler = LambdaLR(trainer.optimizer if optimizer is None else optimizer, rate)
        trainer._created_lr_scheduler = True
        return trainer.lr_scheduler

    return create_scheduler
