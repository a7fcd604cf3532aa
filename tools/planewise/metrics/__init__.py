"""Compute scores of predictions."""

from planewise.metrics.classification import classification_scores, finding_scores, macro_auc, mean_auc
from planewise.metrics.contours import mean_contour_distance
from planewise.metrics.convergence import epoch_that_reached, epochs_to_converge
from planewise.metrics.embeddings import effective_rank, embedding_spread, retrieval_accuracy, triplet_accuracy
from planewise.metrics.epoch_metrics import EpochScore, pred_and_label
from planewise.metrics.frozen_probes import linear_probe, neighbour_probe, ridge_probe
from planewise.metrics.grades import grade_kappa, grade_scores, predicted_grades, quadratic_kappa
from planewise.metrics.inside_share import inside_share
from planewise.metrics.line_errors import LineErrors
from planewise.metrics.location import LocationErrors, location_scores
from planewise.metrics.masked_loss import MaskedLoss
from planewise.metrics.neighbours import mean_distance_of_others, nearest_neighbours
from planewise.metrics.positions import PositionErrors, position_counts, position_dice
from planewise.metrics.predicted_patches import candidates_told, found_first, patch_scores
from planewise.metrics.regions import region_classes, region_values
from planewise.metrics.segmentation import volume_scores
from planewise.metrics.volume_dice import VolumeDice

__all__ = [
    "EpochScore",
    "LineErrors",
    "LocationErrors",
    "MaskedLoss",
    "PositionErrors",
    "VolumeDice",
    "candidates_told",
    "classification_scores",
    "effective_rank",
    "embedding_spread",
    "epoch_that_reached",
    "epochs_to_converge",
    "finding_scores",
    "found_first",
    "grade_kappa",
    "grade_scores",
    "inside_share",
    "linear_probe",
    "location_scores",
    "macro_auc",
    "mean_auc",
    "mean_contour_distance",
    "mean_distance_of_others",
    "nearest_neighbours",
    "neighbour_probe",
    "patch_scores",
    "position_counts",
    "position_dice",
    "pred_and_label",
    "predicted_grades",
    "quadratic_kappa",
    "region_classes",
    "region_values",
    "retrieval_accuracy",
    "ridge_probe",
    "triplet_accuracy",
    "volume_scores",
]
