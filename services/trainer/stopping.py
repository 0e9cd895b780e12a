"""Whether a training was told to stop. Imports torch only when it is asked: the signal handler stands before that."""


class Stopping:
    """Set by a signal handler, read after every step."""

    def __init__(self) -> None:
        self._told = False

    def tell(self) -> None:
        """Asks for a stop after the step in hand."""
        self._told = True

    def everywhere(self) -> bool:
        """Whether any process of the training was told: all must stop after the same step. Every process must call it as often."""
        import torch
        from torch import distributed

        if not distributed.is_initialized():
            return self._told
        flag = torch.tensor(int(self._told), device="cuda" if distributed.get_backend() == "nccl" else "cpu")
        distributed.all_reduce(flag, op=distributed.ReduceOp.MAX)
        return bool(flag.item())
