"""Test how every bundle's config connects its parts, on exams of a few pixels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.bundle import ConfigParser
from monai.bundle.reference_resolver import ReferenceResolver
from monai.handlers import ValidationHandler
from PIL import Image
from planewise.engines import CheckpointHandler, FiniteLossHandler, HistoryHandler, RunHandler
from planewise.engines.weights_settings import make_the_same
from planewise.errors import InputError, refusal
from planewise.workshop.packaging.run import Run

from tests.bundles.conftest import BUNDLES, DECLARED, SECTIONS, SHIPS, TRAINED, anatomy, parser_of
from tests.bundles.test_runs import root_cause
from tests.conftest import ROOT
from tests.documented import unknown_overrides
from tests.kinds import others_slow

PHOTOGRAPHS = sorted(path.parents[1].name for path in (ROOT / "bundles").glob("pretext_*/configs/photograph.yaml"))
RUN_CONFIGS = [("train.yaml", "evaluate.yaml"), ("inference.yaml",)]
#: The metrics by which a checkpoint may be chosen, and whether lower values are better. Add every new metric here.
LOWER_IS_BETTER = {
    "planewise.metrics.MaskedLoss": True,
    "planewise.metrics.VolumeDice": False,
    "ignite.metrics.Accuracy": False,
}


@pytest.fixture(scope="module", params=TRAINED)
def wired(request, datalists, tmp_path_factory) -> Iterator[SimpleNamespace]:
    """A bundle with its trainer, evaluator and first batch of cached slices."""
    name, folder = request.param, tmp_path_factory.mktemp("run")
    parser = parser_of(
        name, "train.yaml", datalist=str(datalists[name]), output_dir=str(folder), cache_dir=str(folder), seed=5
    )
    trainer, evaluator = (parser.get_parsed_content(key) for key in ("train#trainer", "validate#evaluator"))
    # an even number, for pairs
    batch = trainer.data_loader.dataset.__getitems__([0, 1, 2, 3])
    yield SimpleNamespace(name=name, parser=parser, trainer=trainer, evaluator=evaluator, batch=batch)


def exams(parser: ConfigParser, block: str) -> set[str]:
    return {item["exam"] for item in parser.get_parsed_content(f"{block}#dataset#data")}


@pytest.mark.parametrize("name", BUNDLES)
def test_each_dataset_is_of_its_own_section(name, datalists, tmp_path):
    where = {"datalist": str(datalists[name]), "output_dir": str(tmp_path)}
    for section, count in SECTIONS.items():
        parser = parser_of(name, "train.yaml", "evaluate.yaml", section=section, **where)
        found = {"train": exams(parser, "train"), "validate": exams(parser, "validate")}
        assert found["train"] == {f"training{number}" for number in range(SECTIONS["training"])}
        assert found["validate"] == {f"validation{number}" for number in range(SECTIONS["validation"])}
        assert exams(parser, "evaluate") == {f"{section}{number}" for number in range(count)}


@pytest.mark.parametrize("name", [name for name in TRAINED if "fold" in parser_of(name, "train.yaml")])
def test_folds_are_held_out_by_training_and_share_out_its_exams(name, datalists, tmp_path):
    """Whatever `fold_seed` is, validation never sees an exam of the training, and neither does an evaluation of the same
    fold.
    """
    settings = {"datalist": str(datalists[name]), "output_dir": str(tmp_path), "folds": 3, "fold_seed": 4}
    held_out = []
    for fold in range(3):
        parser = parser_of(name, "train.yaml", "evaluate.yaml", section="validation", fold=fold, **settings)
        train, validate, evaluate = (exams(parser, block) for block in ("train", "validate", "evaluate"))
        assert train.isdisjoint(validate) and validate == evaluate and len(train | validate) == 8
        held_out += validate
    assert len(held_out) == len(set(held_out)) == 8
    first = parser_of(name, "train.yaml", fold=0, **settings | {"fold_seed": 5})
    assert exams(first, "validate") != set(held_out[:3])


@pytest.mark.parametrize("name", BUNDLES)
def test_the_best_checkpoint_is_the_best(name, datalists, tmp_path):
    parser = parser_of(name, "train.yaml", datalist=str(datalists[name]), output_dir=str(tmp_path))
    ((key, metric),) = parser.get("validate#key_metric").items()
    lower = LOWER_IS_BETTER[metric["_target_"]]
    assert lower == ("loss" in key), "the name, which users read in the log, must fit the direction"
    better = parser.get_parsed_content("validate#evaluator").metric_cmp_fn
    if DECLARED[name].get("keeps") == "last weights":  # a low loss does not mean good weights
        assert better(0.1, 0.2) and better(0.2, 0.1)
        return
    assert better(0.1, 0.2) == lower and better(0.2, 0.1) != lower


def test_the_pretext_is_made_of_what_the_network_sees(wired):
    """In training, random transforms come first and the pretext after them; in validation, only the pretext is applied."""
    train, validate = wired.trainer.prepare_batch, wired.evaluator.prepare_batch
    augment, pretext = (
        wired.parser.get_parsed_content(f"train#{key}") if f"train#{key}" in wired.parser else None
        for key in ("augmentation", "pretext")
    )
    assert train.augmentation is augment
    # without an augmentation, all random transforms belong to the pretext's views
    random = (augment or pretext.view).transforms
    assert all(type(step).__module__.startswith("planewise.augmentation.") for step in random)
    assert validate.augmentation is None
    assert getattr(train, "pretext", None) is pretext and getattr(validate, "pretext", None) is pretext
    assert pretext is None or type(pretext).__module__.startswith("planewise.pretexts.")

    def made_of(batch: dict) -> dict:
        return pretext(dict(batch)) if pretext else batch

    torch.manual_seed(3)
    augmented = augment(dict(wired.batch)) if augment else dict(wired.batch)
    drawn = torch.get_rng_state()
    expected = made_of(augmented)
    torch.set_rng_state(drawn)
    early = made_of(wired.batch)
    torch.manual_seed(3)
    image, target, *_ = train(wired.batch, "cpu")
    assert torch.equal(image.flatten().sort()[0], expected["image"].flatten().sort()[0])
    changed = augmented if augment else expected
    assert not torch.equal(changed["image"][:, :1], wired.batch["image"])
    if isinstance(target, dict):
        made = {key for key in target if key not in wired.batch}
        assert bool(made) == bool(pretext)
        for key, value in target.items():
            assert torch.equal(value, expected[key]), key
        # if the pretext came before the augmentation, the same random numbers would give another target or, if the
        # pretext changes the image, another image
        unchanged = torch.equal(early["image"], wired.batch["image"])
        assert all(not torch.equal(target[key], early[key]) for key in made if unchanged)
        assert augment is None or not torch.equal(expected["image"], early["image"])
    torch.manual_seed(3)
    alone = made_of(wired.batch)
    torch.manual_seed(3)
    plain, *_ = validate(wired.batch, "cpu")
    assert torch.equal(plain.flatten().sort()[0], alone["image"].flatten().sort()[0])


def test_an_epoch_draws_anew_and_from_the_runs_seed(wired):
    """The sampler behind the trainer's batches is the one that receives the epoch."""
    loader = wired.trainer.data_loader
    sampler = loader.sampler if loader.batch_size is not None else loader.batch_sampler
    drawn = []
    for epoch in (1, 2, 1):
        wired.trainer.state.epoch = epoch
        wired.trainer.fire_event(Events.EPOCH_STARTED)
        drawn.append(list(sampler))
    assert drawn[0] == drawn[2] and drawn[0] != drawn[1]
    assert sampler.seed == 5
    # the random numbers of a batch depend on the iteration
    numbers = []
    for iteration in (1, 2, 1):
        wired.trainer.state.iteration = iteration
        wired.trainer.fire_event(Events.ITERATION_STARTED)
        numbers.append(float(torch.rand(1)))
    assert numbers[0] == numbers[2] != numbers[1]


