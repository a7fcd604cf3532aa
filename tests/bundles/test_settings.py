"""Test that every setting of a config has the effect that its name promises, in validation as in training.

Every setting of a bundle gets a different value before the bundle is built. The tests then look in the objects that MONAI
builds, and so find a setting without effect, one that changes something else, and a default that hides a setting.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
import re
import types
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import ignite.distributed as idist
import numpy as np
import pytest
import torch
from ignite.metrics import Loss
from monai.bundle import ConfigParser
from planewise.errors import InputError, causes
from torch import nn

from tests.bundles.conftest import BUNDLES, DECLARED, PUZZLES_OF_VOLUMES, TINY, parser_of, run_bundle, tiny_size
from tests.conftest import ROOT

TRAIN, EVALUATE, INFERENCE = "train.yaml", "evaluate.yaml", "inference.yaml"
#: The engines that each kind of config builds.
ENGINES = {
    TRAIN: ("train#trainer", "validate#evaluator", "train#targets"),
    EVALUATE: ("evaluate#evaluator",),
    INFERENCE: ("evaluator",),
}
#: Bundles whose evaluation scores frozen features.
PROBED = {
    path.parents[1].name
    for path in (ROOT / "bundles").glob("*/configs/evaluate.yaml")
    if "ProbeScores" in path.read_text()
}
#: For each overlay that changes what a bundle learns from: small settings for the test, and the bundle whose datalist
#: it uses.
OVERLAYS: dict[str, tuple[dict[str, Any], str | None]] = {
    "2d.yaml": ({}, None),
    "3d.yaml": (PUZZLES_OF_VOLUMES, "pretext_rotation"),
    "knee.yaml": (TINY["knee"] | {"ends": ["L", "A"]}, "pretext_knee_location"),
    "photograph.yaml": (TINY["photograph"] | {"in_channels": 3}, "downstream_retinopathy_grading"),
}

#: The attributes that a setting becomes, if they have another name: an attribute of a class of ours, ``nn.attribute`` of a
#: network, or ``Class.attribute`` of a library. ``a|b``: either of them; several entries: all of them.
ACTS_AS: dict[str, tuple[str, ...]] = {
    "batch_size": ("BatchSampler.batch_size|batch_size|_batch",),
    "blur_prob": ("prob",),
    "axcodes": ("Orientation.axcodes",),
    "blur_sigma": ("sigma",),
    "channels": ("channel_names",),
    "checkpoint_interval": ("interval",),
    "code_features": ("nn.out_features",),
    "context_features": ("nn.hidden_size",),
    "contrast_range": ("contrast",),
    "dropout": ("nn.p",),
    "embedding": ("nn.out_features",),
    "encoder_lr_factor": ("lr",),
    "features": ("nn.out_channels",),
    "foreground_threshold": ("threshold",),
    "frozen_epochs": ("epochs",),
    "head_features": ("nn.out_features",),
    "heart_labels": ("labels",),
    "image_size": ("Resize.spatial_size|CenterSpatialCrop.roi_size",),
    "in_channels": ("nn.in_channels",),
    "init_features": ("nn.out_channels",),
    "intensity_prob": ("prob",),
    "learning_rate": ("lr",),
    "location_weight": ("location",),
    "log_interval": ("interval", "TensorBoardStatsHandler.iteration_log"),
    "loss_form": ("form",),
    "lr_epoch_level": ("lr_epoch_level", "LrScheduleHandler.epoch_level"),
    "lr_factor": ("ReduceLROnPlateau.factor",),
    "lr_gamma": ("StepLR.gamma",),
    "lr_patience": ("ReduceLROnPlateau.patience",),
    "lr_step": ("StepLR.step_size",),
    "mask_crop": ("crop",),
    "mask_margin": ("margin",),
    "max_epochs": ("State.max_epochs",),
    "missing_planes": ("missing",),
    "momentum": ("start",),
    "num_permutations": ("nn.out_features",),
    "orientation_weight": ("orientation",),
    "parallel_planes": ("parallel",),
    "patch_features": ("nn.out_features",),
    "patch_jitter": ("jitter",),
    "patch_overlap": ("overlap",),
    "probe_mapping": ("mapping",),
    "pretext_flip_prob": ("flip_prob",),
    "projection": ("nn.out_features",),
    "samples_per_epoch": ("_length",),
    "samples_per_exam": ("_per_exam",),
    "spacing": ("Spacing.pixdim",),
    "square_size": ("size",),
    "square_step": ("step",),
    "standardize_tiles": ("standardize",),
    "tile_gap": ("gap",),
    "val_interval": ("ValidationHandler.interval",),
    "val_samples": ("_length",),
    "val_samples_per_exam": ("_per_exam",),
    "voxel_size": ("Spacing.pixdim",),
    "window": ("size|SlidingWindowInferer.roi_size",),
}  # fmt: skip
#: The same for settings that only one bundle has, as its ``metadata.json`` declares them.
ACTS_AS |= {
    setting: tuple(attributes)
    for declared in DECLARED.values()
    for setting, attributes in declared.get("tests", {}).get("acts_as", {}).items()
}
#: How a setting's value is converted before it becomes an attribute, given all settings.
BECOMES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "encoder_lr_factor": lambda settings: settings["encoder_lr_factor"] * settings["learning_rate"],
    "rotate": lambda settings: math.radians(settings["rotate"]),
}
#: Attributes that may also hold other values: another setting's, an intended default, or a value that shares the name by
#: chance.
SHARED = {
    "_length", "_per_exam", "amp", "batch_size", "channel_names", "flip_prob", "interval", "labels", "location", "max_slices",
    "output_dir", "seed", "slices", "view",
}  # fmt: skip

#: Values for settings that are null or text, that share their value with others, or on which others depend.
OWN_VALUES: dict[str, Any] = {
    "amp": "bfloat16", "axcodes": "PIR", "cycle_points": [0.3], "embedding": [22, 26], "head_features": [22],
    "images": "segmented", "lr_epoch_level": False, "mask_crop": True, "max_slices": 3, "missing_planes": "mask",
    "norm": "instance", "parallel_planes": "mask", "patience": 41, "pretrained_parts": ["decoder"], "projection": [22, 26],
    "samples_per_epoch": 14, "samples_per_exam": 3, "slices": [0.05, 0.9], "tile_size": 21, "title": "a title",
    "val_samples": 10, "val_samples_per_exam": 2, "voxel_size": 6.5, "window": 8,
}  # fmt: skip
#: Whole numbers that no size depends on.
COUNTS = {
    "examples", "fold_seed", "frozen_epochs", "log_interval", "lr_patience", "lr_step", "max_epochs", "min_found", "seed",
    "subject_seed", "val_interval",
}  # fmt: skip
#: Settings that do not become attributes; the comments name the tests that cover them.
ELSEWHERE = {
    # where a run is stored and how it is executed
    "bundle_root", "cache_dir", "channels_last", "ckpt_dir", "compile", "data_device", "dataset_dir", "datalist",
    "device", "input", "num_workers", "output_dir", "progress", "report_dir", "resume", "save_masks", "tf32", "weights",
    "writes", "handlers", "imports", "initialize", "run", "train_and_evaluate",
    # which exams and slices: below, test_wiring.py, test_knee.py, test_masked_views.py, test_two_phases.py, test_folds.py
    "class_key", "cycle_points", "fold", "fold_seed", "folds", "images", "masks", "max_slices", "num_exams", "num_subjects",
    "phases", "section", "slices", "subject_seed",
    # the network's form and weights: the tests below cover them, and other tests show that inference uses those of training
    "blocks", "growth_rate", "head_norm", "imagenet", "norm", "pretrained", "pretrained_parts", "num_trees", "stem_stride",
    # settings that select a variant: test_transfer.py, test_exemplar.py, test_volume_pretexts.py,
    # test_released_weights.py
    "auxiliary_interval", "negatives_from", "permutation_file", "plane_bounds", "pretext_datalist", "rows_ahead",
    "trained_on", "transfer", "volumes",
}  # fmt: skip
#: Settings that do not become attributes in one kind of config: `grades` in training, and, in inference, four settings, most
#: of which say how the network's input is cut into pieces.
ELSEWHERE_IN = {
    TRAIN: {"grades"},
    EVALUATE: set(),
    INFERENCE: {"ends", "mask_ratio", "patches_per_side", "tiles_per_side"},
}
#: Settings that puzzles of images lack (False), and settings that puzzles of volumes lack (True).
NOT_OF = {
    False: {"axcodes", "foreground_threshold", "in_channels", "voxel_size"},
    True: {"heart_labels", "mask_crop", "mask_margin", "spacing", "view"},
}


def counts_only(key: str, config: Any) -> bool:
    """Whether a config uses only the length of a setting, a list, as in `num_outputs: $len(@noise_levels)`."""
    text = json.dumps(config, default=str)
    return bool(re.search(rf"@{key}\b", text)) and not re.search(rf"@{key}\b", re.sub(rf"len\(@{key}\)", "", text))


def test_a_list_that_is_only_counted_is_recognised():
    assert counts_only("levels", {"levels": [1], "outputs": "$len(@levels) + 1", "other": "@levels_of"})
    assert not counts_only("levels", {"levels": [1], "outputs": "$len(@levels)", "pretext": ["@levels"]})
    assert not counts_only("levels", {"levels": [1]}), "a setting that nothing uses"


def told_apart(settings: dict[str, Any]) -> dict[str, Any]:
    """Different values for these settings, each used only once if possible."""
    changed = {}
    for key, value in settings.items():
        own = 1 + zlib.crc32(key.encode()) % 997
        if key in OWN_VALUES:
            changed[key] = OWN_VALUES[key]
        elif key in COUNTS:
            changed[key] = value + 100 + own
        elif isinstance(value, float):
            # a share, such as a momentum, stays below one
            changed[key] = value + 1e-5 * own * (-1 if 0.99 < value < 1 else 1)
        elif isinstance(value, list) and value and all(isinstance(entry, float) for entry in value):
            changed[key] = [entry + 1e-5 * own for entry in value]
    return changed


def parts(*engines: Any) -> Iterator[tuple[str, Any]]:
    """All objects inside engines, with the attribute that holds each of them, named as in `ACTS_AS`."""
    seen: dict[int, Any] = {}
    waiting: list[tuple[str, Any]] = [("", engine) for engine in engines]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, np.ndarray):
            value = value.tolist() if value.ndim == 1 and len(value) < 8 else None
        yield name, value
        if id(value) in seen or isinstance(value, (str, types.ModuleType, torch.Tensor, type)):
            continue
        seen[id(value)] = value
        if isinstance(value, (list, tuple, set)):
            waiting += [(name, entry) for entry in value]
        elif isinstance(value, dict):
            waiting += [(key if isinstance(key, str) else name, entry) for key, entry in value.items()]
        elif isinstance(value, functools.partial):
            waiting += [(name, part) for part in (value.func, value.args, value.keywords)]
        elif isinstance(value, types.MethodType):
            waiting.append((name, value.__self__))
        elif isinstance(value, types.FunctionType):
            waiting += [(name, cell.cell_contents) for cell in value.__closure__ or ()]
        elif hasattr(value, "__dict__"):
            kind = type(value)
            library = "nn." if isinstance(value, nn.Module) else f"{kind.__name__}."
            before = "" if kind.__module__.startswith("planewise.") else library
            waiting += [(f"{before}{key}", entry) for key, entry in vars(value).items()]


def plain_values(*engines: Any) -> dict[str, list[Any]]:
    """The numbers, texts and lists inside engines, as a dictionary from attribute to values."""
    found: dict[str, list[Any]] = defaultdict(list)
    for name, value in parts(*engines):
        entries = value if isinstance(value, (list, tuple)) else [value]
        if all(isinstance(entry, (bool, int, float, str, np.generic)) for entry in entries):
            found[name].append(list(value) if isinstance(value, (list, tuple)) else value)
    return found


def configs() -> list[Any]:
    """Each bundle, alone and with each of its overlays."""
    overlays = sorted(path for path in (ROOT / "bundles").glob("*/configs/*.yaml") if path.name in OVERLAYS)
    found = [(name,) for name in BUNDLES] + [(path.parents[1].name, path.name) for path in overlays]
    return [pytest.param(each, id="-".join(each).removesuffix(".yaml")) for each in found]


@pytest.fixture(scope="module", params=configs())
def built(request, datalists, tmp_path_factory) -> SimpleNamespace:
    """Objects built from a bundle's configs when every setting has a value of its own: `engines` and `settings` of each
    config.

    All sections have the exams of the training section.
    """
    (name, *overlay), folder = request.param, tmp_path_factory.mktemp("run")
    small, like = OVERLAYS[overlay[0]] if overlay else ({}, None)
    content = json.loads(datalists[like or name].read_text())
    # also slices of a second phase, for `cycle_points`
    training = content["training"] + [{**item, "phase": 0.25} for item in content["training"] if "slice" in item]
    content |= {"training": training, "validation": training}
    datalist = datalists[like or name].with_name(f"{folder.name}.json")
    datalist.write_text(json.dumps(content))
    where = dict.fromkeys(("datalist", "input"), str(datalist)) | {"section": "training"}
    where |= {"output_dir": str(folder), "cache_dir": str(folder / "cache"), "weights": str(folder / "model.pt")}

    def parsed(*files: str, **more: Any) -> tuple[ConfigParser, dict[str, Any]]:
        plain = parser_of(name, *files, *overlay)
        values = {key: value for key, value in plain.get().items() if not isinstance(value, dict)}
        values |= {key: value for key, value in (small | where | more).items() if key in plain}
        values = {key: value for key, value in values.items() if not str(value).startswith(("$", "@"))}
        values |= told_apart(values) | (
            {"images": "full"} if "photograph.yaml" in overlay and "images" in values else {}
        )
        return parser_of(name, *files, *overlay, **values), values

    def keep_weights(network: nn.Module) -> None:
        torch.save(network.state_dict(), where["weights"])

    made = SimpleNamespace(name=name, overlay=overlay, engines={}, settings={}, configs={})
    made.start = parsed(TRAIN)[0].get_parsed_content("network")
    keep_weights(made.start)
    for file, keys in ENGINES.items():
        parser, settings = parsed(
            *((TRAIN, file) if file == EVALUATE else (file,)), pretrained=str(folder / "start.pt")
        )
        torch.save(made.start.state_dict(), folder / "start.pt")
        if file == EVALUATE and "evaluate#evaluator#network" in parser:
            keep_weights(parser.get_parsed_content("evaluate#evaluator#network"))
        if file == INFERENCE:
            keep_weights(made.start)
        made.engines[file] = [parser.get_parsed_content(key) for key in keys if key in parser]
        own = ConfigParser.load_config_file(str(ROOT / "bundles" / name / "configs" / file))
        made.configs[file] = parser.get()
        made.settings[file] = {key: value for key, value in settings.items() if key in own}
    return made


@pytest.mark.parametrize("file", ENGINES)
def test_a_setting_acts_where_its_name_says(file, built):
    settings = {**built.settings[TRAIN], **built.settings[file]}
    values = settings | {key: become(settings) for key, become in BECOMES.items() if key in settings}
    found = plain_values(*built.engines[file])
    elsewhere = ELSEWHERE | ELSEWHERE_IN[file] | NOT_OF.get(settings.get("volumes"), set())
    wanted: dict[str, list[Any]] = defaultdict(list)
    for key, value in values.items():
        names = [name.split("|") for name in ACTS_AS.get(key, (key,))]
        for name in itertools.chain(*names):
            wanted[name] += [value, *(value if isinstance(value, list) else [])]
        if key not in built.settings[file].keys() - elsewhere or value is None:
            continue
        if isinstance(value, list) and counts_only(key, built.configs[file]):
            continue
        for either in names:
            there = [entry for name in either for entry in found[name]]
            # a list of widths is spread over the layers
            widths = isinstance(value, list) and value and either[0].startswith("nn.")
            acts = all(entry in there for entry in value) if widths else value in there
            assert acts, (
                f"no attribute {' or '.join(either)} has the value {value!r} of the setting {key}; found {there}. Keep it "
                "in an attribute of that name, or declare another under planewise: tests: acts_as in metadata.json"
            )
    # no object has a default instead of the setting's value
    for name in wanted.keys() - SHARED:
        # a list may hold one value for each axis
        others = [
            entry
            for entry in found[name]
            if entry not in wanted[name] and not (isinstance(entry, list) and all(one in wanted[name] for one in entry))
        ]
        assert "." in name or not others, (
            f"an attribute {name} has the value {others}, which no setting has ({wanted[name]}): pass the setting to it"
        )


def trainer_and_evaluator(built: SimpleNamespace) -> tuple[Any, Any]:
    """The test needs training; a forest has no evaluator and is skipped."""
    trainer, *others = built.engines[TRAIN]
    if not hasattr(trainer, "optimizer"):
        pytest.skip("it does not learn step by step")
    return trainer, others[0]


def drawn(loader: Any) -> list[int]:
    """The rows of a loader's batches, in order."""
    return [row for batch in loader.batch_sampler for row in batch]


