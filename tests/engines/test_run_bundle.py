"""Test that a run that loads weights also takes over the settings with which they were trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from planewise.engines.run_bundle import follow_pretrained, follow_weights, write_bundle
from planewise.engines.run_record import RunRecord
from planewise.errors import InputError
from planewise.workshop.packaging.configs import settings_of, with_values

from tests.conftest import ROOT

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


def test_inference_takes_what_the_network_and_its_input_need(tmp_path):
    run = a_run(POSITION, tmp_path, **SMALL, square_size=15.0, learning_rate=7.0, max_epochs=3)
    parser = a_parser(POSITION, "inference.yaml", weights=str(run))
    taken = follow_weights(parser)
    assert taken == SMALL | {"square_size": 15.0}
    network = parser.get_parsed_content("network_def")
    assert network(torch.zeros(1, 1, 48, 48)).shape == (1, 10, 48, 48)
    # a setting of the user's comes first
    own = a_parser(POSITION, "inference.yaml", weights=str(run), square_size=30.0)
    assert follow_weights(own) == SMALL and own["square_size"] == 30.0


def test_the_order_of_the_structures_is_that_of_the_run(tmp_path):
    """It is the order of the network's outputs, so the bundle's order would swap the masks' values."""
    structures = {"2": "tumour", "1": "pancreas"}
    run = a_run(PANCREAS, tmp_path, structures=structures)
    for files in (("inference.yaml",), ("train.yaml", "evaluate.yaml")):
        parser = a_parser(PANCREAS, *files, weights=str(run))
        assert list(follow_weights(parser)["structures"]) == list(parser["structures"]) == ["2", "1"]


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


def test_evaluation_takes_all_that_the_run_changed(tmp_path):
    settings = SMALL | {"cycle_points": [0.0], "square_step": 40.0, "batch_size": 4, "ends": ["L", "A"]}
    run = a_run(POSITION, tmp_path, **settings, datalist="/elsewhere.json", pretrained="/a.pth", num_workers=3)
    parser = a_parser(POSITION, "train.yaml", "evaluate.yaml", output_dir=str(run), ckpt_dir=str(run / "models"))
    assert follow_weights(parser) == settings
    assert parser["datalist"] != "/elsewhere.json" and parser["num_workers"] is None


def test_pretrained_weights_bring_the_backbone_alone(tmp_path):
    run = a_run(POSITION, tmp_path, **SMALL, learning_rate=7.0)
    parser = a_parser(SEGMENTATION, "train.yaml", pretrained=str(run))
    assert follow_pretrained(parser) == {"features": [4, 8], "stem_stride": 2}
    assert parser["spacing"] == 1.367 and parser["structures"] == {"1": "RV", "2": "myocardium", "3": "LV"}


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


BRATS = ["t1", "t1ce", "t2", "flair"]