@pytest.mark.parametrize("name", [name for name in TRAINED if not name.startswith("pretext_")])
def test_few_labels_are_drawn_by_their_seed(name, datalists, tmp_path):
    def drawn(seed: int, count: int) -> frozenset[str]:
        settings = {"num_subjects": count, "subject_seed": seed, "output_dir": str(tmp_path)}
        return frozenset(exams(parser_of(name, "train.yaml", datalist=str(datalists[name]), **settings), "train"))

    draws = [drawn(seed, 2) for seed in range(5)]
    assert all(len(draw) == 2 for draw in draws) and len(set(draws)) > 2
    assert drawn(1, 2) == draws[1] and drawn(1, 1) < draws[1]


@pytest.mark.parametrize("name", others_slow(TRAINED))
def test_a_run_resumes_with_its_own_settings_alone(name, datalists, tmp_path):
    def start(**settings: Any) -> None:
        parser = parser_of(name, "train.yaml", datalist=str(datalists[name]), output_dir=str(tmp_path), **settings)
        parser.get_parsed_content("initialize")

    start(seed=4)
    (tmp_path / "models").mkdir(exist_ok=True)
    (tmp_path / "models/last.ckpt").touch()  # a run without checkpoints is replaced
    start(seed=4)
    assert json.loads((tmp_path / "run.json").read_text())["seed"] == 4
    others: list[dict[str, Any]] = [{"seed": 1}]
    for key in ("augmentation", "pretext"):
        if f"train#{key}" in parser_of(name, "train.yaml"):
            others.append({f"train#{key}#_desc_": "another"})
    for other in others:
        with pytest.raises(RuntimeError) as caught:
            start(**{"seed": 4} | other)
        assert isinstance(root_cause(caught.value), InputError), other


