"""The settings of all bundles: what each one means, and which values it takes.

A bundle's config gives the values; this table is the only place that says which values are possible.
`planewise.engines.check_settings` checks and converts a run's settings with it, and ``tools/docs/settings.md`` shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from planewise.data.hearts import IMAGES
from planewise.files.datalists import SECTIONS
from planewise.files.masks import LARGEST_LABEL
from planewise.geometry import end_direction


@dataclass(frozen=True)
class Setting:
    """One setting."""

    text: str
    """what it determines"""
    wanted: str
    """the valid values, in words"""
    holds: Callable[[Any], bool]
    """whether a value is valid"""
    null: bool = False
    """whether it may be null, too"""
    kind: str = "value"
    """how a word of a command line is converted: ``switch`` or ``value``"""

    def takes(self, value: Any) -> bool:
        """Whether a value is valid, or null where that is allowed."""
        return self.null if value is None else self.holds(value)

    @property
    def values(self) -> str:
        """All valid values, in words."""
        return f"{self.wanted}, or null" if self.null else self.wanted


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and abs(value) < float("inf")


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _are(value: Any, each: Callable[[Any], bool], length: int | None = None) -> bool:
    """Whether a value is a list, not empty, whose entries are valid."""
    return isinstance(value, (list, tuple)) and len(value) == (length or max(1, len(value))) and all(map(each, value))


def _are_different(value: Any) -> bool:
    return _are(value, lambda name: isinstance(name, str)) and len(set(value)) == len(value)


def number(
    text: str, least: float | None = None, most: float | None = None, within: bool = False, null: bool = False
) -> Setting:
    """A number from ``least`` to ``most``; ``within`` leaves out these two."""

    def holds(value: Any) -> bool:
        if not _is_number(value):
            return False
        inside = (least is None or value >= least) and (most is None or value <= most)
        return inside and not (within and value in (least, most))

    bounds = {
        (True, True): f"a number {'between' if within else 'from'} {least} {'and' if within else 'to'} {most}",
        (True, False): f"a number {'above' if within else 'of at least'} {least}",
    }
    return Setting(text, bounds.get((least is not None, most is not None), "a number"), holds, null)


def whole(text: str, least: int = 1, most: int | None = None, null: bool = False, word: str | None = None) -> Setting:
    """A whole number from ``least`` to ``most``, or a word."""
    wanted = (
        f"a whole number of at least {least}{f' and at most {most}' if most else ''}{f', or {word}' if word else ''}"
    )

    def holds(value: Any) -> bool:
        return (word is not None and value == word) or (_is_whole(value) and least <= value <= (most or value))

    return Setting(text, wanted, holds, null)


def positive(text: str, null: bool = False) -> Setting:
    """A number above 0."""
    return number(text, 0, within=True, null=null)


def share(text: str) -> Setting:
    """A number from 0 to 1."""
    return number(text, 0, 1)


def choice(text: str, *words: str, null: bool = False) -> Setting:
    """One of some words."""
    return Setting(text, f"{', '.join(words[:-1])} or {words[-1]}", lambda value: value in words, null)


def names(text: str, least: int = 1, null: bool = False) -> Setting:
    """A list of different names."""
    wanted = "a list of different names, such as \"['2ch', '4ch']\""
    return Setting(text, wanted, lambda value: _are_different(value) and len(value) >= least, null)


def sizes(text: str, length: int | None = None, empty: bool = False) -> Setting:
    """A list of whole numbers of at least 1."""
    wanted = (
        f'a list of {f"{length} " if length else ""}whole numbers, such as "[16, 32]"{"; [] for none" if empty else ""}'
    )
    each = lambda size: _is_whole(size) and size >= 1  # noqa: E731
    return Setting(text, wanted, lambda value: (empty and value == []) or _are(value, each, length))


def span(text: str) -> Setting:
    """Two numbers above 0, the smaller one first."""

    def holds(value: Any) -> bool:
        return _are(value, lambda end: _is_number(end) and end > 0, 2) and value[0] <= value[1]

    return Setting(text, "two numbers above 0, the smaller one first", holds)


def several(text: str, null: bool = False) -> Setting:
    """A list or a table."""
    wanted = "a list or a table, such as \"['t1', 'flair']\"; [] for none"
    # people give some of these names to settings of their own, too (``channels: 3`` of a network)
    return Setting(text, wanted, lambda value: not isinstance(value, str), null)


def switch(text: str) -> Setting:
    """True or false."""
    return Setting(text, "true or false", lambda value: isinstance(value, bool), kind="switch")


def path(text: str, null: bool = False) -> Setting:
    """A file or a folder."""
    return Setting(text, "a path", lambda value: not isinstance(value, (bool, int, float)) and value != "", null)


def anything(text: str, null: bool = False) -> Setting:
    """A part of a config, or a setting that the class that uses it checks."""
    return Setting(text, "as in the bundle's config", lambda value: True, null)


def _is_precision(value: Any) -> bool:
    words = "auto true false float32 bfloat16 float16 yes no on off 1 0 none null"
    return str(value).strip().lower() in words.split()


def _are_axes(value: Any) -> bool:
    return isinstance(value, str) and sorted("LRPAIS".find(axis) // 2 for axis in value) == [0, 1, 2]


def _are_ends(value: Any) -> bool:
    try:
        return _are(value, lambda end: isinstance(end, str), 2) and all(end_direction(end) is not None for end in value)
    except ValueError:
        return False


def _are_structures(value: Any) -> bool:
    if not isinstance(value, Mapping) or not _are_different(list(value.values())):
        return False
    labels = [int(key) if str(key).isdecimal() else 0 for key in value]
    return min(labels) > 0 and max(labels) <= LARGEST_LABEL and len(set(labels)) == len(labels)


#: Twice the largest batch of the SimCLR paper (8192). A larger number is taken for a mistake, because it would put all
#: images into one batch.
_LARGEST_BATCH = 16384

#: Maps the name of each setting to its declaration.
SETTINGS: Mapping[str, Setting] = {
    # where a run reads and writes
    "bundle_root": path("folder of the bundle"),
    "dataset_dir": path("folder of the data"),
    "datalist": path("the images, written by `planewise index` (datalist.md)"),
    "input": path(
        "images for inference: a folder of DICOM files, a NIfTI volume, a folder of such volumes, or a datalist"
    ),
    "output_dir": path("folder of the results"),
    "report_dir": path("folder of the scores of an evaluation"),
    "ckpt_dir": path("folder of the weights"),
    "cache_dir": path("folder of preprocessed images"),
    "weights": path("weights for evaluation or inference: a checkpoint, or the folder of a run or bundle", null=True),
    "pretrained": path("weights to start from: a checkpoint, the folder of a run or bundle", null=True),
    "imagenet": path("torchvision's file of ImageNet weights to start from", null=True),
    "masks": path("folder of masks; null takes the datalist's labels", null=True),
    "pretext_config": path("config of the pretext that training continues with transfer: multitask"),
    "pretext_datalist": path("images of that pretext", null=True),
    # how a run is executed
    "seed": whole("seed of all randomness", 0),
    "resume": switch("continue an unfinished run in output_dir; false starts over"),
    "progress": switch("show progress bars"),
    "num_workers": whole("processes that preprocess; null means one per core, at most 8", 0, null=True),
    "device": anything("device of the network, such as cpu or cuda:0"),
    "data_device": anything("device of the preprocessed images"),
    "amp": Setting(
        "precision of the network; auto is bfloat16 if the device supports it, else float32",
        "auto, true, false, float32, bfloat16 or float16",
        _is_precision,
    ),
    "channels_last": switch("memory format of the weights"),
    "compile": anything("true uses torch.compile; cuda_graphs replays the network's kernels on a GPU (speed.md)"),
    "tf32": switch("on CUDA: faster float32 products with fewer digits"),
    "log_interval": whole("steps between points of TensorBoard's curve, and between checks of the loss"),
    "checkpoint_interval": number("seconds between two checkpoints; one is also written at the end of a run", 0),
    "writes": switch("write TensorBoard files and log validations"),
    "sync_batch_norm": switch("batch statistics over all processes; supported on GPUs only"),
    # which images
    "section": choice("section of the datalist", *SECTIONS, "all"),
    "fold": whole("cross-validation: the fold to validate on; null: the datalist's own sections", 0, null=True),
    "folds": whole("cross-validation: number of folds", 2),
    "fold_seed": whole("cross-validation: seed of the division", 0),
    "num_exams": whole("largest number of exams for inference; null takes all", null=True),
    "num_subjects": whole(
        "exams to learn from; null takes all; a larger selection includes every smaller one", null=True
    ),
    "subject_seed": whole("seed that selects these exams", 0),
    "samples_per_exam": whole("images drawn from each exam per epoch", word="all"),
    "samples_per_epoch": whole("images per epoch, whatever the number of exams; null: one pass over them", null=True),
    "val_samples": whole("number of images in a validation"),
    "val_samples_per_exam": whole("images of each exam, the same in every validation", word="all"),
    "phases": choice("phases of a cine: ed (the first phase of each slice) or all", "ed", "all"),
    "cycle_points": Setting(
        "phases, as fractions of the cycle; null takes all",
        'a list of numbers from 0 to 1, such as "[0.0, 0.4]"',
        lambda value: _are(value, lambda point: _is_number(point) and 0 <= point <= 1),
        null=True,
    ),
    "view": anything("the stack to look for in DICOM files, such as sax or sagittal"),
    "contrast": anything("contrast of the sagittal series to use from DICOM files: t2fs or any", null=True),
    "slices": several("part of the stack's height from which slices are taken; [0, 1] takes all"),
    "max_slices": whole("largest number of slices of an exam, evenly spaced", null=True),
    "images": choice("whole images (full), or the organ alone, cut out with the masks (segmented)", *IMAGES),
    "mask_margin": number("mm by which a mask is widened", 0),
    "mask_crop": switch("crop each slice to the bounding box of the mask"),
    "heart_labels": sizes("mask values that belong to the heart"),
    "volumes": switch("learn from slices of volumes, or from photographs"),
    "channels": several("endings of a case's file names, in the order of the network's channels"),
    # labels
    "structures": Setting(
        "name of each value of a mask",
        f"different names of mask values, which are whole numbers from 1 to {LARGEST_LABEL}, such as \"{{'1': LV}}\" "
        "(`planewise index --label-map` renames other values)",
        _are_structures,
    ),
    "regions": several("structures that are scored together; {} scores each by itself"),
    "classes": several("the classes of a diagnosis"),
    "class_key": anything("the items' key whose values are the classes; null: group", null=True),
    "tasks": names("the items' keys whose values, 0 or 1, are learned"),
    "grades": names("the grades, from the lowest to the highest", 2),
    # the form of the images
    "spacing": positive("width of a pixel, mm"),
    "voxel_size": anything("mm; resample to voxels of this width, then pad or crop; null: resize", null=True),
    "axcodes": Setting(
        "directions of a volume's axes for the network; null: as in the file",
        "a direction for each axis, such as RAS or LPS",
        _are_axes,
        null=True,
    ),
    "image_size": whole("pixels on each side"),
    "in_channels": whole("channels of an image"),
    "spatial_dims": Setting("2: slices; 3: volumes", "2 or 3", lambda value: value in (2, 3)),
    "foreground_threshold": share("volumes are scaled to [0, 1] and cropped to the values above this"),
    "field_without_spacing": positive("mm; assumed width of an .npy volume, which has no spacing", null=True),
    "window": whole("side of the crops that a network of volumes gets; null: whole volumes at once", null=True),
    "normalize_patches": switch("restore each patch standardised by its own mean and standard deviation"),
    "standardize_tiles": switch("standardise each tile by itself"),
    "standardize": switch("give each feature mean 0 and standard deviation 1 before the linear layer"),
    # random changes of the images
    "zoom": span("smallest and largest magnification"),
    "shift": number("fraction of the image's size, in either direction", 0),
    "rotate": number("degrees in either direction", 0),
    "rotate_prob": share("probability of a rotation"),
    "zoom_prob": share("probability of a magnification"),
    "flip_prob": share("probability of a flip"),
    "pretext_flip_prob": share("probability of a flip of image and target"),
    "gamma": number("random contrast: exponent from exp(-gamma) to exp(gamma)", 0),
    "bias_field": number("random shading: a smooth factor between exp(-bias_field) and exp(bias_field)", 0),
    "noise": number("random noise: its largest standard deviation, as a share of the image's own", 0),
    "brightness": number("largest change in either direction, for intensities in [0, 1]", 0),
    "contrast_range": span("smallest and largest factor of the contrast"),
    "intensity_prob": share("probability that brightness and contrast change"),
    "blur_prob": share("probability of a blur"),
    "blur_sigma": span("smallest and largest standard deviation of the blur, pixels"),
    "nonlinear_prob": share("probability that intensities are mapped through a random curve"),
    "shuffle_prob": share("probability that pixels within small windows are shuffled"),
    "paint_prob": share("probability that noise is painted over windows, or over everything outside them"),
    "inpaint_prob": share("probability that this noise is inside the windows"),
    # pretexts
    "views": names("one heatmap for each view, in this order"),
    "sigma": positive("standard deviation of a heatmap across its line, pixels"),
    "missing_planes": choice("an exam without a view: an error, or left out of the loss", "error", "mask"),
    "parallel_planes": choice("a view parallel to the image: an error, or left out of the loss", "error", "mask"),
    "mapping": choice(
        "target of the location: linear, or sine for stacks that are symmetric about their centre", "linear", "sine"
    ),
    "probe_mapping": choice("the same for the probe", "linear", "sine"),
    "start": anything("name of the slice at the beginning of a stack"),
    "ends": Setting(
        "directions that tell the two ends of a line apart",
        'two ends of different lines, such as "[L, AS]": letters of L, R, A, P, S, I',
        _are_ends,
    ),
    "square_size": positive("side of a square, mm"),
    "square_step": positive("distance of the centres of neighbouring squares, mm"),
    "orientation_weight": number("weight of the heatmaps' loss", 0),
    "location_weight": number("weight of the location's loss", 0),
    "background_prob": number(
        "the new head's initial probability of background; null: as of the others", 0, 1, True, True
    ),
    "temperature": positive("of the contrastive loss"),
    "momentum": share("of the target network at the first step; it rises to 1 at the last step"),
    "margin": positive("margin of the triplet loss"),
    "mask_ratio": number("share of a slice's patches that are hidden", 0, 1, True),
    "patch_size": whole("side of a patch, pixels"),
    "patches_per_side": whole("number of patches along each axis"),
    "patch_overlap": number("share of a patch that overlaps with the next one, below 1", 0, 0.99),
    "patch_jitter": whole("pixels by which a patch moves at random", 0),
    "rows_ahead": whole("number of rows that are predicted"),
    "num_negatives": whole("number of other patches that serve as negatives"),
    "negatives_from": choice("where the negative examples are from", "batch", "dataset"),
    "loss_form": choice("form of the loss of contrastive predictive coding", "infonce", "binary"),
    "tiles_per_side": whole("number of a puzzle's tiles along each axis", 2),
    "tile_size": whole("side of a tile, pixels; null: as large as the grid allows", null=True),
    "tile_gap": number("share of a cell that its tile leaves free, below 1", 0, 0.99),
    "num_permutations": whole("number of a puzzle's orders", 2),
    # the network
    "features": sizes("channels of each level, finest first"),
    "blocks": sizes("number of blocks or layers in each level"),
    "stem_stride": whole("2 or 4 makes the network's finest grid coarser by this factor"),
    "norm": anything("normalisation: MONAI's name, or [group, {num_groups: 8}]"),
    "dropout": share("share of features that is dropped at random"),
    "init_features": whole("channels of the first convolution"),
    "growth_rate": whole("channels that each layer adds"),
    "hidden_size": whole("width of a transformer"),
    "mlp_dim": whole("width of a transformer's inner layers"),
    "num_layers": whole("layers of a transformer"),
    "num_heads": whole("heads of a transformer"),
    "decoder_hidden_size": whole("width of the decoder's transformer"),
    "decoder_num_layers": whole("its layers"),
    "decoder_num_heads": whole("its heads"),
    "head_features": sizes("widths of the layers between the features and the output", empty=True),
    "head_norm": choice("normalisation of the head", "batch", "none"),
    "patch_features": whole("features of a patch or tile"),
    "code_features": whole("length of the code by which images are compared"),
    "context_features": whole("width of the GRU"),
    "projection": sizes("widths of the two layers of the projector", 2),
    "embedding": sizes("widths of the code and of a patch's embedding", 2),
    "bottleneck": whole("width of the inner layer of the predictor"),
    "num_trees": whole("trees of the forest"),
    # training
    "transfer": choice(
        "how training starts from the pretrained weights, as in train.yaml",
        *("scratch", "decoder", "all", "multitask", "frozen_encoder"),
        null=True,
    ),
    "pretrained_parts": names("parts whose weights are copied; null: all that fit", null=True),
    "pretext_settings": several("settings of the pretext with transfer: multitask"),
    "auxiliary_interval": whole("steps on labelled batches for each step on a batch of the pretext"),
    "frozen_epochs": whole("first epochs in which a pretrained encoder does not change", 0),
    "max_epochs": whole("epochs of the training"),
    "warmup_epochs": number("epochs in which the learning rate rises", 0),
    "patience": whole("training ends after this many epochs without a better validation; null: never", 0, null=True),
    "val_interval": whole("epochs between validations"),
    "batch_size": whole("images in a batch", 1, _LARGEST_BATCH),
    "learning_rate": number("learning rate", 0),
    "base_learning_rate": number("learning rate for a step of 256 images", 0),
    "encoder_lr_factor": number("factor on the encoder's learning rate", 0),
    "weight_decay": number("the optimiser's weight decay", 0),
    "betas": several("decay rates of Adam's moments"),
    "sgd_momentum": share("momentum of SGD"),
    "l1": number("L1 penalty on the convolutions' weights", 0),
    "l1_reduction": choice("mean or sum over these weights", "mean", "sum"),
    "lr_step": whole("epochs until the rate is multiplied by lr_gamma; batches if lr_epoch_level is false"),
    "lr_gamma": positive("factor on the learning rate at every lr_step"),
    "lr_factor": share("factor on the learning rate if the validation loss has not fallen"),
    "lr_patience": whole("epochs without a lower validation loss until then", 0),
    "lr_scheduler": anything("schedule of the learning rate; null: constant", null=True),
    "lr_epoch_level": switch("false for a schedule that steps after every batch"),
    # evaluation and inference
    "title": anything("title of the pictures, such as the data's name"),
    "examples": whole("number of exams in a picture", 0),
    "save_masks": switch("write the predicted masks"),
    "probe_counts": several("numbers of labelled exams for the probe"),
    "probe_draws": whole("random draws for each of these numbers"),
    "min_peak": number("lowest peak of a trusted heatmap"),
    "min_agreement": number("lowest agreement of a trusted plane's lines"),
    "min_order": number("lowest rank correlation of the locations with the order of the slices"),
    "min_trusted": share("share of the slices that must be trusted"),
    "min_found": whole("how many squares must be found in a trusted slice", 0),
    "min_obliquity": number("degrees; slices nearer to axial, coronal or sagittal cannot be a short axis", 0),
    "max_residual": positive("mm, root mean square: distance of the found centres from the cross that fits them best"),
    "max_slice_distance": positive("mm; slices whose line is farther from the plane are listed"),
    "max_spread": positive("degrees by which the planes of the slices may differ"),
    "line_width": positive("width of the drawn lines, mm"),
    "plane_bounds": anything("error bounds of planes, measured with these weights", null=True),
    "joint_bounds": anything("the same for joint planes", null=True),
    "phase_plans": anything("folder for the planes of each phase", null=True),
    "trained_on": anything("note on the training data of these weights", null=True),
}

#: Keys of configs that are no settings, but parts.
PARTS = frozenset(
    (
        "auxiliary_task", "dataloader", "dataset", "evaluate", "evaluator", "finalize", "handlers", "imports", "inferer",
        "initialize", "learner", "learner_def", "loss", "network", "network_def", "optimizer",
        "postprocessing", "preprocessing", "probe", "run", "scored", "train", "train_and_evaluate", "validate",
    )
)  # fmt: skip
