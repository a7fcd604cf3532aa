"""Handlers, inferers and batch preparation for MONAI's engines, which train, evaluate and infer."""

from planewise.engines.autocast_inferer import AutocastInferer
from planewise.engines.auxiliary_task import AuxiliaryTask
from planewise.engines.auxiliary_task_handler import AuxiliaryTaskHandler
from planewise.engines.batch_engines import BatchEvaluator, BatchTrainer
from planewise.engines.channel_sources import channel_sources
from planewise.engines.checkpoints import CheckpointHandler
from planewise.engines.early_stop_handler import EarlyStopHandler
from planewise.engines.feature_inferer import FeatureInferer
from planewise.engines.finite_loss import FiniteLossHandler
from planewise.engines.forest_trainer import ForestTrainer
from planewise.engines.frozen_epochs import FrozenEpochsHandler
from planewise.engines.hidden_patches_inferer import HiddenPatchesInferer
from planewise.engines.history import HistoryHandler, read_history
from planewise.engines.momentum import MomentumHandler, momentum_at
from planewise.engines.plain_errors import plain_errors
from planewise.engines.plateau_handler import PlateauHandler
from planewise.engines.precision import allow_tf32, precision
from planewise.engines.prepare_batch import PrepareSliceBatch
from planewise.engines.prepare_stack_batch import PreparePhasesBatch, PrepareStackBatch
from planewise.engines.processes import (
    is_first_process,
    join_processes,
    leave_processes,
    number_of_processes,
    own_device,
    parallel_network,
)
from planewise.engines.run_handler import RunHandler
from planewise.engines.same_buffers import SameBuffersHandler
from planewise.engines.seeding import SeedHandler
from planewise.engines.slice_batch_inferer import SliceBatchInferer
from planewise.engines.start_run import check_run, start_run
from planewise.engines.views_inferer import ViewsInferer
from planewise.engines.weights_loader import WeightsLoader
from planewise.engines.window_inferer import WindowInferer

__all__ = [
    "AutocastInferer",
    "AuxiliaryTask",
    "AuxiliaryTaskHandler",
    "BatchEvaluator",
    "BatchTrainer",
    "CheckpointHandler",
    "EarlyStopHandler",
    "FeatureInferer",
    "FiniteLossHandler",
    "ForestTrainer",
    "FrozenEpochsHandler",
    "HiddenPatchesInferer",
    "HistoryHandler",
    "MomentumHandler",
    "PlateauHandler",
    "PreparePhasesBatch",
    "PrepareSliceBatch",
    "PrepareStackBatch",
    "RunHandler",
    "SameBuffersHandler",
    "SeedHandler",
    "SliceBatchInferer",
    "ViewsInferer",
    "WeightsLoader",
    "WindowInferer",
    "allow_tf32",
    "channel_sources",
    "check_run",
    "is_first_process",
    "join_processes",
    "leave_processes",
    "momentum_at",
    "number_of_processes",
    "own_device",
    "parallel_network",
    "plain_errors",
    "precision",
    "read_history",
    "start_run",
]
