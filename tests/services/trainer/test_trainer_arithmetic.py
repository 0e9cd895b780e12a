"""The loss and the optimiser against torch's own."""

import pytest
import torch
from torch.nn import functional

from services.trainer.loss import SummedCrossEntropy, plain_head, score_loss_tokens
from services.trainer.optimizer import MasterAdamW


@pytest.mark.parametrize("count", [0, 1, 128, 300])
def test_cross_entropy_and_its_gradients_are_torchs(count):
    torch.manual_seed(0)
    hidden = torch.randn(count, 16, requires_grad=True)
    weight = torch.randn(50, 16, requires_grad=True)
    targets = torch.randint(50, (count,))
    ours = SummedCrossEntropy.apply(hidden, weight, targets)
    gradients = torch.autograd.grad(ours * 0.5, [hidden, weight])
    theirs = functional.cross_entropy(hidden @ weight.t(), targets, reduction="sum")
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(gradients, torch.autograd.grad(theirs * 0.5, [hidden, weight]), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-5, rtol=1e-5)


def test_scoring_loss_tokens_gives_the_models_own_loss(tiny_model):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    ids = torch.randint(250, (3, 20))
    labels = ids.clone()
    labels[:, :7] = -100
    labels[1, 15:] = -100
    theirs = model(input_ids=ids, labels=labels, use_cache=False).loss
    assert plain_head(model)
    score_loss_tokens(model)
    ours = model(input_ids=ids, loss_labels=labels) / (labels[:, 1:] != -100).sum()
    torch.testing.assert_close(ours, theirs)
    assert model(input_ids=ids).logits.shape == (3, 20, model.config.vocab_size), (
        "without loss labels the forward is the model's own"
    )


def stepped(optimizer_class, dtype: torch.dtype, steps: int = 200) -> torch.Tensor:
    parameter = torch.nn.Parameter(torch.ones(4, dtype=dtype))
    optimizer = optimizer_class([parameter], lr=1e-4, weight_decay=0.0)
    for _ in range(steps):
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    return parameter.detach().float()


def test_updates_too_small_for_bf16_are_not_lost():
    exact = stepped(torch.optim.AdamW, torch.float32)
    torch.testing.assert_close(exact, torch.full((4,), 0.98), atol=1e-4, rtol=0)
    assert torch.equal(stepped(torch.optim.AdamW, torch.bfloat16), torch.ones(4)), "in pure bf16 nothing at all is learned"
    torch.testing.assert_close(stepped(MasterAdamW, torch.bfloat16), exact, atol=1 / 256, rtol=0)


def test_fp32_weights_are_their_own_master_and_learn_as_torchs():
    assert torch.equal(stepped(MasterAdamW, torch.float32), stepped(torch.optim.AdamW, torch.float32))
    parameter = torch.nn.Parameter(torch.ones(4))
    parameter.grad = torch.ones(4)
    optimizer = MasterAdamW([parameter], lr=1e-3)
    optimizer.step()
    assert optimizer.state[parameter]["master"].data_ptr() == parameter.data_ptr()


@pytest.mark.parametrize(("saved", "loaded"), [("bfloat16", "float32"), ("float32", "bfloat16"), ("float32", "float32")])
def test_the_optimisers_state_moves_between_types(saved, loaded):
    """The master's digits are what counts, not those of the weights that were saved beside it."""
    torch.manual_seed(0)
    mine, theirs = (torch.nn.Parameter(torch.ones(5, dtype=getattr(torch, name))) for name in (saved, loaded))
    optimizer, other = MasterAdamW([mine], lr=1e-4), MasterAdamW([theirs], lr=1e-4)
    for one in (optimizer, other):
        for parameter in one.param_groups[0]["params"]:
            parameter.grad = torch.randn_like(parameter)
        if one is optimizer:
            one.step()
    other.load_state_dict(optimizer.state_dict())
    gradient = torch.randn(5, dtype=torch.bfloat16)
    for one, parameter in ((optimizer, mine), (other, theirs)):
        parameter.grad = gradient.to(parameter.dtype)
        one.step()
    assert torch.equal(optimizer.state[mine]["master"], other.state[theirs]["master"])
    assert torch.equal(theirs, other.state[theirs]["master"].to(theirs.dtype))


def test_the_optimisers_state_survives_saving_in_fp32():
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(5, dtype=torch.bfloat16)) for _ in range(3)]
    optimizer = MasterAdamW(parameters, lr=1e-3)
    for parameter in parameters[:2]:  # the third never has a gradient
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    other = MasterAdamW([torch.nn.Parameter(parameter.detach().clone()) for parameter in parameters], lr=1.0)
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["lr"] == 1e-3
    for mine, theirs in zip(optimizer.param_groups[0]["params"], other.param_groups[0]["params"], strict=True):
        assert optimizer.state[mine].keys() == other.state[theirs].keys()
        for key, value in optimizer.state[mine].items():
            assert other.state[theirs][key].dtype is torch.float32
            assert torch.equal(value, other.state[theirs][key])
