"""Postprocessing, scores and writers of each task; scores and writers draw the pictures of `planewise.reports`."""

from planewise.evaluation.choice_scores import JigsawScores, PatchLocationScores, RotationScores
from planewise.evaluation.classification_report import ClassificationReport
from planewise.evaluation.collector import Collector, CollectorResults, ScoredBatch
from planewise.evaluation.find_positions import FindPositionsd, PositionWriter
from planewise.evaluation.findings_report import FindingsReport
from planewise.evaluation.findings_writer import AsNumbersd, FindingsWriter
from planewise.evaluation.grade_writer import GradeAnswerd, GradeWriter
from planewise.evaluation.grading_report import GradingReport
from planewise.evaluation.label_probe import probe_labels
from planewise.evaluation.label_slices import LabelSlicesd, LocationWriter, OrderSlicesd
from planewise.evaluation.location_scores import LocationScores
from planewise.evaluation.orientation_scores import OrientationScores
from planewise.evaluation.patch_prediction_scores import PatchPredictionScores
from planewise.evaluation.plan_views import PlanViewsd, PlanWriter
from planewise.evaluation.position_scores import PositionScores
from planewise.evaluation.pretext_report import PretextReport
from planewise.evaluation.probe_scores import ProbeScores
from planewise.evaluation.restoration_scores import RestorationScores
from planewise.evaluation.restored_writer import RestoredImaged, RestoredWriter
from planewise.evaluation.retrieval_scores import RetrievalScores
from planewise.evaluation.segmentation_report import SegmentationReport
from planewise.evaluation.segmentation_writer import KeepLargestPiecesd, SegmentationWriter
from planewise.evaluation.slice_features import FeaturesWriter, SliceFeaturesd
from planewise.evaluation.slice_order_scores import SliceOrderScores
from planewise.evaluation.two_phase_report import TwoPhaseReport
from planewise.evaluation.volume_writer import VolumeWriter

__all__ = [
    "AsNumbersd",
    "ClassificationReport",
    "Collector",
    "CollectorResults",
    "FeaturesWriter",
    "FindPositionsd",
    "FindingsReport",
    "FindingsWriter",
    "GradeAnswerd",
    "GradeWriter",
    "GradingReport",
    "JigsawScores",
    "KeepLargestPiecesd",
    "LabelSlicesd",
    "LocationScores",
    "LocationWriter",
    "OrderSlicesd",
    "OrientationScores",
    "PatchLocationScores",
    "PatchPredictionScores",
    "PlanViewsd",
    "PlanWriter",
    "PositionScores",
    "PositionWriter",
    "PretextReport",
    "ProbeScores",
    "RestorationScores",
    "RestoredImaged",
    "RestoredWriter",
    "RetrievalScores",
    "RotationScores",
    "ScoredBatch",
    "SegmentationReport",
    "SegmentationWriter",
    "SliceFeaturesd",
    "SliceOrderScores",
    "TwoPhaseReport",
    "VolumeWriter",
    "probe_labels",
]
