"""Compare the numbers of a segmented heart, wherever they are written, with the voxels of its masks."""

import base64
import csv
import json
import re
import sys
from functools import partial

import itk
import nibabel
import numpy as np
import pydicom
import pytest
from planewise.data import select_items
from planewise.findings import finding
from planewise.own_exams.heart_results import volume_summary
from planewise.own_exams.segment_exams import segment_exams
from planewise.preprocessing import LoadStackd
from planewise.preprocessing.exam_name import volume_name

from tests.exams.conftest import write_usual_exam

#: Pixels of LV, RV and myocardium on each slice in four phases: the second is end-systole, the third end-diastole.
PIXELS = ((110, 150, 200), (60, 100, 230), (140, 170, 210), (90, 130, 220))
VALUES = {"LV": 3, "RV": 1, "myocardium": 2}
#: Columns and rows of its images.
SIZE = (44, 40)


@pytest.fixture(scope="module")
def segmented(tmp_path_factory):
    """A manually segmented exam of four phases: its results, their folder, and the volumes (ml) by structure and phase.

    The image is brighter on the right at end-diastole only.
    """
    folder = tmp_path_factory.mktemp("segmented")
    write_exam(folder / "exam")
    made = segment_by_hand(folder)
    ml: dict[str, list[float]] = {name: [] for name in VALUES}
    for phase in made.phases:
        mask = nibabel.load(folder / "out/masks" / phase / f"{phase}_mask.nii.gz")
        for name, value in VALUES.items():
            voxel = abs(np.linalg.det(mask.affine[:3, :3])) / 1000
            ml[name].append(float((np.asarray(mask.dataobj) == value).sum() * voxel))
    return made, folder / "out" / made.name, ml


def write_exam(folder):
    """Write the exam of `segmented`."""
    ramp = np.arange(SIZE[0], dtype="<u2")
    tags = {"phases": 4, "size": SIZE, "spacing": 4.0}
    for file in write_usual_exam(folder, **tags).rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        pixels = np.tile(ramp if dataset.TriggerTime == 80 else ramp[::-1], (SIZE[1], 1))
        pixels[0, 0] = dataset.SeriesNumber  # no two slices are equal
        dataset.PixelData = pixels.tobytes()
        dataset.save_as(file)


def segment_by_hand(folder, slices=5):
    """The results of `segment_exams` for ``folder/exam``, in ``folder/out``; `PIXELS` replace the network."""

    def segment(_, settings):
        return partial(write, settings["output_dir"])

    def write(masks, items, watch):
        for item, pixels in zip(items, PIXELS, strict=True):
            flat = np.zeros(SIZE[0] * SIZE[1], dtype=np.uint8)
            for value, start, count in zip(VALUES.values(), np.cumsum((0, *pixels)), pixels, strict=False):
                flat[400 + start : 400 + start + count] = value
            mask, name = np.repeat(flat.reshape(*SIZE, 1), slices, axis=2), volume_name(item)
            (masks / name).mkdir(parents=True, exist_ok=True)
            loaded = LoadStackd("image")(item)
            image = nibabel.Nifti1Image(mask, loaded["image"].affine.numpy())
            nibabel.save(image, masks / name / f"{name}_mask.nii.gz")
            watch(loaded | {"native_image": loaded["image"][None]})
        return {}

    with pytest.MonkeyPatch.context() as patch:
        # get the module, because the package has a function of the same name
        patch.setattr(sys.modules["planewise.own_exams.segment_exams"], "Inference", segment)
        # the stack is oblique; only its own voxels of 4 x 4 x 10 mm give a volume within these limits
        volume = sum(PIXELS[2]) * 5 * 0.16
        patch.setattr(select_items, "HEART_VOLUMES", (0.99 * volume, 1.01 * volume))
        (made,) = segment_exams(folder / "exam", folder / "out")
    return made


def function(ml, name):
    """Volume at end-diastole and at end-systole, stroke volume and ejection fraction, ml and %."""
    largest, smallest = ml[name][2], ml[name][1]
    return largest, smallest, largest - smallest, 100 * (largest - smallest) / largest


def table_of(ml):
    """The rows of the table, as text: structure to the cells by column."""
    columns = ("end-diastole", "end-systole", "stroke volume", "ejection fraction")
    first = {}
    for name in ("LV", "RV"):
        values = dict(zip(columns, function(ml, name), strict=True))
        first[name] = {key: f"{value:.0f} {'%' if key == columns[3] else 'ml'}" for key, value in values.items()}
    mass = 1.05 * ml["myocardium"][2]
    first["myocardium"] = {columns[0]: f"{ml['myocardium'][2]:.0f} ml", "mass": f"{mass:.0f} g"}
    return first