def test_all_that_is_trained_is_in_the_optimiser(built):
    """Each weight is there once, and the evaluator uses the same network."""
    trainer, evaluator = trainer_and_evaluator(built)
    optimised = [id(weight) for group in trainer.optimizer.param_groups for weight in group["params"]]
    wanted = [id(weight) for weight in trainer.network.parameters() if weight.requires_grad]
    assert len(optimised) == len(set(optimised)) and set(wanted) <= set(optimised) and wanted
    assert evaluator.network is trainer.network


def test_the_encoder_alone_moves_at_a_rate_of_its_own(built):
    trainer, _ = trainer_and_evaluator(built)
    settings = built.settings[TRAIN]
    if "encoder_lr_factor" not in settings:
        pytest.skip("the whole network has one learning rate")
    names = {id(weight): name for name, weight in trainer.network.named_parameters()}
    rates = {True: set(), False: set()}
    for group in trainer.optimizer.param_groups:
        for weight in group["params"]:
            rates[names[id(weight)].startswith("encoder.")].add(group.get("initial_lr", group["lr"]))
    rate = settings["learning_rate"]
    assert rates == {True: {rate * settings["encoder_lr_factor"]}, False: {rate}}


def test_pretrained_weights_reach_the_parts_that_take_them(built):
    trainer, _ = trainer_and_evaluator(built)
    taken = built.settings[TRAIN].get("pretrained_parts", ["encoder"])
    found, start = trainer.network.state_dict(), built.start.state_dict()
    of_parts = {name: value for name, value in start.items() if name.split(".")[0] in taken}
    assert of_parts
    for name, value in of_parts.items():
        # the network is a part of a learner
        (own,) = {found[key] for key in (name, f"network.{name}", f"online.{name}") if key in found}
        assert torch.equal(own, value), name
    others = [name for name in start if name.endswith("weight") and name.split(".")[0] not in taken and name in found]
    if "pretrained_parts" in built.settings[TRAIN]:
        assert any(not torch.equal(found[name], start[name]) for name in others)


