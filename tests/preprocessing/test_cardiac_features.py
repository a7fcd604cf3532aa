from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.data import pair_phases
from planewise.errors import InputError
from planewise.preprocessing import FEATURES, CardiacFeaturesd
from planewise.preprocessing.cardiac_features import cardiac_features, volumes_ml

#: ml
ED = {"RV": 120.0, "myocardium": 100.0, "LV": 150.0}
ES = {"RV": 90.0, "myocardium": 110.0, "LV": 60.0}


def test_the_ten_features_by_hand():
    features = dict(zip(FEATURES, cardiac_features(ED, ES, 180, 75).tolist(), strict=True))
    assert features == pytest.approx(
        {
            "LV ejection fraction (%)": 60,
            "RV ejection fraction (%)": 25,
            "LV volume at ES (ml)": 60,
            "LV volume at ED (ml)": 150,
            "RV volume at ES (ml)": 90,
            "RV volume at ED (ml)": 120,
            "myocardial mass at ES (g)": 115.5,
            "myocardial mass at ED (g)": 105,
            "height (cm)": 180,
            "weight (kg)": 75,
        }
    )


@pytest.mark.parametrize("turned", [(1, 1, 1), (-1, 1, 1), (-1, -1, -1)])
def test_volumes_are_positive_whichever_way_the_axes_run(turned):
    affine = np.diag([*np.multiply(turned, (1.5, 2, 10)), 1])
    assert volumes_ml(np.full((2, 5, 10), 3), affine, {1: "RV", 3: "LV"}) == {"RV": 0, "LV": pytest.approx(3)}


def mask(path: Path, **voxels: int) -> str:
    """Write a mask with this many voxels of 1.5 x 2 x 10 mm for each structure, on rotated axes."""
    values = np.zeros((40, 40, 4), dtype=np.uint8)
    start = 0
    for value, name in ((1, "RV"), (2, "myocardium"), (3, "LV")):
        values.reshape(-1)[start : start + voxels[name]] = value
        start += voxels[name]
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = q * (1.5, 2, 10)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return str(path)


def test_an_unevenly_spaced_stack_is_measured_with_each_slice_s_own_thickness(item):
    """The masks' voxels are in the first slice, which counts with 4 mm; their volume has the mean spacing, 10 mm."""
    masks = [
        {"label": item[key], "phase": key.upper(), "exam": "aa", "height": 180, "weight": 75} for key in ("ed", "es")
    ]
    for name in ("ed", "es"):
        image = nibabel.load(item[name])
        values = np.zeros(image.shape, np.uint8)
        values[:10, :10, 0] = 3
        nibabel.save(nibabel.Nifti1Image(values, image.affine), item[name])
    slices = []
    for number, place in enumerate((0, 4, 8, 30)):
        affine = np.diag([1.5, 2.0, 8.0, 1.0])
        affine[2, 3] = place
        slices += [mask | {"slice": number, "affine": affine.tolist()} for mask in masks]
    (paired,) = pair_phases(slices)
    made = CardiacFeaturesd(("NOR",))(paired)
    assert made["image"][3] == pytest.approx(100 * 1.5 * 2 * 4 / 1000) and "slice_affines" not in made
    # the stack lacks a slice of the mask, whose own spacing is even
    fewer = {frame: affine for frame, affine in paired["slice_affines"].items() if frame != 2}
    made = CardiacFeaturesd(("NOR",))(paired | {"slice_affines": fewer})
    assert made["image"][3] == pytest.approx(100 * 1.5 * 2 * 10 / 1000)


@pytest.fixture
def item(tmp_path) -> dict:
    # 30 cubic millimetres a voxel
    ed = mask(tmp_path / "ed.nii.gz", RV=1000, myocardium=2000, LV=1500)
    es = mask(tmp_path / "es.nii.gz", RV=600, myocardium=2100, LV=300)
    return {"exam": "aa", "ed": ed, "es": es, "height": "180", "weight": 75, "group": "HCM"}


@pytest.mark.parametrize(
    "changes", [{"ed": "nowhere.nii.gz"}, {"es": None, "image": "heart.nii.gz"}, {"height": None}, {"group": "XYZ"}]
)
def test_what_is_missing_is_refused(item, changes):
    changed = {key: value for key, value in (item | changes).items() if value is not None}
    with pytest.raises(InputError):
        CardiacFeaturesd(("NOR", "HCM"))(changed)


def test_an_exam_without_a_group_has_no_label(item):
    assert "label" not in CardiacFeaturesd(("NOR",), other_groups=True)(item)
    assert int(CardiacFeaturesd(("NOR", "HCM"), other_groups=True)(item)["label"]) == 1
    del item["group"]
    assert "label" not in CardiacFeaturesd(("NOR",))(item)


def test_masks_with_other_values_are_renamed(item):
    label_map = {"1": 3, "2": 2, "3": 1}
    made = CardiacFeaturesd(("HCM",))(item | {"label_maps": {item["ed"]: label_map, item["es"]: label_map}})
    swapped, usual = made["image"], CardiacFeaturesd(("HCM",))(item)["image"]
    ventricles = [1, 0, 4, 5, 2, 3]  # exchange the features of the right and the left ventricle
    assert swapped[:6].tolist() == usual[ventricles].tolist() and swapped[6:].tolist() == usual[6:].tolist()
    assert "label_maps" not in made
