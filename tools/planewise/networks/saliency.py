"""Which slices and places of a stack decided."""

from __future__ import annotations

import torch
from monai.networks import eval_mode
from torch import Tensor, nn
from torch.nn.functional import interpolate


def saliency_maps(network: nn.Module, image: Tensor, finding: int) -> Tensor:
    """Grad-CAM (Selvaraju 2017, Eq. 1 and 2) of one output of a `StackClassifier`.

    The maximum over the slices lets gradients through only where a slice won a feature, so slices that had no say have
    empty maps.

    Args:
        network: `planewise.networks.StackClassifier`, whose encoder says in ``last_features`` which module's activations to
            take. It is left as it is. (MONAI's `GradCAM` leaves its hooks behind, so it would take a copy a picture.)
        image: one stack, ``(1, H, W, S)``, preprocessed.
        finding: index of the output.

    Returns:
        Maps ``(S, H, W)`` on the image's grid, not negative, the largest value of the stack 1.
    """
    kept: list[Tensor] = []
    layer = network.encoder.get_submodule(network.encoder.last_features)
    handle = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    try:
        with eval_mode(network), torch.enable_grad():
            # forward, for a compiled network takes no notice of a new hook; a frozen one needs an image with a gradient
            score = network.forward(image[None].detach().clone().requires_grad_(True))[0, finding]
            (gradient,) = torch.autograd.grad(score, kept)
    finally:
        handle.remove()
    importance = gradient.mean(dim=(2, 3), keepdim=True)
    maps = (importance * kept[0].detach()).sum(dim=1, keepdim=True).relu()
    maps = interpolate(maps, size=tuple(image.shape[1:3]), mode="bilinear", align_corners=False)[:, 0]
    return maps / maps.max().clamp_min(1e-12)
