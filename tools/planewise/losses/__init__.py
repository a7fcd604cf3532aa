"""Loss functions, each with its equation. `planewise.losses.terms` defines their common interface."""

from planewise.losses.contrastive import (
    BYOLLoss,
    NegativeCosineLoss,
    NTXentLoss,
    PredictiveCodingLoss,
    TripletLoss,
    candidate_scores,
    negatives,
)
from planewise.losses.cross_entropy import (
    ClassLoss,
    CrossEntropyLoss,
    MultiLabelBCELoss,
    OrdinalLoss,
    cumulative_targets,
)
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
