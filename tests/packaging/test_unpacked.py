"""Test that every bundle's zip, unpacked in an empty folder, infers and trains where planewise cannot be imported."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile

import monai.bundle
import nibabel
import numpy as np
import planewise
import pytest
import torch
import yaml
from monai.bundle import create_workflow
from planewise.engines.run_record import own_code
from planewise.workshop.packaging import code, package_bundle

from tests.bundles.conftest import BUNDLES, datalist_for, run_bundle, tiny, tiny_size
from tests.kinds import PRETEXT_AND_TASK, others_slow
from tests.packaging.conftest import arguments, source, write_run


def unpacked(zip_file, folder):
    with zipfile.ZipFile(zip_file) as archive:
        archive.extractall(folder)
    return folder / zip_file.stem


def infers_from(name, datalist):
    """The arguments that tell a bundle's inference config where images are."""
    takes_images = "\ninput:" in (source(name) / "configs/inference.yaml").read_text()
    return {"input": datalist, "section": "training", "num_exams": 1} if takes_images else {"datalist": datalist}


@pytest.mark.parametrize("name", others_slow(BUNDLES, PRETEXT_AND_TASK[1:]))
def test_it_infers_and_trains(name, packaged, elsewhere, few_phantoms, tmp_path):
    folder = unpacked(packaged(name, data="ours").zip, tmp_path / "elsewhere")
    assert "phantoms: ours" in (folder / "docs/README.md").read_text()
    datalist = datalist_for(name, few_phantoms)
    small = {"max_epochs": 1, "samples_per_epoch": 4, "val_interval": 1, "num_workers": 0}
    settings = yaml.safe_load((folder / "configs/train.yaml").read_text())
    elsewhere(
        folder,
        arguments("configs/inference.yaml", output_dir=tmp_path / "out", **infers_from(name, datalist)),
        arguments(
            "configs/train.yaml",
            datalist=datalist,
            output_dir=tmp_path / "trained",
            **{key: value for key, value in small.items() if key in settings},
        ),
    )
    assert [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".gz", ".csv", ".json")]
    before, after = (torch.load(path / "models/model.pt", weights_only=True) for path in (folder, tmp_path / "trained"))
    # features are those of the packaged weights, and training changes them
    assert {key: value.shape for key, value in before.items()} == {key: value.shape for key, value in after.items()}
    assert any(not torch.equal(before[key], after[key]) for key in before)
    record = json.loads((tmp_path / "trained/run.json").read_text())
    assert record["seed"] == 0 and record["packages"]["planewise"] == planewise.__version__
    # the runs left nothing in the bundle
    assert {path.name for path in folder.iterdir()} == {
        "LICENSE", "SHA256SUMS", "configs", "docs", "models", own_code(folder).name,
    }  # fmt: skip


def test_a_real_run_and_its_package_predict_the_same(few_phantoms, elsewhere, tmp_path):
    """Train, evaluate, package and unpack; the mask of a phantom must equal that from the repository's own configs."""
    name = "downstream_cardiac_sax_segmentation"
    datalist = few_phantoms.cardiac.labelled.with_name("ward_seven.json")
    datalist.write_bytes(few_phantoms.cardiac.labelled.read_bytes())
    run = tmp_path / "run"
    small = {"samples_per_epoch": 40, "max_epochs": 2, "learning_rate": 0.01, "datalist": str(datalist)}
    run_bundle(name, "train.yaml", "evaluate.yaml", run_id="train_and_evaluate", output_dir=run, **small)
    done = package_bundle(source(name), run, tmp_path / "dist")
    scores = json.loads((run / "test/metrics.json").read_text())
    told = json.loads((done.folder / "configs/metadata.json").read_text())["eval_metrics"]
    assert told["mean_dice"] == round(scores["mean"]["dice"]["mean"], 4) and told["volumes"] == scores["volumes"]
    card = (done.folder / "docs/README.md").read_text()
    record = json.loads((run / "run.json").read_text())
    assert record["configuration"] in card and "phantoms (" in card and "learning_rate: 0.01" in card
    assert str(tmp_path) not in card and datalist.name not in card

    wanted = {"input": str(datalist), "num_exams": 1}
    run_bundle(name, "inference.yaml", weights=run, output_dir=tmp_path / "here", **wanted, **tiny_size(name))
    folder = unpacked(done.zip, tmp_path / "elsewhere")
    # from another folder, with the path to the bundle
    file = str(folder / "configs/inference.yaml")
    elsewhere(tmp_path, arguments(file, bundle_root=folder, output_dir=tmp_path / "there", **wanted))
    here, there = (masks(tmp_path / place) for place in ("here", "there"))
    assert here.keys() == there.keys() and here
    assert all(np.array_equal(here[key], there[key]) for key in here)
    assert any(mask.max() > 0 for mask in here.values()), "equal masks prove nothing if they are empty"


def masks(folder):
    return {
        path.relative_to(folder).as_posix(): np.asarray(nibabel.load(path).dataobj) for path in folder.rglob("*.nii.gz")
    }


def test_two_packages_work_in_one_process(few_phantoms, tmp_path, monkeypatch):
    """Each has its own code and weights, whichever was loaded last. The second one's code is of another version."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    other = shutil.copytree(code._PACKAGE, tmp_path / "other", ignore=shutil.ignore_patterns("bundles", "*.pyc"))
    (other / "errors.py").write_text((other / "errors.py").read_text() + "\n# of another version\n")
    networks, workflows = {}, {}
    for name in PRETEXT_AND_TASK:
        run = write_run(name, tmp_path / "runs" / name, tiny(name), datalist_for(name, few_phantoms))
        folder = package_bundle(source(name), run, tmp_path / "dist").folder
        monkeypatch.setattr(code, "_PACKAGE", other)
        networks[folder] = monai.bundle.load(
            name, bundle_dir=tmp_path / "dist", workflow_type="inference", device="cpu"
        )
        given = infers_from(name, str(datalist_for(name, few_phantoms))) | {"output_dir": str(tmp_path / name)}
        file = str(folder / "configs/inference.json")
        workflows[folder] = create_workflow(config_file=file, workflow_type="infer", logging_file=False, **given)
    for folder, network in networks.items():
        own, saved = own_code(folder), torch.load(folder / "models/model.pt", weights_only=True)
        workflows[folder].run()
        assert list((tmp_path / folder.name).rglob("*.json"))
        # a run folds its network's normalisation into all weights but the head's
        for each, part in ((network, ""), (workflows[folder].parser.get_parsed_content("network"), "head.")):
            assert type(each).__module__.startswith(f"{own.name}.")
            assert sys.modules[type(each).__module__].__file__.startswith(str(own))
            kept = {key: value.cpu() for key, value in each.state_dict().items() if key.startswith(part)}
            assert kept and all(torch.equal(value, saved[key]) for key, value in kept.items())
    assert len({own_code(folder).name for folder in networks}) == 2
