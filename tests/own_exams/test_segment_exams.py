"""Compare the numbers of a segmented heart, wherever they are written, with the voxels of its masks."""

import base64
import csv
import json
import math
import re
import shutil
import sys
from dataclasses import replace

import itk
import nibabel
import numpy as np
import pydicom
import pytest
from planewise.data import hearts
from planewise.exams import find_inputs
from planewise.findings import FLAG, finding
from planewise.own_exams.heart_bundles import findings_of, load_stack
from planewise.own_exams.segment_exams import _summary, _times, segment_exams
from planewise.preprocessing.exam_name import volume_name

from tests.exams.conftest import write_usual_exam

#: Pixels of LV, RV and myocardium on each slice in four phases: the second is end-systole, the third end-diastole.
PIXELS = ((110, 150, 200), (60, 100, 230), (140, 170, 210), (90, 130, 220))
VALUES = {"LV": 3, "RV": 1, "myocardium": 2}
HEIGHT, WEIGHT = 1.8, 80.0
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
    tags = {"phases": 4, "size": SIZE, "spacing": 4.0, "PatientSize": HEIGHT, "PatientWeight": WEIGHT}
    for file in write_usual_exam(folder, **tags).rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        pixels = np.tile(ramp if dataset.TriggerTime == 80 else ramp[::-1], (SIZE[1], 1))
        pixels[0, 0] = dataset.SeriesNumber  # no two slices are equal
        dataset.PixelData = pixels.tobytes()
        dataset.save_as(file)


def segment_by_hand(folder, slices=5):
    """The results of `segment_exams` for ``folder/exam``, in ``folder/out``; `PIXELS` replace the network."""

    def segment(_, settings):
        for item, pixels in zip(find_inputs(folder / "exam", settings["phases"]), PIXELS, strict=True):
            flat = np.zeros(SIZE[0] * SIZE[1], dtype=np.uint8)
            for value, start, count in zip(VALUES.values(), np.cumsum((0, *pixels)), pixels, strict=False):
                flat[400 + start : 400 + start + count] = value
            mask, name = np.repeat(flat.reshape(*SIZE, 1), slices, axis=2), volume_name(item)
            (settings["output_dir"] / name).mkdir(parents=True, exist_ok=True)
            image = nibabel.Nifti1Image(mask, load_stack(item).image.affine.numpy())
            nibabel.save(image, settings["output_dir"] / name / f"{name}_mask.nii.gz")
        return {}

    with pytest.MonkeyPatch.context() as patch:
        # get the module, because the package has a function of the same name
        patch.setattr(sys.modules["planewise.own_exams.segment_exams"], "run_inference", segment)
        # the stack is oblique; only its own voxels of 4 x 4 x 10 mm give a volume within these limits
        volume = sum(PIXELS[2]) * 5 * 0.16
        patch.setattr(hearts, "HEART_VOLUMES", (0.99 * volume, 1.01 * volume))
        (made,) = segment_exams(folder / "exam", folder / "out")
    return made


def function(ml, name):
    """Volume at end-diastole and at end-systole, stroke volume and ejection fraction, ml and %."""
    largest, smallest = ml[name][2], ml[name][1]
    return largest, smallest, largest - smallest, 100 * (largest - smallest) / largest


def tables(ml):
    """The rows of the two tables, as text: structure to the cells by column."""
    surface = math.sqrt(100 * HEIGHT * WEIGHT / 3600)
    columns = ("end-diastole", "end-systole", "stroke volume", "ejection fraction")
    first, second = {}, {}
    for name in ("LV", "RV"):
        values = dict(zip(columns, function(ml, name), strict=True))
        first[name] = {key: f"{value:.0f} {'%' if key == columns[3] else 'ml'}" for key, value in values.items()}
        second[name] = {key: f"{values[key] / surface:.0f} ml/m2" for key in columns[:3]}
    mass = 1.05 * ml["myocardium"][2]
    first["myocardium"] = {columns[0]: f"{ml['myocardium'][2]:.0f} ml", "mass": f"{mass:.0f} g"}
    second["myocardium"] = {"mass": f"{mass / surface:.0f} g/m2"}
    return first, second


def test_the_masks_differ_in_every_number(segmented):
    _, _, ml = segmented
    assert len({round(value, 3) for values in ml.values() for value in values}) == 12
    assert len({cell for table in tables(ml) for row in table.values() for cell in row.values()}) == 17


def test_the_terminal(segmented):
    made, _, ml = segmented
    first, second = ([f"{name}: {_listed(row)}" for name, row in table.items()] for table in tables(ml))
    title = "per m2 of body surface (2.00 m2, Mosteller, from the height and weight typed at the scanner):"
    assert [line.replace(" (!)", "") for line in made.lines[:8]] == [
        f"Exam {made.name}, 4 phases",
        *(f"  {line}" for line in first),
        f"  {title}",
        *(f"    {line}" for line in second),
    ]


