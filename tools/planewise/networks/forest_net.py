"""A random forest as a network. Its trees are plain tensors, which are stored like other weights."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn


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
        """Copy a fitted forest; a `ValueError` if it has other numbers than this network, or a tree is too large."""
        trees, nodes, classes = self.probability.shape
        found = (len(forest.estimators_), forest.n_features_in_, len(forest.classes_))
        if found != (trees, self.num_features, classes):
            raise ValueError(f"trees, features, classes: {found}, need {(trees, self.num_features, classes)}")
        for index, estimator in enumerate(forest.estimators_):
            tree = estimator.tree_
            if tree.node_count > nodes or tree.max_depth > self.max_depth:
                raise ValueError(
                    f"tree {index} has {tree.node_count} nodes in {tree.max_depth} levels, but the network only {nodes} in "
                    f"{self.max_depth}; raise max_nodes or max_depth"
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
