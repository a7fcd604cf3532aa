"""What a segmented heart holds, phase by phase."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from planewise.preprocessing.cardiac_features import MYOCARDIAL_DENSITY, volumes_ml


@dataclass(frozen=True)
class HeartVolumes:
    """Volumes of a heart over its cycle, and what follows from them.

    Attributes:
        volumes: structure to ml in every phase, in the order of time.
        end_diastole, end_systole: numbers of the phases in which the LV is largest and smallest.
    """

    volumes: Mapping[str, Sequence[float]]
    end_diastole: int
    end_systole: int

    def ejection_fraction(self, ventricle: str) -> float:
        """Per cent of the ventricle's volume at end-diastole that is gone at end-systole; NaN if there is none."""
        largest, smallest = (self.volumes[ventricle][phase] for phase in (self.end_diastole, self.end_systole))
        return 100 * (largest - smallest) / largest if largest > 0 else math.nan

    @property
    def mass(self) -> float:
        """Of the myocardium at end-diastole, g (1.05 g/ml)."""
        return self.volumes["myocardium"][self.end_diastole] * MYOCARDIAL_DENSITY


def heart_volumes(
    labels: Sequence[np.ndarray], affines: Sequence[np.ndarray], structures: Mapping[int, str]
) -> HeartVolumes:
    """Volumes of the structures in every phase.

    Args:
        labels: label map of each phase, ``(i, j, slices)``, in the order of time.
        affines: of each, ``(4, 4)``, mm.
        structures: label value to name, one of them ``LV``.
    """
    phases = [volumes_ml(phase, affine, structures) for phase, affine in zip(labels, affines, strict=True)]
    volumes = {name: [phase[name] for phase in phases] for name in structures.values()}
    return HeartVolumes(volumes, int(np.argmax(volumes["LV"])), int(np.argmin(volumes["LV"])))
