"""Compute saliency maps, which show the slices and places on which a prediction is based."""

from __future__ import annotations

import torch
from monai.networks import eval_mode
from torch import Tensor, nn
from torch.nn.functional import interpolate


def saliency_maps(network: nn.Module, image: Tensor, output: int) -> Tensor:
    """Grad-CAM (Selvaraju 2017, Eq. 1 and 2) of one output of a classifier.

    A `StackClassifier` takes the maximum of each feature over the slices. Gradients flow back only to the slice with the
    maximum, so slices without influence have empty maps.

    Args:
        network: the classifier, on any device, which stays unchanged. Its encoder, or the encoders of both phases
            (`TwoPhaseClassifier`), name the module to use in ``last_features``. (MONAI's `GradCAM` does not remove its hooks,
            so each picture would need a copy of the network.)
        image: one stack, ``(C, H, W, S)``, without padding slices, or one photograph, ``(C, H, W)``; preprocessed.
        output: index of the output.

    Returns:
        Maps ``(S, H, W)`` on the image's grid, on the CPU, not negative, scaled to a maximum of 1 over the image; for two
        phases ``(2, S, H, W)``. For a photograph, S is 1.
    """
    encoder = network.encoder
    encoders = [encoder.ed, encoder.es] if hasattr(encoder, "ed") else [encoder]
    image = image.to(next(network.parameters()).device)
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
    scaled = torch.stack(found).cpu()
    scaled = scaled / scaled.max().clamp_min(1e-12)
    return scaled if len(encoders) > 1 else scaled[0]