def reached(config: dict) -> set[str]:
    """The config ids that a run uses: all to which its expressions refer, and their parents."""
    parser, found = ConfigParser(config), set()
    waiting = [key for key in ("initialize", "run", "train_and_evaluate", "finalize") if key in config]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found |= {name.rpartition("#")[0], name} - {""}
        values = [parser[name]]
        while values:
            value = values.pop()
            if isinstance(value, (dict, list)):
                values += value.values() if isinstance(value, dict) else value
            elif isinstance(value, str):
                waiting += [name.replace("::", "#") for name in ReferenceResolver.match_refs_pattern(value)]
    return found


def unused(name: str, files: tuple[str, ...], *overlays: str) -> list[str]:
    """Keys of configs that nothing reads; `check_run` reads ``tf32`` by its name.

    The overlays go on top of the files. Only the last of the files may have another `run`.
    """
    used: set[str] = set()
    for number in range(1, len(files) + 1):
        config = parser_of(name, *files[:number], *overlays).get()
        used |= reached(config)
    inner = [f"{block}#{key}" for block in ("train", "validate", "evaluate") for key in config.get(block, {})]
    return [key for key in [*config, *inner] if key not in used | {"imports", "tf32", ConfigParser.meta_key}]


@pytest.mark.parametrize("name", BUNDLES)
@pytest.mark.parametrize("files", RUN_CONFIGS, ids=["train", "inference"])
def test_every_key_is_used(name, files):
    """A setting that nothing reads would mislead users."""
    assert unused(name, files) == []


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_every_key_is_used_for_photographs(name):
    """Training uses every key of train.yaml, except the encoder's settings, which the overlay replaces; every key of
    the overlay is used in training or in inference.
    """
    configs = [ROOT / "bundles" / name / "configs" / file for file in ("train.yaml", "photograph.yaml")]
    train, overlay = (ConfigParser.load_config_file(str(file)) for file in configs)
    replaced = {value.removeprefix("@") for value in train["network_def"]["encoder"].values()}
    left = [set(unused(name, files, "photograph.yaml")) for files in RUN_CONFIGS]
    assert left[0] - overlay.keys() - replaced == set()
    assert left[0] & left[1] & overlay.keys() == set()


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("overlay", ["demo.yaml", "multi_gpu_train.yaml"])
def test_an_overlay_overrides_what_is_there(name, overlay):
    folder = ROOT / "bundles" / name / "configs"
    train, over = (ConfigParser.load_config_file(str(folder / file)) for file in ("train.yaml", overlay))
    # only for several processes
    own = {"sync_batch_norm", "finalize", "train_and_evaluate"} if overlay == "multi_gpu_train.yaml" else set()
    assert unknown_overrides({key: "" for key in over if key not in own}, train) == {}


