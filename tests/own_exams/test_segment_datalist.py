"""Test making a datalist with predicted masks from an existing datalist; a function that writes masks replaces the bundle."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.data import load_datalist, with_hearts
from planewise.data.readable_items import NoneReadable
from planewise.errors import InputError
from planewise.exams import write_datalist
from planewise.files.masks import mark_predicted
from planewise.findings import finding
from planewise.own_exams import segment_datalist
from planewise.preprocessing.exam_name import exam_of, volume_name

UNREADABLE = finding("exam-unusable", error="no")
A_NOTE = {"code": "localizer"}
SHAPE, SPACING = (30, 24, 5), (2.0, 2.0, 10.0)
#: Slice positions of the cine's stack; the last gap is twice the others.
POSITIONS = (0.0, 10.0, 20.0, 30.0, 50.0)


def heart(value: int = 2) -> np.ndarray:
    """16 x 15 x 4 voxels of 0.04 ml: 38 ml."""
    mask = np.zeros(SHAPE, dtype="u1")
    mask[6:22, 5:20, 1:] = value
    return mask


def save(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([*SPACING, 1.0]) if affine is None else affine), path)
    return str(path)


def save_mask(path: Path, array: np.ndarray) -> None:
    """Save a mask as the bundle does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(array, np.diag([*SPACING, 1.0]))
    mark_predicted(image)
    nibabel.save(image, path)


def slice_affine(position: float) -> list[list[float]]:
    affine = np.diag([*SPACING, 1.0])
    affine[2, 3] = position
    return affine.tolist()


@pytest.fixture
def exams(tmp_path):
    """A datalist with a cine ``aaaa`` of two phases, slice by slice, and whole volumes ``bbbb`` and ``cccc`` with masks."""
    image = np.arange(np.prod(SHAPE), dtype="i2").reshape(SHAPE) % 100 + 1
    cine = [
        {
            "image": save(tmp_path / f"data/cine/{rank}_{phase}.nii.gz", image[..., rank : rank + 1], np.array(affine)),
            "affine": affine, "exam": "aaaa", "patient": "a", "stack": "sax", "slice": rank, "phase": phase / 2,
        }
        for rank, affine in enumerate(map(slice_affine, POSITIONS))
        for phase in range(2)
    ]  # fmt: skip
    drawn = save(tmp_path / "data/drawn.nii.gz", heart(1))
    whole = {
        exam: [
            {
                "image": save(tmp_path / f"data/{exam}_{phase}.nii.gz", image), "label": drawn, "label_map": {"1": 3},
                "exam": exam, "patient": exam, "phase": phase, "group": "DCM", "label_quality": 3,
            }
            for phase in ("ED", "ES")
        ]
        for exam in ("bbbb", "cccc")
    }  # fmt: skip
    datalist = {
        "planewise": {"version": 1, "stack": "sax"},
        "training": [*cine, *whole["bbbb"]],
        "validation": whole["cccc"],
        "test": cine,  # as in DSBCC, whose exams are in two sections
        "exams": {
            "aaaa": {
                "patient": "a",
                "stacks": {"2ch": {"view": "2ch", "items": [{"image": cine[0]["image"]}]}},
                "left_out": [A_NOTE],
            },
            **{exam: {"stacks": {}, "left_out": [A_NOTE], "volumes": 2, "labels": 2} for exam in whole},
        },
    }
    return write_datalist(datalist, tmp_path / "exams.json")


class Bundle:
    """Replaces the bundle: writes the masks and refuses the exams and images that a test names."""

    def __init__(self):
        self.masks, self.unread, self.runs, self.settings = {}, (), [], {}

    def __call__(self, bundle, settings):
        assert bundle.name == "downstream_cardiac_sax_segmentation" and (bundle / "configs/inference.yaml").is_file()
        self.settings = settings
        return self.run

    def run(self, items, watch):
        self.runs.append([])
        refused = {}
        for item in items:
            exam, name = exam_of(item), volume_name(item)
            if exam in self.unread or name in self.unread:
                refused[exam] = UNREADABLE
                continue
            save_mask(self.settings["output_dir"] / name / f"{name}_mask.nii.gz", self.masks.get(name, heart()))
            self.runs[-1].append(name)
            if watch:
                watch(item)
        if not self.runs[-1]:
            raise NoneReadable("none can be read", refused)
        return refused


@pytest.fixture
def bundle(any_weights, monkeypatch):
    stand_in = Bundle()
    monkeypatch.setattr(sys.modules["planewise.own_exams.label_maps"], "Inference", stand_in)
    return stand_in


@pytest.fixture
def segmented(exams, bundle, tmp_path):
    """Call `segment_datalist` with weights that are never read."""
    (tmp_path / "weights.pt").write_bytes(b"some weights")

    def run(path=exams, **options):
        return segment_datalist(path, tmp_path / "out", **{"weights": tmp_path / "weights.pt"} | options)

    return run


