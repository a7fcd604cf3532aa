"""Test packaged bundles of whole volumes and of photographs in a MONAI Label server, over HTTP, as a viewer uses it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from planewise.networks import read_weights
from planewise.workshop.packaging import package_bundle

from tests.bundles.conftest import PHOTOGRAPHS, VOLUMES, datalist_for, infer, tiny, train_and_evaluate
from tests.label.conftest import page_commands, run_bash
from tests.label.label_server import LabelServer
from tests.label.test_in_monai_label import on_the_grid_of, read
from tests.packaging.conftest import source, write_run

pytestmark = pytest.mark.label

TUMOURS, PANCREAS = "downstream_brain_tumour_segmentation", "downstream_pancreas_segmentation"
(GRADING,) = PHOTOGRAPHS
PRETEXTS = tuple(name for name in VOLUMES if name.startswith("pretext_"))
ROTATION = "pretext_rotation"
#: Enough to memorise two cases of 16^3 voxels within seconds.
LEARNED = {"learning_rate": 0.01, "samples_per_epoch": 8, "max_epochs": 60, "val_interval": 60}
#: Images are used without random changes.
LEARNED |= {"rotate": 0.0, "zoom": [1.0, 1.0], "shift": 0.0, "intensity_prob": 0.0}
#: The studies' images have four channels.
SIZES = {name: {"in_channels": 4} for name in PRETEXTS}


def cases(datalist: Path) -> list[dict]:
    """The cases of a datalist, with absolute paths."""
    found = json.loads(datalist.read_text())["training"]
    images = [item["image"] if isinstance(item["image"], list) else [item["image"]] for item in found]
    return [
        {"images": [datalist.parent / file for file in files], "label": datalist.parent / item.get("label", "")}
        for files, item in zip(images, found, strict=True)
    ]


@pytest.fixture(scope="module")
def packaged(few_phantoms, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("volumes")
    for name in (TUMOURS, PANCREAS):
        train_and_evaluate(name, datalist_for(name, few_phantoms), folder / name, **LEARNED)
    for name in (*PRETEXTS, GRADING):
        write_run(name, folder / name, tiny(name) | SIZES.get(name, {}), datalist_for(name, few_phantoms))
    for name in (TUMOURS, PANCREAS, *PRETEXTS, GRADING):
        package_bundle(source(name), folder / name, folder / "dist")
    return folder / "dist"


@pytest.fixture(scope="module")
def studies(few_phantoms, label_environment, tmp_path_factory) -> Path:
    """Heads as made by the page's command, with labels; the four files of one head; an abdomen; a photograph."""
    folder = tmp_path_factory.mktemp("volume_studies")
    (folder / "labels" / "final").mkdir(parents=True)
    (command,) = page_commands("concat_images")
    for number, case in enumerate(cases(few_phantoms.volume.tumours)):
        for file in case["images"]:
            shutil.copy(file, folder / f"one_{file.name.rpartition('_')[2]}")
        run_bash(
            [f"source {label_environment}/bin/activate", command.replace("case", "one")], folder, {"PYTHONPATH": ""}
        )
        (folder / "one.nii.gz").rename(folder / f"head{number}.nii.gz")
        mask = nibabel.load(case["label"])
        values = np.asarray(mask.dataobj)
        # the last head's mask, drawn in a viewer with the server's numbers, in which the enhancing part is 3
        drawn = values if number == 0 else np.where(values == 4, 3, values).astype(values.dtype)
        nibabel.save(nibabel.Nifti1Image(drawn, mask.affine), folder / "labels" / "final" / f"head{number}.nii.gz")
    (folder / "said").unlink()
    shutil.copy(cases(few_phantoms.volume.abdomens)[0]["images"][0], folder / "abdomen.nii.gz")
    shutil.copy(cases(few_phantoms.photograph.graded)[0]["images"][0], folder / "retina.png")
    return folder


@pytest.fixture(scope="module")
def server(label_environment, packaged, studies, tmp_path_factory) -> Iterator[LabelServer]:
    with LabelServer(label_environment, packaged.glob("*_*/"), studies, tmp_path_factory.mktemp("server")) as running:
        yield running


def here(name: str, packaged: Path, given: Path, folder: Path, result: str) -> Path:
    """What `monai.bundle run` writes."""
    infer(name, given, packaged / name, folder, **SIZES.get(name, {}))
    (written,) = folder.rglob(result)
    return written


def same_mask(found: np.ndarray, written: Path) -> None:
    wanted, _ = read(written)
    assert (found == wanted).mean() > 0.999 and set(np.unique(found)) == set(np.unique(wanted))


def learned(mask: np.ndarray, reference: Path) -> None:
    """Check that the mask belongs to this image, by the Dice of all labelled voxels."""
    wanted, _ = read(reference)
    assert 2 * ((mask > 0) & (wanted > 0)).sum() > 0.4 * ((mask > 0).sum() + (wanted > 0).sum())


