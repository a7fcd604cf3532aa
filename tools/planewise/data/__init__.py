"""Make batches from a datalist."""

from planewise.data.datalist import (
    absolute_datalist,
    expand_volumes,
    gather_stacks,
    load_datalist,
    read_datalist,
    whole_volumes,
)
from planewise.data.readable_items import ReadableItems
from planewise.data.samplers import ExamSampler, OrderedSampler, PairSampler, SeriesSampler
from planewise.data.select_items import (
    at_cycle_points,
    checked_masks,
    cycle_fraction,
    graded,
    labelled,
    load_fold,
    mask_problem,
    maskable,
    pair_phases,
    select_subjects,
    with_hearts,
)
from planewise.data.slice_cache import as_batch, default_cache_dir
from planewise.data.slice_dataset import (
    BatchLoader,
    PhotographDataset,
    SliceDataset,
    VolumeDataset,
    VolumeSliceDataset,
    volumes_or_slices,
)
from planewise.data.stack_dataset import StackDataset, TwoPhaseDataset
