from __future__ import annotations

import csv
import json

import torch
from monai.data import MetaTensor
from planewise.evaluation import AsNumbersd, FindingsWriter
from planewise.findings import finding, to_text
from planewise.reports.research_only import RESEARCH_ONLY

from .brightness import bright_or_dark, stack_of
from .passes import keep_figures, pass_over

TASKS = ("acl", "meniscus")


def output(name: str, brightness: list[float], probabilities: list[float]) -> dict:
    image = MetaTensor(stack_of(brightness), meta={"filename_or_obj": f"{name}.nii.gz"})
    return {"image": image, "pred": torch.tensor(probabilities)}


def test_every_stack_has_its_own_numbers(tmp_path, monkeypatch):
    figures = keep_figures(monkeypatch)
    unsure, none = finding("stack-unsure", confidence=0.3), finding("not-recognised", kind="no-sagittal")
    items = [
        {},
        {"kept_slices": torch.tensor([3, 5, 8]), "findings": to_text([unsure])},
        {"why_not": to_text([none])},
    ]
    outputs = [
        output("aa", [0.2, -0.5, 0.9], [0.75, 0.25]),
        output("bb", [0.8, 0.1, -0.7], [0.125, 1.0]),
        output("cc", [0.8, 0.1, -0.7], [0.5, 0.5]),
    ]
    pass_over(FindingsWriter(tmp_path, bright_or_dark(), TASKS), [items[:2], items[2:]], [outputs[:2], outputs[2:]])
    found = {name: json.loads((tmp_path / name / "findings.json").read_text()) for name in ("aa", "bb", "cc")}
    assert found["aa"]["probabilities"] == {"acl": 0.75, "meniscus": 0.25} and found["aa"]["remark"] is None
    assert found["bb"]["probabilities"] == {"acl": 0.125, "meniscus": 1.0}
    assert found["bb"]["remark"] == str(unsure)
    # the brightest slice decides the first finding, the darkest the second; slices count from 1, in the whole series if
    # their numbers are known
    decisive = {name: found[name]["decisive_slices"] for name in ("aa", "bb")}
    assert decisive["aa"] == {"acl": [{"slice": 3, "share": 1.0}], "meniscus": [{"slice": 2, "share": 1.0}]}
    assert decisive["bb"] == {"acl": [{"slice": 4, "share": 1.0}], "meniscus": [{"slice": 9, "share": 1.0}]}
    assert found["cc"]["probabilities"] is None and found["cc"]["remark"] == str(none)
    assert "decisive_slices" not in found["cc"]
    assert all(entry["note"] == RESEARCH_ONLY for entry in found.values())
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    assert [list(row.values()) for row in rows] == [
        ["aa", "0.75", "0.25", "", RESEARCH_ONLY],
        ["bb", "0.125", "1", str(unsure), RESEARCH_ONLY],
        ["cc", "", "", str(none), RESEARCH_ONLY],
    ]
    # the last exam
    captions = [text.get_text() for axes in figures["saliency.png"].axes for text in axes.texts]
    assert captions == ["acl 0.12", "meniscus 1.00"]


def test_the_image_forgets_its_files_size_and_nothing_else():
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    meta = {"spatial_shape": [5, 6, 7], "filename_or_obj": "knee.nii"}
    image = MetaTensor(torch.arange(8.0).reshape(1, 2, 2, 2), affine=affine, meta=meta)
    item = AsNumbersd()({"image": image, "pred": torch.tensor([0.25, 0.5], dtype=torch.bfloat16), "exam": "a"})
    assert torch.equal(item["image"].as_tensor(), image.as_tensor()) and torch.equal(item["image"].affine, affine)
    assert "spatial_shape" not in item["image"].meta and item["image"].meta["filename_or_obj"] == "knee.nii"
    assert list(image.meta["spatial_shape"]) == [5, 6, 7] and item["exam"] == "a"
    # MONAI Label's class writer needs this
    assert isinstance(item["pred"], MetaTensor) and item["pred"].array.tolist() == [0.25, 0.5]
