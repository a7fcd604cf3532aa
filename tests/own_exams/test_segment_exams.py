"""Compare the numbers of a segmented heart, wherever they are written, with the voxels of its masks."""

import base64
import csv
import html
import json
import math
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import itk
import nibabel
import numpy as np
import pydicom
import pytest
from planewise.data import find_inputs, hearts
from planewise.metrics.heart_volumes import HeartVolumes
from planewise.metrics.implausible_volumes import BODY_SURFACE, Flag, Number, is_marked
from planewise.own_exams.heart_bundles import load_stack
from planewise.own_exams.plan_exams import remarks_on_files
from planewise.own_exams.segment_exams import (
    SegmentedExam,
    _columns,
    _content,
    _indexed,
    _rows,
    _shown_reasons,
    _smaller_rv,
    _summary,
    _times,
    _which_phases,
    segment_exams,
)
from planewise.preprocessing.exam_name import volume_name

from tests.exams.conftest import write_usual_exam

#: End-diastole is the second of three phases, end-systole the first; the muscle differs between them.
FOUND = HeartVolumes(
    {"LV": [40.0, 100.0, 70.0], "RV": [60.0, 120.0, 90.0], "myocardium": [80.0, 100.0, 90.0]}, {}, 10.0, 1, 0
)
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
        return []

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


def reported(made: SegmentedExam, text: str) -> bool:
    """Whether the terminal and the page say it, in any case of letters."""
    page = html.unescape(made.page.read_text()).lower()
    return any(text in line for line in made.lines) and text.lower() in page


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
    assert "End-diastole is phase50 and end-systole is phase25: the phases in which the LV is largest" in text
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
        flagged = {flag.text for flag in made.flags if flag.phase == phase}
        # the row of end-systole has the stroke volumes, too, which have the flags of end-diastole
        flagged |= {
            flag.text for flag in made.flags if flag.phase == 2 and phase == 1 and "myocardium" not in flag.text
        }
        assert {entry.split(": ", 1)[1] for entry in texts["flags"].split("; ") if entry} == flagged


