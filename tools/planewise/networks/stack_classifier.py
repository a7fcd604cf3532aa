"""Classifiers of whole stacks, also at end-diastole and end-systole, and the places on which a prediction is based."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import torch
from monai.networks import eval_mode
from torch import Tensor, nn
from torch.nn.functional import batch_norm, interpolate

from planewise.networks.named_parts import EmbeddingNet, NamedParts, normalises_by_batch
from planewise.networks.pretrained import NO_WEIGHTS, load_pretrained, read_weights
from planewise.parse_bool import parse_bool


class StackClassifier(NamedParts):
    """Run an encoder on every slice, average its features over each slice, take the maximum over the slices, and apply a
    linear layer (Bien 2018).

    Args:
        encoder: module that returns the features of every level of slices ``(N, 1, H, W)``, finest first, and has
            ``out_channels``.
        num_classes: number of outputs, one logit each.
        dropout: probability of dropout before the linear layer.
        frozen: parts (``"encoder"``) that are not trained.

    `forward` takes stacks ``(B, 1, H, W, S)`` and returns logits ``(B, num_classes)``. If the stacks of a batch have
    different numbers of slices, it also takes ``mask`` ``(B, S)``, which is true for real slices.
    """

    def __init__(self, encoder: nn.Module, num_classes: int, dropout: float = 0.5, frozen: Sequence[str] = ()) -> None:
        super().__init__()
        self.encoder = encoder
        self.by_batch = normalises_by_batch(encoder)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(encoder.out_channels, num_classes))
        self.freeze(frozen)

    # TorchScript reads the annotation, and older torch does not support `Tensor | None`
    def forward(self, image: Tensor, mask: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        batch, slices = image.shape[0], image.shape[4]
        # (b c h w s) -> ((b s) c h w); TorchScript does not support einops
        folded = image.permute(0, 4, 1, 2, 3).reshape(batch * slices, image.shape[1], image.shape[2], image.shape[3])
        if mask is None:
            pooled = self.encoder(folded)[-1].mean(dim=(2, 3))
        else:
            there = mask.to(torch.bool).reshape(-1)
            if self.by_batch and self.encoder.training:
                # padding slices are left out, because batch normalisation would learn from them; without batch
                # normalisation, they stay, because selecting slices makes the host wait for a GPU
                folded = folded[there]
            pooled = at_their_slices(self.encoder(folded)[-1].mean(dim=(2, 3)), there, -float("inf"))
        return self.head(torch.amax(pooled.reshape(batch, slices, -1), dim=1))


def at_their_slices(features: Tensor, there: Tensor, fill: float) -> Tensor:
    """Put the features of real slices at the slices' positions in the padded batch, ``(N, C)``, and fill the other positions.

    Args:
        features: features of only the real slices, ``(n, C)``, or of all slices, ``(N, C)``.
        there: whether each slice is real instead of padding, ``(N,)``, bool, with n true values.
        fill: value for the padding slices.
    """
    # both cases must also work in TorchScript
    if features.shape[0] == there.shape[0]:
        return features.masked_fill(~there[:, None], fill)
    spread = features.new_full((there.shape[0], features.shape[1]), fill)
    spread[there] = features
    return spread


class TwoPhaseClassifier(NamedParts):
    """Run one encoder for each phase, concatenate the means of their features over the slices, and apply a linear layer
    (Nakashima 2022, section 5.1).

    Args:
        encoder: as for `StackClassifier`. It processes end-diastole, and a copy of it processes end-systole. Both start
            from the same weights, but are trained separately.
        num_classes: number of outputs, one logit each.
        frozen: parts that are not trained; ``"encoder"`` means both encoders.
        standardize: whether to standardise each feature to mean 0 and standard deviation 1 (batch normalisation without
            weights) before the linear layer, which otherwise does not converge if a mean is large compared with the spread.

    `forward` takes stacks at both phases, ``(B, 2, H, W, S)``, with end-diastole first, and returns logits
    ``(B, num_classes)``; ``mask`` is as for `StackClassifier`. The encoders are named ``encoder.ed`` and ``encoder.es``.
    """

    def __init__(
        self, encoder: nn.Module, num_classes: int, frozen: Sequence[str] = (), standardize: bool | str = False
    ) -> None:
        super().__init__()
        self.encoder = _Phases(encoder)
        self.by_batch = normalises_by_batch(encoder)
        # MONAI's ckpt_export and onnx_export pass false as text
        self.standardize = parse_bool(standardize, "standardize")
        features = 2 * int(encoder.out_channels)
        self.standard = _Standardize(features, affine=False) if self.standardize else nn.Identity()
        self.head = nn.Linear(features, num_classes)
        self.freeze(frozen)

    # TorchScript reads the annotation, and older torch does not support `Tensor | None`
    def forward(self, image: Tensor, mask: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        if image.shape[1] != 2:
            raise ValueError("the image must have two phases as channels, end-diastole and end-systole")
        batch, slices = image.shape[0], image.shape[4]
        # (b p h w s) -> p ((b s) 1 h w); TorchScript does not support einops
        folded = image.permute(1, 0, 4, 2, 3).reshape(2, batch * slices, 1, image.shape[2], image.shape[3])
        if mask is None:
            return self.head(self.standard(self._of_slices(folded).reshape(batch, slices, -1).mean(dim=1)))
        there = mask.to(torch.bool).reshape(-1)
        if self.by_batch and self.encoder.training:
            folded = folded[:, there]  # as in StackClassifier
        features = at_their_slices(self._of_slices(folded), there, 0.0).reshape(batch, slices, -1)
        features = features.sum(dim=1) / there.reshape(batch, slices).sum(dim=1, keepdim=True).clamp_min(1)
        return self.head(self.standard(features))

    def _of_slices(self, phases: Tensor) -> Tensor:
        """The concatenated features ``(N, 2 C)`` of slices at both phases, ``(2, N, 1, H, W)``."""
        ed = self.encoder.ed(phases[0])[-1].mean(dim=(2, 3))
        es = self.encoder.es(phases[1])[-1].mean(dim=(2, 3))
        return torch.cat([ed, es], dim=1)


class _Standardize(nn.BatchNorm1d):
    """Standardise features ``(B, D)`` to mean 0 and standard deviation 1. For a batch of one exam, which has no spread, the
    running statistics are used."""

    def forward(self, input: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        if self.training and input.shape[0] > 1:
            return batch_norm(input, mean, variance, training=True, momentum=0.1, eps=self.eps)
        # the formula is written out, because ONNX cannot export batch normalisation for an unknown number of features
        assert mean is not None and variance is not None
        return (input - mean) * torch.rsqrt(variance + self.eps)


class _Phases(nn.Module):
    """The encoders of both phases, as named parts."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.ed = encoder
        self.es = copy.deepcopy(encoder)