def test_batches_are_normalised_as_the_settings_say(built):
    """With instance normalisation, only `head_norm` keeps batch normalisation: otherwise a patch's code would depend on the
    other patches of its batch, and processes on a CPU do not share statistics.
    """
    trainer, _ = trainer_and_evaluator(built)
    settings = built.settings[TRAIN]
    if "norm" not in settings or {"knee.yaml", "photograph.yaml"} & {*built.overlay}:
        pytest.skip("its network has a normalisation of its own")
    kinds = {type(module).__name__.rstrip("123d") for module in trainer.network.modules()}
    head = {"BatchNorm"} if settings.get("head_norm") == "batch" else set()
    assert kinds & {"BatchNorm", "InstanceNorm"} == {"InstanceNorm"} | head


def test_an_exam_is_the_same_to_training_and_validation(built):
    """Evaluation reads the same exam, too, unless it takes whole volumes instead of slices."""
    trainer, evaluator = trainer_and_evaluator(built)
    datasets = [engine.data_loader.dataset for engine in (trainer, evaluator)]
    datasets += [engine.data_loader.dataset for engine in built.engines[EVALUATE]]
    alike = [dataset for dataset in datasets if type(dataset) is type(datasets[0])]
    if len(alike) == 1:
        pytest.skip("it learns from slices and is judged by volumes")
    first, *others = (dataset.__getitems__(list(range(len(dataset)))) for dataset in alike)
    for other in others:
        assert other.keys() == first.keys()
        for key, value in first.items():
            assert torch.equal(value.nan_to_num(7), other[key].nan_to_num(7)), key


