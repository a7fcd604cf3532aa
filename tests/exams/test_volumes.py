"""Test ACDC's folders, and the user's own images and masks."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.exams import index_folder
from planewise.exams.volumes import (
    MASK_AS_IMAGE,
    NO_IMAGE,
    SEVERAL_MASKS,
    read_volumes,
)
from planewise.files.masks import mark_predicted
from planewise.findings import finding


def write(path: Path, shape=(6, 5, 4), affine=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, dtype=np.uint8), np.eye(4) if affine is None else affine), path)
    return path


def write_acdc(root: Path, number: int, group="DCM", ed=1, es=9, part="training", **info) -> Path:
    name = f"patient{number:03d}"
    home = root / part / name
    for frame in (ed, es):
        write(home / f"{name}_frame{frame:02d}.nii.gz")
        write(home / f"{name}_frame{frame:02d}_gt.nii.gz")
    write(home / f"{name}_4d.nii.gz", (6, 5, 4, 12))
    values = {"ED": ed, "ES": es, "Group": group, "Height": 184.0, "NbFrame": 30, "Weight": 95.0} | info
    (home / "Info.cfg").write_text("".join(f"{key}: {value}\n" for key, value in values.items() if value is not None))
    return home


def volumes_of(folder: Path):
    found = read_volumes(sorted(folder.rglob("*.nii*")), folder)
    return found.volumes, found.skipped


def test_an_acdc_patient(tmp_path):
    write_acdc(tmp_path, 1, es=12)
    volumes, skipped = volumes_of(tmp_path)
    assert [(volume.phase, volume.image.name) for volume in volumes] == [
        ("ED", "patient001_frame01.nii.gz"),
        ("ES", "patient001_frame12.nii.gz"),
    ]
    assert volumes[1].label.name == "patient001_frame12_gt.nii.gz"
    assert volumes[0].classes == {"group": "DCM", "height": 184.0, "weight": 95.0}
    assert volumes[0].key == volumes[1].key
    assert skipped == {}, "the frames come from the 4D cine, so it is not left out"


def test_masks_beside_images(tmp_path):
    for name in ("a", "a_gt", "b_frame03", "b_frame03_seg", "c", "d-1", "d-1_label", "e_uncropped", "e", "e_mask"):
        write(tmp_path / f"{name}.nii.gz")
    volumes, _ = volumes_of(tmp_path)
    pairs = {volume.image.name.split(".")[0]: volume.label and volume.label.name for volume in volumes}
    assert pairs == {
        "a": "a_gt.nii.gz", "b_frame03": "b_frame03_seg.nii.gz", "c": None, "d-1": "d-1_label.nii.gz",
        "e_uncropped": None, "e": "e_mask.nii.gz",
    }  # fmt: skip


def test_a_mask_that_a_person_corrected_is_used_and_is_no_image(tmp_path):
    """`segment` keeps it next to the network's new mask. The newest correction counts, as in `segment`."""
    for name in ("a", "a_mask_corrected", "a_mask_corrected_2", "a_mask"):
        write(tmp_path / f"{name}.nii.gz")
    network = nibabel.load(tmp_path / "a_mask.nii.gz")
    mark_predicted(network)
    nibabel.save(network, tmp_path / "a_mask.nii.gz")
    write(tmp_path / "alone/b_mask_corrected_2.nii.gz")
    for age, name in enumerate(("a_mask_corrected_2", "a_mask_corrected")):
        os.utime(tmp_path / f"{name}.nii.gz", (age, age))
    assert volumes_of(tmp_path)[0][0].label == tmp_path / "a_mask_corrected.nii.gz"
    assert volumes_of(tmp_path)[1][NO_IMAGE] == [str(tmp_path / "alone/b_mask_corrected_2.nii.gz")]


def test_a_cine_is_a_volume_for_each_time(tmp_path):
    write(tmp_path / "a.nii.gz", (6, 5, 4, 12))
    write(tmp_path / "one.nii.gz", (6, 5, 4, 1))
    write(tmp_path / "one_seg.nii.gz")
    volumes, skipped = volumes_of(tmp_path)
    cine = [volume for volume in volumes if volume.case == "a"]
    assert [(volume.time, volume.phase) for volume in cine] == [(time, f"frame{time + 1:02d}") for time in range(12)]
    assert len({volume.key for volume in cine}) == 1
    (single,) = [volume for volume in volumes if volume.case == "one"]
    assert (single.time, single.phase, single.label.name) == (None, None, "one_seg.nii.gz")
    assert skipped == {}


