"""Loss functions, each with its equation. `planewise.losses.terms` defines their common interface."""

from planewise.losses.contrastive import BYOLLoss, NegativeCosineLoss, NTXentLoss, TripletLoss, negatives
from planewise.losses.cross_entropy import (
    ClassLoss,
    CrossEntropyLoss,
    MultiLabelBCELoss,
    OrdinalLoss,
    cumulative_targets,
)
from planewise.losses.predictive_coding import PredictiveCodingLoss, candidate_scores
from planewise.losses.pretext import (
    MultitaskLoss,
    PositionLoss,
    RelativeLocationLoss,
    RelativeOrientationLoss,
    RestorationLoss,
    SliceOrderLoss,
    predicted_location,
)
from planewise.losses.segmentation import SegmentationLoss, SoftDiceLoss
from planewise.losses.terms import Term, TermLoss, logged_terms, weighted_sum

__all__ = [
    "BYOLLoss",
    "ClassLoss",
    "CrossEntropyLoss",
    "MultiLabelBCELoss",
    "MultitaskLoss",
    "NTXentLoss",
    "NegativeCosineLoss",
    "OrdinalLoss",
    "PositionLoss",
    "PredictiveCodingLoss",
    "RelativeLocationLoss",
    "RelativeOrientationLoss",
    "RestorationLoss",
    "SegmentationLoss",
    "SliceOrderLoss",
    "SoftDiceLoss",
    "Term",
    "TermLoss",
    "TripletLoss",
    "candidate_scores",
    "cumulative_targets",
    "logged_terms",
    "negatives",
    "predicted_location",
    "weighted_sum",
]