ALL = ["aaaa_phase00", "aaaa_phase50", "bbbb_ED", "bbbb_ES", "cccc_ED", "cccc_ES"]


def test_every_image_of_every_section_has_its_mask(exams, segmented, bundle, tmp_path):
    seen = []
    done = segmented(progress=lambda *counts: seen.append(counts))
    assert sorted(bundle.runs[0]) == ALL and len(bundle.runs) == 1
    assert bundle.settings["weights"] == tmp_path / "weights.pt"
    assert (done.exams, done.images, done.left_out) == (3, 6, {})
    assert seen == [(number, 6) for number in range(1, 7)]
    for section in ("training", "validation", "test"):
        before, after = load_datalist(exams, section), load_datalist(done.datalist, section)
        assert [Path(item["image"]).resolve() for item in after] == [Path(item["image"]).resolve() for item in before]
        for old, new in zip(before, after, strict=True):
            phase = new["phase"] if isinstance(new["phase"], str) else f"phase{round(100 * new['phase']):02d}"
            name = f"{new['exam']}_{phase}"
            assert new["label"] == str(done.masks / name / f"{name}_mask.nii.gz") and Path(new["label"]).is_file()
            assert new.get("label_frame") == new.get("slice"), "a whole volume has a whole mask"
            assert new["label_origin"] == "predicted" and "label_map" not in new
            kept = old.keys() - {"image", "label", "label_map", "label_frame"}
            assert {key: new[key] for key in kept} == {key: old[key] for key in kept}
    content = json.loads(done.datalist.read_text())
    assert content["exams"]["aaaa"]["left_out"] == [A_NOTE] and content["exams"]["bbbb"]["labels"] == 2
    (other,) = content["exams"]["aaaa"]["stacks"]["2ch"]["items"]
    assert (done.datalist.parent / other["image"]).is_file(), "relative to the new datalist"


@pytest.mark.parametrize(
    ("mask", "kind"),
    [
        (heart(0), "empty"),
        (heart(4), "empty"),  # label 4 is not a structure of the heart
        (np.pad(np.ones((2, 2, 5), "u1"), ((0, 28), (0, 22), (0, 0))), "volume"),
        (np.ones(SHAPE, "u1") * np.array([0, 0, 1, 0, 0], "u1"), "slices"),
    ],
)
def test_an_exam_with_a_mask_that_is_no_heart_is_left_out_with_the_reason(mask, kind, segmented, bundle, exams):
    bundle.masks["bbbb_ES"] = mask
    done = segmented()
    ((why,),) = done.left_out.values()
    assert list(done.left_out) == ["bbbb"] and (why.code, why["kind"], why.subject) == ("mask-no-heart", kind, "ES")
    assert (done.exams, done.images) == (2, 6)
    items = load_datalist(done.datalist, "training")
    of_it = [item for item in items if item["exam"] == "bbbb"]
    # the exam loses both the good mask of the other phase and the mask that was drawn by hand
    assert len(of_it) == 2 and not any("label" in item or "label_origin" in item for item in of_it)
    assert {item["exam"] for item in with_hearts(items)} == {"aaaa"}
    entry = json.loads(done.datalist.read_text())["exams"]["bbbb"]
    assert entry["left_out"] == [A_NOTE, why.record()] and entry["labels"] == 0
    assert (done.masks / "bbbb_ES/bbbb_ES_mask.nii.gz").is_file(), "the refused mask is kept for inspection"


def test_started_again_it_makes_what_lacks(segmented, bundle):
    first = segmented()
    content = first.datalist.read_bytes()
    assert segmented().images == 6 and len(bundle.runs) == 1 and first.datalist.read_bytes() == content
    # without one mask, the whole exam is segmented again, because its cycle is determined from all phases
    (first.masks / "aaaa_phase50/aaaa_phase50_mask.nii.gz").unlink()
    seen = []
    segmented(progress=lambda *counts: seen.append(counts))
    assert sorted(bundle.runs[1]) == ALL[:2] and seen == [(5, 6), (6, 6)]


def test_masks_of_other_weights_or_of_another_datalist_are_not_taken(segmented, exams, tmp_path):
    done = segmented()
    (tmp_path / "weights.pt").write_bytes(b"other weights")
    with pytest.raises(InputError, match="out/masks contains masks from other weights or of another datalist"):
        segmented()
    shutil.rmtree(done.masks)
    segmented()
    exams.write_text(exams.read_text() + " ")
    with pytest.raises(InputError, match="another datalist"):
        segmented()


def test_an_exam_that_cannot_be_read_costs_itself(segmented, bundle):
    bundle.unread = {"cccc", "bbbb"}
    done = segmented()
    assert done.left_out == {"bbbb": [UNREADABLE], "cccc": [UNREADABLE]}
    assert sorted(name for run in bundle.runs for name in run) == ALL[:2] and done.exams == 1
    items = load_datalist(done.datalist, "validation")
    assert items and not any("label" in item for item in items)