@pytest.mark.parametrize("drawn", [[], [0], [0, 7], range(12)])
def test_an_empty_frame_of_a_4d_mask_is_no_label(tmp_path, drawn):
    """M&Ms draws end-diastole and end-systole only."""
    write(tmp_path / "a_sa.nii.gz", (6, 5, 4, 12))
    mask = np.zeros((6, 5, 4, 12), np.uint8)
    mask[2, 3, 1, list(drawn)] = 3
    nibabel.save(nibabel.Nifti1Image(mask, nibabel.load(tmp_path / "a_sa.nii.gz").affine), tmp_path / "a_sa_gt.nii.gz")
    items = index_folder(tmp_path, split=(1, 0, 0)).datalist["training"]
    assert len(items) == 12
    assert sorted(item["time"] for item in items if "label" in item) == list(drawn)


@pytest.mark.parametrize(("cine", "frame"), [("p1_4d", "p1_frame01"), ("001_SA_CINE", "001_SA_ED")])
def test_frames_beside_their_cine_are_used_in_its_place(tmp_path, cine, frame):
    """ACDC without Info.cfg, and M&Ms-2: no image may occur twice."""
    write(tmp_path / f"{cine}.nii.gz", (6, 5, 4, 12))
    write(tmp_path / f"{frame}.nii.gz")
    write(tmp_path / "other_4d.nii.gz", (6, 5, 4, 2))
    volumes, skipped = volumes_of(tmp_path)
    assert sorted(volume.image.name for volume in volumes) == sorted([f"{frame}.nii.gz", *["other_4d.nii.gz"] * 2])
    assert list(skipped) == [finding("file-not-used", kind="frames")]


def test_a_folder_of_masks_belongs_to_the_folder_next_to_it_or_around_it(tmp_path):
    beside = ("images/a_ED", "masks/a_ED", "images/b", "masks/b_gt", "images/c", "segmentations/c", "masks/other")
    for name in (*beside, "images/twice", "masks/twice", "labels/twice", "images/two/d", "images/two/labels/d"):
        write(tmp_path / f"{name}.nii.gz")
    write(tmp_path / "images/e.nii.gz")
    write(tmp_path / "masks/e.nii.gz", (7, 5, 4))
    volumes, skipped = volumes_of(tmp_path)
    found = {
        volume.image.name[:-7]: volume.label and volume.label.relative_to(tmp_path).as_posix() for volume in volumes
    }
    assert found == {
        "a_ED": "masks/a_ED.nii.gz",
        "b": "masks/b_gt.nii.gz",
        "c": "segmentations/c.nii.gz",
        "d": "images/two/labels/d.nii.gz",
        "e": None,
        "twice": None,
    }
    assert len(skipped) == 3 and (len(skipped[SEVERAL_MASKS]), len(skipped[NO_IMAGE])) == (2, 1)


def test_a_mask_with_the_name_of_an_image_is_left_out_by_its_values(tmp_path):
    rng = np.random.default_rng(0)
    mask = np.zeros((6, 5, 4), "f4")
    mask[2:4, 2:4, 2:] = 3
    for name, voxels in (
        ("case_4d", rng.normal(size=(6, 5, 4, 3))),
        ("case_frame01", mask),  # it is no frame of the cine
        ("other", rng.normal(size=mask.shape) + mask),
        ("empty_slices", np.where(mask, rng.normal(size=mask.shape), 0)),
        ("colours", np.zeros((6, 5, 4), [(channel, "u1") for channel in "RGB"])),
    ):
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / f"{name}.nii.gz")
    volumes, skipped = volumes_of(tmp_path)
    assert [volume.case for volume in volumes] == [*3 * ["case_4d"], "empty_slices", "other"]
    assert skipped[MASK_AS_IMAGE] == [str(tmp_path / "case_frame01.nii.gz")]
    found = index_folder(tmp_path, anatomy="volume")
    assert found.skipped[MASK_AS_IMAGE] == (1, str(tmp_path / "case_frame01.nii.gz")) and found.items == 2
