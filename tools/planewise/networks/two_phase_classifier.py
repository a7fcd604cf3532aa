"""Classify a heart from its images at end-diastole and end-systole."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm

from planewise.networks.embedding_net import EmbeddingNet
from planewise.networks.named_parts import NamedParts, normalises_by_batch
from planewise.networks.pretrained import NO_WEIGHTS, load_pretrained, read_weights
from planewise.networks.stack_classifier import at_their_slices
from planewise.parse_bool import parse_bool


class TwoPhaseClassifier(NamedParts):
    """Run one encoder for each phase, concatenate their features, and apply a linear layer (Nakashima 2022, section 5.1).

    The features of a slice are averages over the deepest level of the encoder. The features of a phase are means over its
    slices.

    Args:
        encoder: module that returns the features of every level of slices ``(N, 1, H, W)``, finest first, and has
            ``out_channels``. It processes end-diastole, and a copy of it processes end-systole. Both start from the
            same weights, but are trained separately.
        num_classes: number of outputs, one logit each.
        frozen: parts that are not trained; ``"encoder"`` means both encoders.
        standardize: whether to standardise each feature to mean 0 and standard deviation 1 (batch normalisation without
            weights) before the linear layer. Without this, the layer does not converge if the mean of a feature is large
            compared with its spread.

    `forward` takes stacks at both phases, ``(B, 2, H, W, S)``, with end-diastole first, and returns logits
    ``(B, num_classes)``. If the exams of a batch have different numbers of slices, it also takes ``mask`` ``(B, S)``, which
    is true for real slices. In the state dict, the encoders are named ``encoder.ed`` and ``encoder.es``.
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
        return self.head(self.standard(self.features(image, mask)))

    @torch.jit.export
    def features(self, image: Tensor, mask: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        """The features of both phases, ``(B, 2 C)``; the arguments are those of `forward`."""
        if image.shape[1] != 2:
            raise ValueError("the image must have two phases as channels, end-diastole and end-systole")
        batch, slices = image.shape[0], image.shape[4]
        # (b p h w s) -> p ((b s) 1 h w); TorchScript does not support einops
        folded = image.permute(1, 0, 4, 2, 3).reshape(2, batch * slices, 1, image.shape[2], image.shape[3])
        if mask is None:
            return self._of_slices(folded).reshape(batch, slices, -1).mean(dim=1)
        there = mask.to(torch.bool).reshape(-1)
        if self.by_batch and self.encoder.training:
            # padding slices are left out, because batch normalisation would learn from them; without batch normalisation,
            # they stay, because selecting slices makes the host wait for a GPU
            folded = folded[:, there]
        features = at_their_slices(self._of_slices(folded), there, 0.0).reshape(batch, slices, -1)
        return features.sum(dim=1) / there.reshape(batch, slices).sum(dim=1, keepdim=True).clamp_min(1)

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
    """Copy the weights of an encoder into the encoders of both phases with `load_pretrained`, and return the network.

    Args:
        network: the network, which is changed in place.
        path: weights of a pretext, or a public file for the encoder. Weights of another `TwoPhaseClassifier` are loaded
            into the same parts. None (or the text null or none) loads nothing.

    Raises:
        InputError: see `load_pretrained`.
    """
    if path in NO_WEIGHTS or any(name.startswith("encoder.ed.") for name in read_weights(path)):
        return load_pretrained(network, path)
    load_pretrained(EmbeddingNet(network.encoder.ed), path)
    network.encoder.es.load_state_dict(network.encoder.ed.state_dict())
    return network
