"""Test indexing of M&Ms-2 and of UK Biobank's style: short axis and 4ch, planes, labels, and every pitfall."""

import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from planewise.data import pair_phases
from planewise.errors import InputError
from planewise.exams import index_folder
from planewise.geometry import intersection_lines
from planewise.preprocessing import CardiacFeaturesd, LoadSliced
from planewise.workshop.phantoms import LABELLED, VOLUNTEERS, Recipe, write_exams
from planewise.workshop.phantoms.layouts import Mnms2

from tests.exams import damage
from tests.exams.test_volumes import write
from tests.exams.told import codes

COARSE = {"phases": 5, "spacing": (4.0, 4.0), "slices": ((8.0, 2.0),), "image_shift": 0.0}
RECIPES = {
    "mnms2": Recipe("mnms2", seed=5, population=LABELLED.with_values(**COARSE)),
    "ukbb": Recipe("ukbb", seed=5, population=VOLUNTEERS.with_values(**COARSE)),
}


def unlabelled(folder: Path) -> None:
    """M&Ms-2 has images without masks; UK Biobank has only cines."""
    for pattern in ("*_gt.nii.gz", "label_*", "sa_E?.nii.gz", "la_4ch_E?.nii.gz"):
        damage.gone(pattern)(folder)


def swapped_names(folder: Path) -> None:
    """There are only cines, and la_2ch and la_4ch have each other's names."""
    unlabelled(folder)
    (two,) = folder.rglob("la_2ch.nii.gz")
    four = two.with_name("la_4ch.nii.gz")
    four.rename(two.with_name("kept"))
    two.rename(four)
    two.with_name("kept").rename(two)


FLAWS = {
    "no_4ch": damage.gone("*la_4ch*"),
    "unlabelled": unlabelled,
    "swapped_names": swapped_names,
    "only_atria": damage.rewritten("label_la_4ch*", lambda voxels, affine: (np.clip(voxels, 3, 5) - 3, affine)),
    "no_orientation": damage.no_orientation,
}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """Function that takes a layout, a view and keys of `FLAWS`, and returns what the indexer finds in one exam."""
    trees = {}

    def index(layout, view="4ch", *flaws, **options):
        made = (layout, *flaws)
        if made not in trees:
            trees[made] = tmp_path_factory.mktemp(layout) / "tree"
            if flaws:
                if (layout,) not in trees:
                    index(layout)
                shutil.copytree(trees[(layout,)], trees[made])
            else:
                list(write_exams(RECIPES[layout], trees[made], 1))
            for flaw in flaws:
                FLAWS[flaw](trees[made])
        return index_folder(trees[made], view=view, split=(1, 0, 0), **options)

    return index


def only(result) -> dict:
    (exam,) = result.datalist["exams"].values()
    return exam


