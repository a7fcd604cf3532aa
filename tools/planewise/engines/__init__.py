"""Handlers, inferers and batch preparation for MONAI's engines, which train, evaluate and infer."""

from planewise.engines.auxiliary_task import AuxiliaryTask, AuxiliaryTaskHandler
from planewise.engines.batch_engines import (
    BatchEvaluator,
    BatchTrainer,
    ForestTrainer,
    PrepareSliceBatch,
    PrepareStackBatch,
)
from planewise.engines.checkpoints import CheckpointHandler
from planewise.engines.handlers import (
    EarlyStopHandler,
    FrozenEpochsHandler,
    HistoryHandler,
    MomentumHandler,
    RunHandler,
    SeedHandler,
    WeightsLoader,
)
from planewise.engines.inferers import (
    AutocastInferer,
    FeatureInferer,
    HiddenPatchesInferer,
    SliceBatchInferer,
    ViewsInferer,
    WindowInferer,
    allow_tf32,
    precision,
)
from planewise.engines.processes import (
    is_first_process,
    join_processes,
    keep_quiet,
    leave_processes,
    number_of_processes,
    own_device,
    parallel_network,
    plain_errors,
)
from planewise.engines.start_run import Inference, check_run, start_run
from planewise.reports.tables import read_history
