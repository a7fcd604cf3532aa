"""Test whole volumes: which files belong to a case, which mask belongs to it, and why others are left out."""

import json
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
from planewise.exams.volumes import NO_IMAGE
from planewise.files.names import check_channels
from planewise.findings import finding
from planewise.preprocessing import LoadSliced, LoadStackd, LoadVolumed
from planewise.preprocessing.exam_name import stem
from planewise.workshop.phantoms import Recipe, write_exams
from planewise.workshop.phantoms.abdomen import ABDOMENS
from planewise.workshop.phantoms.head import HEADS

from tests.exams.files import write_cine, write_ct
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


# --- BraTS -------------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("names", "patients"),
    [
        (("Brats18_TCIA01_201_1", "Brats18_TCIA01_201_2", "Brats18_2013_8_1"), 2),
        (("BraTS19_CBICA_AAB_1", "BraTS19_CBICA_AAB_2", "BraTS19_CBICA_AAG_1"), 2),
        (("BraTS20_Training_001", "BraTS20_Training_002", "BraTS20_Validation_001"), 3),
        (("BraTS2021_00000", "BraTS2021_00002"), 2),
        (("BraTS-GLI-00000-000", "BraTS-GLI-00000-001", "BraTS-GLI-00001-000"), 2),
        (("BraTS-MEN-RT-0000-1", "BraTS-MEN-RT-0000-2"), 1),
        (("BraTS-GoAT-00000", "BraTS-GoAT-00001"), 2),
    ],
)
def test_scans_of_one_brats_patient_stay_together_and_patients_apart(names, patients, tmp_path):
    for name in names:
        write_case(tmp_path / name, name, ("t1", "t2"))
    cases, _, _ = cases_of(tmp_path, "t1", "t2")
    assert len({case.key for case in cases}) == len(names) and len({case.patient_key for case in cases}) == patients


# --- the decathlon -----------------------------------------------------------------------------------------------------


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


def test_nnunets_label_ignore_is_no_structure(tmp_path):
    """Nobody said what is in the voxels with this value, so a mask that contains it needs a person's decision."""
    drawn = {"whole": [0, 1, 2], "partly": [0, 2, 3]}
    for name, values in drawn.items():
        write(tmp_path / f"imagesTr/{name}_0000.nii.gz", (6, 5, 4))
        mask = np.resize(np.uint8(values), (6, 5, 4))
        affine = nibabel.load(tmp_path / f"imagesTr/{name}_0000.nii.gz").affine
        (tmp_path / "labelsTr").mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(mask, affine), tmp_path / f"labelsTr/{name}.nii.gz")
    content = {
        "labels": {"background": 0, "liver": 1, "tumour": [1, 2], "vessel": 2, "ignore": 3},
        "file_ending": ".nii.gz",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content))

    def labelled(anatomy, **options):
        result = index_folder(tmp_path, anatomy=anatomy, **options)
        unmatched = [name for name, _ in result.unmatched]
        items = [item for section in SECTIONS for item in result.datalist[section] if "label" in item]
        return {Path(item["label"]).name for item in items}, unmatched

    for anatomy in ("volume", "cardiac"):
        assert labelled(anatomy) == ({"whole.nii.gz"}, ["partly.nii.gz"])
    everything = {f"{name}.nii.gz" for name in drawn}
    assert labelled("volume", label_map={1: 1, 2: 2, 3: 0}) == (everything, [])
    content["labels"]["bone"] = content["labels"].pop("ignore")
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert labelled("volume") == (everything, [])
    # a label map that does not name every value
    assert labelled("volume", label_map={1: 1, 2: 2}) == ({"whole.nii.gz"}, ["partly.nii.gz"])


def test_nnunets_cases_of_several_channels_are_found(tmp_path):
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "T1", "1": "FLAIR"}, "numTraining": 2}')
    for name in ("a", "b_1", "c"):
        write_case(tmp_path / "imagesTr", name, ("0000", "0001"), mask=False)
        write(tmp_path / f"labelsTr/{name}.nii.gz", (6, 5, 4))
    (tmp_path / "imagesTr/c_0001.nii.gz").unlink()
    cases, skipped, channels = cases_of(tmp_path)
    assert channels == ("0000", "0001")
    assert [(case.case, case.label.name, [stem(path)[-4:] for path in case.channels]) for case in cases] == [
        (name, f"{name}.nii.gz", ["0000", "0001"]) for name in ("a", "b_1")
    ]
    assert set(skipped) == {finding("input-lacks", kind="channel", missing=["0001"]), NO_IMAGE}


