"""Map intensities through random monotone curves, as in Models Genesis."""

from __future__ import annotations

import torch
from torch import Tensor

#: Number of points at which a curve is computed; values between the points are interpolated linearly.
_POINTS = 1000


def nonlinear_intensity(image: Tensor, control: Tensor, inverted: Tensor) -> Tensor:
    """Map the values of each image through its own Bezier curve (Zhou 2019, section 2, "Non-linear").

    The cubic curve goes from (0, 0) to (1, 1). Its two control points are in the unit square, so both coordinates
    increase along the curve, and each old value has exactly one new value. An inverted map is one minus the curve.

    Args:
        image: images with values in [0, 1], ``(B, ...)``.
        control: the control points as (x, y), in [0, 1], ``(B, 2, 2)``.
        inverted: whether the map of each image is inverted, ``(B,)``, bool.

    Returns:
        Values in [0, 1], with the image's shape.
    """
    time = torch.linspace(0, 1, _POINTS, dtype=image.dtype, device=image.device)
    first, second = 3 * (1 - time) ** 2 * time, 3 * (1 - time) * time**2
    curve = first * control[:, 0, :, None] + second * control[:, 1, :, None] + time**3
    x, y = curve[:, 0].contiguous(), curve[:, 1]
    y = torch.where(inverted[:, None], 1 - y, y)
    values = image.reshape(len(image), -1).contiguous()
    right = torch.searchsorted(x, values).clamp(1, _POINTS - 1)
    before, after = x.gather(1, right - 1), x.gather(1, right)
    low, high = y.gather(1, right - 1), y.gather(1, right)
    share = ((values - before) / (after - before).clamp_min(torch.finfo(x.dtype).tiny)).clamp(0, 1)
    return (low + share * (high - low)).reshape(image.shape)
