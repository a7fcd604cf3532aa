"""Handlers, inferers and batch preparation for MONAI's engines, which train, evaluate and infer."""

from planewise.engines.auxiliary_task import AuxiliaryTask, AuxiliaryTaskHandler
from planewise.engines.batch_engines import BatchEvaluator, BatchTrainer
from planewise.engines.checkpoints import CheckpointHandler
from planewise.engines.forest_trainer import ForestTrainer
from planewise.engines.handlers import (
    EarlyStopHandler,
    FiniteLossHandler,
    FrozenEpochsHandler,
    MomentumHandler,
    PlateauHandler,
    SameBuffersHandler,
    SeedHandler,
    WeightsLoader,
    momentum_at,
)
from planewise.engines.history import HistoryHandler, read_history
from planewise.engines.inferers import (
    AutocastInferer,
    FeatureInferer,
    HiddenPatchesInferer,
    SliceBatchInferer,
    ViewsInferer,
    WindowInferer,
)
from planewise.engines.plain_errors import plain_errors
from planewise.engines.precision import allow_tf32, precision
from planewise.engines.prepare_batch import PreparePhasesBatch, PrepareSliceBatch, PrepareStackBatch
from planewise.engines.processes import (
    is_first_process,
    join_processes,
    leave_processes,
    number_of_processes,
    own_device,
    parallel_network,
)
from planewise.engines.run_bundle import channel_sources
from planewise.engines.run_handler import RunHandler
from planewise.engines.start_run import check_run, start_run

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
