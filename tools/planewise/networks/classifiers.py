"""Classifiers of whole stacks, also at end-diastole and end-systole, and the places on which a prediction is based."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from monai.networks import eval_mode
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn
from torch.nn.functional import batch_norm, interpolate

from planewise.networks.named_parts import EmbeddingNet, NamedParts, normalises_by_batch
from planewise.networks.pretrained import NO_WEIGHTS, load_pretrained, read_weights
from planewise.settings import parse_bool


class StackClassifier(NamedParts):
    """Average an encoder's features over each slice, take the maximum over slices, and apply a linear layer (Bien 2018).

    Args:
        encoder: returns the features of every level of slices ``(N, 1, H, W)``, finest first, and has ``out_channels``.
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
    """One encoder for each phase, means of features over the slices, and a linear layer (Nakashima 2022, section 5.1).

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
    """Standardise features ``(B, D)``; a batch of one exam, which has no spread, by the running statistics."""

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
        Maps ``(S, H, W)`` on the image's grid, on the CPU, in [0, 1]; two phases: ``(2, S, H, W)``; photograph: S is 1.
    """
    encoder = network.encoder
    encoders = [encoder.ed, encoder.es] if hasattr(encoder, "ed") else [encoder]
    image = image.to(next(network.parameters()).device)
    kept: list[Tensor] = []
    modules = [each.get_submodule(each.last_features) for each in encoders]
    handles = [each.register_forward_hook(lambda module, inputs, result: kept.append(result)) for each in modules]
    try:
        with eval_mode(network), torch.enable_grad():
            # a compiled network ignores new hooks unless forward is called; a frozen network needs an image with a gradient
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


class ForestNet(nn.Module):
    """Compute class probabilities from features with a forest of decision trees, which scikit-learn has fitted.

    The trees are buffers, so the forest can be saved as a plain state dict (without pickle) and compiled by TorchScript.

    Args:
        num_features, num_classes: numbers of inputs and outputs.
        num_trees: number of trees.
        max_nodes, max_depth: largest tree, in nodes and in steps from the root to a leaf. A tree that was fitted to n samples
            has at most 2 n - 1 nodes, and n - 1 steps.

    `forward` takes ``(B, num_features)`` and returns ``(B, num_classes)``.
    """

    def __init__(
        self, num_features: int, num_classes: int, num_trees: int = 100, max_nodes: int = 511, max_depth: int = 64
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.max_depth = max_depth
        # a leaf is its own child, so that all samples can take the same number of steps
        itself = torch.arange(max_nodes).repeat(num_trees, 1)
        self.register_buffer("left", itself.clone())
        self.register_buffer("right", itself.clone())
        self.register_buffer("feature", torch.zeros(num_trees, max_nodes, dtype=torch.long))
        self.register_buffer("threshold", torch.zeros(num_trees, max_nodes, dtype=torch.float64))
        self.register_buffer("probability", torch.full((num_trees, max_nodes, num_classes), 1 / num_classes))

    def forward(self, features: Tensor) -> Tensor:
        trees = torch.arange(self.left.shape[0], device=features.device).unsqueeze(1)
        node = torch.zeros(self.left.shape[0], features.shape[0], dtype=torch.long, device=features.device)
        # scikit-learn compares float32 features with float64 thresholds
        values = features.to(torch.float32).to(torch.float64).t()
        sample = torch.arange(features.shape[0], device=features.device).unsqueeze(0)
        for _ in range(self.max_depth):
            value = values[self.feature[trees, node], sample]
            node = torch.where(value <= self.threshold[trees, node], self.left[trees, node], self.right[trees, node])
        return self.probability[trees, node].mean(dim=0)

    @torch.jit.unused
    def copy_forest(self, forest: RandomForestClassifier) -> None:
        """Copy a fitted forest of this network's numbers; a `ValueError` if a tree is too large."""
        nodes = self.probability.shape[1]
        for index, estimator in enumerate(forest.estimators_):
            tree = estimator.tree_
            if tree.node_count > nodes or tree.max_depth > self.max_depth:
                raise ValueError(
                    f"tree {index} has {tree.node_count} nodes, {tree.max_depth} levels; raise max_nodes and max_depth"
                )
            size = tree.node_count
            leaf = tree.children_left < 0
            own = np.arange(size)
            self.left[index, :size] = torch.from_numpy(np.where(leaf, own, tree.children_left))
            self.right[index, :size] = torch.from_numpy(np.where(leaf, own, tree.children_right))
            self.feature[index, :size] = torch.from_numpy(np.where(leaf, 0, tree.feature))
            self.threshold[index, :size] = torch.from_numpy(tree.threshold.copy())
            votes = tree.value[:, 0, :]
            self.probability[index, :size] = torch.from_numpy(votes / votes.sum(axis=1, keepdims=True)).float()