#: Transforms that differ between training, which loads single slices with any masks, and inference, which loads stacks;
#: and the transforms that MONAI Label needs around Spacingd.
LOADING = (
    "planewise.preprocessing.LoadSliced",
    "planewise.preprocessing.KeepHeartd",
    "planewise.preprocessing.LoadStackd",
    "planewise.preprocessing.LoadVolumed",
    "planewise.exams.LoadExamd",
    "planewise.exams.LoadCased",
    "EnsureChannelFirstd",
    "LabelFilterd",
    "MapLabelValued",
)
HOUSEKEEPING = (
    "planewise.preprocessing.RequireViewd",
    "CopyItemsd",
    "DeleteItemsd",
    "ToDeviced",
    "planewise.preprocessing.LimitSlicesd",
)


def acting(preprocessing: dict) -> list[dict]:
    """The transforms of the preprocessing that change an image, without the loading."""
    transforms = preprocessing.get("transforms", [preprocessing])
    if all(entry["_target_"] == "Compose" for entry in transforms):
        # keep the alternative that is on by default
        (transforms,) = (entry["transforms"] for entry in transforms if not entry["_disabled_"].startswith("$not "))
    kept = [
        # only inference takes exams of other groups than the training's
        {key: value for key, value in entry.items() if key != "other_groups"}
        for entry in transforms
        if entry["_target_"] not in (*LOADING, *HOUSEKEEPING)
    ]
    for number, entry in enumerate(kept):
        if entry.get("keys") == ["image", "label"]:
            kept[number] = {key: value[0] if key in ("keys", "mode") else value for key, value in entry.items()}
    return kept


@pytest.mark.parametrize("name", BUNDLES)
def test_train_and_inference_repeat_the_same(name):
    train, inference = (
        ConfigParser.load_config_file(str(ROOT / "bundles" / name / "configs" / file))
        for file in ("train.yaml", "inference.yaml")
    )
    # each config has its own settings for where a run is stored, how it is executed, and the size of its batches
    own = {"bundle_root", "dataset_dir", "datalist", "output_dir", "device", "amp", "batch_size", "initialize", "run"}
    own |= {"imports", "network", "network_def"} | ({"max_slices"} if name.startswith("pretext_knee") else set())
    shared = (train.keys() & inference.keys()) - own
    # inference has the settings of the weights that ship, and training the paper's
    trained = Run.of_weights(ROOT / "bundles" / name / "models/model.pt") if name in SHIPS else None
    # which lack the settings that are newer than the weights
    wanted = train | trained.config if trained else train
    assert shared and {key: wanted[key] for key in shared} == {key: inference[key] for key in shared}
    networks = [{**content["network_def"], "frozen": None, "background_prob": None} for content in (train, inference)]
    assert networks[0] == networks[1]
    assert make_the_same(acting(train["train"]["preprocessing"]), acting(inference["preprocessing"]))
    evaluated = ConfigParser.load_config_file(str(ROOT / "bundles" / name / "configs/evaluate.yaml"))["evaluate"]
    if "preprocessing" in evaluated:
        assert make_the_same(acting(evaluated["preprocessing"]), acting(inference["preprocessing"]))


SEGMENTATIONS = [name for name in TRAINED if name.endswith("_segmentation")]


@pytest.mark.parametrize("name", SEGMENTATIONS)
def test_evaluation_makes_masks_as_inference_does(name):
    """Evaluation scores the masks that a user gets; each config writes to its own place."""

    def steps(config: dict) -> list[dict]:
        kept = [step for step in config["postprocessing"]["transforms"] if step["_target_"] != "SaveImaged"]
        return [{key: str(value).replace("@evaluate#", "@") for key, value in step.items()} for step in kept]

    folder = ROOT / "bundles" / name / "configs"
    evaluated, inferred = (
        ConfigParser.load_config_file(str(folder / f"{file}.yaml")) for file in ("evaluate", "inference")
    )
    assert steps(evaluated["evaluate"]) == steps(inferred)
    # all bundles that segment hearts have the same steps; so do all that segment volumes
    kind = [other for other in SEGMENTATIONS if ("cardiac" in other) == ("cardiac" in name)]
    others = [ConfigParser.load_config_file(str(ROOT / "bundles" / other / "configs/inference.yaml")) for other in kind]
    assert len(kind) == 2 and all(steps(other) == steps(inferred) for other in others)


