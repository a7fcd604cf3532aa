"""Test that a run that loads weights also takes over the settings with which they were trained."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from planewise.engines import channel_sources
from planewise.engines import run_bundle as module
from planewise.engines.run_bundle import follow_pretrained, follow_weights, own_configs, write_bundle
from planewise.engines.run_record import RunRecord
from planewise.engines.weights_settings import settings_of
from planewise.errors import InputError, refusal
from planewise.workshop.packaging.configs import with_values

from tests.conftest import ROOT

TWO_PHASES = "downstream_cardiac_two_phase_classification"
POSITION, MASKED = "pretext_cardiac_sax_position", "pretext_masked_autoencoder"
PANCREAS = "downstream_pancreas_segmentation"
SEGMENTATION, MULTITASK = "downstream_cardiac_sax_segmentation", "pretext_cardiac_multitask"
SMALL = {"features": [4, 8], "spacing": 5.0, "image_size": 48, "stem_stride": 2}
FILES = ("train", "inference")


def folder_of(bundle: str) -> Path:
    return ROOT / "bundles" / bundle


def a_run(bundle: str, folder: Path, *overlays: str, **settings) -> Path:
    """A run's folder: weights that are never read, a configuration and a record."""
    config = ConfigParser.load_config_files(
        [str(folder_of(bundle) / "configs" / file) for file in ("train.yaml", *overlays)]
    )
    parser = ConfigParser(config)
    parser.update(settings)
    (folder / "models").mkdir(parents=True)
    torch.save({}, folder / "models/model.pt")
    config = {key: value for key, value in parser.get().items() if key != "_meta_"}
    write_bundle(folder, config, {}, folder_of(bundle))
    (folder / "run.json").write_text("{}")
    return folder


def a_parser(bundle: str, *files: str, **settings) -> ConfigParser:
    parser = ConfigParser(ConfigParser.load_config_files([str(folder_of(bundle) / "configs" / file) for file in files]))
    parser.update({"bundle_root": str(folder_of(bundle)), "device": "cpu"} | settings)
    return parser


def test_the_bundle_is_found_from_any_folder(tmp_path, monkeypatch):
    run = a_run(POSITION, tmp_path / "run", **SMALL)
    monkeypatch.chdir(tmp_path)
    config = str(folder_of(POSITION) / "configs/inference.yaml")
    workflow = ConfigWorkflow(config, logging_file=False, workflow_type="inference", weights=str(run), device="cpu")
    workflow.initialize()
    assert workflow.parser["image_size"] == 48 and workflow.parser["bundle_root"] == str(folder_of(POSITION))
    # another bundle's folder, whose settings and weights do not belong to this config
    monkeypatch.chdir(folder_of(SEGMENTATION))
    workflow = ConfigWorkflow(config, logging_file=False, workflow_type="inference", weights=str(run), device="cpu")
    workflow.initialize()
    assert workflow.parser["image_size"] == 48 and workflow.parser["bundle_root"] == str(folder_of(POSITION))


def test_a_bundles_configs_are_read_again_only_if_they_change(tmp_path, monkeypatch):
    """The exams of an archive are run one by one, and each run compares its settings with these configs."""
    folder = shutil.copytree(folder_of(POSITION), tmp_path / POSITION, ignore=shutil.ignore_patterns("models"))
    parser = ConfigParser({"bundle_root": str(folder)})
    once = own_configs(parser)
    once["train"]["network_def"].clear()
    read, ours = [], module.read_yaml
    monkeypatch.setattr(module, "read_yaml", lambda path: read.append(path.name) or ours(path))
    assert own_configs(parser)["train"]["network_def"] and read == [], "the copies are the caller's own"
    file = folder / "configs/train.yaml"
    file.write_text(file.read_text() + "\nnew: 1\n")
    (folder / "configs/broken.yaml").symlink_to("nowhere")
    assert own_configs(parser)["train"]["new"] == 1 and read == ["train.yaml"]


