"""Test a bundle of MONAI's Model Zoo, with random weights, against MONAI's own run of its config."""

from __future__ import annotations

import json

import monai.bundle
import nibabel
import numpy as np
import pytest
import torch
from monai.networks.nets import UNet
from planewise.commands import app
from planewise.errors import InputError
from planewise.own_exams.zoo_bundle import ZooBundle, zoo_bundle
from typer.testing import CliRunner

from tests.exams.conftest import write_usual_exam

#: The network of ventricular_short_axis_3label 0.3.0, and its labels.
NETWORK = {
    "spatial_dims": 2,
    "in_channels": 1,
    "out_channels": 4,
    "channels": [16, 32, 64, 128, 256],
    "strides": [2, 2, 2, 2],
    "num_res_units": 2,
}
CHANNELS = {"0": "background", "1": "lv_pool", "2": "myocardium", "3": "rv_pool"}
OURS = np.array([0, 3, 2, 1], np.uint8)


@pytest.fixture
def bundle(tmp_path):
    """A bundle with this network and random weights."""
    folder = tmp_path / "ventricular_short_axis_3label"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    torch.manual_seed(0)
    torch.save(UNet(**NETWORK).state_dict(), folder / "models/model.pt")
    keyed = {"keys": "image"}
    steps = [
        {"_target_": "LoadImaged", **keyed},
        {"_target_": "EnsureChannelFirstd", **keyed},
        {"_target_": "ScaleIntensityd", **keyed},
        {"_target_": "EnsureTyped", **keyed, "device": "@device"},
    ]
    after = [
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {
            "_target_": "Invertd",
            "keys": "pred",
            "transform": "@preprocessing",
            "orig_keys": "image",
            "nearest_interp": False,
        },
        {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
        {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir", "separate_folder": False},
    ]
    config = {
        "device": "$torch.device('cpu')",
        "image": "",
        "output_dir": "",
        "network_def": {"_target_": "UNet", **NETWORK},
        "network": "$@network_def.to(@device)",
        "preprocessing": {"_target_": "Compose", "transforms": steps},
        "dataset": {"_target_": "Dataset", "data": [{"image": "@image"}], "transform": "@preprocessing"},
        "inferer": {"_target_": "SliceInferer", "roi_size": [256, 256], "spatial_dim": 2},
        "postprocessing": {"_target_": "Compose", "transforms": after},
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": {"_target_": "DataLoader", "dataset": "@dataset"},
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": [
                {
                    "_target_": "CheckpointLoader",
                    "load_path": "$@bundle_root + '/models/model.pt'",
                    "load_dict": {"model": "@network"},
                }
            ],
        },
        "evaluating": ["$@evaluator.run()"],
    }
    metadata = {
        "version": "0.3.0",
        "authors": "A. Nobody",
        "network_data_format": {"outputs": {"pred": {"channel_def": CHANNELS}}},
    }
    (folder / "configs/inference.json").write_text(json.dumps(config))
    (folder / "configs/metadata.json").write_text(json.dumps(metadata))
    return folder


def changed(bundle, file, change):
    path = bundle / "configs" / file
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return bundle


def test_the_labels_are_those_of_monais_run(bundle, tmp_path):
    affine = np.diag([-1.5, -1.5, 8.0, 1.0])
    image = np.random.default_rng(0).integers(0, 500, (70, 90, 3)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(image, affine), tmp_path / "heart.nii.gz")
    monai.bundle.run(
        "evaluating",
        config_file=str(bundle / "configs/inference.json"),
        bundle_root=str(bundle),
        logging_file=False,
        image=str(tmp_path / "heart.nii.gz"),
        output_dir=str(tmp_path / "out"),
    )
    (written,) = (tmp_path / "out").glob("*.nii.gz")
    theirs = np.asarray(nibabel.load(written).dataobj).astype(int)
    labels = ZooBundle(bundle).labels(torch.as_tensor(image), affine)
    assert len(np.unique(theirs)) > 1
    np.testing.assert_array_equal(labels, OURS[theirs])


def test_masks_of_an_exam_name_whose_weights_made_them(bundle, tmp_path):
    write_usual_exam(tmp_path / "exam", phases=2, size=(44, 40), spacing=4.0)
    arguments = ["segment", tmp_path / "exam", "-o", tmp_path / "out", "--weights", bundle]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    (volumes,) = (tmp_path / "out").glob("*/volumes.json")
    weights = json.loads(volumes.read_text())["weights"]
    assert (weights["bundle"], weights["version"], weights["weights_ship"]) == (bundle.name, "0.3.0", False)
    assert "A. Nobody" in weights["origin"]
    assert len(list((tmp_path / "out/masks").glob("*/*_mask.nii.gz"))) == 2
    assert {path.name for path in volumes.parent.glob("*.dcm")} >= {"phase00.seg.dcm", "volumes.sr.dcm"}


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("inference.json", lambda content: content["network_def"].update(out_channels="$print('run') or 4")),
        ("inference.json", lambda content: content["network_def"].update(_target_="os.system")),
        ("inference.json", lambda content: content["network_def"].update(channels=[8, 16, 32, 64, 128])),
        ("inference.json", lambda content: content.pop("inferer")),
        (
            "metadata.json",
            lambda content: content["network_data_format"]["outputs"]["pred"].update(channel_def={"0": "spleen"}),
        ),
    ],
)
def test_what_is_no_such_bundle_is_refused(file, change, bundle, capsys):
    with pytest.raises(InputError):
        ZooBundle(changed(bundle, file, change))
    assert "run" not in capsys.readouterr().out


def test_a_package_of_planewise_is_not_taken_for_one(bundle):
    assert zoo_bundle(bundle).folder == bundle
    (bundle / "configs/inference.yaml").touch()  # a package has its configs in both formats
    assert zoo_bundle(bundle) is None
