"""Test packaged bundles in a real MONAI Label server, over HTTP, as a viewer uses it."""

from __future__ import annotations

import json
import re
import shutil
import socket

import nibabel
import numpy as np
import pytest
import torch
from monai.metrics import compute_dice
from planewise.exams import LoadExamd
from planewise.networks import read_weights

from tests.bundles.conftest import run_bundle
from tests.label.conftest import (
    DISEASE,
    FEATURES,
    FINDINGS,
    KNEE,
    KNEE_LOCATION,
    LOCATION,
    LONG,
    MULTITASK,
    ORIENTATION,
    SEGMENTATION,
    SETTINGS,
    UNTRAINED,
    page_commands,
    run_bash,
)

pytestmark = pytest.mark.label

#: mm: NIfTI stores affines in float32, and ITK writes them as origin, spacing and direction.
SAME_PLACE = 1e-2


def read(path):
    volume = nibabel.load(path)
    return np.asarray(volume.dataobj), volume.affine


def on_the_grid_of(image, labels):
    (given, affine), (found, its) = read(image), read(labels)
    assert found.shape == given.shape
    assert np.abs(its - affine).max() < SAME_PLACE
    return found, affine


def angle(first, second):
    cosine = np.dot(first, second) / np.linalg.norm(first) / np.linalg.norm(second)
    return np.degrees(np.arccos(np.clip(abs(cosine), 0, 1)))


def distances(labels, affine, value, plane):
    """Distances from a plane to the centres of the labelled voxels, mm."""
    points = np.argwhere(labels == value) @ affine[:3, :3].T + affine[:3, 3]
    return np.abs((points - plane["origin"]) @ plane["normal"])


def test_the_pages_five_commands(label_environment, dist, studies, told, tmp_path):
    """The page's commands run unchanged in an empty folder, except that the environment exists already."""
    with socket.socket() as port:
        assert port.connect_ex(("127.0.0.1", 8000)), "port 8000, which the page's commands take, is in use"
    shutil.copy(dist / f"{ORIENTATION}.zip", tmp_path)
    (tmp_path / "images").mkdir()
    shutil.copy(studies / "cardiac.nii.gz", tmp_path / "images" / "case.nii.gz")
    first, *commands = page_commands("monailabel start_server")
    assert first.startswith("python3.11 -m venv label") and len(commands) == 4
    (tmp_path / "label").symlink_to(label_environment)
    run_bash(["source label/bin/activate", *commands], tmp_path, {"PYTHONPATH": "", "HOME": tmp_path})
    labels, _ = on_the_grid_of(tmp_path / "images" / "case.nii.gz", tmp_path / "lines.nii.gz")
    assert set(np.unique(labels)) == {0, 1, 2}
    told("the five commands above, the first by `tools/label_environment`", "lines on the image's grid")


def test_it_lists_them(server):
    assert {*SETTINGS, *UNTRAINED} == set(server.info["models"])
    assert server.info["models"][ORIENTATION]["labels"] == {"2ch line": 1, "4ch line": 2}
    assert server.info["models"][SEGMENTATION]["labels"] == {
        "right ventricle": 1, "myocardium": 2, "left ventricle": 3,
    }  # fmt: skip


def test_planned_views_come_as_lines(server, studies, exams, dist, told, tmp_path):
    image = studies / "cardiac.nii.gz"
    labels, affine = on_the_grid_of(image, server.labels(ORIENTATION, "cardiac", tmp_path / "lines.nii.gz"))
    views = server.findings(ORIENTATION, "cardiac")["views"]
    assert set(np.unique(labels)) == {0, 1, 2}, views
    width = 3.0 / 2 + np.linalg.norm(affine[:3, :3], axis=0)[:2].max()
    for value, plane in enumerate(views.values(), start=1):
        assert plane["verdict"] == "plane"
        # in every slice, the labels that the viewer shows lie on the planes in the JSON
        assert distances(labels, affine, value, plane).max() < width
        assert (labels == value).any(axis=(0, 1)).all()
    # what `monai.bundle run` writes
    run_bundle(ORIENTATION, "inference.yaml", **as_packaged(dist, ORIENTATION, image, tmp_path / "here"))
    here, _ = read(next((tmp_path / "here").rglob("*_lines.nii.gz")))
    assert (here == labels).mean() > 0.999
    told(f"`{ORIENTATION}`, short axis as NIfTI", f"both lines on the image's grid; {right_planes(views, exams)}")


def as_packaged(dist, name, image, folder):
    settings = {"weights": str(dist / name), "input": str(image), "output_dir": str(folder)}
    return settings | {"features": SETTINGS[name]["features"]}