def cropped() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Bundles that crop images to their foreground, and the overlay that turns this on."""
    for name in BUNDLES:
        for overlay in ((), ("3d.yaml",), ("photograph.yaml",)):
            if all((ROOT / "bundles" / name / "configs" / file).is_file() for file in overlay):
                parser = parser_of(name, "train.yaml", *overlay)
                if "foreground_threshold" in parser and parser.get("volumes", True):
                    yield name, overlay


@pytest.mark.parametrize(("name", "overlay"), cropped())
@pytest.mark.parametrize(("file", "key"), [("train.yaml", "train#preprocessing"), ("inference.yaml", "preprocessing")])
def test_a_dim_background_is_cropped_whatever_the_scale_of_the_values(name, overlay, file, key, tmp_path):
    """`foreground_threshold` is a share of the brightest value, so images are scaled before they are cropped."""
    image = np.full((32, 32, 32), 8.0)
    image[8:24, 8:24, 8:24] = 250 - np.arange(16)
    nibabel.save(nibabel.Nifti1Image(image.astype("f4"), np.eye(4)), tmp_path / "volume.nii.gz")
    Image.fromarray(np.repeat(image[..., 16:17], 3, axis=2).astype("u1")).save(tmp_path / "photograph.png")
    photograph = "photograph.yaml" in overlay or anatomy(name) == "photograph"
    size = {"in_channels": 3 if photograph else 1, "image_size": 16, "foreground_threshold": 0.1}
    parser = parser_of(name, file, *overlay)
    parser.update({setting: value for setting, value in size.items() if setting in parser})
    path = str(tmp_path / ("photograph.png" if photograph else "volume.nii.gz"))
    seen = parser.get_parsed_content(key)({"image": path})["image"]
    assert float(seen.min()) > 0.5, "only the bright square is left"


@pytest.mark.parametrize("name", BUNDLES)
def test_inference_names_what_cannot_be_read_and_goes_on(name, datalists, tmp_path, caplog):
    content = json.loads(datalists[name].read_text())
    items = [item for item in content["test"] if item["exam"] == "test0"]
    for key in ("image", "label"):
        for item in (item for item in items if key in item):
            spoilt = tmp_path / Path(np.ravel(item[key])[0]).name
            spoilt.write_bytes(b"nothing of an image")
            item[key] = [str(spoilt)] * len(item[key]) if isinstance(item[key], list) else str(spoilt)
    datalist = datalists[name].parent / f"{name}_spoilt.json"
    datalist.write_text(json.dumps(content))
    parser = parser_of(name, "inference.yaml", cache_dir=str(tmp_path))
    parser["datalist" if "datalist" in parser else "input"] = str(datalist)
    with caplog.at_level("WARNING"):
        read = sum(len(batch["image"]) for batch in parser.get_parsed_content("dataloader"))
    assert read == 1 and "left out" in caplog.text


@pytest.mark.parametrize("name", others_slow(TRAINED))
def test_a_loss_that_is_no_number_ends_the_run_without_weights(name, datalists, tmp_path):
    where = {"datalist": str(datalists[name]), "output_dir": str(tmp_path), "cache_dir": str(tmp_path / "cache")}
    parser = parser_of(name, "train.yaml", max_epochs=3, **where)
    trainer = parser.get_parsed_content("train#trainer")
    loss = trainer.loss_function
    trainer.loss_function = lambda *given: loss(*given) * float("nan")
    with pytest.raises(InputError, match="the loss is nan at step 1 "):
        trainer.run()
    assert not list(tmp_path.rglob("*.pt")) and not list(tmp_path.rglob("*.ckpt"))
    assert not list(tmp_path.rglob("history.csv"))
    # the check for finite losses comes before the handlers that use the epoch's result
    (run,) = (handler for handler in parser.get_parsed_content("train#handlers") if isinstance(handler, RunHandler))
    order = [type(handler) for handler in run.handlers(trainer)]
    later = (ValidationHandler, HistoryHandler, CheckpointHandler)
    assert order.index(FiniteLossHandler) < min(map(order.index, later))


@pytest.mark.parametrize("name", TRAINED)
def test_every_bundle_checks_its_settings_before_it_reads_its_datalist(name, tmp_path):
    where = {"datalist": str(tmp_path / "absent.json"), "output_dir": str(tmp_path / "run")}
    parser = parser_of(name, "train.yaml", device="cuda:99", **where)
    with pytest.raises(RuntimeError) as caught:
        parser.get_parsed_content("initialize")
    assert "--device cuda:99 cannot be used" in str(refusal(caught.value)) and not (tmp_path / "run").exists()
