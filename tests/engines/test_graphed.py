"""Test that a recorded network trains like the network itself."""

from copy import deepcopy

import pytest
import torch
from planewise.engines import AutocastInferer, graphed
from planewise.errors import InputError
from planewise.networks import place_network
from torch import nn


def network() -> nn.Module:
    torch.manual_seed(3)
    made = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 3))
    made.unused = nn.Parameter(torch.ones(2))
    return made


def batches(device: str) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(7)
    return [torch.rand(size, 1, 8, 8, generator=draw).to(device) for size in (4, 4, 3, 4, 4, 4)]


def trained(made: nn.Module, device: str) -> list[torch.Tensor]:
    """Weights and buffers after a few steps: one with another size of batch, one with two calls, one whose gradients add to
    those of the step before, one with a frozen layer, and a validation."""
    made = made.to(device).train()
    inferer, optimizer = AutocastInferer(device != "cpu"), torch.optim.Adam(made.parameters(), 0.01)
    torch.manual_seed(11)
    for number, batch in enumerate(batches(device)):
        if number != 3:
            optimizer.zero_grad()
        loss = inferer(batch, made).square().mean() + made[0].weight.abs().sum()
        if number == 1:
            loss = loss + inferer(batch.flip(-1), made).square().mean()
        loss.backward()
        optimizer.step()
        if number == 3:
            made[0].requires_grad_(False)
            made[1].eval()
            with torch.no_grad():
                inferer(batch, made)
    return [values.detach().cpu() for values in made.state_dict().values()]


@pytest.fixture
def replays(monkeypatch) -> list[torch.Size]:
    """Graphs on the CPU: like `torch.cuda.make_graphed_callables`, the stand-in first runs the network three times, its
    output and gradients lie in fixed memory, and it gets the shapes of what is replayed."""
    shapes = []

    def recorded(made, samples, allow_unused_input):
        weights = [weight for weight in made.parameters() if weight.requires_grad]
        for _ in range(3):
            output = made(*samples)
            torch.autograd.grad(output, weights, torch.ones_like(output), allow_unused=allow_unused_input)
        memory = [torch.empty_like(weight) for weight in weights]

        class Replayed(torch.autograd.Function):
            @staticmethod
            def forward(ctx, image, *_):
                shapes.append(image.shape)
                with torch.enable_grad():
                    ctx.output = made(image)
                return output.data.copy_(ctx.output)

            @staticmethod
            def backward(ctx, gradient):
                found = torch.autograd.grad(ctx.output, weights, gradient, allow_unused=True)
                return None, *(
                    None if each is None else room.copy_(each).detach()
                    for each, room in zip(found, memory, strict=True)
                )

        return lambda image: Replayed.apply(image, *weights)

    monkeypatch.setattr(graphed, "KINDS", ("cpu",))
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", recorded)
    return shapes


def test_a_recorded_network_trains_alike(replays):
    plain, own = network(), network()
    own.cuda_graphs = True
    expected = trained(plain, "cpu")
    assert not replays
    for one, other in zip(expected, trained(own, "cpu"), strict=True):
        assert torch.equal(one, other)
    assert replays == [torch.Size([4, 1, 8, 8])] * 4
    assert list(deepcopy(own).state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize("change", [lambda made: made[1].eval(), lambda made: made[0].requires_grad_(False)])
def test_a_change_to_layers_is_recorded_again(replays, monkeypatch, change):
    record, recorded = torch.cuda.make_graphed_callables, []
    monkeypatch.setattr(
        torch.cuda, "make_graphed_callables", lambda *given, **by: recorded.append(1) or record(*given, **by)
    )
    own, inferer = network(), AutocastInferer()
    own.cuda_graphs = True
    for number in range(4):
        if number == 2:
            change(own)
        own.zero_grad()
        inferer(torch.rand(4, 1, 8, 8), own).mean().backward()
    assert len(replays) == 4 and len(recorded) == 2


@pytest.mark.gpu
def test_a_recorded_network_trains_alike_on_a_gpu():
    plain, own = network(), place_network(network(), "cuda:0", channels_last=False, compiled="cuda_graphs")
    for one, other in zip(trained(plain, "cuda:0"), trained(own, "cuda:0"), strict=True):
        assert torch.equal(one, other)


def test_what_cannot_be_recorded_is_refused(monkeypatch):
    with pytest.raises(InputError, match="--compile cuda_graphs needs an NVIDIA GPU, but the device is cpu; leave"):
        place_network(network(), "cpu", compiled="cuda_graphs")
    own = network()
    own.cuda_graphs = True
    monkeypatch.setattr(graphed, "KINDS", ("cpu",))

    def fails(*_, **__):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fails)
    with pytest.raises(InputError, match=r"cannot record this network \(operation not permitted .* capturing\); leave"):
        AutocastInferer()(torch.rand(1, 1, 8, 8), own)