def test_a_knee_answers_on_its_grid(server, studies, told, tmp_path):
    labels, _ = on_the_grid_of(studies / "knee.nii.gz", server.labels(KNEE, "knee", tmp_path / "lines.nii.gz"))
    views = server.findings(KNEE, "knee")["views"]
    assert set(views) == {"axial", "coronal"}
    trusted = {value for value, plane in enumerate(views.values(), start=1) if plane["verdict"] == "plane"}
    assert set(np.unique(labels)) - {0} <= trusted
    assert all(plane["reasons"] for plane in views.values() if plane["verdict"] != "plane")
    told(
        f"`{KNEE}`, sagittal stack as NIfTI",
        "labels on the image's grid (not examined further, because training took one epoch)",
    )


def test_a_heart_is_segmented(server, studies, dist, told, tmp_path):
    image = studies / "heart0.nii.gz"
    labels, _ = on_the_grid_of(image, server.labels(SEGMENTATION, "heart0", tmp_path / "mask.nii.gz"))
    reference, _ = read(studies / "labels" / "final" / "heart0.nii.gz")
    dice = mean_dice(labels, reference)
    assert dice > 0.5
    run_bundle(SEGMENTATION, "inference.yaml", **as_packaged(dist, SEGMENTATION, image, tmp_path / "here"))
    here, _ = read(next((tmp_path / "here").rglob("*_mask.nii.gz")))
    assert (here == labels).mean() > 0.999
    told(
        f"`{SEGMENTATION}`, fine-tuned from the pretext's zip, short axis as NIfTI",
        "a mask on the image's grid, the same as without the server",
    )


def test_four_chambers_are_segmented_in_nifti_and_in_dicom(server, studies, few_phantoms, exams, dist, told, tmp_path):
    """Images of one slice stay on their grid: as a NIfTI file, as a single DICOM file, and found in a folder."""
    image = studies / "four.nii.gz"
    labels, _ = on_the_grid_of(image, server.labels(LONG, "four", tmp_path / "mask.nii.gz"))
    datalist = few_phantoms.cardiac.four_chamber
    item = json.loads(datalist.read_text())["training"][-1]
    # maps the data set's codes to ours
    codes = np.array([0, *(item["label_map"][str(value)] for value in range(1, 6))])
    reference, _ = read(datalist.parent / item["label"])
    assert mean_dice(labels, codes[reference.astype(int)].reshape(labels.shape), 6) > 0.5
    run_bundle(LONG, "inference.yaml", **as_packaged(dist, LONG, image, tmp_path / "here"))
    here, _ = read(next((tmp_path / "here").rglob("*_mask.nii.gz")))
    assert (here == labels).mean() > 0.999
    told(f"`{LONG}`, a 4-chamber image as NIfTI", "a mask on the image's grid, the same as without the server")

    file = min(path for path in exams.cardiac.folder.rglob("*.dcm") if "4ch" in path.parent.name)
    stack = LoadExamd("image", view="4ch")({"image": str(exams.cardiac.folder)})["image"]
    for given in (file, exams.cardiac.folder):
        labels, affine = read(server.labels(LONG, str(given), tmp_path / "mask.nii.gz"))
        assert labels.shape == stack.shape and np.abs(affine - np.asarray(stack.affine)).max() < SAME_PLACE
        assert set(np.unique(labels)) <= set(range(6))
    told(
        f"`{LONG}`, a 4-chamber image as one DICOM file, and an exam as a folder of DICOM files",
        "labels on the image's grid (not scored, because the exams are from another population than in training)",
    )


def mean_dice(labels, reference, classes=4):
    masks = [torch.nn.functional.one_hot(torch.as_tensor(mask.astype(int)), classes) for mask in (labels, reference)]
    masks = [mask.movedim(-1, 0)[None].float() for mask in masks]
    return float(compute_dice(*masks, include_background=False).nanmean())


def test_a_folder_of_dicom_files_is_an_image(server, exams, studies, dist, told, tmp_path):
    """The folder holds the whole exam: the loader finds the short axis, its first phase, and the position of each slice."""
    folder = exams.cardiac.folder
    asked = server.labels(ORIENTATION, str(folder), tmp_path / "lines.nii.gz")
    labels, _ = on_the_grid_of(studies / "cardiac.nii.gz", asked)
    assert set(np.unique(labels)) == {0, 1, 2}
    run_bundle(ORIENTATION, "inference.yaml", **as_packaged(dist, ORIENTATION, folder, tmp_path / "here"))
    here, _ = read(next((tmp_path / "here").rglob("*_lines.nii.gz")))
    assert (here == labels).mean() > 0.999
    right = right_planes(server.findings(ORIENTATION, str(folder))["views"], exams)
    told(f"`{ORIENTATION}`, an exam as a folder of DICOM files (`image=/data/exam`)", f"both lines; {right}")


