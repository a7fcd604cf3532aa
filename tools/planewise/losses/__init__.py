"""Loss functions, each with its equation. `planewise.losses.terms` defines their common interface."""

from planewise.losses.pretext import (
    BYOLLoss,
    MultitaskLoss,
    NegativeCosineLoss,
    NTXentLoss,
    PositionLoss,
    PredictiveCodingLoss,
    RelativeLocationLoss,
    RelativeOrientationLoss,
    RestorationLoss,
    SliceOrderLoss,
    TripletLoss,
    candidate_scores,
    negatives,
    predicted_location,
)
from planewise.losses.supervised import (
    ClassLoss,
    CrossEntropyLoss,
    MultiLabelBCELoss,
    OrdinalLoss,
    SegmentationLoss,
    SoftDiceLoss,
    cumulative_targets,
)
from planewise.losses.terms import Term, TermLoss, logged_terms, weighted_sum