def test_evaluation_and_inference_predict_as_validation_does(built):
    """The networks must be called by the same inferer; each config has its own settings for speed and precision."""
    _, evaluator = trainer_and_evaluator(built)
    inferers = [engine.inferer for file in ENGINES for engine in built.engines[file] if hasattr(engine, "inferer")]
    found = [plain_values(inferer) for inferer in inferers if type(inferer) is type(evaluator.inferer)]
    wanted = plain_values(evaluator.inferer)
    for each in found:
        # inference has its own batch size, or none if it takes slices one by one
        assert {key: value for key, value in each.items() if "amp" not in key and "batch_size" not in key} == {
            key: value for key, value in wanted.items() if "amp" not in key and "batch_size" not in key
        }


def test_processes_validate_each_sample_once_and_train_equally_many(built, monkeypatch):
    trainer, evaluator = trainer_and_evaluator(built)
    alone = sorted(drawn(evaluator.data_loader))
    # at least one of these numbers of processes does not divide the number of samples
    for processes in (3, 5):
        shares: list[list[list[int]]] = [[], []]
        for rank in range(processes):
            with monkeypatch.context() as patch:
                patch.setattr(idist, "get_world_size", lambda count=processes: count)
                patch.setattr(idist, "get_rank", lambda own=rank: own)
                for engine, share in zip((trainer, evaluator), shares, strict=True):
                    share.append(drawn(engine.data_loader))
        assert len({len(share) for share in shares[0]}) == 1
        assert sorted(row for share in shares[1] for row in share) == alone


