from __future__ import annotations

import copy

import torch
from planewise.networks import AlexNetEncoder, DenseNetEncoder, StackClassifier
from planewise.networks.classifiers import at_their_slices

SMALL = (4, 6, 8, 8, 10)


def classifier(**options) -> StackClassifier:
    torch.manual_seed(0)
    return StackClassifier(AlexNetEncoder(SMALL), 3, **options).eval()


def test_slice_by_slice_pooled_and_the_largest():
    """The reference is a plain loop over exams and slices."""
    net, stack = classifier(), torch.randn(2, 1, 64, 96, 5)
    output = net(stack)
    for exam in range(2):
        pooled = [net.encoder(stack[exam : exam + 1, :, :, :, k])[-1].mean(dim=(2, 3)) for k in range(5)]
        assert torch.allclose(output[exam], net.head(torch.stack(pooled).amax(dim=0))[0], atol=1e-6)


def test_slices_that_are_masked_do_not_count():
    net, stack = classifier(), torch.randn(2, 1, 64, 64, 6)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:] = False
    output = net(stack, mask)
    assert torch.allclose(output[0], net(stack[:1])[0], atol=1e-6)
    assert torch.allclose(output[1], net(stack[1:, ..., :4])[0], atol=1e-6)
    # the values of padded slices have no influence
    other = stack.clone()
    other[1, ..., 4:] = 1e3
    assert torch.equal(net(other, mask), output)


def test_batch_normalisation_does_not_see_what_fills_up():
    """In training, the batch statistics cover three slices, two of one stack and one of the other, and not the padding."""
    torch.manual_seed(0)
    net = StackClassifier(DenseNetEncoder(6, 4, (1, 1, 1, 1)), 3, dropout=0.0).train()
    alike, stack = copy.deepcopy(net), torch.randn(2, 1, 32, 32, 2)
    found = alike.encoder(torch.cat([stack[:1, ..., 0], stack[:1, ..., 1], stack[1:, ..., 0]]))[-1].mean((2, 3))
    expected = alike.head(torch.stack([torch.maximum(found[0], found[1]), found[2]]))
    assert torch.allclose(net(stack, torch.tensor([[True, True], [True, False]])), expected, atol=1e-5)
    statistics = {name: value for name, value in alike.state_dict().items() if "running" in name}
    assert statistics and all(torch.equal(net.state_dict()[name], value) for name, value in statistics.items())


def test_torchscript_takes_other_numbers_of_slices_and_the_mask():
    net = classifier()
    scripted = torch.jit.script(net)
    for slices in (1, 4, 9):
        stack = torch.randn(2, 1, 64, 64, slices)
        assert torch.allclose(scripted(stack), net(stack), atol=1e-6)
        mask = torch.rand(2, slices) < 0.5
        mask[:, 0] = True
        assert torch.allclose(scripted(stack, mask), net(stack, mask), atol=1e-6)


THERE = torch.tensor([True, False, True])


def test_gradients_reach_the_slices_that_are_there_alone():
    features = torch.ones(2, 1, requires_grad=True)
    (2 * at_their_slices(features, THERE, 5.0)).sum().backward()
    assert features.grad.tolist() == [[2.0], [2.0]]