def test_masks_that_a_person_corrected_are_measured_and_every_number_from_them_is_marked(tmp_path):
    write_exam(tmp_path / "exam")
    first = segment_by_hand(tmp_path)
    assert first.by_hand == [] == first.corrected
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
    said = [
        f"(*) from a mask that a person corrected: {diastole}_corrected.seg.nrrd",
        "stroke volumes and ejection fractions mix the corrected mask of end-diastole with the network's of end-systole",
    ]
    assert made.by_hand == said == _summary(made).by_hand and {f"  {line}" for line in said} < set(made.lines)
    page, folder = made.page.read_text(), made.page.parent
    assert all(f">{html.escape(line)}.<" in page for line in said) and '"corrected": [2]' in page
    # the network drew no picture in this test
    assert [name for name in first.phases if (masks / name / "segmentation.png").exists()] == [diastole]
    # only the volumes at end-systole, from the network, have no mark
    (line,) = (line for line in made.lines if line.startswith("  LV"))
    cells = [cell.replace(" (!)", "").rpartition(" ml")[2].rpartition(" %")[2] for cell in line.split(", ")]
    assert cells == [" (*)", "", " (*)", " (*)"]
    assert f"<td>{half:.0f} ml (*)" in page.replace(' class="flagged"', "")
    content = json.loads((folder / "volumes.json").read_text())
    of_both = ["volume", "stroke volume", "ejection fraction"]
    numbers = {"LV": of_both, "RV": of_both, "myocardium": ["volume", "mass"]}
    assert content["corrected"] == [{"phase": diastole, "mask": f"{diastole}_corrected.seg.nrrd", "numbers": numbers}]
    copy = f"{diastole}_mask_corrected.nii.gz"
    assert np.array_equal(nibabel.load(masks / diastole / copy).dataobj, made.labels[2]), "a label for an index"
    with open(folder / "volumes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    of_both = [f"{name}_{what}" for what in ("stroke_volume_ml", "ejection_fraction_percent") for name in ("LV", "RV")]
    volumes = ["RV_ml", "myocardium_ml", "LV_ml", "myocardium_g"]
    assert [row["corrected"] for row in rows] == ["", "; ".join(of_both), "; ".join(volumes), ""]
    assert [row["name"] for row in rows] == content["phases"] == [*first.phases], "how to join them"
    assert [row["mask"] for row in rows] == [*first.phases[:2], f"{diastole}_corrected.seg.nrrd", first.phases[3]]
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
    assert not made.problem, made.problem
    # an exam with an empty mask is the worst of an archive, although few of its values can be flagged
    assert _summary(replace(made, problem="is empty", flags=made.flags[:1])).not_a_heart and not summary.not_a_heart
    fractions = [f"ejection fraction {name} {first[name]['ejection fraction']}" for name in ("LV", "RV")]
    words = [f"LV {first['LV']['end-diastole']} at end-diastole", *fractions]
    assert summary.words.replace(" (!)", "") == ", ".join(words)
    assert summary.words.count("(!)") == sum(
        key == "LV_end_diastole_ml" or "fraction" in key for key in summary.flagged
    )


def marked(*flags: Flag) -> set[tuple[str, str]]:
    """Structure and column of each flagged number."""
    header, rows = _rows(FOUND, flags)
    return {(row[0], name) for row in rows for name, cell in zip(header, row, strict=True) if cell.endswith("(!)")}


@pytest.mark.parametrize(
    ("structure", "quantity", "phase", "columns"),
    [
        ("LV", "volume", 1, ["end-diastole", "stroke volume", "ejection fraction"]),
        ("RV", "volume", 0, ["end-systole", "stroke volume", "ejection fraction"]),
        ("LV", "volume", None, ["end-diastole", "end-systole", "stroke volume", "ejection fraction"]),
        ("LV", "stroke volume", 0, ["stroke volume", "ejection fraction"]),
        ("RV", "ejection fraction", 0, ["ejection fraction"]),
        ("myocardium", "volume", 1, ["end-diastole", "mass"]),
        ("myocardium", "mass", 1, ["mass"]),
    ],
)
def test_a_flag_marks_its_number_and_those_computed_from_it(structure, quantity, phase, columns):
    flag = Flag((structure,), quantity, phase, "odd")
    assert marked(flag) == {(structure, column) for column in columns}
    # values per body surface have the same flags
    header, rows = _indexed(FOUND, [flag], 2.0)
    indexed = {(row[0], name) for row in rows for name, cell in zip(header, row, strict=True) if cell.endswith("(!)")}
    assert indexed == {
        (structure, column)
        for column in columns
        if column != "ejection fraction" and (structure, column) != ("myocardium", "end-diastole")
    }
    # the program's file says the same
    (entry,) = _content(FOUND, ["a", "b", "c"], [flag], None)["flags"]
    assert list(entry["numbers"]) == [structure]
    assert {"volume", *entry["numbers"][structure]} == {
        "volume" if column.startswith("end-") else column for column in ["end-diastole", *columns]
    }


def test_a_single_phase_has_no_end_systole_and_an_unknown_body_no_formula():
    one = HeartVolumes({"LV": [100.0], "RV": [0.0], "myocardium": [90.0]}, {}, 10.0, 0, 0)
    flag = Flag(("RV",), "volume", 0, "odd")
    summary = _summary(SegmentedExam("a", Path(), [], {}, [], ["a"], one, [flag], [], "", None))
    values = summary.values
    assert (values["LV_ml"], values["RV_ml"], summary.words, summary.flagged) == (100, 0, "LV 100 ml", ["RV_ml"])
    assert {key for key, value in values.items() if value is None} == {
        f"{name}_{value}"
        for name in ("LV", "RV")
        for value in ("end_diastole_ml", "end_systole_ml", "stroke_volume_ml", "ejection_fraction_percent")
    }
    content = _content(one, ["a"], [], None)
    assert content["body_surface_formula"] is content["body_surface_m2"] is None
    assert content["end_diastole"] is content["end_systole"] is None


@pytest.mark.parametrize(
    ("keyword", "value", "why"),
    [
        ("PatientWeight", 8, f"the height of {100 * HEIGHT:.4g} cm and the weight of 8 kg cannot both be right"),
        ("PatientSize", 0, "the header says 0 for the height"),
    ],
)
def test_a_size_that_nobody_has_is_left_out_with_a_sentence(keyword, value, why, tmp_path):
    write_exam(tmp_path / "exam")
    for file in (tmp_path / "exam").rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        setattr(dataset, keyword, value)
        dataset.save_as(file)
    made = segment_by_hand(tmp_path)
    assert reported(made, f"no values per m2: {why}") and made.body_surface is None
    said = _summary(made).flags if value > 0 else _summary(made).remarks
    assert said[-1] == f"no values per m2: {why}"


def test_a_flag_of_the_body_surface_concerns_only_values_per_m2():
    flags = [Flag(("LV", "RV", "myocardium"), BODY_SURFACE, None, "implausible")]
    assert "(!)" not in str(_rows(FOUND, flags)) and str(_indexed(FOUND, flags, 2.0)).count("/m2 (!)") == 7
    assert (
        _columns(FOUND, flags, [{"image": "heart.nii.gz", "exam": "aa"}] * 3, 2.0)["flagged"] == ["body_surface_m2"] * 3
    )
    columns = _columns(FOUND, flags, [{"image": "heart.nii.gz", "exam": "aa"}] * 3, None)
    assert columns["flagged"] == [""] * 3 and columns["flags"] == ["implausible"] * 3
    assert _shown_reasons(FOUND, flags) == {"acquisition": ["implausible"]}


def test_a_ventricle_that_is_missing_has_an_empty_ejection_fraction():
    found = HeartVolumes({"LV": [40.0, 100.0], "RV": [0.0, 0.0], "myocardium": [80.0, 100.0]}, {}, 10.0, 1, 0)
    columns = _columns(found, [], [{"exam": "a", "image": "a.nii.gz", "phase": phase} for phase in ("ES", "ED")], None)
    assert columns["LV_ejection_fraction_percent"] == [60, ""] and columns["RV_ejection_fraction_percent"] == ["", ""]
    assert columns["moment"] == ["end-systole", "end-diastole"] and not any("m2" in name for name in columns)


def test_each_flag_counts_but_equal_texts_are_told_once():
    flags = [Flag(("LV",), "volume", phase, "odd") for phase in (0, 2, 2)]
    exam = SegmentedExam("a", Path(), [], {}, [], ["a", "b", "c"], FOUND, flags, [], "", None)
    assert (_summary(exam).severity, _summary(exam).flags) == (
        3,
        ["LV end-systolic volume, stroke volume and ejection fraction: odd"],
    )
    reasons = _shown_reasons(FOUND, flags)
    assert [*reasons] == ["left ventricle", "other phases"] and reasons["left ventricle"] == ["odd (end-systole)"]
    named = Flag(("LV",), "volume", 1, "the LV fills before end-systole")
    assert _shown_reasons(FOUND, [named]) == {"left ventricle": [named.text]}, "the text itself names the moment"


def test_flags_of_other_phases_mark_nothing():
    flags = [Flag(("LV", "RV"), "volume", 2, "odd"), Flag(("myocardium",), "volume", 0, "odd")]
    assert marked(*flags) == set()
    exam = SegmentedExam("a", Path(), [], {}, [], ["a", "b", "c"], FOUND, flags, [], "", None)
    assert _summary(exam).flagged == [] and "(!)" not in _summary(exam).words


def test_an_archive_marks_the_numbers_that_a_flag_concerns():
    flags = [Flag(("LV",), "volume", 0, "odd"), Flag(("myocardium",), "volume", 1, "thick")]
    summary = _summary(SegmentedExam("a", Path(), [], {}, [], ["a", "b", "c"], FOUND, flags, [], "", None))
    assert summary.words == "LV 100 ml at end-diastole, ejection fraction LV 60 % (!), ejection fraction RV 50 %"
    assert summary.flagged == [
        "LV_end_systole_ml", "LV_stroke_volume_ml", "LV_ejection_fraction_percent", "myocardial_mass_g",
    ]  # fmt: skip
    assert summary.flags == [
        "LV end-systolic volume, stroke volume and ejection fraction: odd",
        "myocardium end-diastolic volume and end-diastolic mass: thick",
    ]  # fmt: skip


def test_flags_say_their_moment_and_are_in_the_content_with_their_phase():
    flags = [
        Flag(("RV",), "volume", 1, "large"),
        Flag(("RV",), "volume", 0, "small"),
        Flag(("LV",), "volume", 2, "odd"),
        Flag(("LV",), "stroke volume", 0, "low"),
    ]
    reasons = _shown_reasons(FOUND, flags)
    assert reasons == {
        "right ventricle": ["large (end-diastole)", "small (end-systole)"],
        "left ventricle": ["low"],
        "other phases": reasons["other phases"],
    }
    listed = _content(FOUND, ["a", "b", "c"], flags, None)["flags"]
    assert [(flag["phase"], flag["text"]) for flag in listed] == [
        ("b", "large"),
        ("a", "small"),
        ("c", "odd"),
        ("a", "low"),
    ]


def test_every_number_is_marked_if_slices_have_unequal_numbers_of_phases(tmp_path):
    write_exam(tmp_path / "exam")
    (tmp_path / "exam/sax_1/IM-0001-0001.dcm").unlink()
    made = segment_by_hand(tmp_path)
    (item, *_) = find_inputs(tmp_path / "exam", "all")
    (text,) = item["header"]
    assert [(flag.phase, flag.quantity) for flag in made.flags if flag.text == text] == [(None, "volume")]
    assert all(line.count("(!)") == line.count(" ml") + line.count(" %") for line in made.lines[1:3])
    with open(made.page.parent / "volumes.csv", newline="") as file:
        assert [text in row["flags"] for row in csv.DictReader(file)] == [True] * 4


def test_a_header_that_may_be_wrong_flags_every_volume(tmp_path):
    write_exam(tmp_path / "exam")
    # a whole exam with ten times its pixel spacing of 4 mm
    for file in (tmp_path / "exam").rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        dataset.PixelSpacing = [40, 40]
        dataset.save_as(file)
    (item, *_) = find_inputs(tmp_path / "exam", "all")
    text = f"images of {40 * SIZE[0]:,} x {40 * SIZE[1]:,} mm: is the pixel spacing wrong?"
    assert remarks_on_files(item) == item["header"] == [text]
    made = segment_by_hand(tmp_path)
    assert [(flag.phase, flag.quantity) for flag in made.flags if flag.text == text] == [(None, "volume")]
    assert reported(made, text)


def test_a_remark_on_lost_phases_is_shown_though_they_are_not_in_the_table():
    assert _shown_reasons(FOUND, [Flag(("LV",), "volume", 2, "lost")], ["lost"]) == {"acquisition": ["lost"]}


def test_slices_that_are_far_apart_or_repeated_are_said_wherever_volumes_are(tmp_path):
    """Every second slice is missing, so slices are 20 mm apart. The others were acquired twice, which raises no flag."""
    write_exam(tmp_path / "exam")
    again = {"AcquisitionTime": "235900", "phases": 4, "size": SIZE, "spacing": 4.0}
    write_usual_exam(tmp_path / "exam/again", views=(), **again)
    for number in (2, 4):
        shutil.rmtree(tmp_path / f"exam/sax_{number}")
        shutil.rmtree(tmp_path / f"exam/again/sax_{number}")
    made = segment_by_hand(tmp_path, slices=3)
    text = "slices are 20.0 mm apart (usual: at most 12 mm), so volumes and mass are coarse"
    assert reported(made, text)
    (flag,) = [flag for flag in made.flags if flag.text == text]
    number = Number("LV", "volume", made.volumes.end_diastole)
    assert not is_marked(number, [flag], made.volumes), "a coarse number may be used"
    assert is_marked(number, [replace(flag, usable=False)], made.volumes)
    assert f"all: {text}" in _summary(made).flags and _summary(made).severity == len(made.flags)
    repeated = "3 slice positions were acquired more than once: the last acquisition is used"
    assert f"  {repeated}" in made.lines and f"{repeated}." in made.page.read_text()
    assert repeated in _summary(made).remarks and not any(repeated in flag for flag in _summary(made).flags)
    assert json.loads((made.page.parent / "volumes.json").read_text())["remarks"] == [repeated]
    with open(made.page.parent / "volumes.csv", newline="") as file:
        assert [f"all: {text}" in row["flags"] for row in csv.DictReader(file)] == [True] * 4
    report = pydicom.dcmread(made.page.parent / "volumes.sr.dcm")
    comments = [element.value for element in report.iterall() if element.keyword == "TextValue"]
    assert comments.count(f"check: {text}") == 8, "three structures at two moments, and the function of both ventricles"


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
    said = "slices are unevenly spaced, 10.0 to 20.0 mm apart: in volumes and mass, each slice counts with half the"
    same = "slices 3 and 4 of 4 have identical pixels, so 1 slice is a copy of another (in phase50); copies count in volumes"
    content = json.loads((made.page.parent / "volumes.json").read_text())["flags"]
    summary = _summary(made)
    for text in (said, same):
        assert reported(made, text)
        assert any(text in flag for flag in summary.flags) and any(text in flag["text"] for flag in content)
    assert {flag["phase"] for flag in content if same in flag["text"]} == {made.phases[1], made.phases[2]}
    assert all(line.count("(!)") == line.count(" ml") + line.count(" %") for line in made.lines[1:3])


def test_few_phases_are_a_remark_wherever_end_systole_is(segmented):
    made, folder, _ = segmented
    text = "a heartbeat has only 4 phases"
    assert reported(made, text)
    with open(folder / "volumes.csv", newline="") as file:
        assert [text in row["flags"] for row in csv.DictReader(file)] == [False, True, False, False]
    report = pydicom.dcmread(folder / "volumes.sr.dcm")
    comments = [element.value for element in report.iterall() if element.keyword == "TextValue"]
    assert sum(text in comment for comment in comments) == 4, "both ventricles at end-systole, and their function"
    assert sum("End-diastole is phase50 and end-systole is phase25: " in comment for comment in comments) == 8


def test_the_place_of_a_phase_in_the_cycle_is_that_of_its_name():
    assert _times([{"phase": "phase00"}, {"phase": "phase38"}]) == [0, 0.38]
    assert _times([{"phase": "phase00"}, {"phase": "ES"}]) is _times([{"image": "a.nii.gz"}]) is None


def test_a_flag_lists_only_the_numbers_of_its_own_phase():
    """The same text concerns end-diastole (phase b) and a phase that no other number uses."""
    flags = [Flag(("LV",), "volume", 1, "odd"), Flag(("LV",), "volume", 2, "odd")]
    first, second = _content(FOUND, ["a", "b", "c"], flags, None)["flags"]
    assert first["numbers"] == {"LV": ["volume", "stroke volume", "ejection fraction"]}
    assert second["numbers"] == {"LV": ["volume"]}


def test_the_table_names_the_columns_with_flags():
    flags = [Flag(("LV",), "volume", 0, "odd"), Flag(("RV", "myocardium"), "volume", 2, "odd")]
    items = [{"image": "heart.nii.gz", "exam": "aa"}] * 3
    columns = _columns(FOUND, flags, items, 2.0)
    assert columns["flagged"] == [
        "LV_ml; LV_stroke_volume_ml; LV_ejection_fraction_percent",
        "",
        "RV_ml; myocardium_ml; myocardium_g",
    ]
    assert {name for each in columns["flagged"] for name in each.split("; ") if name} <= set(columns)


def test_the_table_and_the_content_say_where_the_rv_is_smallest():
    names = ["phase00", "phase33", "phase67"]
    found = replace(FOUND, volumes={**FOUND.volumes, "RV": [60.0, 120.0, 49.6]})
    items = [{"image": "heart.nii.gz", "exam": "aa", "phase": name} for name in names]
    moments = _columns(found, [], items, None)["moment"]
    assert moments == ["end-systole", "end-diastole", "RV smallest"]
    assert _content(found, names, [], None)["rv_smallest"] == "phase67"
    assert _smaller_rv(found, names) == ["The RV is smallest in phase67, with 50 ml."]
    # a person corrected the masks of end-diastole and end-systole, but not those of the other phase
    corrected = replace(found, corrected=[0, 1])
    assert _smaller_rv(corrected, names) == [] and _columns(corrected, [], items, None)["moment"][2] == ""
    assert _content(corrected, names, [], None)["rv_smallest"] == "phase00"
    assert _smaller_rv(FOUND, names) == [] and _columns(FOUND, [], items, None)["moment"][2] == ""


def test_the_page_says_which_phases_it_shows_and_where_the_rv_is_smallest():
    names = ["phase00", "phase33", "phase67"]
    (note,) = _which_phases(FOUND, names)
    assert note.startswith("End-diastole is phase33 and end-systole is phase00: ") and "The RV" not in note
    volumes = {**FOUND.volumes, "RV": [60.0, 120.0, 49.6]}
    (note,) = _which_phases(replace(FOUND, volumes=volumes), names)
    assert note.endswith("The RV is smallest in phase67, with 50 ml.")
    assert _which_phases(FOUND, ["segmentation"]) == []


def test_an_unknown_number_has_no_mark():
    found = HeartVolumes({"LV": [40.0, 100.0], "RV": [0.0, 0.0], "myocardium": [80.0, 100.0]}, {}, 10.0, 1, 0)
    flags = [Flag(("RV",), "volume", 1, "no RV was found at end-diastole")]
    assert _rows(found, flags)[1][1] == ["RV", "0 ml (!)", "0 ml", "0 ml (!)", "-", "-"]
    exam = SegmentedExam("a", Path(), [], {}, [], ["a", "b"], found, flags, [], "", None)
    of_rv = ["RV_end_diastole_ml", "RV_stroke_volume_ml", "RV_ejection_fraction_percent"]
    assert _summary(exam).flagged == of_rv and _summary(exam).values[of_rv[2]] is None
    assert _summary(exam).words.endswith("ejection fraction RV -")
