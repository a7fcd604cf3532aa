import numpy as np
import torch
from planewise.pretexts.nonlinear_intensity import nonlinear_intensity


def by_hand(image, control, inverted):
    out = []
    for values, ((ax, ay), (bx, by)), flip in zip(image, control, inverted, strict=True):
        xs, ys = [], []
        for t in np.linspace(0, 1, 1000):
            xs.append(3 * (1 - t) ** 2 * t * ax + 3 * (1 - t) * t**2 * bx + t**3)
            ys.append(3 * (1 - t) ** 2 * t * ay + 3 * (1 - t) * t**2 * by + t**3)
        curve = np.interp(values, xs, ys)
        out.append(1 - curve if flip else curve)
    return np.stack(out)


def test_each_image_goes_through_its_own_curve():
    torch.manual_seed(0)
    image, control = torch.rand(6, 1, 9, 7, dtype=torch.float64), torch.rand(6, 2, 2, dtype=torch.float64)
    inverted = torch.tensor([True, False] * 3)
    expected = by_hand(image.numpy(), control.tolist(), inverted.tolist())
    np.testing.assert_allclose(nonlinear_intensity(image, control, inverted).numpy(), expected, atol=1e-9)


def test_the_map_is_monotone_and_keeps_the_ends():
    torch.manual_seed(0)
    ramp = torch.linspace(0, 1, 200, dtype=torch.float64).expand(50, 200)
    control = torch.rand(50, 2, 2, dtype=torch.float64)
    up = nonlinear_intensity(ramp, control, torch.zeros(50, dtype=torch.bool))
    down = nonlinear_intensity(ramp, control, torch.ones(50, dtype=torch.bool))
    assert (up.diff() >= -1e-12).all() and (down.diff() <= 1e-12).all()
    torch.testing.assert_close(up[:, [0, -1]], torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(50, 2))
    torch.testing.assert_close(down, 1 - up)
