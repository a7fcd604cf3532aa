"""Which slices and places of a stack decided."""

from __future__ import annotations

from copy import deepcopy

import torch
from monai.visualize import GradCAM
from torch import Tensor, nn
from torch.nn.functional import interpolate


def saliency_maps(network: nn.Module, image: Tensor, finding: int) -> Tensor:
    """Grad-CAM (Selvaraju 2017) of one output of a `StackClassifier`.

    The maximum over the slices lets gradients through only where a slice won a feature, so slices that had no say have
    empty maps.

    Args:
        network: `planewise.networks.StackClassifier`, whose encoder says in ``last_features`` which module's activations to
            take.
        image: one stack, ``(1, H, W, S)``, preprocessed.
        finding: index of the output.

    Returns:
        Maps ``(S, H, W)`` on the image's grid, not negative, the largest value of the stack 1.
    """
    # a copy: MONAI leaves its hooks behind, and switches in-place activations off
    cam = GradCAM(nn_module=deepcopy(network), target_layers=f"encoder.{network.encoder.last_features}")
    with torch.enable_grad():
        maps = cam.compute_map(image[None].detach().clone().requires_grad_(True), class_idx=finding).detach()
    maps = interpolate(maps, size=tuple(image.shape[1:3]), mode="bilinear", align_corners=False)[:, 0]
    return maps / maps.max().clamp_min(1e-12)