def load_both_phases(network: TwoPhaseClassifier, path: str | Path | None) -> TwoPhaseClassifier:
    """Copy the weights of an encoder into those of both phases like `load_pretrained`, and return the network. Weights of
    another `TwoPhaseClassifier` are loaded into the same parts."""
    if path in NO_WEIGHTS or any(name.startswith("encoder.ed.") for name in read_weights(path)):
        return load_pretrained(network, path)
    load_pretrained(EmbeddingNet(network.encoder.ed), path)
    network.encoder.es.load_state_dict(network.encoder.ed.state_dict())
    return network


def saliency_maps(network: nn.Module, image: Tensor, output: int) -> Tensor:
    """Grad-CAM (Selvaraju 2017, Eq. 1 and 2) of one output of a classifier. Slices of a `StackClassifier` without influence
    have empty maps, because gradients flow back only to the slice with the maximum.

    Args:
        network: the classifier, on any device, which stays unchanged: MONAI's `GradCAM` would not remove its hooks. Its
            encoders name the module to use in ``last_features``.
        image: one stack, ``(C, H, W, S)``, without padding slices, or one photograph, ``(C, H, W)``; preprocessed.
        output: index of the output.

    Returns:
        Maps ``(S, H, W)`` on the image's grid, on the CPU, scaled to [0, 1]; for two phases ``(2, S, H, W)``. For a
        photograph, S is 1.
    """
    encoder = network.encoder
    encoders = [encoder.ed, encoder.es] if hasattr(encoder, "ed") else [encoder]
    image = image.to(next(network.parameters()).device)
    kept: list[Tensor] = []
    modules = [each.get_submodule(each.last_features) for each in encoders]
    handles = [each.register_forward_hook(lambda module, inputs, result: kept.append(result)) for each in modules]
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
