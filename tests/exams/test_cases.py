"""Test whole volumes: which files belong to a case, which mask belongs to it, and why others are left out."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from planewise.data import expand_volumes, load_datalist
from planewise.errors import InputError
from planewise.exams import LoadCased, find_volumes, index_folder, write_datalist
from planewise.exams.cases import BRATS, read_cases
from planewise.exams.refusals import HIDDEN, NOT_DICOM
from planewise.files.names import check_channels
from planewise.findings import finding
from planewise.preprocessing import LoadSliced, LoadStackd, LoadVolumed
from planewise.workshop.phantoms import Recipe, write_exams
from planewise.workshop.phantoms.abdomen import ABDOMENS
from planewise.workshop.phantoms.head import HEADS

from tests.exams.test_volumes import write

SECTIONS = ("training", "validation", "test")


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """BraTS folders with eight heads of both grades."""
    root = tmp_path_factory.mktemp("brats")
    list(write_exams(Recipe("brats", population=HEADS.with_values(side=16, low_grade=0.4)), root, 8))
    return root


@pytest.fixture(scope="module")
def abdomens(tmp_path_factory):
    """Decathlon folders with four images that have masks and two that have none."""
    root = tmp_path_factory.mktemp("msd")
    list(write_exams(Recipe("msd", population=ABDOMENS.with_values(side=16)), root, 6))
    return root


def write_case(home: Path, name="a", channels=BRATS, shape=(6, 5, 4), mask=True, affine=None) -> None:
    for channel in channels:
        write(home / f"{name}_{channel}.nii.gz", shape, affine)
    if mask:
        write(home / f"{name}_seg.nii.gz", shape, affine)


def cases_of(folder: Path, *channels: str):
    found = read_cases(sorted(path for path in folder.rglob("*.nii*") if path.name[0] != "."), folder, channels)
    return found.volumes, found.skipped, found.channels


def index(folder, **options):
    return index_folder(folder, anatomy="volume", **options)


@pytest.mark.parametrize("axes", ["RAS", "SPL", "AIL"])
@pytest.mark.parametrize("beside", [True, False])
def test_a_mask_on_the_same_grid_in_other_axes(tmp_path, axes, beside):
    """Whichever loader reads it, the mask lies on the image's bright voxels."""
    affine = nibabel.affines.from_matvec(np.diag([-2.0, -1.5, 3.0]), [30, 20, -10])  # LPS
    bright = np.random.default_rng(0).random((6, 5, 4)) > 0.5
    stored = nibabel.Nifti1Image(bright.astype(np.uint8), affine)
    turn = nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(axes))
    (tmp_path / "images").mkdir()
    (tmp_path / "drawn").mkdir()
    nibabel.save(nibabel.Nifti1Image(bright + 99.5, affine), tmp_path / "images/a.nii.gz")
    nibabel.save(stored.as_reoriented(turn), tmp_path / ("images/a_seg.nii.gz" if beside else "drawn/a.nii.gz"))
    options = {} if beside else {"labels_dir": tmp_path / "drawn"}
    result = index(tmp_path / "images", **options)
    (item,) = load_datalist(write_datalist(result.datalist, tmp_path / "d.json"), "all")
    keys = ("image", "label")
    volume, stack = LoadVolumed(keys)(item), LoadStackd(keys)(item)
    slices = [LoadSliced(keys)(each) for each in expand_volumes([item])]
    assert np.array_equal(volume["label"][0] > 0, bright) and np.array_equal(volume["image"][0] > 100, bright)
    assert np.array_equal(stack["label"] > 0, bright) and torch.allclose(stack["label"].affine, stack["image"].affine)
    assert np.array_equal(np.concatenate([each["label"][0] for each in slices], -1) > 0, bright)
    # bundles of hearts do not reorient volumes
    result = index_folder(tmp_path / "images", **options)
    assert not any("label" in item for item in items_of(result))
    reasons = [*result.skipped, *(why for _, why in result.unmatched)]
    assert finding("grid-differs", "mask" if beside else "", kind="axes", own=axes, wanted="LPS") in reasons


def items_of(result):
    return [item for section in SECTIONS for item in result.datalist[section]]


def test_brats_cases_have_four_channels_a_mask_and_a_grade(heads):
    result = index(heads)
    items = items_of(result)
    assert len(items) == 8 and result.datalist["planewise"]["channels"] == list(BRATS)
    for item in items:
        names = [Path(path).name for path in item["image"]]
        case = Path(item["image"][0]).parent
        assert names == [f"{case.name}_{channel}.nii.gz" for channel in BRATS]
        assert item["label"] == str(case / f"{case.name}_seg.nii.gz")
        assert item["grade"] == case.parent.name
    assert all(entry["labels"] == entry["volumes"] == 1 for entry in result.datalist["exams"].values())


def test_the_decathlons_list_gives_masks_and_hidden_files_are_counted(abdomens):
    result = index(abdomens)
    items = items_of(result)
    assert len(items) == 6 and sum("label" in item for item in items) == 4
    assert all(Path(item["label"]).parent.name == "labelsTr" for item in items if "label" in item)
    assert result.skipped[HIDDEN][0] == 10 and set(result.skipped) <= {HIDDEN, NOT_DICOM}
    assert "channels" not in result.datalist["planewise"]


def test_nnunets_cases_of_one_channel_have_their_masks(tmp_path):
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "CT"}, "numTraining": 2}')
    for name in ("a", "b_1"):
        write(tmp_path / f"imagesTr/{name}_0000.nii.gz")
        write(tmp_path / f"labelsTr/{name}.nii.gz")
    cases, skipped, _ = cases_of(tmp_path)
    assert [(case.case, case.label.name) for case in cases] == [("a", "a.nii.gz"), ("b_1", "b_1.nii.gz")]
    assert skipped == {}


def test_channels_that_make_no_sense(tmp_path):
    write_case(tmp_path)
    for repeated in ("t1,t1", "T1,t1", "t1,flair, T1", "t1,,flair"):
        with pytest.raises(InputError):
            check_channels(repeated)
    for numbers in ([1, 2], (1, "t1"), 3, "[1,2]"):
        with pytest.raises(InputError):
            index(tmp_path, channels=numbers)
        with pytest.raises(InputError):
            find_volumes(tmp_path, channels=numbers)
        with pytest.raises(InputError):
            LoadCased("image", channels=2, channel_names=numbers)
    assert index(tmp_path, channels=["t1", "Flair"]).datalist["planewise"]["channels"] == ["t1", "flair"]
    with pytest.raises(InputError):
        index_folder(tmp_path, anatomy="any", channels="t1")
    with pytest.raises(InputError):
        index(tmp_path, channels="pd")