def test_the_page(segmented):
    made, folder, ml = segmented
    assert made.files[0] == made.page == folder / "index.html"
    text = made.page.read_text()
    found = []
    for table in re.findall("<table>(.*?)</table>", text, re.S):
        header, *rows = (re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", table))
        pairs = [dict(zip(header, (cell.removesuffix(" (!)") for cell in row), strict=True)) for row in rows]
        found.append({row.pop("structure"): {key: cell for key, cell in row.items() if cell != "-"} for row in pairs})
    assert found == [table_of(ml)]
    content = json.loads(re.search(r"<script>const exam = (.*?);</script>", text, re.S)[1])
    assert {curve["name"]: curve["ml"] for curve in content["curves"]} == {
        name: pytest.approx(ml[name], abs=0.051) for name in ("LV", "RV")
    }
    assert content["moments"] == ["phase00", "phase25", "phase50", "phase75"]
    assert "End-diastole is phase50 and end-systole is phase25: " in text
    # image and outlines at end-diastole; an outline cuts the corners of its pixels, which have 16 mm2
    for entry in content["slices"]:
        pixels = np.frombuffer(base64.b64decode(entry["pixels"]), np.uint8).reshape(entry["shape"][::-1])
        assert (pixels[:, 0] < pixels[:, -1]).all()
        (mark,) = (mark for mark in entry["marks"] if mark["name"] == "LV")
        x, y = (np.array([value for value in mark[axis] if value is not None]) for axis in "xy")
        area = abs(np.sum(x * np.roll(y, 1) - y * np.roll(x, 1))) / 2
        assert area == pytest.approx(16 * PIXELS[2][0], abs=16 * 4)


def test_masks_that_a_person_corrected_are_measured_and_every_number_from_them_is_marked(tmp_path):
    write_exam(tmp_path / "exam")
    first = segment_by_hand(tmp_path)
    assert not first.volumes.corrected
    masks, diastole = tmp_path / "out/masks", first.phases[2]
    # at end-diastole, a person erases half of the LV, which is now larger in another phase
    edited = itk.imread(str(masks / diastole / f"{diastole}.seg.nrrd"))
    voxels = itk.array_view_from_image(edited)
    voxels[(voxels == 3) & (np.cumsum(voxels == 3).reshape(voxels.shape) % 2 == 0)] = 0
    itk.imwrite(edited, str(masks / diastole / f"{diastole}.seg.nrrd"))
    made = segment_by_hand(tmp_path)
    half, found = first.volumes.volumes["LV"][2] / 2, made.volumes
    assert (found.volumes["LV"][2], found.end_diastole, found.end_systole) == (pytest.approx(half), 2, 1)
    assert half < found.volumes["LV"][0] and found.volumes["RV"] == first.volumes.volumes["RV"]
    assert (made.labels[2] == 3).sum() * 2 == (first.labels[1] == 3).sum() * PIXELS[2][0] / PIXELS[1][0]
    saved = f"{diastole}_corrected.seg.nrrd"
    assert [found for found in made.volumes.notes if found.code == "corrected-mask"] == [
        finding("corrected-mask", kind="used", files=[saved]),
        finding("corrected-mask", kind="mixed", own="end-diastole", other="end-systole"),
    ]
    page, folder = made.page.read_text(), made.page.parent
    assert all(saved in text for text in (page, "".join(made.lines))) and '"corrected": [2]' in page
    # only the volumes at end-systole, from the network, have no mark
    (line,) = (line for line in made.lines if line.startswith("  LV"))
    cells = [cell.replace(" (!)", "").rpartition(" ml")[2].rpartition(" %")[2] for cell in line.split(", ")]
    assert cells == [" (*)", "", " (*)", " (*)"]
    assert f"<td>{half:.0f} ml (*)" in page.replace(' class="flagged"', "")
    content = json.loads((folder / "volumes.json").read_text())
    (entry,) = content["corrected"]
    assert (entry["phase"], entry["mask"]) == (diastole, saved)
    of_moment = [f"{name} volume at end-diastole" for name in VALUES] + ["myocardium mass at end-diastole"]
    of_both = [f"{name} {quantity}" for name in ("LV", "RV") for quantity in ("stroke volume", "ejection fraction")]
    assert sorted(entry["numbers"]) == sorted(of_moment + of_both)
    copy = f"{diastole}_mask_corrected.nii.gz"
    assert np.array_equal(nibabel.load(masks / diastole / copy).dataobj, made.labels[2]), "a label for an index"
    with open(folder / "volumes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    of_both = [f"{name}_{what}" for what in ("stroke_volume_ml", "ejection_fraction_percent") for name in ("LV", "RV")]
    volumes = ["RV_ml", "myocardium_ml", "LV_ml", "myocardium_g"]
    assert [row["corrected"] for row in rows] == ["", "; ".join(of_both), "; ".join(volumes), ""]
    assert [row["name"] for row in rows] == content["phases"] == [*first.phases], "how to join them"
    assert [row["mask"] for row in rows] == [*first.phases[:2], saved, first.phases[3]]
    unmarked = {f"{name}_end_systole_ml" for name in ("LV", "RV")} | {"phases"}
    assert {*volume_summary(made.volumes).corrected} == volume_summary(made.volumes).values.keys() - unmarked
    # the DICOM files say so, too
    types = [
        pydicom.dcmread(folder / f"{name}.seg.dcm").SegmentSequence[0].SegmentAlgorithmType
        for name in ("phase25", "phase50")
    ]
    assert types == ["AUTOMATIC", "SEMIAUTOMATIC"]
    report = (folder / "volumes.sr.dcm").read_bytes()
    # 3 volumes at end-diastole, and the function of 2 ventricles
    assert report.count(b"from a mask that a person corrected") == 5