def test_inference_takes_what_the_network_and_its_input_need(tmp_path):
    run = a_run(POSITION, tmp_path, **SMALL, square_size=15.0, learning_rate=7.0, max_epochs=3)
    parser = a_parser(POSITION, "inference.yaml", weights=str(run))
    taken = follow_weights(parser)
    assert taken == SMALL | {"square_size": 15.0}
    network = parser.get_parsed_content("network_def")
    assert network(torch.zeros(1, 1, 48, 48)).shape == (1, 10, 48, 48)


def test_inference_takes_which_slices_were_learned_and_what_the_classes_are_called(tmp_path):
    """These settings describe the samples; which exams are read is a new choice in each run."""
    settings = {"slices": [0.0, 1.0], "class_key": "amyloid", "classes": ["no", "yes"]}
    own = {"section": "validation", "num_exams": 3, "datalist": "/elsewhere.json"}
    run = a_run(TWO_PHASES, tmp_path, "evaluate.yaml", **settings, **own)
    parser = a_parser(TWO_PHASES, "inference.yaml", weights=str(run))
    assert follow_weights(parser) == settings
    assert (parser["slices"], parser["section"], parser["num_exams"]) == ([0.0, 1.0], "test", None)


def test_a_config_that_runs_changes_under_way(tmp_path, monkeypatch):
    """MONAI evaluates `check_run` while it resolves ``initialize``, and goes on with the same parser."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    run = a_run(POSITION, tmp_path, **SMALL)
    parser = a_parser(POSITION, "inference.yaml", weights=str(run))
    parser.get_parsed_content("initialize::0")
    network = parser.get_parsed_content("network_def")
    assert max(len(value) for name, value in network.named_parameters() if name.startswith("encoder.")) == 8


def test_weights_named_by_their_file_bring_them_too(tmp_path):
    run = a_run(POSITION, tmp_path, **SMALL)
    assert follow_weights(a_parser(POSITION, "inference.yaml", weights=str(run / "models/model.pt"))) == SMALL


def test_the_order_of_the_structures_is_that_of_the_run(tmp_path):
    """It is the order of the network's outputs, so the bundle's order would swap the masks' values."""
    structures = {"2": "tumour", "1": "pancreas"}
    run = a_run(PANCREAS, tmp_path, structures=structures)
    for files in (("inference.yaml",), ("train.yaml", "evaluate.yaml")):
        parser = a_parser(PANCREAS, *files, weights=str(run))
        assert list(follow_weights(parser)["structures"]) == list(parser["structures"]) == ["2", "1"]


def test_the_same_settings_again_say_nothing(tmp_path, caplog):
    run = a_run(POSITION, tmp_path, **SMALL)
    with caplog.at_level(logging.INFO, logger="planewise"):
        assert follow_weights(a_parser(POSITION, "inference.yaml", weights=str(run), **SMALL)) == {}
    assert caplog.text == ""


@pytest.mark.parametrize("more", ["", "'train#trainer#max_epochs': 3\n+train#handlers: []\n"])
def test_a_network_of_the_bundles_own_overlay(more, tmp_path):
    """An overlay may also change the training, which is no part of an inference config."""
    folder = tmp_path / MASKED
    shutil.copytree(folder_of(MASKED) / "configs", folder / "configs")
    with (folder / "configs/vit.yaml").open("a") as file:
        file.write(more)
    size = {"hidden_size": 48, "mlp_dim": 96, "num_layers": 3, "num_heads": 4, "image_size": 48, "patch_size": 8}
    decoder = {"decoder_hidden_size": 32, "decoder_num_layers": 1, "decoder_num_heads": 4}
    run = a_run(MASKED, tmp_path / "run", "vit.yaml", **size, **decoder)
    parser = a_parser(MASKED, "inference.yaml", weights=str(run), bundle_root=str(folder))
    taken = follow_weights(parser)
    assert taken.items() >= (size | decoder).items()
    network, wanted = (
        parser.get_parsed_content("network_def"),
        a_parser(MASKED, "train.yaml", "vit.yaml", **size, **decoder),
    )
    shapes = [
        {name: value.shape for name, value in each.state_dict().items()}
        for each in (network, wanted.get_parsed_content("network_def"))
    ]
    assert shapes[0] == shapes[1]


