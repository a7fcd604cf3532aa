"""Handlers and batch preparation for MONAI's engines."""

from planewise.engines.autocast_inferer import AutocastInferer
from planewise.engines.checkpoints import CheckpointHandler
from planewise.engines.classification_report import ClassificationReport
from planewise.engines.findings_report import FindingsReport
from planewise.engines.findings_writer import FindingsWriter
from planewise.engines.forest_trainer import ForestTrainer
from planewise.engines.history import HistoryHandler, read_history
from planewise.engines.location_writer import LocationWriter
from planewise.engines.pictures import HeatmapPictureHandler
from planewise.engines.plan_writer import PlanWriter
from planewise.engines.plateau_handler import PlateauHandler
from planewise.engines.precision import allow_tf32, precision
from planewise.engines.prepare_batch import PrepareSliceBatch
from planewise.engines.prepare_stack_batch import PrepareStackBatch
from planewise.engines.pretext_report import PretextReport
from planewise.engines.processes import (
    is_first_process,
    join_processes,
    leave_processes,
    own_device,
    parallel_network,
)
from planewise.engines.same_buffers import SameBuffersHandler
from planewise.engines.seeding import SeedHandler
from planewise.engines.segmentation_report import SegmentationReport
from planewise.engines.segmentation_writer import SegmentationWriter
from planewise.engines.slice_batch_inferer import SliceBatchInferer
from planewise.engines.start_run import plain_errors, start_run, warn_of_unknown_overrides

__all__ = [
    "AutocastInferer",
    "CheckpointHandler",
    "ClassificationReport",
    "FindingsReport",
    "FindingsWriter",
    "ForestTrainer",
    "HeatmapPictureHandler",
    "HistoryHandler",
    "LocationWriter",
    "PlanWriter",
    "PlateauHandler",
    "PrepareSliceBatch",
    "PrepareStackBatch",
    "PretextReport",
    "SameBuffersHandler",
    "SeedHandler",
    "SegmentationReport",
    "SegmentationWriter",
    "SliceBatchInferer",
    "allow_tf32",
    "is_first_process",
    "join_processes",
    "leave_processes",
    "own_device",
    "parallel_network",
    "plain_errors",
    "precision",
    "read_history",
    "start_run",
    "warn_of_unknown_overrides",
]
