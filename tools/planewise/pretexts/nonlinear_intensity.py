import torch
from torch import Tensor

CURVE_POINTS = 1000


def nonlinear_intensity(image: Tensor, control: Tensor, inverted: Tensor) -> Tensor:
    """Map the values of each image through a Bezier curve of its own (Zhou 2019, Models Genesis, section 2).

    The cubic curve starts at (0, 0), ends at (1, 1) and has two control points in the unit square, so that both of its
    coordinates rise. An inverted map is one minus the curve.

    Args:
        image: shape (B, ...), values in [0, 1].
        control: shape (B, 2, 2), the two control points as (x, y) in [0, 1].
        inverted: shape (B,), bool.

    Returns:
        Tensor of the shape of ``image``, values in [0, 1].
    """
    time = torch.linspace(0, 1, CURVE_POINTS, dtype=image.dtype, device=image.device)
    first, second = 3 * (1 - time) ** 2 * time, 3 * (1 - time) * time**2
    curve = first * control[:, 0, :, None] + second * control[:, 1, :, None] + time**3
    x, y = curve[:, 0].contiguous(), curve[:, 1]
    y = torch.where(inverted[:, None], 1 - y, y)
    values = image.reshape(len(image), -1).contiguous()
    right = torch.searchsorted(x, values).clamp(1, CURVE_POINTS - 1)
    x0, x1 = x.gather(1, right - 1), x.gather(1, right)
    y0, y1 = y.gather(1, right - 1), y.gather(1, right)
    share = ((values - x0) / (x1 - x0).clamp_min(1e-12)).clamp(0, 1)
    return (y0 + share * (y1 - y0)).reshape(image.shape)