def right_planes(views, exams):
    """The planes of a memorised exam must be those in its headers; this checks only the coordinate frame."""
    angles = {view: angle(plane["normal"], exams.cardiac.planes[view]["normal"]) for view, plane in views.items()}
    assert max(angles.values()) < 20, angles
    return (
        "planes less than 20 degrees from those in the headers "
        "(of a training exam; this checks the coordinate frame, not accuracy)"
    )


def test_locations_come_as_thirds_of_the_stack(server, studies, told, tmp_path):
    """For a memorised heart and knee, whole slices are labelled, in the order of the locations in the JSON."""
    for name, body, thirds in ((LOCATION, "cardiac", {1, 2, 3}), (KNEE_LOCATION, "knee", {1, 2})):
        labels, _ = on_the_grid_of(studies / f"{body}.nii.gz", server.labels(name, body, tmp_path / "labels.nii.gz"))
        assert np.issubdtype(labels.dtype, np.integer), "labels must be integers, because a viewer cuts off fractions"
        of_slice = labels[0, 0]
        assert (labels == of_slice).all() and set(of_slice) == thirds, server.findings(name, body)
        found = server.findings(name, body)
        assert len(found["locations"]) == labels.shape[2] and "no order" not in found["verdict"]
        # each label has larger locations than the label before it
        for value in sorted(thirds)[1:]:
            lower, upper = (np.array(found["locations"])[of_slice == label] for label in (value - 1, value))
            assert lower.max() < upper.min()
    told(f"`{LOCATION}` and `{KNEE_LOCATION}`, NIfTI", "thirds of the stack as labels, locations and verdict as JSON")


@pytest.mark.parametrize("name", FEATURES)
def test_features_come_as_numbers(server, studies, told, tmp_path, name):
    """The answer has no label, or the thirds of the stack if an order was found, and the features of each slice."""
    labels, _ = on_the_grid_of(studies / "cardiac.nii.gz", server.labels(name, "cardiac", tmp_path / "labels.nii.gz"))
    features = np.array(server.findings(name, "cardiac")["features"])
    assert len(features) == labels.shape[2] and np.isfinite(features).all()
    assert name == "pretext_slice_order" or not labels.any()
    told(f"`{name}`, short axis as NIfTI", "the features of each slice, as JSON")


def test_findings_of_a_knee_are_numbers(server, told):
    """3D Slicer requests the default; MONAI Label makes no image for any classification, so the test does not request
    ``image``.
    """
    for output in ("json", "all"):
        found = server.findings(FINDINGS, "knee", output)["prediction"]
        names = ["abnormal", "tear of the anterior cruciate ligament", "tear of a meniscus"]
        assert [entry["label"] for entry in found] == names
        assert all(0 < entry["score"] < 1 for entry in found)
    told(f"`{FINDINGS}`, sagittal stack as NIfTI", "a probability for each finding, as JSON")


def test_what_takes_no_image_says_so(server, told):
    assert "takes masks at ED and ES" in server.refusal(DISEASE, "cardiac")
    told(f"`{DISEASE}` with a request for labels", "refused in one line (422)")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (LOCATION, "none of the .* slices has location, so there is nothing to learn from"),
        (KNEE_LOCATION, "none of the .* slices has location, so there is nothing to learn from"),
        (ORIENTATION, "has no planes of other views"),
        (MULTITASK, "has no planes of other views"),
        (FINDINGS, "the slices of a sagittal series follow each other from right to left"),
        (DISEASE, "takes masks at ED and ES"),
    ],
)
def test_what_cannot_learn_from_labels_says_so(server, told, name, reason):
    """A viewer shows the last line of the training's log."""
    state, last = server.train(name)
    assert state == "ERROR" and re.search(f"^planewise: .*{reason}", last), last
    told(f"`{name}` trained on labelled hearts", "refused in one line")


def test_it_trains_on_labels_again_and_again(server, told):
    before = read_weights(server.bundle(SEGMENTATION))
    # exported from the previous weights; MONAI Label would use it as the model if model.pt were missing
    script = server.bundle(SEGMENTATION) / "models" / "model.ts"
    script.touch()
    assert server.train(SEGMENTATION, max_epochs=1)[0] == "DONE", server.log
    assert not script.exists()
    after = read_weights(server.bundle(SEGMENTATION))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    # an annotator draws more labels and trains for longer: the previous run must not prevent this
    assert server.train(SEGMENTATION, max_epochs=2, val_split=0.5)[0] == "DONE", server.log
    # when it starts again, MONAI Label uses the first of these as the model
    assert [path.name for path in (server.bundle(SEGMENTATION) / "models").glob("*.pt")] == ["model.pt"]
    told(
        f"`{SEGMENTATION}` trained on four labelled hearts, one epoch, then two",
        "DONE both times; new weights, and no old `model.ts`",
    )
