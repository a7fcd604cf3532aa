"""Make batches from a datalist."""

from planewise.data.datalist import (
    absolute_datalist,
    checked_masks,
    expand_volumes,
    gather_stacks,
    labelled,
    load_datalist,
    maskable,
    read_datalist,
    select_subjects,
    whole_volumes,
)
from planewise.data.epoch_sampler import OrderedSampler
from planewise.data.folds import load_fold
from planewise.data.hearts import mask_problem, with_hearts
from planewise.data.phases import at_cycle_points, cycle_fraction, pair_phases
from planewise.data.photographs import PhotographDataset, graded
from planewise.data.readable_items import ReadableItems
from planewise.data.samplers import ExamSampler, PairSampler, SeriesSampler
from planewise.data.slice_cache import default_cache_dir
from planewise.data.slice_dataset import BatchLoader, SliceDataset, as_batch
from planewise.data.stack_dataset import StackDataset
from planewise.data.two_phase_dataset import TwoPhaseDataset
from planewise.data.volume_dataset import VolumeDataset, VolumeSliceDataset, volumes_or_slices

__all__ = [
    "BatchLoader",
    "ExamSampler",
    "OrderedSampler",
    "PairSampler",
    "PhotographDataset",
    "ReadableItems",
    "SeriesSampler",
    "SliceDataset",
    "StackDataset",
    "TwoPhaseDataset",
    "VolumeDataset",
    "VolumeSliceDataset",
    "absolute_datalist",
    "as_batch",
    "at_cycle_points",
    "checked_masks",
    "cycle_fraction",
    "default_cache_dir",
    "expand_volumes",
    "gather_stacks",
    "graded",
    "labelled",
    "load_datalist",
    "load_fold",
    "mask_problem",
    "maskable",
    "pair_phases",
    "read_datalist",
    "select_subjects",
    "volumes_or_slices",
    "whole_volumes",
    "with_hearts",
]
