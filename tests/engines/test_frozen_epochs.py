"""Test that frozen layers stay fixed, including batch statistics, and that the optimiser then continues unchanged."""

from __future__ import annotations

import copy

import pytest
import torch
from ignite.engine import Engine, Events
from planewise.engines import FrozenEpochsHandler
from planewise.errors import InputError
from planewise.networks import ResidualDecoder, ResidualEncoder, SliceNet

FEATURES = (2, 4)


def network() -> SliceNet:
    torch.manual_seed(0)
    return SliceNet(ResidualEncoder(FEATURES), ResidualDecoder(FEATURES), num_maps=2, spatial_dims=3)


def run(net: SliceNet, optimizer, epochs: int, handler: FrozenEpochsHandler, first: int = 0) -> list[dict]:
    """Two steps per epoch; returns the network's state after each epoch."""
    kept = []

    def step(engine, batch):
        torch.manual_seed(engine.state.epoch * 10 + batch)
        net.train()
        optimizer.zero_grad()
        net(torch.randn(2, 1, 4, 4, 4)).square().mean().backward()
        optimizer.step()

    engine = Engine(step)
    engine.network = net
    handler.attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: kept.append(copy.deepcopy(net.state_dict())))
    engine.state.epoch = first
    engine.state.max_epochs = epochs
    for epoch in range(first + 1, epochs + 1):
        engine.state.epoch = epoch
        engine.fire_event(Events.EPOCH_STARTED)
        for batch in range(2):
            step(engine, batch)
        engine.fire_event(Events.EPOCH_COMPLETED)
    return kept


def encoder(state: dict) -> dict:
    return {name: value for name, value in state.items() if name.startswith("encoder.")}


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_nothing_of_the_encoder_moves_until_it_is_released():
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), 0.01, weight_decay=0.1)
    before = copy.deepcopy(net.state_dict())
    kept = run(net, optimizer, 4, FrozenEpochsHandler(net, 2, "weights.pt"))
    assert any("running_mean" in name for name in encoder(before))
    for state in kept[:2]:
        assert same(encoder(state), encoder(before))
    assert not same({k: v for k, v in kept[0].items() if k.startswith("decoder.")}, before)
    after = encoder(kept[2])
    moved = [name for name, value in after.items() if not torch.equal(value, before[name])]
    assert len(moved) == len(after), "weights and batch statistics have changed"


def test_the_optimiser_keeps_what_it_knows():
    """The result equals that of two optimisers. At first, Adam updates only the decoder; later it updates both parts, each
    with its own step count.
    """
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    run(net, optimizer, 3, FrozenEpochsHandler(net, 2, "weights.pt"))
    steps = {name: int(optimizer.state[value]["step"]) for name, value in net.named_parameters()}
    assert {steps[name] for name in steps if name.startswith("encoder.")} == {2}
    assert {steps[name] for name in steps if not name.startswith("encoder.")} == {6}

    by_hand = network()
    frozen, free = by_hand.encoder, [*by_hand.decoder.parameters(), *by_hand.head.parameters()]
    of_decoder, of_encoder = torch.optim.Adam(free, 0.01), torch.optim.Adam(frozen.parameters(), 0.01)
    for epoch in range(1, 4):
        for batch in range(2):
            torch.manual_seed(epoch * 10 + batch)
            by_hand.train()
            frozen.train(epoch > 2)
            by_hand.zero_grad()
            by_hand(torch.randn(2, 1, 4, 4, 4)).square().mean().backward()
            of_decoder.step()
            if epoch > 2:
                of_encoder.step()
    assert all(torch.allclose(value, by_hand.state_dict()[name], atol=1e-6) for name, value in net.state_dict().items())


@pytest.mark.parametrize("after", [1, 2])
def test_a_run_that_resumes_is_where_it_was(after):
    def start():
        net = network()
        return net, torch.optim.Adam(net.parameters(), 0.01)

    net, optimizer = start()
    whole = run(net, optimizer, 3, FrozenEpochsHandler(net, 2, "weights.pt"))[-1]
    net, optimizer = start()
    run(net, optimizer, after, FrozenEpochsHandler(net, 2, "weights.pt"))
    saved = copy.deepcopy(net.state_dict()), copy.deepcopy(optimizer.state_dict())
    net, optimizer = start()
    net.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    assert same(whole, run(net, optimizer, 3, FrozenEpochsHandler(net, 2, "weights.pt"), first=after)[-1])


@pytest.mark.parametrize("pretrained", [None, "null", "None", ""])
def test_random_weights_are_not_frozen(pretrained):
    net = network()
    before = copy.deepcopy(net.state_dict())
    kept = run(net, torch.optim.Adam(net.parameters(), 0.01), 1, FrozenEpochsHandler(net, 5, pretrained))
    assert not same(encoder(kept[0]), before)


def test_another_network_trains_if_nothing_is_frozen():
    net = torch.nn.Conv3d(1, 2, 1)
    before = net.weight.detach().clone()
    kept = run(net, torch.optim.SGD(net.parameters(), 0.1), 1, FrozenEpochsHandler(net, 5, None))
    assert not torch.equal(kept[0]["weight"], before)
    with pytest.raises(InputError, match="Conv3d has no encoder .*--frozen_epochs 0"):
        FrozenEpochsHandler(net, 5, "weights.pt").attach(Engine(lambda *_: None))


@pytest.mark.parametrize(("epochs", "warned"), [(2, False), (3, True)])
def test_an_encoder_that_is_never_trained_is_told_of(epochs, warned, caplog):
    engine = Engine(lambda *_: None)
    FrozenEpochsHandler(network(), epochs, "weights.pt").attach(engine)
    engine.state.max_epochs = 3
    engine.fire_event(Events.STARTED)
    assert ("never trained" in caplog.text) is warned
