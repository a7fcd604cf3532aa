"""Predict the order of a stack's slices from the features of each slice."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform

from planewise.evaluation.label_slices import with_locations
from planewise.evaluation.slice_order_scores import pair_logits
from planewise.metrics.slice_order import places_by_votes
from planewise.networks import SharedEncoderNet


class OrderSlicesd(Transform):
    """Put the slices of a stack in order by the votes of all their pairs (`places_by_votes`), and name its ends.

    Reads ``features``, ``(slices, D)``, from `SliceFeaturesd`, and the shape of ``pred``, ``(1, i, j, slices)``. Writes
    the same entries as `LabelSlicesd`: ``pred`` with the thirds of the stack as labels, ``locations`` and ``result``. A
    location is the slice's position in the predicted order, from 0 for the first to 1 for the last.

    Args:
        network: network whose head takes the features of two slices.
        min_order, start: see `LabelSlicesd`.
    """

    def __init__(self, network: SharedEncoderNet, min_order: float = 0.7, start: str = "basal") -> None:
        self.network = network
        self.min_order = min_order
        self.start = start

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        places = places_by_votes(pair_logits(self.network, torch.as_tensor(data["features"])))
        return with_locations(data, places, "linear", self.min_order, self.start)