OWN_NETWORK = {
    "_target_": "monai.networks.nets.BasicUNet", "spatial_dims": 2, "in_channels": 1,
    "out_channels": "$len(@structures) + 1", "features": "@widths",
}  # fmt: skip


def test_a_network_of_ones_own_that_is_named_again_takes_the_images_of_its_training(tmp_path, caplog):
    caplog.set_level("WARNING", logger="planewise.engines.run_bundle")  # other tests may have lowered it
    own = {"network_def": OWN_NETWORK, "widths": [4, 4, 4, 4, 4, 4]}
    images = {"spacing": 2.94, "image_size": 96, "structures": {"1": "RV"}}
    run = a_run(SEGMENTATION, tmp_path, **images, **own, learning_rate=7.0)
    parser = a_parser(SEGMENTATION, "inference.yaml", weights=str(run), **own)
    assert follow_weights(parser) == images and not caplog.text
    # evaluation takes all changes
    parser = a_parser(SEGMENTATION, "train.yaml", "evaluate.yaml", weights=str(run), **own)
    assert follow_weights(parser) == images | {"learning_rate": 7.0} and not caplog.text
    # another setting of the user's own file
    parser = a_parser(SEGMENTATION, "inference.yaml", weights=str(run), **own | {"widths": [8] * 6})
    assert follow_weights(parser) == images
    assert caplog.records


def test_evaluation_takes_all_that_the_run_changed(tmp_path):
    settings = SMALL | {"cycle_points": [0.0], "square_step": 40.0, "batch_size": 4, "ends": ["L", "A"]}
    run = a_run(POSITION, tmp_path, **settings, datalist="/elsewhere.json", pretrained="/a.pth", num_workers=3)
    parser = a_parser(POSITION, "train.yaml", "evaluate.yaml", output_dir=str(run), ckpt_dir=str(run / "models"))
    assert follow_weights(parser) == settings
    assert parser["datalist"] != "/elsewhere.json" and parser["num_workers"] is None


def test_evaluation_of_two_tasks_needs_no_word_of_the_other(tmp_path):
    run = a_run(SEGMENTATION, tmp_path, features=[4, 8], transfer="multitask", auxiliary_interval=3, pretrained="/a.pt")
    parser = a_parser(SEGMENTATION, "train.yaml", "evaluate.yaml", output_dir=str(run), ckpt_dir=str(run / "models"))
    assert follow_weights(parser) == {"features": [4, 8]}


def test_pretrained_weights_bring_the_backbone_alone(tmp_path):
    run = a_run(POSITION, tmp_path, **SMALL, learning_rate=7.0)
    parser = a_parser(SEGMENTATION, "train.yaml", pretrained=str(run))
    assert follow_pretrained(parser) == {"features": [4, 8], "stem_stride": 2}
    assert parser["spacing"] == 1.367 and parser["structures"] == {"1": "RV", "2": "myocardium", "3": "LV"}


def test_the_number_of_channels_is_that_of_the_images(tmp_path):
    run = a_run("pretext_rotation", tmp_path, in_channels=2, features=[4, 8])
    parser = a_parser("downstream_brain_tumour_segmentation", "train.yaml", pretrained=str(run))
    channels = parser["in_channels"]
    assert follow_pretrained(parser) == {"features": [4, 8]} and parser["in_channels"] == channels != 2


def test_volumes_keep_the_orientation_of_the_training(tmp_path):
    run = a_run("pretext_rotation", tmp_path / "run", axcodes="RAS")
    assert follow_weights(a_parser("pretext_rotation", "inference.yaml", weights=str(run))) == {"axcodes": "RAS"}
    tumours = "downstream_brain_tumour_segmentation"
    assert follow_pretrained(a_parser(tumours, "train.yaml", pretrained=str(run))) == {"axcodes": "RAS"}