def codes(findings):
    return [found.code for found in findings]


def _listed(row):
    return ", ".join(f"{column} {cell}" for column, cell in row.items())


def test_the_page(segmented):
    made, folder, ml = segmented
    assert made.files[0] == made.page == folder / "index.html"
    text = made.page.read_text()
    found = []
    for table in re.findall("<table>(.*?)</table>", text):
        header, *rows = (re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall("<tr>(.*?)</tr>", table))
        pairs = [dict(zip(header, (cell.removesuffix(" (!)") for cell in row), strict=True)) for row in rows]
        found.append({row.pop("structure"): {key: cell for key, cell in row.items() if cell != "-"} for row in pairs})
    assert tuple(found) == tables(ml)
    content = json.loads(re.search(r"<script>const exam = (.*?);</script>", text, re.S)[1])
    assert {curve["name"]: curve["ml"] for curve in content["curves"]} == {
        name: pytest.approx(ml[name], abs=0.051) for name in ("LV", "RV")
    }
    assert content["moments"] == ["phase00", "phase25", "phase50", "phase75"]
    assert "End-diastole is phase50 and end-systole is phase25: " in text
    moments = ["phase00, 1 of 4", "phase25, end-systole, 2 of 4", "phase50, end-diastole, 3 of 4", "phase75, 4 of 4"]
    assert [frame["name"] for frame in content["cine"]["frames"]] == moments
    # image and outlines at end-diastole; an outline cuts the corners of its pixels, which have 16 mm2
    for entry in content["slices"]:
        pixels = np.frombuffer(base64.b64decode(entry["pixels"]), np.uint8).reshape(entry["shape"][::-1])
        assert (pixels[:, 0] < pixels[:, -1]).all()
        (mark,) = (mark for mark in entry["marks"] if mark["name"] == "LV")
        x, y = (np.array([value for value in mark[axis] if value is not None]) for axis in "xy")
        area = abs(np.sum(x * np.roll(y, 1) - y * np.roll(x, 1))) / 2
        assert area == pytest.approx(16 * PIXELS[2][0], abs=16 * 4)