@pytest.mark.parametrize("masks", [True, False])
def test_numbered_cases_are_not_nnunets_channels(masks, tmp_path):
    """Each has its own mask, or there are more than the channels of any case."""
    names = [f"pancreas_{number:04d}" for number in range(3 if masks else 12)]
    for name in names:
        write(tmp_path / f"imagesTr/{name}.nii.gz")
        if masks:
            write(tmp_path / f"labelsTr/{name}.nii.gz")
    cases, _, channels = cases_of(tmp_path)
    assert channels == () and [stem(case.image) for case in cases] == names
    assert all((case.label is not None) == masks for case in cases)


# --- other folders -----------------------------------------------------------------------------------------------------


def test_any_folder_a_file_is_a_case_with_its_mask_beside_it_or_in_a_folder_of_masks(tmp_path):
    write(tmp_path / "one/p1.nii.gz")
    write(tmp_path / "one/p1_seg.nii.gz")
    write(tmp_path / "two/images/p2.nii.gz")
    write(tmp_path / "two/masks/p2.nii.gz")
    write(tmp_path / "two/masks/p3.nii.gz")
    cases, skipped, channels = cases_of(tmp_path)
    assert [(case.case, case.label and case.label.parent.name) for case in cases] == [("p1", "one"), ("p2", "masks")]
    assert channels == () and skipped == {NO_IMAGE: [str(tmp_path / "two/masks/p3.nii.gz")]}


def test_names_of_brats_since_2023_are_channels(tmp_path):
    channels = ["t1n", "t1c", "t2w", "t2f"]
    for number in range(3):
        for end in (*channels, "seg"):
            write(tmp_path / f"BraTS-GLI-0000{number}-000/BraTS-GLI-0000{number}-000-{end}.nii.gz", (6, 5, 4))
    result = index(tmp_path)
    assert result.datalist["planewise"]["channels"] == channels
    for item in items_of(result):
        assert [Path(image).name[-10:-7] for image in item["image"]] == channels and item["label"].endswith(
            "-seg.nii.gz"
        )


# --- DICOM -------------------------------------------------------------------------------------------------------------


def test_series_of_mr_and_ct_are_cases_and_no_others(tmp_path):
    root = tmp_path / "all"
    write_ct(root / "ct", np.zeros((6, 5, 4)))
    write_ct(root / "pet", np.zeros((6, 5, 4)), Modality="PT")
    write_cine(root / "mr", (0, 0, 0), (1, 0, 0), phases=1, slices=4, TriggerTime=None)
    result = index(root, split=(1, 0, 0))
    assert {Path(item["image"]).parent.name for item in items_of(result)} == {"ct", "mr"}
    assert {(reason.code, count) for reason, (count, _) in result.skipped.items()} == {("dicom-unusable", 4)}
    assert not any(who in json.dumps(result.datalist) for who in ("P-1", "Doe", "19610203"))


# --- what is wrong -----------------------------------------------------------------------------------------------------


def test_a_missing_channel_and_a_broken_one(tmp_path):
    for name in ("good", "few", "cut", "cine"):
        write_case(tmp_path, name)
    write(tmp_path / "cine_t2.nii.gz", (6, 5, 4, 3))
    for volumes in (2, 4):
        write(tmp_path / f"{volumes}.nii.gz", (6, 5, 4, volumes))
    (tmp_path / "few_t1ce.nii.gz").unlink()
    (tmp_path / "cut_flair.nii.gz").write_bytes(b"no NIfTI")
    cases, skipped, _ = cases_of(tmp_path)
    assert [case.case for case in cases] == ["good"]
    assert set(skipped) == {
        finding("nifti-damaged"),
        finding("file-not-used", kind="channel", channels="t1, t1ce, t2, flair"),
        finding("nifti-image", kind="volumes", count=3),
        finding("input-lacks", kind="channel", missing=["t1ce"]),
    }


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
