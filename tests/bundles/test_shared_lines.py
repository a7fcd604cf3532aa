"""Test that every config is complete in itself, and that parts common to all bundles are the same in each."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pydoc import locate
from typing import Any

import planewise
import pytest
import torch
import yaml
from monai.bundle import ConfigComponent, ConfigParser
from monai.transforms import Randomizable, RandomizableTrait
from planewise.errors import refusal
from torch import nn
from torch.optim import SGD

from tests.bundles.conftest import BUNDLES, TRAINED
from tests.conftest import ROOT

CONFIGS = {name: ROOT / "bundles" / name / "configs" for name in BUNDLES}
#: A `train.yaml` should fit on three screens; the second number is the mean length of all configs of a bundle.
LONGEST_TRAIN, LONGEST_OF_ALL = 180, 365
#: Arguments in which a bundle's trainer, evaluator and run may differ; everything else is the same in every bundle.
OWN = {
    "train#trainer": {"prepare_batch", "network"},
    "validate#evaluator": {"prepare_batch", "network", "lower_is_better", "metric_cmp_fn"},
    "RunHandler": {"learner", "best_learner", "lr_epoch_level"},
}


@functools.cache
def read(name: str, file: str = "train.yaml") -> dict[str, Any]:
    return yaml.safe_load((CONFIGS[name] / file).read_text())


def engines(name: str) -> dict[str, dict[str, Any]]:
    """The trainer, the evaluator and the run's handler of a bundle, without the arguments in which bundles may differ."""
    config = read(name)
    (run,) = (entry for entry in config["train"]["handlers"] if entry["_target_"].endswith(".RunHandler"))
    found = {"train#trainer": config["train"]["trainer"], "validate#evaluator": config["validate"]["evaluator"]}
    found["RunHandler"] = run
    return {
        block: {key: value for key, value in entry.items() if key not in OWN[block]} for block, entry in found.items()
    }


def test_configs_are_short():
    lines = {file: file.read_text().count("\n") for folder in CONFIGS.values() for file in folder.glob("*.yaml")}
    assert {file: count for file, count in lines.items() if file.name == "train.yaml" and count > LONGEST_TRAIN} == {}
    assert sum(lines.values()) <= LONGEST_OF_ALL * len(CONFIGS)


@pytest.mark.parametrize("name", TRAINED)
def test_trainer_evaluator_and_run_are_wired_alike(name):
    assert engines(name) == engines("pretext_cardiac_multitask")


def test_a_second_task_is_given_the_settings_of_its_run():
    """Each setting is passed on under its own name, except the datalist: the second task has images of its own."""
    given = [
        read(f"downstream_cardiac_{view}_segmentation")["auxiliary_task"]["run_settings"] for view in ("sax", "lax")
    ]
    assert given[0] == given[1] and len(given[0]) == 16
    assert {key for key, value in given[0].items() if value != f"@{key}"} == {"datalist"}


@pytest.mark.parametrize("name", [name for name in TRAINED if name.endswith("_segmentation")])
def test_dice_is_of_every_structure_that_the_network_tells_apart(name):
    config = read(name)
    assert config["validate"]["key_metric"]["val_mean_dice"]["num_classes"] == config["network_def"]["num_maps"]


@pytest.mark.parametrize("name", [name for name in TRAINED if name.endswith("_segmentation")])
def test_the_regions_that_validation_scores_are_those_of_evaluation(name):
    handlers = read(name, "evaluate.yaml")["evaluate"]["handlers"]
    (report,) = (entry for entry in handlers if entry["_target_"].endswith(".SegmentationReport"))
    validated = "regions" in read(name)["validate"]["key_metric"]["val_mean_dice"]
    assert report.get("regions") == ("@regions" if validated else None) and validated == ("regions" in read(name))
    assert report["structures"] == ("@scored" if "scored" in read(name, "evaluate.yaml") else "@structures")