def test_channels_in_another_order_are_refused(tmp_path):
    """A network that gets FLAIR as T1 finds nothing, and no shape is wrong."""
    tumours = "downstream_brain_tumour_segmentation"
    run = a_run(tumours, tmp_path / "run", in_channels=2)
    (run / "run.json").write_text('{"channels": ["t1w", "flair"]}')
    lists = {}
    for names in (["t1w", "flair"], ["flair", "t1w"]):
        lists[names[0]] = tmp_path / f"{names[0]}.json"
        lists[names[0]].write_text(json.dumps({"planewise": {"channels": names}, "test": []}))
    for images, files in (("input", ["inference.yaml"]), ("datalist", ["train.yaml", "evaluate.yaml"])):
        parser = a_parser(tumours, *files, weights=str(run), **{images: str(lists["t1w"])})
        follow_weights(parser)
        assert images == "datalist" or parser["channels"] == ["t1w", "flair"]
        parser = a_parser(tumours, *files, weights=str(run), **{images: str(lists["flair"])})
        with pytest.raises(InputError):
            follow_weights(parser)
    # other data sets have other names
    lists["flair"].write_text(json.dumps({"planewise": {"channels": ["t1n", "t2f"]}}))
    follow_weights(a_parser(tumours, "inference.yaml", weights=str(run), input=str(lists["flair"])))
    # a package has no record of the run, so its configs name the channels
    train, inference = (yaml.safe_load((folder_of(tumours) / f"configs/{name}.yaml").read_text()) for name in FILES)
    changed = settings_of(RunRecord.of_weights(run / "models/model.pt"), train, inference)
    assert [changed[f"{name}.yaml"]["channels"] for name in FILES] == [["t1w", "flair"]] * 2
    # a run without channels learned from single files
    (run / "run.json").write_text("{}")
    changed = settings_of(RunRecord.of_weights(run / "models/model.pt"), train, inference)
    assert [changed[f"{name}.yaml"]["channels"] for name in FILES] == [[]] * 2


@pytest.mark.parametrize(
    ("channels", "fit"),
    [
        (["flair", "t1"], False),  # another order
        (["t1", "t2"], False),  # another contrast
        (["FLAIR", "T1"], False),
        (["t1", "t2f"], True),  # another name
        (["T1", "Flair"], True),
    ],
)
def test_channels_of_a_folder_in_another_order_are_refused(channels, fit, tmp_path):
    """Without a datalist, the setting gives the order in which the files become channels."""
    run = a_run("pretext_rotation", tmp_path / "run", in_channels=2)
    (run / "run.json").write_text('{"channels": ["t1", "flair"]}')
    parser = a_parser("pretext_rotation", "inference.yaml", weights=str(run), input=".", channels=channels)
    if fit:
        follow_weights(parser)
        assert parser["channels"] == channels
    else:
        with pytest.raises(InputError):
            follow_weights(parser)


def test_an_invalid_value_is_refused_without_a_warning(tmp_path, caplog):
    """It is not compared with the value that the weights were trained with."""
    tumours = "downstream_brain_tumour_segmentation"
    run = a_run(tumours, tmp_path / "run", in_channels=2, channels=["t1", "flair"])
    config, given = folder_of(tumours) / "configs/inference.yaml", {"weights": str(run), "channels": "flair"}
    workflow = ConfigWorkflow(str(config), logging_file=False, workflow_type="inference", device="cpu", **given)
    with pytest.raises(RuntimeError) as caught:
        workflow.initialize()
    assert str(refusal(caught.value)).startswith("--channels must be a list or a table")
    assert "channels is flair" not in caplog.text


def test_where_nothing_is_known_nothing_changes(tmp_path):
    (tmp_path / "bare/models").mkdir(parents=True)
    torch.save({}, tmp_path / "bare/models/model.pt")
    for weights in (str(tmp_path / "no/such/run"), str(tmp_path / "bare")):
        assert follow_weights(a_parser(POSITION, "inference.yaml", weights=weights)) == {}
    assert follow_pretrained(a_parser(SEGMENTATION, "train.yaml", pretrained=weights)) == {}
    assert follow_pretrained(a_parser(SEGMENTATION, "train.yaml")) == {}


def test_pretrained_weights_that_are_not_there_are_refused_at_once(tmp_path):
    with pytest.raises(InputError):
        follow_pretrained(a_parser(SEGMENTATION, "train.yaml", pretrained=str(tmp_path / "no/such/run")))


