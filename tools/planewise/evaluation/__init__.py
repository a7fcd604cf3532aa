"""Postprocessing, scores and writers of each task; scores and writers draw the pictures of `planewise.reports`."""

from planewise.evaluation.choice_scores import ChoiceScores, JigsawScores, PatchPredictionScores, RetrievalScores
from planewise.evaluation.classification_reports import (
    ClassificationReport,
    FindingsReport,
    GradingReport,
    TwoPhaseReport,
)
from planewise.evaluation.frozen_features import FeaturesWriter, ProbeScores, SliceFeaturesd
from planewise.evaluation.orientation_scores import OrientationScores
from planewise.evaluation.plan_views import PlanViewsd, PlanWriter
from planewise.evaluation.positions import FindPositionsd, PositionScores, PositionWriter
from planewise.evaluation.report import Collector, CollectorResults, PretextReport, ScoredBatch
from planewise.evaluation.restoration import RestorationScores, RestoredImaged
from planewise.evaluation.segmentation_report import SegmentationReport, SegmentationWriter
from planewise.evaluation.slice_locations import (
    LabelSlicesd,
    LocationScores,
    LocationWriter,
    OrderSlicesd,
    SliceOrderScores,
)
from planewise.evaluation.writers import AsNumbersd, FindingsWriter, GradeAnswerd, GradeWriter, VolumeWriter
