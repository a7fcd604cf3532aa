"""Compute saliency maps, which show the slices and places on which a prediction is based."""

from __future__ import annotations

import torch
from monai.networks import eval_mode
from torch import Tensor, nn
from torch.nn.functional import interpolate


def saliency_maps(network: nn.Module, image: Tensor, finding: int) -> Tensor:
    """Grad-CAM (Selvaraju 2017, Eq. 1 and 2) of one output of a `StackClassifier`.

    The network takes the maximum of each feature over the slices. Gradients flow back only to the slice with the maximum,
    so slices without influence have empty maps.

    Args:
        network: the classifier, which stays unchanged. Its encoder names the module to use in ``last_features``. (MONAI's
            `GradCAM` does not remove its hooks, so each picture would need a copy of the network.)
        image: one stack, ``(1, H, W, S)``, preprocessed.
        finding: index of the output.

    Returns:
        Maps ``(S, H, W)`` on the image's grid, not negative, scaled to a maximum of 1 over the stack.
    """
    (maps,) = _grad_cam(network, [network.encoder], image, finding)
    return maps / maps.max().clamp_min(1e-12)


def phase_saliency_maps(network: nn.Module, image: Tensor, output: int) -> Tensor:
    """Grad-CAM (Selvaraju 2017, Eq. 1 and 2) of one output of a `TwoPhaseClassifier`, for both phases.

    Args:
        network: the classifier, which stays unchanged. Its encoders name the module to use in ``last_features``.
        image: one exam, ``(2, H, W, S)``, preprocessed, without padding slices.
        output: index of the class.

    Returns:
        Maps ``(2, S, H, W)`` on the image's grid, not negative, scaled to a maximum of 1 over both phases.
    """
    phases = torch.stack(_grad_cam(network, [network.encoder.ed, network.encoder.es], image, output))
    return phases / phases.max().clamp_min(1e-12)


def photograph_saliency_map(network: nn.Module, image: Tensor, output: int) -> Tensor:
    """Grad-CAM (Selvaraju 2017, Eq. 1 and 2) of one output of a network for photographs.

    Args:
        network: the network, which stays unchanged. Its ``encoder`` names the module to use in ``last_features``.
        image: the preprocessed photograph, ``(C, H, W)``.
        output: index of the output.

    Returns:
        Map ``(H, W)``, not negative, scaled to a maximum of 1.
    """
    ((found,),) = _grad_cam(network, [network.encoder], image, output)
    return found / found.max().clamp_min(1e-12)


def _grad_cam(network: nn.Module, encoders: list[nn.Module], image: Tensor, output: int) -> list[Tensor]:
    """Grad-CAM of one output for each encoder.

    Args:
        network: the network.
        encoders: its encoders; each processes all slices of the image in one batch.
        image: a stack ``(C, H, W, S)`` or a single image ``(C, H, W)``.
        output: index of the output.

    Returns:
        For each encoder, maps ``(S, H, W)``; for a single image, S is 1.
    """
    kept: list[Tensor] = []
    handles = [
        encoder.get_submodule(encoder.last_features).register_forward_hook(
            lambda module, inputs, result: kept.append(result)
        )
        for encoder in encoders
    ]
    try:
        with eval_mode(network), torch.enable_grad():
            # call forward itself, because a compiled network ignores new hooks; a frozen network needs an image with a
            # gradient
            score = network.forward(image[None].detach().clone().requires_grad_(True))[0, output]
            gradients = torch.autograd.grad(score, kept)
    finally:
        for handle in handles:
            handle.remove()
    found = []
    for activations, gradient in zip(kept, gradients, strict=True):
        importance = gradient.mean(dim=(2, 3), keepdim=True)
        maps = (importance * activations.detach()).sum(dim=1, keepdim=True).relu()
        found.append(interpolate(maps, size=tuple(image.shape[1:3]), mode="bilinear", align_corners=False)[:, 0])
    return found