def test_the_validation_loss_counts_a_batch_by_its_samples(built):
    """Ignite uses the label's length, which for a dictionary is the number of keys."""
    _, evaluator = trainer_and_evaluator(built)
    losses = {id(value): value for _, value in parts(evaluator) if isinstance(value, Loss)}
    assert losses
    for loss in losses.values():
        counts = []
        for rows in (4, 2):
            _, label, *_ = evaluator.prepare_batch(evaluator.data_loader.dataset.__getitems__(list(range(rows))), "cpu")
            counts.append(loss._batch_size(label))
        assert counts[0] == 2 * counts[1]


def test_what_evaluates_reads_the_exams_that_it_evaluates(built):
    """Scores that read a dataset themselves, such as a probe's, read that of their own evaluator."""
    seen = 0
    for engine in (*built.engines[EVALUATE], *built.engines[TRAIN][1:2]):
        loader = getattr(engine, "data_loader", None)
        own = getattr(loader, "dataset", None)
        for name, value in parts(*(part for key, part in vars(engine).items() if key != "data_loader")):
            if name.rpartition(".")[2].strip("_") == "dataset" and hasattr(value, "__getitem__"):
                assert value is own or value is getattr(own, "dataset", own), name
                seen += 1
    assert seen or built.name not in PROBED, "a bundle with a probe must have a dataset"


@pytest.mark.parametrize(
    ("name", "settings", "begins"),
    [
        ("cardiac_sax_position", {"ends": ["L", "X"]}, False),
        ("cardiac_sax_position", {"views": ["4ch", "3ch"]}, False),
        # the windows of a corruption are checked with the first image; everything else before anything is written
        ("models_genesis", {"image_size": 8, "features": [4, 4]}, True),
    ],
)
def test_settings_that_no_run_can_use(name, settings, begins, phantoms, tmp_path):
    name, where = f"pretext_{name}", {"datalist": str(phantoms.cardiac.unlabelled), "output_dir": str(tmp_path)}
    with pytest.raises(RuntimeError) as caught:
        run_bundle(name, TRAIN, **where, **tiny_size(name) | settings)
    assert any(isinstance(cause, InputError) for cause in causes(caught.value))
    assert (tmp_path / "run.json").exists() == begins
