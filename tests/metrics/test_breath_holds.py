import torch
from planewise.metrics.breath_holds import breath_hold_errors


def test_errors_are_distances_among_the_images():
    true = torch.tensor([[0.0, 0, 0], [6, 0, 0], [0, 8, 0], [0, 0, 0]])
    # the mean of the differences, (-1.5, -2, 0), is the whole exam's
    assert breath_hold_errors(torch.zeros(4, 3), true).tolist() == [2.5, (4.5**2 + 4) ** 0.5, (1.5**2 + 36) ** 0.5, 2.5]
    assert breath_hold_errors(true + torch.tensor([1.0, 2, 3]), true).abs().max() < 1e-6