def test_it_lists_them(server):
    assert set(server.info["models"]) == {TUMOURS, PANCREAS, *PRETEXTS, GRADING}
    assert server.info["models"][PANCREAS]["labels"] == {"pancreas": 1, "tumour": 2}


def test_a_tumour_in_one_file_of_four_contrasts(server, studies, packaged, told, tmp_path):
    for number in (0, 1):
        image, reference = studies / f"head{number}.nii.gz", studies / "labels" / "final" / f"head{number}.nii.gz"
        asked = server.labels(TUMOURS, f"head{number}", tmp_path / "mask.nii.gz")
        mask, affine = read(asked)
        (wanted, its) = read(reference)
        assert mask.shape == wanted.shape and np.allclose(affine, its, atol=1e-2)
        assert {0, 2} < set(np.unique(mask)) <= {0, 1, 2, 4}
        learned(mask, reference)
        same_mask(mask, here(TUMOURS, packaged, image, tmp_path / str(number), "*_mask.nii.gz"))
    told(
        f"`{TUMOURS}`, four contrasts in one NIfTI file, made by the command above",
        "a mask on the image's grid, the same as without the server",
    )


def test_a_tumour_from_the_contrast_that_is_open_or_from_a_folder(server, studies, few_phantoms, told, tmp_path):
    case = cases(few_phantoms.volume.tumours)[-1]
    wanted, _ = read(server.labels(TUMOURS, "head1", tmp_path / "mask.nii.gz"))
    for given in ("one_flair", "one_t1", str(case["images"][0].parent)):
        mask, _ = read(server.labels(TUMOURS, given, tmp_path / "other.nii.gz"))
        assert np.array_equal(mask, wanted)
    # the abdomen's folder has no other contrasts
    assert "no case of t1, t1ce, t2, flair" in server.refusal(TUMOURS, "abdomen")
    told(
        f"`{TUMOURS}`, the file of one contrast next to the other three; a case's folder (`image=/data/case`)",
        "the same mask as from one file of four dimensions",
    )
    told(f"`{TUMOURS}`, a file of one contrast alone", "refused in one line (422)")


def test_a_pancreas(server, studies, few_phantoms, packaged, told, tmp_path):
    image = studies / "abdomen.nii.gz"
    mask, _ = on_the_grid_of(image, server.labels(PANCREAS, "abdomen", tmp_path / "mask.nii.gz"))
    learned(mask, cases(few_phantoms.volume.abdomens)[0]["label"])
    same_mask(mask, here(PANCREAS, packaged, image, tmp_path / "here", "*_mask.nii.gz"))
    told(f"`{PANCREAS}`, a CT as NIfTI", "a mask on the image's grid, the same as without the server")


@pytest.mark.parametrize("name", PRETEXTS)
def test_features_of_a_volume(server, studies, packaged, told, tmp_path, name):
    labels, _ = read(server.labels(name, "head0", tmp_path / "labels.nii.gz"))
    assert labels.shape == nibabel.load(studies / "head0.nii.gz").shape[:3] and not labels.any()
    features = np.array(server.findings(name, "head0")["features"])
    wanted = np.load(here(name, packaged, studies / "head0.nii.gz", tmp_path / "here", "features.npy"))
    assert features.ravel() == pytest.approx(wanted.ravel(), rel=1e-3, abs=1e-5)
    told(
        f"`{name}`, four contrasts in one NIfTI file",
        "the volume's features as JSON, the same as without the server",
    )


def test_a_photograph(server, studies, packaged, told, tmp_path):
    found = server.findings(GRADING, "retina")
    written = here(GRADING, packaged, studies / "retina.png", tmp_path / "here", "grade.json")
    wanted = json.loads(written.read_text())
    assert found["grade"] == wanted["grade"] and found["at_least"] == pytest.approx(wanted["at_least"], abs=1e-4)
    labels, _ = read(server.labels(GRADING, "retina", tmp_path / "labels.nii.gz"))
    assert not labels.any()
    told(f"`{GRADING}`, a photograph as PNG", "the grade as JSON, as without the server; an empty mask")
    assert "neither PNG nor JPEG" in server.refusal(GRADING, "abdomen")
    assert "a photograph has three colours, and 4 channels are needed" in server.refusal(TUMOURS, "retina")
    told(f"`{GRADING}`, a volume; `{TUMOURS}`, a photograph", "refused in one line (422)")


@pytest.mark.parametrize("name", [TUMOURS, ROTATION])
def test_training_on_the_studies_labels(server, told, name):
    """One head is for training and the other for validation: if a mask were left out, the run would end."""
    before = read_weights(server.bundle(name))
    state, last = server.train(name, max_epochs=1, val_split=0.5)
    assert state == "DONE", f"{last}\n{server.log}"
    after = read_weights(server.bundle(name))
    assert before.keys() == after.keys() and any(not torch.equal(before[key], after[key]) for key in before)
    told(f"`{name}` trained on two labelled heads of four contrasts, one epoch", "DONE; new weights")
