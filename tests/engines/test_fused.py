"""Test the fused optimizer step on a CPU, in place of a GPU."""

from __future__ import annotations

import copy

import pytest
import torch
from planewise.engines import fused
from planewise.engines.fused import fuse


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    # the gradient of a bias before a normalisation is pure rounding error, which Adam scales up to full steps
    first = torch.nn.Conv2d(1, 3, 3, bias=False)
    return torch.nn.Sequential(first, torch.nn.BatchNorm2d(3), torch.nn.Conv2d(3, 2, 3))


def learn(net: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(2, 1, 8, 8, generator=generator)).square().mean().backward()
        optimizer.step()
    return [weight.detach().clone() for weight in net.parameters()]


def kernels(net: torch.nn.Module, optimizer: torch.optim.Optimizer) -> set[str]:
    """Names of the operations that a step calls."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        learn(net, optimizer, 1)
    return {event.key for event in profile.key_averages()}


def test_a_processor_steps_as_before():
    plain, other = network(), network()
    first, second = (torch.optim.Adam(net.parameters()) for net in (plain, other))
    fuse(second)
    assert second.param_groups[0]["fused"] is None
    assert all(map(torch.equal, learn(plain, first, 3), learn(other, second, 3)))


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_a_fused_step_learns_the_same(kind, monkeypatch):
    plain, other = network(), network()
    first, second = (kind(net.parameters(), lr=0.01, weight_decay=1e-3) for net in (plain, other))
    monkeypatch.setattr(fused, "KINDS", ("cpu",))
    fuse(second)
    assert any("fused_adam" in name for name in kernels(other, second))
    assert not any("fused_adam" in name for name in kernels(plain, first))
    for expected, found in zip(learn(plain, first, 3), learn(other, second, 3), strict=True):
        assert torch.allclose(expected, found, atol=1e-5)


@pytest.mark.parametrize(("before", "after"), [(("cpu",), ()), ((), ("cpu",))], ids=["from a GPU", "from a processor"])
def test_a_checkpoint_of_another_kind_of_device_goes_on(before, after, monkeypatch):
    whole, begun = network(), network()
    expected = learn(whole, torch.optim.Adam(whole.parameters()), 4)
    monkeypatch.setattr(fused, "KINDS", before)
    optimizer = torch.optim.Adam(begun.parameters())
    fuse(optimizer)
    generator = torch.Generator().manual_seed(1)
    batches = [torch.randn(2, 1, 8, 8, generator=generator) for _ in range(4)]
    for number, batch in enumerate(batches):
        if number == 2:
            state = copy.deepcopy(optimizer.state_dict())
            monkeypatch.setattr(fused, "KINDS", after)
            optimizer = torch.optim.Adam(begun.parameters())
            optimizer.load_state_dict(state)
            fuse(optimizer)
            assert optimizer.param_groups[0]["fused"] is (True if after else None)
        optimizer.zero_grad()
        begun(batch).square().mean().backward()
        optimizer.step()
    for one, other in zip(expected, begun.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_counts_of_steps_follow_the_weights(monkeypatch):
    """A fused kernel reads the counts on the device."""
    weight = torch.nn.Parameter(torch.empty(3, device="meta"))
    optimizer = torch.optim.Adam([weight])
    optimizer.state[weight]["step"] = torch.tensor(4.0)
    monkeypatch.setattr(fused, "KINDS", ("meta",))
    fuse(optimizer)
    assert optimizer.state[weight]["step"].device.type == "meta" and optimizer.param_groups[0]["fused"] is True


def test_an_optimizer_without_a_fused_step_is_left_alone():
    optimizer = torch.optim.RMSprop(network().parameters())
    groups = copy.deepcopy([list(group) for group in optimizer.param_groups])
    fuse(optimizer)
    assert [list(group) for group in optimizer.param_groups] == groups
