"""Compute scores of predictions."""

from planewise.metrics.classification import (
    classification_scores,
    finding_scores,
    grade_kappa,
    macro_auc,
    mean_auc,
    predicted_grades,
    quadratic_kappa,
)
from planewise.metrics.epoch_metrics import (
    EpochScore,
    MaskedLoss,
    pred_and_label,
)
from planewise.metrics.location import (
    LineErrors,
    LocationErrors,
    PositionErrors,
    location_scores,
    position_counts,
    position_dice,
)
from planewise.metrics.pretexts import (
    candidates_told,
    effective_rank,
    embedding_spread,
    found_first,
    retrieval_accuracy,
    triplet_accuracy,
)
from planewise.metrics.segmentation import (
    VolumeDice,
    mean_contour_distance,
    region_classes,
    region_values,
    volume_scores,
)