def entries(name: str, file: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects that a config creates, each with its place, such as ``train#handlers``; list indices are left out."""

    def within(part: Any, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
        if isinstance(part, dict) and "_target_" in part:
            yield place, part
        for key, entry in part.items() if isinstance(part, dict) else ():
            yield from within(entry, f"{place}#{key}".lstrip("#"))
        for entry in part if isinstance(part, list) else ():
            yield from within(entry, place)

    yield from within(read(name, file), "")


def files(name: str) -> list[str]:
    return sorted(path.name for path in CONFIGS[name].glob("*.yaml"))


def kind_of(entry: dict[str, Any]) -> str:
    return str(entry["_target_"]).rpartition(".")[2]


def made_of(kind: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Bundle, file and entry of every object of this class in any config."""
    for name in CONFIGS:
        for file in files(name):
            yield from ((name, file, entry) for _, entry in entries(name, file) if kind_of(entry) == kind)


MISSING = "not given"
#: Values that arguments take instead of the setting of the same name: another setting, or nothing.
OTHERWISE: dict[str, set[str]] = {
    # sizes, folders and devices for one part of the run
    "device": {"@data_device"},
    "output_dir": {"@report_dir", "$@report_dir + '/masks'"},
    "network": {"@learner", "@network_def", "@learner_def"},
    "labelled.structures": {"@scored"},
    "SegmentationReport.structures": {"@scored"},
    "load_fold.class_key": {"@class_key", "@class_key or 'group'"},
    "StepLR.gamma": {"@lr_gamma"},
    "CorruptImagesd.flip_prob": {"@pretext_flip_prob"},
    "KeepHeartd.crop": {"@mask_crop"},
    "ProjectionHead.norm": {"@head_norm", "none"},
    "ProjectionHead.in_channels": {"$@network_def.out_channels"},
    "LoadVolumed.channels": {"@in_channels"},
    "LoadCased.channels": {"@in_channels"},
    "VolumeDice.regions": {"$planewise.metrics.region_classes(@structures, @regions)"},
    "graded.grades": {"len(@grades)"},
    "cumulative_targets.grades": {"grades"},
    "select_subjects.seed": {"@subject_seed"},
    "select_subjects.num_subjects": {"@num_subjects if items else None"},
    "load_fold.seed": {"@fold_seed"},
    # validation is the same each time, and has its own number of samples
    "ExamSampler.seed": {MISSING},
    "ExamSampler.samples_per_exam": {"@val_samples_per_exam", MISSING},
    "ExamSampler.samples_per_epoch": {"@val_samples", MISSING},
    "PairSampler.seed": {MISSING},
    "PairSampler.samples_per_exam": {"@val_samples_per_exam"},
    "PairSampler.samples_per_epoch": {MISSING},
    "SeriesSampler.seed": {MISSING},
    "SeriesSampler.samples_per_epoch": {MISSING},
    "SeedHandler.seed": {"0"},
    # evaluation is in float32, takes every slice, and maps locations like the targets; inference reads one exam at a
    # time
    "SliceBatchInferer.amp": {MISSING},
    "WindowInferer.amp": {MISSING},
    "SupervisedEvaluator.amp": {"$planewise.engines.precision(@amp, @device) == 'float16'"},
    "SupervisedEvaluator.compile": {MISSING},
    "ProbeScores.batch_size": {MISSING},
    "ProbeScores.max_slices": {MISSING},
    "ProbeScores.mapping": {"linear", "sine"},
    "probe_labels.batch_size": {MISSING},
    "DataLoader.num_workers": {MISSING},
    "DataLoader.dataset": {"{'_target_': 'planewise.data.ReadableItems', 'dataset': '@dataset'}"},
    "SliceFeaturesd.inferer": {
        MISSING,
        "{'_target_': 'planewise.engines.FeatureInferer', 'batch_size': '@batch_size', 'amp': '@amp'}",
    },
    # read from the running config
    "check_run.tf32": {MISSING},
    # arguments without a setting: batches and device of metrics, saved masks, puzzles of images, masks that are read
    # elsewhere
    "Loss.batch_size": {MISSING},
    "MaskedLoss.batch_size": {MISSING},
    "Loss.device": {MISSING},
    "Accuracy.device": {MISSING},
    "Invertd.device": {MISSING},
    "SaveImaged.scale": {MISSING},
    "AlexNetDecoder.norm": {MISSING},
    "UNetEncoder.in_channels": {MISSING},
    "UNetEncoder.spatial_dims": {MISSING},
    "TwoPhaseDataset.device": {"@data_device", MISSING},
    "TwoPhaseDataset.heart_labels": {MISSING},
    "pair_phases.masks": {MISSING},
    "load_fold.section": {"'training'"},
    "with_hearts.images": {"'segmented'"},
}


def calls(text: str) -> Iterator[tuple[Callable, dict[str, str]]]:
    """The functions of ours that an expression calls, with their arguments by name."""
    for call in ast.walk(ast.parse(re.sub(r"@[\w#]+", lambda found: "AT_" + found[0][1:].replace("#", "__"), text))):
        if isinstance(call, ast.Call) and (path := ast.unparse(call.func)).startswith("planewise."):
            function = locate(path)
            given = dict(zip(parameters(function), call.args, strict=False))
            given |= {word.arg: word.value for word in call.keywords if word.arg}
            yield function, {key: ast.unparse(value).replace("AT_", "@") for key, value in given.items()}


def expressions(part: Any) -> Iterator[str]:
    if isinstance(part, str) and part.startswith("$") and not part.startswith("$import"):
        yield part[1:]
    for entry in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from expressions(entry)


@functools.cache
def class_of(target: str) -> Callable:
    return locate(target) if "." in target else locate(ConfigComponent({"_target_": target}, "").resolve_module_name())


parameters = functools.cache(lambda function: inspect.signature(function).parameters)


@functools.cache
def wired(name: str, file: str) -> list[tuple[Callable, dict[str, str]]]:
    """Classes and functions of a config, with their arguments as text."""
    made = [
        (class_of(entry["_target_"]), {key: str(value) for key, value in entry.items()})
        for _, entry in entries(name, file)
    ]
    return made + [call for text in expressions(read(name, file)) for call in calls(text)]


@pytest.mark.parametrize("name", BUNDLES)
def test_an_argument_is_given_the_setting_of_its_name(name):
    wrong = []
    for file in files(name):
        settings = {*read(name, file), *(read(name) if file != "inference.yaml" else ())}
        for function, given in wired(name, file):
            for argument in settings & set(parameters(function)):
                value, which = given.get(argument, MISSING), f"{function.__name__}.{argument}"
                allowed = {f"@{argument}", *OTHERWISE.get(which, OTHERWISE.get(argument, ()))}
                # test_settings.py tests the network that `place_network` gets
                if value not in allowed and not value.startswith("planewise.networks.load_"):
                    wrong.append(f"{file}: {which} is {value}")
    assert wrong == [], "pass the setting of the same name, or list the other value in OTHERWISE"


@pytest.mark.parametrize("name", BUNDLES)
def test_every_setting_has_an_effect(name):
    """A setting is mentioned in its config, or in those that the config is added to."""
    for file in (file for file in files(name) if not file.endswith("_demo.yaml")):  # these follow another added config
        own, used = read(name, file), set()
        for group in (("train.yaml", "evaluate.yaml"), ("inference.yaml",)):
            merged = {key: value for base in group for key, value in read(name, base).items()} | own
            used |= set(re.findall(r"@(\w+)", str(merged)))
        plain = {key for key, value in own.items() if not isinstance(value, dict) and "$" not in str(value)}
        assert plain - used == set(), file


@pytest.mark.parametrize("name", BUNDLES)
def test_inference_from_a_datalist_reads_the_view_of_evaluation(name):
    views = [
        {given.get("view", MISSING) for function, given in wired(name, file) if function.__name__ == "load_datalist"}
        for file in ("inference.yaml", "evaluate.yaml")
    ]
    assert not views[0] or not views[1] or views[0] == views[1]


def test_demos_of_heart_segmentation_end_their_cycle_with_the_training():
    settings = {"max_epochs": 5, "train": {"dataloader": [0] * 7}}
    for view in ("sax", "lax"):
        demo = read(f"downstream_cardiac_{view}_segmentation", "demo.yaml")
        weights = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (0.3, 0.1)]
        parser = ConfigParser(settings | {"lr_scheduler": demo["lr_scheduler"], "optimizer": SGD(weights)})
        schedule = parser.get_parsed_content("lr_scheduler")
        assert schedule.total_steps == 35 and not demo["lr_epoch_level"]
        assert [group["max_lr"] for group in schedule.optimizer.param_groups] == [0.3, 0.1]
        # the pretext that continues has the demo's size, too
        folder = f"$@bundle_root + '/../pretext_cardiac_{view}_position/configs"
        assert demo["pretext_config"] == [f"{folder}/{file}.yaml'" for file in ("train", "demo")]


#: Bundles that are trained by one recipe, a paper's or that of the comparison, and the settings in which they differ.
RECIPES = [
    ({f"pretext_cardiac_{task}" for task in ("location", "multitask", "orientation")}, set()),
    ({f"pretext_knee_{task}" for task in ("location", "multitask", "orientation")}, set()),
    ({f"pretext_cardiac_{view}_position" for view in ("sax", "lax")}, {"ends", "views"}),
    (
        {
            f"pretext_{task}"
            for task in ("cardiac_multitask", "jigsaw", "masked_autoencoder", "models_genesis", "slice_order")
        },
        {"head_features", "network"},
    ),
    ({f"pretext_{task}" for task in ("byol", "simclr", "simsiam")}, {"learning_rate", "projection", "weight_decay"}),
    (
        {
            f"pretext_{task}"
            for task in ("contrastive_predictive_coding", "exemplar", "relative_patch_location", "rotation")
        },
        {"batch_size", "flip_prob", "patches_per_side", "rotate", "val_samples", "zoom"},
    ),
    ({f"downstream_{task}_segmentation" for task in ("brain_tumour", "pancreas")}, {"axcodes", "in_channels"}),
]


@pytest.mark.parametrize(("names", "own"), RECIPES, ids=lambda value: ", ".join(sorted(value)) or "nothing")
def test_bundles_of_one_recipe_have_the_same_settings(names, own):
    values: dict[str, list[Any]] = defaultdict(list)
    for name in names:
        for key, value in read(name).items():
            if not isinstance(value, dict):
                values[key].append(value)
    assert {key for key, each in values.items() if any(value != each[0] for value in each)} == own
    assert sum(len(each) == len(names) for each in values.values()) > 35


@pytest.mark.parametrize("name", BUNDLES)
def test_inference_looks_for_the_view_that_a_bundle_is_of(name):
    wanted = "4ch" if "_lax_" in name else "sax"
    assert read(name, "inference.yaml").get("view", wanted) == wanted


def read_by(expression: str) -> str:
    """The expression for the data of a dataset, without its section and its number of exams."""
    section = re.sub(r"'training'|'validation'|@section", "SECTION", expression).replace(", required=True", "")
    return re.sub(
        r"planewise\.data\.select_subjects\((.*), @num_subjects, @subject_seed(, \[?['@\w]+\]?)?\)", r"\1", section
    )


@pytest.mark.parametrize("name", TRAINED)
def test_training_validation_and_evaluation_read_alike(name):
    """Their datasets may differ only in the section and the choice of exams."""
    blocks = read(name) | read(name, "evaluate.yaml")
    data = {block: blocks[block]["dataset"] for block in ("train", "validate", "evaluate")}
    loaded = {block: re.search(r"load_(datalist|fold)\([^()]*\)", entry["data"])[0] for block, entry in data.items()}
    assert len({read_by(text) for text in loaded.values()}) == 1, loaded
    assert [block for block, text in loaded.items() if "required=True" in text] == ["train"]
    if "required" in parameters(class_of(data["train"]["_target_"])):
        assert [block for block, entry in data.items() if entry.get("required")] == ["train"]
    # everything else of a dataset is the same; evaluation may do without labels, and may draw its own number of samples
    own = {"data", "transform", "required", "labelled"}
    others = [{key: value for key, value in entry.items() if key not in own} for entry in data.values()]
    assert all(entry == others[0] for entry in others if entry["_target_"] == others[0]["_target_"])
    for block in data:
        loader = blocks[block]["dataloader"]
        samples = {"batch_size", "batch_sampler"} & loader.keys()
        assert len(samples) == 1 or kind_of(loader) == "DataLoader", "the loader returns volumes one by one"
    # evaluation may take whole volumes instead of slices
    alike = [
        entry["data"]
        for entry in data.values()
        if entry["_target_"] in (data["validate"]["_target_"], data["train"]["_target_"])
    ]
    assert len({read_by(text) for text in alike}) == 1, alike
    # labelled exams are drawn by the same expression everywhere
    drawn = re.findall(r"@subject_seed[^)]*", str(blocks))
    assert len(set(drawn)) <= 1 and bool(drawn) != name.startswith("pretext_")
    # exams without labels take no part in the draw
    for text in re.findall(r"select_subjects\(.*?@subject_seed[^)]*\)", str(blocks)):
        assert re.search(r"\.(labelled|graded)\(|@subject_seed, (\['label'\]|\[@class_key\]|@tasks)\)", text), text
    for function, given in wired(name, "evaluate.yaml"):
        if "history" in parameters(function):
            assert given["history"] == "$@output_dir + '/history.csv'", function
    inference = read(name, "inference.yaml")
    views = {
        entry.get("view") for _, _, entry in made_of("LoadExamd") if entry in inference["preprocessing"]["transforms"]
    }
    for function, given in wired(name, "inference.yaml"):
        if function.__name__ == "find_inputs":
            assert {given.get("view", "None").strip("'")} == {str(view) for view in views}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_preprocessing_draws_nothing(name):
    """It runs once, and its results are cached; `SliceCache` refuses random transforms."""
    steps = [
        class_of(entry["_target_"])
        for file in files(name)
        for place, entry in entries(name, file)
        if place.endswith("preprocessing#transforms") and kind_of(entry) != "Compose"  # random by its bases alone
    ]
    assert steps or name not in TRAINED
    assert not [step for step in steps if issubclass(step, (Randomizable, RandomizableTrait))]


@pytest.mark.parametrize("name", sorted(set(BUNDLES) - set(TRAINED)))
def test_a_forests_exams_are_loaded_alike(name):
    blocks = read(name) | read(name, "evaluate.yaml")
    loaded = [
        re.search(r"load_fold\([^()]*\)", blocks[block]["dataset"]["data"])[0]
        for block in ("train", "validate", "evaluate")
    ]
    assert ["required=True" in text for text in loaded] == [True, False, False]
    assert len({read_by(text) for text in loaded}) == 1 and "view='sax'" in loaded[0]


@pytest.mark.parametrize("anatomy", ["cardiac", "knee"])
def test_planes_of_one_anatomy_are_judged_by_the_same_limits(anatomy):
    """All limits are equal except the agreement, which depends on the network."""
    limits = [
        {key: value for key, value in read(f"pretext_{anatomy}_{task}", "inference.yaml").items() if key in limited}
        for task in ("multitask", "orientation")
        for limited in [{"min_peak", "max_residual", "max_spread", "min_obliquity", "max_slice_distance"}]
    ]
    assert limits[0] == limits[1] and limits[0].keys() >= {"min_peak", "max_residual", "max_spread"}


def test_volumes_that_do_not_fit_the_network_are_refused():
    """Volumes are checked by their channels and masks by their values; if either is not given, `LoadVolumed` accepts
    anything.
    """
    seen = Counter()
    for name, file, load in (*made_of("LoadVolumed"), *made_of("LoadCased")):
        masks = "label" in load["keys"]
        assert load.get("channels") == "@in_channels", (name, file)
        assert load.get("label_values") == ("$[0, *map(int, @structures)]" if masks else None), (name, file)
        seen[file, masks] += 1
    # two bundles learn from labelled volumes
    assert seen["train.yaml", True] == seen["evaluate.yaml", True] == 2
    assert seen["train.yaml", False] > 3 and seen["inference.yaml", False] > 5


def test_labels_go_back_by_nearest_neighbours_and_all_else_is_interpolated():
    """At this point, ``pred`` of a segmentation still holds probabilities."""
    seen = Counter()
    for name, file, back in made_of("Invertd"):
        keys, nearest = (
            back[key] if isinstance(back[key], list) else [back[key]] for key in ("keys", "nearest_interp")
        )
        labels = [key == "pred" and not name.endswith("_segmentation") for key in keys]
        assert nearest == labels, (name, file)
        seen.update(keys)
    assert seen["pred"] > 20 and seen["restored"] == 2 and seen["heatmaps"] == 4


@pytest.mark.parametrize("name", [name for name, folder in CONFIGS.items() if (folder / "probe.yaml").is_file()])
def test_a_probe_learns_from_training_exams_and_is_scored_on_test_exams(name):
    probe = read(name, "probe.yaml")["probe"]
    assert (probe["fitted"], probe["scored"]) == ("@train#dataset", "@evaluate#dataset")


@pytest.mark.parametrize("name", TRAINED)
def test_to_train_and_evaluate_is_to_start_train_and_evaluate(name):
    config, scored = read(name), read(name, "evaluate.yaml")
    assert scored["train_and_evaluate"] == [*config["initialize"], *config["run"], *scored["run"]]


@pytest.mark.parametrize("name", BUNDLES)
def test_a_run_starts_with_what_it_depends_on(name):
    """A forest is trained anew each time, on the CPU."""
    resume, tf32 = ("@resume", ", @tf32") if name in TRAINED else ("False", "")
    start = f"$planewise.engines.start_run(@output_dir, @seed, {resume}, [@datalist]{tf32})"
    assert read(name)["initialize"] == [start]
    check = "$planewise.engines.check_run()"
    assert read(name, "inference.yaml")["initialize"] == [check]
    assert read(name, "evaluate.yaml")["initialize"] == ["$import planewise", check]


@pytest.mark.parametrize("name", BUNDLES)
def test_evaluation_without_the_settings_of_training_names_both_files(name):
    parser = ConfigParser(read(name, "evaluate.yaml"))
    with pytest.raises(RuntimeError) as caught:
        for number in range(2):
            parser.get_parsed_content(f"initialize::{number}")
    wanted = (
        "run it with both files, train.yaml first: --config_file \"['configs/train.yaml','configs/evaluate.yaml']\""
    )
    assert str(refusal(caught.value)).endswith(wanted)


def test_the_settings_of_a_run_are_the_same_text():
    texts = Counter()
    for name in TRAINED:
        text = (CONFIGS[name] / "train.yaml").read_text()
        texts[text[text.index("\nimports:") : text.index("\nval_interval:")]] += 1
    assert len(texts) == 1, [text for text, _ in texts.most_common()[1:]]


def test_runs_of_several_processes_differ_in_their_network_alone():
    found = []
    for name in TRAINED:
        config = read(name, "multi_gpu_train.yaml")
        network = config["train#trainer#network"]
        assert network["network"] == read(name)["train"]["trainer"]["network"]
        found.append(config | {"train#trainer#network": network | {"network": None}})
    assert all(config == found[0] for config in found)


def test_a_config_may_name_every_room_after_importing_planewise():
    """The tests import all rooms, so that a room that `planewise` does not find by itself would go unnoticed."""
    texts = "".join((folder / file).read_text() for name, folder in CONFIGS.items() for file in files(name))
    named = set(re.findall(r"\bplanewise\.([a-z_]+)\.\w", texts))
    assert len(named) > 7 and named <= set(planewise._ROOMS)


@pytest.mark.parametrize("file", ["configs/logging.conf", "LICENSE"])
def test_whole_files_are_the_same(file):
    texts = {(folder.parent / file).read_text() for folder in CONFIGS.values()}
    assert len(texts) == 1
    assert file != "LICENSE" or texts == {(ROOT / "LICENSE").read_text()}
