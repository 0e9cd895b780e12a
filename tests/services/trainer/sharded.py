"""Trains a small net by our optimiser: `python -m tests.services.trainer.sharded [RANK MEETING]` prints the losses.

With a rank (0 or 1) it is one of two processes of a gloo group, which meet in the file MEETING, and its weights are sharded.
"""

import json
import sys

import torch
from torch import distributed
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict, set_optimizer_state_dict
from torch.distributed.fsdp import fully_shard

from services.trainer.optimizer import MasterAdamW

STEPS, RELOAD = 5, 3


def net() -> torch.nn.Module:
    torch.manual_seed(0)
    layers = torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4, bias=False)
    return torch.nn.Sequential(*layers).to(torch.bfloat16)


def main() -> None:
    several = len(sys.argv) > 1
    model = net()
    if several:
        distributed.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=int(sys.argv[1]), world_size=2)
        for layer in model:
            if list(layer.parameters()):
                fully_shard(layer)
        fully_shard(model)
    optimizer = MasterAdamW(model.parameters(), lr=1e-2)
    inputs = torch.randn(6, 8, generator=torch.Generator().manual_seed(1)).to(torch.bfloat16)
    losses = []
    for step in range(STEPS):
        if step == RELOAD:  # as a resume does
            state = get_optimizer_state_dict(model, optimizer)
            optimizer = MasterAdamW(model.parameters(), lr=1e-2)
            set_optimizer_state_dict(model, optimizer, state)
        loss = model(inputs).float().pow(2).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    if not several or distributed.get_rank() == 0:
        print(json.dumps(losses))
    if several:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
