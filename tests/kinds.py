"""Which bundles stand for all others in tests that train."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

#: One of each: masks of volumes, a forest, masks, findings of stacks, grades of photographs, two phases, heatmaps with a
#: location, a location alone, volumes, pairs. A bundle that trains in a new way belongs here too.
KINDS = (
    "downstream_brain_tumour_segmentation",
    "downstream_cardiac_disease_classification",
    "downstream_cardiac_sax_segmentation",
    "downstream_cardiac_two_phase_classification",
    "downstream_knee_injury_classification",
    "downstream_retinopathy_grading",
    "pretext_cardiac_multitask",
    "pretext_knee_location",
    "pretext_rotation",
    "pretext_slice_order",
)


def one_of_each_kind(names: Iterable[str]) -> list[Any]:
    """Parameters of a test of bundles: those in `KINDS` as they are, the others marked slow."""
    return [name if name in KINDS else pytest.param(name, marks=pytest.mark.slow) for name in names]
