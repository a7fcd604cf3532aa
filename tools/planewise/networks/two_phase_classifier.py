"""Classification of a heart from its images at end-diastole and end-systole."""

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
from planewise.networks.slices_there import at_their_slices


class TwoPhaseClassifier(NamedParts):
    """One encoder for each phase, their concatenated features, and one linear layer (Nakashima, section 5.1).

    The features of a slice are averages over the encoder's deepest level; the features of a phase are means over its
    slices.

    Args:
        encoder: returns the features of every level of a slice ``(N, 1, H, W)``, finest first; has ``out_channels``. It
            is the encoder for end-diastole, and a copy of it is the encoder for end-systole, so both start from the same
            weights and are trained separately.
        num_classes: number of outputs, one logit each.
        frozen: parts that are not trained; ``"encoder"`` means both encoders.
        standardize: standardise each feature to mean 0 and standard deviation 1 (batch normalisation without weights)
            before the linear layer. Without it, features whose mean is large compared with their spread keep the layer
            from converging.

    `forward` takes stacks at both phases ``(B, 2, H, W, S)``, end-diastole first, and, if the exams of one batch have
    different numbers of slices, ``mask`` ``(B, S)``, true for real slices; it returns logits ``(B, num_classes)``. The
    state dict names the encoders ``encoder.ed`` and ``encoder.es``.
    """

    def __init__(
        self, encoder: nn.Module, num_classes: int, frozen: Sequence[str] = (), standardize: bool = False
    ) -> None:
        super().__init__()
        self.encoder = _Phases(encoder)
        self.by_batch = normalises_by_batch(encoder)
        self.standardize = standardize
        self.standard = _Standardize(2 * int(encoder.out_channels)) if standardize else nn.Identity()
        self.head = nn.Linear(2 * int(encoder.out_channels), num_classes)
        self.freeze(frozen)

    # TorchScript reads the annotation, and older torch does not support `Tensor | None`
    def forward(self, image: Tensor, mask: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        return self.head(self.standard(self.features(image, mask)))

    @torch.jit.export
    def features(self, image: Tensor, mask: Optional[Tensor] = None) -> Tensor:  # noqa: UP045
        """The encoders' features of both phases ``(B, 2 C)``; arguments as for `forward`."""
        if image.shape[1] != 2:
            raise ValueError("the image must have two phases as channels, end-diastole and end-systole")
        batch, slices = image.shape[0], image.shape[4]
        # (b p h w s) -> p ((b s) 1 h w); TorchScript does not support einops
        folded = image.permute(1, 0, 4, 2, 3).reshape(2, batch * slices, 1, image.shape[2], image.shape[3])
        if mask is None:
            return self._of_slices(folded).reshape(batch, slices, -1).mean(dim=1)
        there = mask.to(torch.bool).reshape(-1)
        if self.by_batch and self.encoder.training:
            # leave out padding slices, because batch normalisation would learn from them; counting them makes the host
            # wait for a GPU
            folded = folded[:, there]
        features = at_their_slices(self._of_slices(folded), there, 0.0).reshape(batch, slices, -1)
        return features.sum(dim=1) / there.reshape(batch, slices).sum(dim=1, keepdim=True).clamp_min(1)

    def _of_slices(self, phases: Tensor) -> Tensor:
        """Concatenated features ``(N, 2 C)`` of slices at both phases ``(2, N, 1, H, W)``."""
        ed = self.encoder.ed(phases[0])[-1].mean(dim=(2, 3))
        es = self.encoder.es(phases[1])[-1].mean(dim=(2, 3))
        return torch.cat([ed, es], dim=1)


class _Standardize(nn.BatchNorm1d):
    """Standardise features ``(B, D)`` to mean 0 and standard deviation 1. A batch of one exam has no spread, so the
    running statistics are used."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, affine=False)

    def forward(self, input: Tensor) -> Tensor:
        mean, variance = self.running_mean, self.running_var
        if self.training and input.shape[0] > 1:
            return batch_norm(input, mean, variance, training=True, momentum=0.1, eps=self.eps)
        # written out, because ONNX cannot export batch normalisation for an unknown number of features
        assert mean is not None and variance is not None
        return (input - mean) * torch.rsqrt(variance + self.eps)


class _Phases(nn.Module):
    """The encoders of both phases, by name."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.ed = encoder
        self.es = copy.deepcopy(encoder)


def load_both_phases(network: TwoPhaseClassifier, path: str | Path | None) -> TwoPhaseClassifier:
    """Copy an encoder's weights into the encoders of both phases (`load_pretrained` defines what fits), and return the
    network.

    Args:
        network: changed in place.
        path: weights of a pretext, or a public file for the encoder; weights of another `TwoPhaseClassifier` are loaded
            into the same parts. None (or the text null or none) loads nothing.

    Raises:
        InputError: see `load_pretrained`.
    """
    if path in NO_WEIGHTS or any(name.startswith("encoder.ed.") for name in read_weights(path)):
        return load_pretrained(network, path)
    load_pretrained(EmbeddingNet(network.encoder.ed), path)
    network.encoder.es.load_state_dict(network.encoder.ed.state_dict())
    return network