def test_the_table_of_phases(segmented):
    made, folder, ml = segmented
    with open(folder / "volumes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    surface, at_end_systole = math.sqrt(100 * HEIGHT * WEIGHT / 3600), {}
    for name in ("LV", "RV"):
        *_, stroke, fraction = function(ml, name)
        at_end_systole |= {f"{name}_stroke_volume_ml": stroke, f"{name}_ejection_fraction_percent": fraction}
    for phase, row in enumerate(rows):
        wanted = {f"{name}_ml": values[phase] for name, values in ml.items()}
        wanted["myocardium_g"] = 1.05 * ml["myocardium"][phase]
        wanted |= at_end_systole if phase == 1 else {}
        indexed = {key: value for key, value in wanted.items() if key[-1] != "t" and key != "myocardium_ml"}
        wanted |= {f"{key}_per_m2": value / surface for key, value in indexed.items()} | {"body_surface_m2": surface}
        texts = {
            key: row.pop(key) for key in ("phase", "moment", "flags", "mask", "name", "note", "flagged", "corrected")
        }
        assert {key: float(value) for key, value in row.items() if value} == pytest.approx(wanted, rel=1e-5)
        assert texts["moment"] == {1: "end-systole", 2: "end-diastole"}.get(phase, "")
        assert (texts["phase"], texts["mask"]) == (f"phase{25 * phase:02d}", made.phases[phase])
        assert texts["note"].startswith("Masks by ") and "measured" not in texts["note"]
        concerned = {flag for number in made.results.at(phase) for flag in number.flags}
        assert all(str(flag) in texts["flags"] for flag in concerned) and bool(texts["flags"]) == bool(concerned)


def test_masks_that_a_person_corrected_are_measured_and_every_number_from_them_is_marked(tmp_path):
    write_exam(tmp_path / "exam")
    first = segment_by_hand(tmp_path)
    assert not first.results.corrected
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
    assert _summary(made).of("corrected-mask") == [
        finding("corrected-mask", kind="used", files=[saved]),
        finding("corrected-mask", kind="mixed", own="end-diastole", other="end-systole"),
    ]
    page, folder = made.page.read_text(), made.page.parent
    assert all(saved in text for text in (page, "".join(made.lines))) and '"corrected": [2]' in page
    # the network drew no picture in this test
    assert [name for name in first.phases if (masks / name / "segmentation.png").exists()] == [diastole]
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
    # the network's volumes of the corrected phase are kept
    networks = {name: ["", "", pytest.approx(ml[2]), ""] for name, ml in first.volumes.volumes.items()}
    for name, ml in networks.items():
        assert [row[f"{name}_network_ml"] and float(row[f"{name}_network_ml"]) for row in rows] == ml
        assert [value or "" for value in content["network_volumes_ml"][name]] == ml
    unmarked = {f"{name}_end_systole_ml" for name in ("LV", "RV")} | {"phases"}
    assert {*_summary(made).corrected} == _summary(made).values.keys() - unmarked
    # the DICOM files say so, too
    types = [
        pydicom.dcmread(folder / f"{name}.seg.dcm").SegmentSequence[0].SegmentAlgorithmType
        for name in ("phase25", "phase50")
    ]
    assert types == ["AUTOMATIC", "SEMIAUTOMATIC"]
    report = (folder / "volumes.sr.dcm").read_bytes()
    # 3 volumes at end-diastole, and the function of 2 ventricles
    assert report.count(b"from a mask that a person corrected") == 5


def test_the_content_for_programs(segmented):
    made, folder, ml = segmented
    found = json.loads((folder / "volumes.json").read_text())
    assert found["volumes_ml"] == {name: pytest.approx(values) for name, values in ml.items()}
    assert (found["phases"], found["end_diastole"], found["end_systole"]) == (made.phases, *made.phases[2:0:-1])
    for name in ("LV", "RV"):
        *_, stroke, fraction = function(ml, name)
        assert found["stroke_volume_ml"][name] == pytest.approx(stroke)
        assert found["ejection_fraction_percent"][name] == pytest.approx(fraction)
    assert found["myocardial_mass_g"] == pytest.approx(1.05 * ml["myocardium"][2])
    assert found["body_surface_m2"] == pytest.approx(math.sqrt(100 * HEIGHT * WEIGHT / 3600))


def test_the_list_of_exams(segmented):
    made, _, ml = segmented
    wanted = {"phases": 4, "myocardial_mass_g": 1.05 * ml["myocardium"][2]}
    for name in ("LV", "RV"):
        wanted[f"{name}_end_diastole_ml"], wanted[f"{name}_end_systole_ml"], *of_both = function(ml, name)
        wanted[f"{name}_stroke_volume_ml"], wanted[f"{name}_ejection_fraction_percent"] = of_both
    summary, (first, _) = _summary(made), tables(ml)
    assert summary.values == pytest.approx(wanted) and summary.severity == len(made.flags)
    assert not summary.not_a_heart
    # an exam with an empty mask is the worst of an archive, although few of its values can be flagged
    empty = replace(made.results, findings=[finding("mask-no-heart", kind="empty")])
    assert _summary(replace(made, results=empty)).not_a_heart
    fractions = [f"ejection fraction {name} {first[name]['ejection fraction']}" for name in ("LV", "RV")]
    words = [f"LV {first['LV']['end-diastole']} at end-diastole", *fractions]
    assert summary.words.replace(" (!)", "") == ", ".join(words)
    assert summary.words.count("(!)") == sum(
        key == "LV_end_diastole_ml" or "fraction" in key for key in summary.flagged
    )


@pytest.mark.parametrize(
    ("keyword", "value", "code", "level"),
    [
        ("PatientWeight", 8, "body-size-implausible", "flag"),
        ("PatientSize", 0, "no-body-surface", "note"),
    ],
)
def test_a_size_that_nobody_has_is_left_out_and_said(keyword, value, code, level, tmp_path):
    write_exam(tmp_path / "exam")
    for file in (tmp_path / "exam").rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        setattr(dataset, keyword, value)
        dataset.save_as(file)
    made = segment_by_hand(tmp_path)
    (found,) = _summary(made).of(code)
    assert found.level == level and made.results.surface is None
    assert str(found).lower() in made.page.read_text().lower()


def test_every_number_is_marked_if_slices_have_unequal_numbers_of_phases(tmp_path):
    write_exam(tmp_path / "exam")
    (tmp_path / "exam/sax_1/IM-0001-0001.dcm").unlink()
    made = segment_by_hand(tmp_path)
    assert codes(made.flags).count("phases-unequal") == 1
    assert all(number.marked for number in made.results.numbers)
    assert all(line.count("(!)") == line.count(" ml") + line.count(" %") for line in made.lines[1:3])
    (flag,) = [flag for flag in made.flags if flag.code == "phases-unequal"]
    with open(made.page.parent / "volumes.csv", newline="") as file:
        assert [str(flag) in row["flags"] for row in csv.DictReader(file)] == [True] * 4


def test_a_header_that_may_be_wrong_flags_every_volume(tmp_path):
    write_exam(tmp_path / "exam")
    # a whole exam with ten times its pixel spacing of 4 mm
    for file in (tmp_path / "exam").rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        dataset.PixelSpacing = [40, 40]
        dataset.save_as(file)
    (item, *_) = find_inputs(tmp_path / "exam", "all")
    flag = finding("field-of-view", width=40 * SIZE[0], height=40 * SIZE[1])
    assert flag in findings_of(item)
    made = segment_by_hand(tmp_path)
    assert all(flag in number.flags and number.marked for number in made.results.numbers)


def test_slices_that_are_far_apart_or_repeated_are_said_wherever_volumes_are(tmp_path):
    """Every second slice is missing, so slices are 20 mm apart. The others were acquired twice, which raises no flag."""
    write_exam(tmp_path / "exam")
    again = {"AcquisitionTime": "235900", "phases": 4, "size": SIZE, "spacing": 4.0}
    write_usual_exam(tmp_path / "exam/again", views=(), **again)
    for number in (2, 4):
        shutil.rmtree(tmp_path / f"exam/sax_{number}")
        shutil.rmtree(tmp_path / f"exam/again/sax_{number}")
    made = segment_by_hand(tmp_path, slices=3)
    coarse = finding("slices-far-apart", mm=20.0, usual=12.0)
    assert coarse in made.flags and all(coarse in number.flags for number in made.results.numbers)
    assert coarse.level != FLAG, "a coarse number may be used"
    assert coarse in _summary(made).flags and _summary(made).severity == len(made.flags)
    (repeated,) = [found for found in made.results.notes if found.code == "slices-other-images"]
    assert f"  {repeated}" in made.lines and repeated in _summary(made).remarks
    assert repeated.record() in json.loads((made.page.parent / "volumes.json").read_text())["remarks"]
    with open(made.page.parent / "volumes.csv", newline="") as file:
        assert [str(coarse) in row["flags"] for row in csv.DictReader(file)] == [True] * 4
    assert comments(made).count(f"check: {coarse}") == 8, (
        "three structures at two moments, and the function of both ventricles"
    )


def comments(made):
    report = pydicom.dcmread(made.page.parent / "volumes.sr.dcm")
    return [element.value for element in report.iterall() if element.keyword == "TextValue"]


def test_unevenly_spaced_slices_count_with_their_own_thickness_wherever_volumes_are(tmp_path):
    """Slice 4 is missing, so the last two slices are 20 mm apart, the others 10 mm; at end-diastole, one is a copy."""
    write_exam(tmp_path / "exam")
    shutil.rmtree(tmp_path / "exam/sax_4")
    copy = pydicom.dcmread(tmp_path / "exam/sax_1/IM-0001-0003.dcm")
    image = pydicom.dcmread(tmp_path / "exam/sax_2/IM-0002-0003.dcm")
    image.PixelData = copy.PixelData
    image.save_as(tmp_path / "exam/sax_2/IM-0002-0003.dcm")
    made = segment_by_hand(tmp_path, slices=4)
    # 16 mm2 a pixel; with half the distance to each neighbour, the slices count 10, 10, 15 and (20 + 10) / 2 mm
    for name, pixels in zip(VALUES, (140, 170, 210), strict=True):
        assert made.volumes.volumes[name][2] == pytest.approx(pixels * 16 * 50 / 1000)
    uneven = finding("slices-uneven", low=10.0, high=20.0)
    (same,) = [flag for flag in made.flags if flag.code == "slices-alike"]
    content = json.loads((made.page.parent / "volumes.json").read_text())["flags"]
    assert {uneven, same} <= {*made.flags} and [uneven, same] == [
        flag for flag in _summary(made).flags if flag in (uneven, same)
    ]
    assert {uneven.code, same.code} <= {flag["code"] for flag in content}
    # the copy is at end-diastole only, but end-systole may be missed
    assert same.marks == ("volume at end-diastole", "volume at end-systole")
    assert all(line.count("(!)") == line.count(" ml") + line.count(" %") for line in made.lines[1:3])


def test_few_phases_are_a_remark_wherever_end_systole_is(segmented):
    made, folder, _ = segmented
    few = finding("phases-few", count=4)
    with open(folder / "volumes.csv", newline="") as file:
        assert [str(few) in row["flags"] for row in csv.DictReader(file)] == [False, True, False, False]
    assert comments(made).count(f"check: {few}") == 4, "both ventricles at end-systole, and their function"
    assert sum("End-diastole is phase50 and end-systole is phase25: " in comment for comment in comments(made)) == 8


def test_the_place_of_a_phase_in_the_cycle_is_that_of_its_name():
    assert _times([{"phase": "phase00"}, {"phase": "phase38"}]) == [0, 0.38]
    assert _times([{"phase": "phase00"}, {"phase": "ES"}]) is _times([{"image": "a.nii.gz"}]) is None