def test_nothing_of_a_run_is_evaluated(tmp_path):
    trap = f"$open({str(tmp_path / 'trap')!r}, 'w')"
    run = a_run(POSITION, tmp_path / "run", features=trap, spacing=5.0)
    for files in (["inference.yaml"], ["train.yaml", "evaluate.yaml"]):
        network = {"_target_": "builtins.open", "file": str(tmp_path / "trap"), "mode": "w"}
        for other in (run, a_run(POSITION, tmp_path / f"network {len(files)}", network_def=network)):
            parser = a_parser(POSITION, *files, weights=str(other))
            if other is run and len(files) == 2:
                assert "features" not in follow_weights(parser)
            else:
                with pytest.raises(InputError):
                    follow_weights(parser)
    run = a_run(POSITION, tmp_path / "other", features=trap, stem_stride=2)
    assert follow_pretrained(a_parser(SEGMENTATION, "train.yaml", pretrained=str(run))) == {"stem_stride": 2}
    run = a_run("pretext_rotation", tmp_path / "channels", in_channels=2)
    (run / "run.json").write_text(json.dumps({"channels": ["t1", trap]}))
    with pytest.raises(InputError):
        follow_weights(a_parser("pretext_rotation", "inference.yaml", weights=str(run)))
    # a target of the bundle's files is no network because another part names it
    config = ConfigParser.load_config_file(str(folder_of(SEGMENTATION) / "configs/inference.yaml"))
    saver = next(step for step in config["postprocessing"]["transforms"] if step["_target_"] == "SaveImaged")
    run = a_run(SEGMENTATION, tmp_path / "saver", network_def=saver | {"output_dir": str(tmp_path / "trap")})
    with pytest.raises(InputError):
        follow_weights(a_parser(SEGMENTATION, "inference.yaml", weights=str(run)))
    assert not (tmp_path / "trap").exists()


def test_a_run_of_version_0_1_is_read(tmp_path):
    run = a_run(POSITION, tmp_path / "run", **SMALL)
    (run / "bundle/configs/train.yaml").rename(run / "config.yaml")
    assert follow_weights(a_parser(POSITION, "inference.yaml", weights=str(run))) == SMALL


def test_the_bundle_of_a_run_works_alone(tmp_path):
    run = a_run(MASKED, tmp_path / "run", "knee.yaml", features=[4, 8, 8, 8, 8], bundle_root=str(folder_of(MASKED)))
    parser = ConfigParser(ConfigParser.load_config_file(str(run / "bundle/configs/inference.yaml")))
    assert (parser["spacing"], parser["features"], parser["view"]) == (0.5, [4, 8, 8, 8, 8], "sagittal")
    trained = ConfigParser(ConfigParser.load_config_file(str(run / "bundle/configs/train.yaml")))
    shapes = [
        {name: value.shape for name, value in each.get_parsed_content("network_def").state_dict().items()}
        for each in (parser, trained)
    ]
    assert shapes[0] == shapes[1] and (run / "bundle/configs/metadata.json").is_file()


def test_an_unpacked_package_brings_the_settings_in_its_configs(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="planewise")
    bounds = {"measured_on": "9 exams"}
    folder = tmp_path / MULTITASK
    shutil.copytree(folder_of(MULTITASK) / "configs", folder / "configs")
    for name, values in (("train", SMALL), ("inference", SMALL | {"plane_bounds": bounds, "joint_bounds": bounds})):
        file = folder / f"configs/{name}.yaml"
        file.write_text(with_values(file.read_text(), values).replace("planewise.", "planewise_0123abcd."))
    for below in ("models", "planewise_0123abcd"):
        (folder / below).mkdir()
    (folder / "planewise_0123abcd/__init__.py").touch()
    torch.save({}, folder / "models/model.pt")
    for weights in (folder, folder / "models/model.pt"):
        parser = a_parser(MULTITASK, "inference.yaml", weights=str(weights))
        follow_weights(parser)
        now = {key: parser[key] for key in (*SMALL, "plane_bounds", "joint_bounds")}
        assert now == SMALL | {"plane_bounds": bounds, "joint_bounds": bounds}
    taken = follow_pretrained(a_parser(SEGMENTATION, "train.yaml", pretrained=str(folder)))
    assert taken == {"features": [4, 8], "stem_stride": 2}
    # a change to the package's own inference.yaml remains
    parser = a_parser(MULTITASK, "inference.yaml", weights=str(folder), bundle_root=str(folder), square_size=15.0)
    assert follow_weights(parser) == {} and parser["square_size"] == 15.0
    parser = a_parser(
        MULTITASK, "inference.yaml", weights=str(folder), bundle_root=str(folder), **SMALL | {"spacing": 9}
    )
    assert follow_weights(parser) == {}
    # nor does it describe other weights, or none, only because it is the working folder
    monkeypatch.chdir(folder)
    (folder / "other.pt").touch()
    for weights in (None, "none", "", "other.pt"):
        assert follow_pretrained(a_parser(SEGMENTATION, "train.yaml", pretrained=weights)) == {}
    assert follow_pretrained(a_parser(SEGMENTATION, "train.yaml", pretrained="models/model.pt")) == taken


