"""Test whole volumes: which files belong to a case, which mask belongs to it, and why others are left out."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from planewise.data import expand_volumes, load_datalist
from planewise.errors import InputError
from planewise.exams import LoadCased, find_inputs, find_volumes, index_folder, write_datalist
from planewise.exams.cases import read_cases, read_listing
from planewise.exams.refusals import HIDDEN, NOT_DICOM
from planewise.exams.volumes import NO_IMAGE, SEVERAL_MASKS, TWICE
from planewise.files.names import BRATS, check_channels
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


def test_files_without_orientation_are_counted(tmp_path):
    """In two folders, they may have one name; a mask of the same kind does not count."""
    for home in ("p1", "p2", "p3"):
        write(tmp_path / home / "t1.nii.gz")
    for path in [tmp_path / home / f"t1{end}.nii.gz" for home in ("p1", "p2") for end in ("", "_seg")]:
        image = nibabel.Nifti1Image(np.zeros((6, 5, 4), np.uint8) + (path.stem == "t1.nii") * 99.5, None)
        nibabel.save(image, path)
    for anatomy in ("volume", "knee"):
        warnings = index_folder(tmp_path, anatomy=anatomy).warnings
        assert finding("axes-as-stored", count=2, names=["t1.nii.gz", "t1.nii.gz"]) in warnings


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


def test_grades_are_divided_alike_and_the_seed_decides(heads):
    grades = [item["grade"] for item in items_of(index(heads))]
    result = index(heads, split=(0.5, 0.0, 0.5), seed=3)
    for grade in ("HGG", "LGG"):
        trained = sum(item["grade"] == grade for item in result.datalist["training"])
        assert abs(trained - grades.count(grade) / 2) <= 1
    names = [
        {item["exam"] for item in index(heads, split=(0.5, 0, 0.5), seed=seed).datalist["test"]} for seed in (3, 3, 4)
    ]
    assert names[0] == names[1] != names[2]


def test_two_channels_are_asked_for_and_the_others_are_counted(heads):
    result = index(heads, channels="T1, Flair")
    assert {len(item["image"]) for item in items_of(result)} == {2}
    assert result.skipped[finding("file-not-used", kind="channel", channels="t1, flair")][0] == 16


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


def test_paths_in_the_datalist_are_relative_and_come_back(heads, tmp_path):
    from planewise.data import load_datalist

    written = write_datalist(index(heads).datalist, tmp_path / "list.json")
    stored = json.loads(written.read_text())["training"][0]
    assert not any(Path(path).is_absolute() for path in [*stored["image"], stored["label"]])
    item = load_datalist(written, "training")[0]
    assert all(Path(path).is_file() for path in [*item["image"], item["label"]])


# --- the decathlon -----------------------------------------------------------------------------------------------------


def test_the_decathlons_list_gives_masks_and_hidden_files_are_counted(abdomens):
    result = index(abdomens)
    items = items_of(result)
    assert len(items) == 6 and sum("label" in item for item in items) == 4
    assert all(Path(item["label"]).parent.name == "labelsTr" for item in items if "label" in item)
    assert result.skipped[HIDDEN][0] == 10 and set(result.skipped) <= {HIDDEN, NOT_DICOM}
    assert "channels" not in result.datalist["planewise"]


def test_cases_without_masks_are_trained_on(abdomens):
    result = index(abdomens, split=(0.4, 0.3, 0.3), seed=1)
    assert all("label" in item for section in ("validation", "test") for item in result.datalist[section])
    assert result.datalist["test"] and finding("unlabelled-to-training", count=2, what="mask") in result.warnings


def test_a_users_list_may_test_on_cases_without_masks(abdomens, tmp_path):
    def bare(result, section):
        return {item["exam"] for item in result.datalist[section] if "label" not in item}

    names = bare(index(abdomens), "training")
    (tmp_path / "s.csv").write_text("exam,section\n" + "".join(f"{name},test\n" for name in names))
    listed = index(abdomens, sections=tmp_path / "s.csv")
    assert bare(listed, "test") == names and not bare(listed, "training") and len(names) == 2


def test_what_the_list_does_not_name_is_left_out(tmp_path):
    for folder in ("imagesTr", "labelsTr"):
        for name in ("a", "b", "c"):
            write(tmp_path / folder / f"{name}.nii.gz")
    (tmp_path / "labelsTr/b.nii.gz").unlink()
    entries = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in ("a", "b")]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": entries, "test": []}))
    cases, skipped, _ = cases_of(tmp_path)
    assert [(case.case, case.label is not None) for case in cases] == [("a", True), ("b", False)]
    assert {reason: len(paths) for reason, paths in skipped.items()} == {
        finding("file-not-used", kind="listing"): 1,
        finding("case-incomplete", kind="mask"): 1,
    }


def test_a_list_of_another_kind_is_no_list(tmp_path):
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "CT"}, "numTraining": 2}')
    assert read_listing(tmp_path / "dataset.json") is None


@pytest.mark.parametrize("content", ["{", "", "[]", "[" * 100_000, '{"training": 3}', '{"training": [{"image": "a"}]}'])
def test_a_broken_list_is_named_and_files_are_matched_by_their_names(tmp_path, content):
    write(tmp_path / "imagesTr/a.nii.gz")
    write(tmp_path / "labelsTr/a.nii.gz")
    (tmp_path / "dataset.json").write_text(content)
    cases, skipped, _ = cases_of(tmp_path)
    assert [(case.case, case.label.parent.name) for case in cases] == [("a", "labelsTr")]
    assert [(reason.code, paths) for reason, paths in skipped.items()] == [
        ("table-lacks", [str(tmp_path / "dataset.json")])
    ]


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
    assert set(skipped) == {finding("case-incomplete", kind="channel", missing=["0001"]), NO_IMAGE}


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


@pytest.mark.parametrize(("folder", "numbers"), [("imagesTr", ("2019", "2020")), ("heads", ("0000", "0001"))])
def test_numbers_are_nnunets_channels_only_in_its_folders_and_from_zero(folder, numbers, tmp_path):
    write_case(tmp_path / folder, "a", numbers, mask=False)
    cases, _, channels = cases_of(tmp_path)
    assert channels == () and len(cases) == 2


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


def test_channels_without_a_case_name_are_named_by_their_folder(tmp_path):
    for number in ("17", "18"):
        for channel in ("T1", "T2_FLAIR"):
            write(tmp_path / number / f"{channel}.nii.gz")
    cases, _, _ = cases_of(tmp_path, "t1", "t2_flair")
    assert [(case.case, len(case.channels)) for case in cases] == [("17", 2), ("18", 2)]


@pytest.mark.parametrize("ending", ["seg", "gt", "segmentation", "label", "labels", "mask", "masks", "GT"])
@pytest.mark.parametrize("sign", "_-")
def test_a_mask_of_channels_has_one_of_these_endings(ending, sign, tmp_path):
    write_case(tmp_path, "p1", ("t1", "t2"), mask=False)
    write(tmp_path / f"p1{sign}{ending}.nii.gz", (6, 5, 4))
    (case,), skipped, _ = cases_of(tmp_path, "t1", "t2")
    assert case.label == tmp_path / f"p1{sign}{ending}.nii.gz" and skipped == {}


def test_a_channel_on_another_grid_is_told_from_the_first_channel(tmp_path):
    write_case(tmp_path, "p1", ("t1",), mask=False)
    write(tmp_path / "p1_t2.nii.gz", (6, 5, 5))
    cases, skipped, _ = cases_of(tmp_path, "t1", "t2")
    assert cases == [] and [reason.code for reason in skipped] == ["grid-differs"]


def test_a_list_may_have_no_test_images(tmp_path):
    (tmp_path / "dataset.json").write_text('{"training": [{"image": "a.nii.gz", "label": "b.nii.gz"}]}')
    assert read_listing(tmp_path / "dataset.json") == {tmp_path / "a.nii.gz": tmp_path / "b.nii.gz"}


def test_masks_of_ones_own_go_by_the_case(tmp_path):
    write_case(tmp_path / "images", "p1", ("t1", "t2"), mask=False)
    write_case(tmp_path / "images", "p2", ("t1", "t2"), mask=False)
    write(tmp_path / "drawn/p1.nii.gz")
    result = index(tmp_path / "images", channels="t1,t2", labels_dir=tmp_path / "drawn")
    assert [Path(item["label"]).name for item in items_of(result) if "label" in item] == ["p1.nii.gz"]


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


def test_of_two_masks_of_a_case_none_is_used(tmp_path):
    write_case(tmp_path / "1", channels=("t1", "t2"))
    write(tmp_path / "1/a_mask.nii.gz", (6, 5, 4))
    (case,), skipped, _ = cases_of(tmp_path, "t1", "t2")
    assert case.label is None
    named = skipped[SEVERAL_MASKS]
    assert sorted(Path(path).name for path in named) == ["a_mask.nii.gz", "a_seg.nii.gz"]


@pytest.mark.parametrize("channels", [(), ("t1", "t2")])
def test_a_file_that_is_there_twice_is_listed(channels, tmp_path):
    write_case(tmp_path / "1", channels=channels or ("t1",))
    write(tmp_path / "1/a_t1.nii", (6, 5, 4))
    (case,), skipped, _ = cases_of(tmp_path, *channels)
    assert case.image.name == "a_t1.nii.gz"
    assert [Path(path).name for path in skipped[TWICE]] == ["a_t1.nii"]


def test_of_two_masks_in_the_folders_of_masks_none_is_used(tmp_path):
    write(tmp_path / "images/a.nii.gz", (6, 5, 4))
    for name in ("masks/a.nii.gz", "masks/a.nii", "labels/a.nii.gz"):
        write(tmp_path / name, (6, 5, 4))
    (case,), skipped, _ = cases_of(tmp_path)
    assert case.label is None and {reason: len(paths) for reason, paths in skipped.items()} == {SEVERAL_MASKS: 3}


def test_a_folder_called_like_a_grade_is_one_of_brats_alone(tmp_path):
    write(tmp_path / "HGG/liver.nii.gz", (6, 5, 4))
    write_case(tmp_path / "HGG/1")
    (alone,) = read_cases([tmp_path / "HGG/liver.nii.gz"], tmp_path).volumes
    (brats,) = read_cases(sorted((tmp_path / "HGG/1").iterdir()), tmp_path).volumes
    assert (alone.classes, brats.classes) == ({}, {"grade": "HGG"})


def test_series_of_mr_and_ct_are_cases_and_no_others(tmp_path):
    root = tmp_path / "all"
    write_ct(root / "ct", np.zeros((6, 5, 4)))
    write_ct(root / "pet", np.zeros((6, 5, 4)), Modality="PT")
    write_cine(root / "mr", (0, 0, 0), (1, 0, 0), phases=1, slices=4, TriggerTime=None)
    result = index(root, split=(1, 0, 0))
    assert {Path(item["image"]).parent.name for item in items_of(result)} == {"ct", "mr"}
    assert {(reason.code, count) for reason, (count, _) in result.skipped.items()} == {("dicom-unusable", 4)}
    assert not any(who in json.dumps(result.datalist) for who in ("P-1", "Doe", "19610203"))


def test_channels_are_not_told_of_series(tmp_path):
    write_cine(tmp_path / "scout", (0, 0, 0), (1, 0, 0), phases=1, slices=3, TriggerTime=None)
    write_case(tmp_path)
    assert len(items_of(index(tmp_path))) == 1
    write_cine(tmp_path / "t1", (0, 0, 0), (0, 0, 1), phases=1, slices=4, TriggerTime=None)
    for folder, options in ((tmp_path, {}), (tmp_path / "t1", {"channels": "t1,flair"})):
        with pytest.raises(InputError):
            index(folder, **options)


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
        finding("nifti-image", kind="volumes", count=4),
        finding("case-incomplete", kind="channel", missing=["t1ce"]),
    }


def test_flat_and_4d_images_are_no_volumes(tmp_path):
    write(tmp_path / "flat.nii.gz", (6, 5, 2))
    write(tmp_path / "cine.nii.gz", (6, 5, 4, 8))
    write(tmp_path / "one_time.nii.gz", (6, 5, 4, 1))
    cases, skipped, _ = cases_of(tmp_path)
    assert [case.case for case in cases] == ["one_time"] and len(skipped) == 2


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


def test_cases_of_other_channels_do_not_mix(heads, abdomens, tmp_path):
    (tmp_path / "a").symlink_to(heads)
    paths = [path for root in (heads, abdomens) for path in root.rglob("*.nii.gz") if path.name[0] != "."]
    with pytest.raises(InputError):
        read_cases(paths, tmp_path)


@pytest.mark.parametrize("ending", [".NII", ".NII.GZ"])
def test_capital_endings_are_read_everywhere(ending, tmp_path):
    for name, values in (("case", np.zeros((6, 6, 5), np.float32)), ("case_seg", np.ones((6, 6, 5), np.uint8))):
        small = tmp_path / f"{name}{ending.lower()}"
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), small)
        small.rename(tmp_path / f"{name}{ending}")
    result = index_folder(tmp_path, anatomy="volume", split=(1, 0, 0))
    items = load_datalist(write_datalist(result.datalist, tmp_path / "cases.json"), "training")
    assert LoadVolumed(["image", "label"])(items[0])["label"].shape == (1, 6, 6, 5)
    slices = expand_volumes(items)
    assert len(slices) == 5 and LoadSliced(["image"])(slices[0])["image"].shape == (1, 6, 6, 1)
    (tmp_path / f"case_seg{ending}").unlink()
    assert find_inputs(str(tmp_path)) == [{"image": str(tmp_path / f"case{ending}")}]
    assert stem(tmp_path / f"case{ending}") == "case"
