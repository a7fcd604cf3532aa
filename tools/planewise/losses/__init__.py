"""Loss functions, each quoting its equation."""

from planewise.losses.findings import FindingsLoss
from planewise.losses.pretext import (
    MultitaskLoss,
    RelativeLocationLoss,
    RelativeOrientationLoss,
    predicted_location,
)
from planewise.losses.segmentation import SegmentationLoss

__all__ = [
    "FindingsLoss",
    "MultitaskLoss",
    "RelativeLocationLoss",
    "RelativeOrientationLoss",
    "SegmentationLoss",
    "predicted_location",
]