@pytest.mark.parametrize("where", ["elsewhere", "in the bundle", "a folder"])
def test_bounds_of_the_bundles_weights_are_not_said_of_others(where, tmp_path):
    """Nothing is known of either file; a package's configs describe only the weights in its own folder."""
    folder = tmp_path / MULTITASK
    shutil.copytree(folder_of(MULTITASK) / "configs", folder / "configs")
    (folder / "models").mkdir()
    torch.save({}, folder / "models/model.pt")
    torch.save({}, tmp_path / "other.pt")
    weights = {"elsewhere": tmp_path / "other.pt", "in the bundle": folder / "models/model.pt", "a folder": folder}[
        where
    ]
    bounds = {"measured_on": "9 exams"}
    (folder / "configs/inference.yaml").write_text(
        with_values((folder / "configs/inference.yaml").read_text(), {"plane_bounds": bounds})
    )
    parser = ConfigParser(ConfigParser.load_config_files([str(folder / "configs/inference.yaml")]))
    parser.update({"bundle_root": str(folder), "weights": str(weights)})
    taken = follow_weights(parser)
    assert taken == ({"plane_bounds": None, "joint_bounds": None} if where == "elsewhere" else {})
    assert parser["plane_bounds"] == (None if where == "elsewhere" else bounds)


def test_bounds_of_the_command_line_win(tmp_path):
    torch.save({}, tmp_path / "other.pt")
    bounds = {"measured_on": "mine"}
    parser = a_parser(MULTITASK, "inference.yaml", weights=str(tmp_path / "other.pt"), plane_bounds=bounds)
    assert follow_weights(parser) == {"joint_bounds": None} and parser["plane_bounds"] == bounds


BRATS = ["t1", "t1ce", "t2", "flair"]


@pytest.mark.parametrize(
    ("learned", "given", "sources"),
    [
        (["t1", "flair"], BRATS, [0, 0, 1, 1]),  # the paper's
        (["flair", "t1"], BRATS, [1, 1, 0, 0]),
        (["t1", "t1ce", "t2"], BRATS, [0, 1, 2, 2]),
        (["flair"], BRATS, [0, 0, 0, 0]),
        (BRATS[::-1], BRATS, [3, 2, 1, 0]),
        (BRATS, ["t2", "t1"], [2, 0]),
        (["t1", "flair"], ["t1", "t2"], [0, 0]),
        (["a", "b"], BRATS, None),
        ([], BRATS, None),
        (["t1", "flair"], [], None),
    ],
)
def test_channels_take_the_weights_of_their_names(learned, given, sources, tmp_path):
    (tmp_path / "run/models").mkdir(parents=True)
    torch.save({}, tmp_path / "run/models/model.pt")
    (tmp_path / "run/config.yaml").write_text("{}")
    (tmp_path / "run/run.json").write_text(json.dumps({"channels": learned}))
    (tmp_path / "x.json").write_text(json.dumps({"planewise": {"channels": given}}))
    assert channel_sources(tmp_path / "run", tmp_path / "x.json") == sources


@pytest.mark.parametrize("pretrained", [None, "null", "no/such/file"])
def test_without_weights_or_a_datalist_nothing_is_known(pretrained, tmp_path):
    assert channel_sources(pretrained, tmp_path / "none.json") is None
