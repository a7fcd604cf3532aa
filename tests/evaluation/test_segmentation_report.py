"""Test the segmentation report on slabs one voxel thick: their distance is a number of voxels times the spacing."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from planewise.evaluation import SegmentationReport
from planewise.reports.tables import json_values

from .passes import pass_over

STRUCTURES = {1: "RV", 2: "myocardium", 3: "LV"}
SPACING = np.array([1.5, 2.0, 6.0])
SHAPE = (8, 9, 10)


def oblique() -> torch.Tensor:
    """An affine with this spacing whose axes are oblique to all three planes."""
    q, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = torch.from_numpy(q * SPACING)
    return affine


def volume(**slabs: list[tuple[int, int]]) -> torch.Tensor:
    """Labels ``(1, i, j, k)`` with slabs given as ``RV=[(axis, index), ...]``."""
    labels = torch.zeros(1, *SHAPE)
    for value, name in STRUCTURES.items():
        for axis, index in slabs.get(name, []):
            labels[0].select(axis, index)[:] = value
    return labels


#: True and predicted slabs by exam and phase; the slabs do not touch.
VOLUMES = {
    # a step along each of two axes
    ("aaaaaa", "ed"): ({"RV": [(2, 2)]}, {"RV": [(2, 3)]}),
    # the prediction has a second slab: Dice 2/3; distances 0 and 24 mm from prediction to truth, and 0 mm back
    ("aaaaaa", "es"): ({"RV": [(2, 2)], "LV": [(2, 8)]}, {"RV": [(2, 2), (2, 6)], "LV": [(2, 8)]}),
    # the RV is found elsewhere, and the LV is missed
    ("bbbbbb", "ed"): ({"RV": [(0, 2)], "LV": [(0, 6)]}, {"RV": [(0, 3)]}),
}


def report_of(folder, examples=3):
    batches, outputs = [], []
    for number, ((exam, phase), (true, predicted)) in enumerate(VOLUMES.items()):
        label = MetaTensor(volume(**true), affine=oblique())
        image = MetaTensor(torch.zeros(1, *SHAPE), meta={"filename_or_obj": f"{exam}_{phase}"})
        native = torch.full((1, *SHAPE), float(number))
        batches.append([{"image": image, "label": label, "native_image": native, "exam": exam, "phase": phase}])
        outputs.append([{"pred": volume(**predicted)}])
    return pass_over(SegmentationReport(folder, STRUCTURES, examples), batches, outputs)


def test_rows_by_hand(tmp_path):
    report_of(tmp_path)
    rows = list(csv.DictReader((tmp_path / "volumes.csv").open()))
    assert [(row["exam"], row["phase"]) for row in rows] == list(VOLUMES)
    dice = [[float(row[f"{name}_dice"]) for name in STRUCTURES.values()] for row in rows]
    assert np.array(dice) == pytest.approx(np.array([[0, 1, 1], [2 / 3, 1, 1], [0, 1, 0]]), abs=1e-5)
    distance = [[float(row[f"{name}_assd_mm"]) for name in STRUCTURES.values()] for row in rows]
    expected = np.array([[6, 0, 0], [24 / 3, 0, 0], [1.5, 0, math.nan]])
    assert np.array(distance) == pytest.approx(expected, abs=1e-5, nan_ok=True)
    contour = [[float(row[f"{name}_contour_mm"]) for name in STRUCTURES.values()] for row in rows]
    # if the slabs are parallel to the slices, either no slice has the structure in both masks, or the contours are
    # equal; slabs across the slices are 1.5 mm apart in each slice
    expected = np.array([[math.nan, 0, 0], [0, 0, 0], [1.5, 0, math.nan]])
    assert np.array(contour) == pytest.approx(expected, abs=1e-5, nan_ok=True)
    missed = [[row[f"{name}_missed"] for name in STRUCTURES.values()] for row in rows]
    assert missed == [["False"] * 3, ["False"] * 3, ["False", "False", "True"]]


def test_scores_by_hand(tmp_path, caplog):
    caplog.set_level("INFO")
    found = report_of(tmp_path)
    assert f"mean Dice 0.630; the scores are in {tmp_path.name}/metrics.json, in the output folder" in caplog.messages
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert json_values(found["report"]) == scores
    assert (scores["volumes"], scores["exams"]) == (3, 2)
    right, left = (scores["structures"][name] for name in ("RV", "LV"))
    sd = math.sqrt((0 + 4 / 9 + 0) / 3 - (2 / 9) ** 2)
    assert right["dice"] == pytest.approx({"mean": 2 / 9, "sd": sd, "median": 0})
    # the distances are 6, 8 and 1.5 mm
    sd = math.sqrt((36 + 64 + 2.25) / 3 - (15.5 / 3) ** 2)
    assert right["assd_mm"] == pytest.approx({"mean": 15.5 / 3, "sd": sd, "median": 6}, abs=1e-5)
    # the volume in which it was missed has a Dice of 0 and no distance
    assert left["dice"]["mean"] == pytest.approx(2 / 3) and left["assd_mm"]["mean"] == 0
    assert (right["missed"], left["missed"], scores["mean"]["missed"]) == (0, 1, 1)
    assert scores["mean"]["dice"]["mean"] == pytest.approx((2 / 3 + 2 + 3) / 9)
    # the volumes' own means are 2/3, 8/9 and 1/3
    assert scores["mean"]["dice"]["sd"] == pytest.approx(np.std([2 / 3, 8 / 9, 1 / 3]))
    assert scores["mean"]["dice"]["median"] == pytest.approx(2 / 3)
    assert scores["mean"]["assd_mm"]["mean"] == pytest.approx(15.5 / 8, abs=1e-5)
    # a volume's mean is over the structures that were found in it
    assert scores["mean"]["assd_mm"]["sd"] == pytest.approx(np.std([2, 8 / 3, 0.75]), abs=1e-5)
    assert scores["mean"]["assd_mm"]["median"] == pytest.approx(2, abs=1e-5)
    assert scores["never_predicted"] == ["myocardium"]
    # the RV's distances are 0 and 1.5 mm; the mean is over all seven distances that exist
    assert right["contour_mm"] == pytest.approx({"mean": 0.75, "sd": 0.75, "median": 0.75}, abs=1e-5)
    assert (right["contours"], left["contours"], scores["mean"]["contours"]) == (2, 2, 7)
    assert scores["mean"]["contour_mm"]["mean"] == pytest.approx(1.5 / 7, abs=1e-5)


def test_errors_of_volumes_and_ejection_fractions_by_hand(tmp_path):
    """A slab spans both other axes. In the first exam, the LV is larger in phase es, so this phase is end-diastole."""
    report_of(tmp_path)
    scores = json.loads((tmp_path / "metrics.json").read_text())["structures"]
    across, along = 8 * 9 * 0.018, 9 * 10 * 0.018  # ml of a slab across the slices' axis, and across the first axis
    found = [
        float(row["LV_ml"]) - float(row["LV_reference_ml"]) for row in csv.DictReader((tmp_path / "volumes.csv").open())
    ]
    assert found == pytest.approx([0, 0, -along], abs=1e-5)
    expected = {"mean": -along / 3, "sd": float(np.std([0, 0, along])), "median": 0}
    assert scores["LV"]["volume_error_ml"] == pytest.approx(expected, abs=1e-5)
    assert scores["RV"]["volume_error_ml"]["mean"] == pytest.approx(across / 3, abs=1e-5)
    # the RV has one slab in both phases, and two are predicted at end-diastole: 0 %, and 50 % predicted
    assert scores["RV"]["ejection_fraction_error_pct"] == {
        "mean": pytest.approx(50),
        "sd": None,
        "median": pytest.approx(50),
    }
    assert scores["RV"]["ejection_fraction_distance_pct"] == scores["RV"]["ejection_fraction_error_pct"]
    assert scores["RV"]["diastole_volume_error_ml"]["mean"] == pytest.approx(across, abs=1e-5)
    assert (scores["RV"]["diastole_dice"]["mean"], scores["RV"]["systole_dice"]["mean"]) == pytest.approx((2 / 3, 0))
    assert "ejection_fraction_error_pct" not in scores["myocardium"]


def test_regions_are_scored_in_place_of_structures(tmp_path):
    """A ventricle labelled as the other one lowers both scores, but not the score of their union."""
    truth, found = volume(RV=[(2, 2)], LV=[(2, 6)]), volume(RV=[(2, 6)], LV=[(2, 2)])
    image = MetaTensor(torch.zeros(1, *SHAPE), meta={"filename_or_obj": "a"})
    batch = {"image": image, "label": MetaTensor(truth, affine=oblique()), "native_image": torch.zeros(1, *SHAPE)}
    regions = {"both": ["RV", "LV"], "right": ["RV"]}
    pass_over(
        SegmentationReport(tmp_path, STRUCTURES, regions=regions), [[batch | {"exam": "aaaa"}]], [[{"pred": found}]]
    )
    scores = json.loads((tmp_path / "metrics.json").read_text())
    assert {name: entry["dice"]["mean"] for name, entry in scores["structures"].items()} == {"both": 1, "right": 0}
    assert scores["never_predicted"] == [] and scores["mean"]["dice"]["mean"] == 0.5
    # a voxel with any structure of a region counts as a prediction of the region
    report = SegmentationReport(tmp_path, STRUCTURES, regions=regions)
    pass_over(report, [[batch | {"exam": "aaaa"}]], [[{"pred": volume(LV=[(2, 2)])}]])
    assert json.loads((tmp_path / "metrics.json").read_text())["never_predicted"] == ["right"]