def assert_true_lines(item: dict, exam) -> None:
    """The lines of an item's planes are those of the phantom's, although M&Ms-2 mirrors the headers of all."""
    for view, plane in item["planes"].items():
        laid = exam.poses[view]
        middle = laid[(len(laid) - 1) // 2]
        truth = (Mnms2.mirror if "/dataset/" in item["image"] else np.eye(4)) @ item["affine"]
        lines = [
            intersection_lines(*map(torch.as_tensor, three)).numpy()
            for three in (
                (item["affine"], plane["origin"], plane["normal"]),
                (truth, middle.centre, middle.normal),
            )
        ]
        assert abs(lines[0][:2] @ lines[1][:2]) == pytest.approx(1, abs=1e-6)
        assert abs(lines[0][2]) == pytest.approx(abs(lines[1][2]), abs=1e-3)


def test_items_of_4ch(indexed):
    for layout, planes, values in (("mnms2", {"sax"}, [0, 1, 2, 3]), ("ukbb", {"sax", "2ch"}, [0, 1, 2, 3, 4, 5])):
        result = indexed(layout)
        header = result.datalist["planewise"]
        assert (header["stack"], header["views"]) == ("4ch", ["2ch", "sax"])
        items = result.datalist["training"]
        assert [(item["phase"], item["slice"], item["frame"], item["stack"]) for item in items] == [
            ("ED", 0, 0, "4ch"),
            ("ES", 0, 0, "4ch"),
        ]
        exam = RECIPES[layout].exam(1)
        load = LoadSliced(keys=("image", "label"))
        for item, rank in zip(items, (0, exam.end_systole), strict=True):
            assert set(item["planes"]) == planes and "location" not in item and "time" not in item
            mask = load(item)["label"][0, :, :, 0].numpy()
            assert np.unique(mask).tolist() == values
            pose = exam.poses["4ch"][0]
            truth = exam.mask(pose, 100, exam.phases[rank]).T  # values are ours: 1 RV, 2 myocardium, 3 LV, 4 LA, 5 RA
            np.testing.assert_array_equal(mask, np.where(np.isin(truth, values), truth, 0))
            assert_true_lines(item, exam)


def test_items_of_the_short_axis(indexed):
    for layout, planes in (("mnms2", {"4ch"}), ("ukbb", {"2ch", "4ch"})):
        items = indexed(layout, "sax").datalist["training"]
        slices = len(RECIPES[layout].exam(1).poses["sax"])
        assert len(items) == 2 * slices and all(set(item["planes"]) == planes for item in items)
        by_phase = {phase: [item for item in items if item["phase"] == phase] for phase in ("ED", "ES")}
        assert [item["location"] for item in by_phase["ES"]] == pytest.approx(np.linspace(0, 1, slices))
        assert by_phase["ED"][0]["label_map"] == {"1": 3, "2": 2, "3": 1}
        exam = RECIPES[layout].exam(1)
        load = LoadSliced(keys="label")
        for rank, item in enumerate(by_phase["ES"]):
            assert_true_lines(item, exam)
            truth = exam.mask(exam.poses["sax"][rank], rank, exam.phases[exam.end_systole]).T
            ventricles = np.where(truth > 3, 0, truth)
            np.testing.assert_array_equal(load(item)["label"][0, :, :, 0].numpy(), ventricles)


def test_the_data_sets_numbers_do_not_hold_for_masks_of_labels(indexed, tmp_path):
    """Corrected masks of a network have planewise's numbers, whatever those of the data set are."""
    own = indexed("mnms2", "sax").datalist["training"]
    for item in own:
        mask = nibabel.load(item["label"])
        ours = np.array([0, 3, 2, 1], np.uint8)[np.asarray(mask.dataobj).astype(int)]
        file = tmp_path / f"{item['exam']}_{item['phase']}_mask_corrected.nii.gz"
        nibabel.save(nibabel.Nifti1Image(ours, mask.affine), file)
    result = indexed("mnms2", "sax", labels_dir=tmp_path)
    assert not any("label_map" in item for item in result.datalist["training"])
    assert "mask-doubtful" not in codes(result.warnings)
    # if only one phase was corrected, each phase keeps the label map of its own mask
    (tmp_path / f"{own[0]['exam']}_ES_mask_corrected.nii.gz").unlink()
    features = CardiacFeaturesd(("DCM",))
    (usual,) = [features(exam | {"height": 180, "weight": 75}) for exam in pair_phases(own)]
    for options in ({}, {"label_map": {1: 1, 2: 2, 3: 3}}):
        mixed = indexed("mnms2", "sax", labels_dir=tmp_path, **options)
        (made,) = [features(exam | {"height": 180, "weight": 75}) for exam in pair_phases(mixed.datalist["training"])]
        assert made["ed"] != usual["ed"] and made["es"] == usual["es"]
        assert made["image"].tolist() == pytest.approx(usual["image"].tolist())
        assert "mask-doubtful" not in codes(mixed.warnings)


def test_names_of_a_data_set_outvote_geometry(indexed):
    for flaws, flags in (("swapped_names",), {"2ch", "4ch"}), (("unlabelled",), set()):
        result = indexed("ukbb", "4ch", *flaws)
        assert {item["image"][-14:] for item in result.datalist["training"]} == {"/la_4ch.nii.gz"}
        assert {note["subject"] for note in only(result)["left_out"] if note["code"] == "view-doubtful"} == flags


def test_a_real_header_of_mnms2(tmp_path):
    """A stack that points left, forward and up to the apex, and the 4ch view that geometry alone would call 3ch."""
    rows = {
        "SA": [[-0.48, 0.68, -5.56, 81.42], [-0.0, 0.63, 7.74, -149.34], [-0.88, -0.37, 3.02, 93.79], [0, 0, 0, 1]],
        "LA": [[-0.04, 1.0, 0.07, -62.85], [0.87, 0.0, 0.5, -142.62], [0.5, 0.08, -0.86, -70.39], [0, 0, 0, 1]],
    }
    for short, shape in (("SA", (192, 192, 12)), ("LA", (256, 256, 1))):
        write(tmp_path / f"dataset/007/007_{short}_ED.nii.gz", shape, np.array(rows[short]))
    long, short = (index_folder(tmp_path, view=view, split=(1, 0, 0)) for view in ("4ch", "sax"))
    (item,) = long.datalist["training"]
    assert item["image"].endswith("007_LA_ED.nii.gz") and set(item["planes"]) == {"sax"}
    places = {item["frame"]: item["location"] for item in short.datalist["training"]}
    assert [places[rank] for rank in range(12)] == pytest.approx(np.linspace(0, 1, 12))
    assert all(set(item["planes"]) == {"4ch"} for item in short.datalist["training"])


def test_atria_alone_are_not_taken_for_ventricles(indexed):
    """The pixels of both masks are compared with the file that holds all five structures."""
    load = LoadSliced(keys=("image", "label"))
    pairs = zip(*(indexed("ukbb", "4ch", *d).datalist["training"] for d in (("only_atria",), ())), strict=True)
    for atria, whole in pairs:
        found, five = (load(item)["label"].numpy() for item in (atria, whole))
        np.testing.assert_array_equal(found, np.where(five > 3, five, 0))
        assert set(np.unique(found)) == {0, 4, 5}


#: Maps layout, view and flaw to the number of items, how many have labels, their planes, and a reported reason.
EXPECTED = {
    ("mnms2", "4ch", "unlabelled"): (2, 0, {"sax"}, None),
    ("mnms2", "4ch", "no_orientation"): (2, 2, None, "image-not-used"),
    ("ukbb", "4ch", "no_4ch"): (0, 0, set(), None),
}


@pytest.mark.parametrize(("layout", "view", "flaw"), EXPECTED)
def test_flaws(indexed, layout, view, flaw):
    count, labelled, planes, reason = EXPECTED[layout, view, flaw]
    if not count:
        with pytest.raises(InputError):
            indexed(layout, view, flaw)
        return
    result = indexed(layout, view, flaw)
    items = result.datalist["training"]
    assert (len(items), sum("label" in item for item in items)) == (count, labelled)
    assert all(
        item.get("planes", {}).keys() == planes if planes is not None else "affine" not in item for item in items
    )
    found = {*codes(result.skipped), *(note["code"] for note in only(result)["left_out"])}
    assert reason is None or reason in found
