from __future__ import annotations

import dataclasses
import json
import math
import shutil
import sys
from pathlib import Path

import pydicom
import pytest
from planewise.commands.plan import plan
from planewise.data import find_inputs
from planewise.own_exams.heart_bundles import PLANS, load_stack
from planewise.own_exams.load_bundle import bundles_folder
from planewise.own_exams.plan_exams import (
    MOST_PHASES,
    PlannedExam,
    _by_phase,
    _compared,
    _disorder,
    _explained,
    _faults,
    _line,
    _phase_plans,
    _row,
    _summary,
    _with_remarks,
    _without_bounds,
    plan_exams,
    reasons_alike,
)
from planewise.phantoms import UNLABELLED
from planewise.preprocessing.exam_name import volume_name
from planewise.reports.archive_page import OPERATOR_DEG, OPERATOR_MM, TWO_LIMITS

from tests.exams.conftest import write_usual_exam

FLAT, FAINT, FAR = (
    "the slices lie 0.0 deg from axial",
    "peak 0.42, but must be at least 0.5",
    "residual 13.00, but must be at most 12",
)


def test_a_plane_from_one_phase_says_so_next_to_its_bounds():
    view = {"verdict": "plane", "reasons": [], "within_deg": 9.1, "within_mm": 1.8, "agreement": 0.8}
    view |= {"slices_that_disagree": [], "slices_without_a_line": []}
    plan = {"views": {"4ch": view}, "bounds_measured_on": "60 phantom exams"}
    bounds = "90 % error bounds 9.1 deg and 1.8 mm (measured on 60 phantom exams)"
    assert _row("4ch", plan, None)[-1] == f"{bounds}; from one phase: the bounds do not include the heart's motion"
    assert _row("4ch", {**plan, "phases": 5}, None)[-1] == bounds


def test_a_page_explains_phases_only_where_it_names_one():
    row = [
        "4ch",
        "plane",
        "3.0 deg",
        "1.0 mm",
        "0.89",
        "90 % error bounds 8.8 deg and 1.9 mm (measured on 120 exams of five phases)",
    ]
    assert not any("phase20 is" in words for words in _explained([row]))
    row[-1] += "; phase40 disagrees"
    assert any("phase20 is" in words for words in _explained([row]))


def test_few_phases_stand_for_many():
    """The first phase has the exam's own name; in volumes with masks, end-diastole comes first, wherever it is listed."""
    cine = [{"exam": "aa", "image": [], "phase": f"phase{4 * number:02d}"} for number in range(25)]
    masked = [{"exam": "bb", "image": "es.nii.gz", "phase": "ES"}, {"exam": "bb", "image": "ed.nii.gz", "phase": "ED"}]
    alone = {"exam": "cc", "image": []}
    first, others = _by_phase([*cine, *masked, alone], 8)
    assert sorted(first, key=lambda item: item["exam"]) == [
        {"exam": "aa", "image": []}, {"exam": "bb", "image": "ed.nii.gz"}, alone
    ]  # fmt: skip
    shares = [int(item["phase"][5:]) for item in others if item["exam"] == "aa"]
    assert shares == [12, 24, 36, 48, 60, 72, 84] and [item for item in others if item["exam"] == "bb"] == masked[:1]
    assert _by_phase([*cine, *masked, alone], 1) == (first, [])


def test_the_help_names_the_most_phases():
    assert (MOST_PHASES, "at most eight phases" in plan.__doc__) == (8, True)


def test_what_all_views_lack_is_said_once():
    views = {
        "2ch": {"verdict": "no plane", "reasons": [FLAT, FAINT]},
        "4ch": {"verdict": "no plane", "reasons": [FLAT, FAR]},
    }
    alike, left = reasons_alike(views)
    assert alike == [FLAT]
    assert left["2ch"] == {"verdict": "no plane", "reasons": [FAINT]} and left["4ch"]["reasons"] == [FAR]
    assert views["2ch"]["reasons"] == [FLAT, FAINT], "the page still shows all reasons"


def test_a_plane_beside_no_plane_and_one_view_keep_their_reasons():
    assert reasons_alike({"2ch": {"reasons": []}, "4ch": {"reasons": [FAINT]}})[0] == []
    assert reasons_alike({"2ch": {"reasons": [FAINT]}}) == ([], {"2ch": {"reasons": [FAINT]}})


def planned(apart, **views):
    known = {"verdict": "plane", "reasons": [], "within_deg": 5.0, "within_mm": 2.0}
    plan = {"views": {view: known | entry for view, entry in views.items()}}
    return PlannedExam("aa", Path(), [], {}, [], apart, plan, None)


def test_a_view_is_flagged_beyond_what_plan_and_operator_may_err():
    # hypot(5, 12.5) is 13.46 degrees, hypot(2, 5) is 5.385 mm
    summary = _summary(planned({"2ch": (13.4, 5.3), "4ch": (1.0, 5.5)}, **{"2ch": {}, "4ch": {}}))
    (flag,) = summary.flags
    assert flag.startswith("4ch: the acquired view lies 5.5 mm from the planned one, more than the 5.39 mm by which")
    assert summary.severity == pytest.approx(5.5 / math.hypot(2, 5))
    assert summary.flagged == ["4ch_offset_mm"]
    outside = "outside its 90 % bound"  # of 5 deg and 2 mm
    said = f"2ch apart by 13.4 deg, {outside} and 5.3 mm, {outside}, 4ch apart by 1.0 deg and 5.5 mm, {outside} (!)"
    assert summary.words == said
    assert summary.values["2ch_angle_deg"] == 13.4 and summary.values["4ch_bound_mm"] == 2.0
    assert _summary(planned({"2ch": (13.5, 0.0)}, **{"2ch": {}})).flags
    assert not _summary(planned({"2ch": (13.4, 5.3)}, **{"2ch": {}})).flags


@pytest.mark.parametrize(
    ("apart", "outside"),
    [((5.0, 2.0), []), ((5.1, 1.9), ["angle_deg"]), ((4.9, 2.1), ["offset_mm"]), ((40.0, 40.0), ["angle_deg", "offset_mm"])],
)  # fmt: skip
def test_a_number_outside_its_bound_is_named_wherever_it_is_and_marked_if_the_operator_cannot_explain_it(
    apart, outside
):
    view = {"agreement": 0.8, "slices_that_disagree": [], "slices_without_a_line": []}
    exam = planned({"2ch": apart}, **{"2ch": view})
    row = _row("2ch", {**exam.plan, "bounds_measured_on": "9 exams"}, apart)
    marks = " (!)" * (apart[0] == 40)
    marked = [cell.endswith(f", outside its 90 % bound{marks}") for cell in row[2:4]]
    assert marked == [name in outside for name in ("angle_deg", "offset_mm")]
    assert _line(row).count("outside its 90 % bound") == len(outside)
    assert _summary(exam).words.count("(!)") == len(outside) * bool(marks)
    assert (TWO_LIMITS in _explained([row])) == bool(outside)
    assert _summary(exam).flagged == [f"2ch_{name}" for name in outside if marks]
    entry = _with_remarks(exam.plan, exam.apart, [], [])["views"]["2ch"]
    assert entry["outside_bound"] == [f"acquired_{name}" for name in outside]
    assert [f"2ch: {said}" for said in entry["remarks"]] == _summary(exam).remarks
    assert sum("is outside its 90 % bound of" in said for said in entry["remarks"]) == len(outside)
    assert _compared(entry | {"within_deg": None, "within_mm": None}, apart) == [f"{apart[0]} deg", f"{apart[1]} mm"]


def test_what_is_no_flag_is_a_remark_of_the_table_and_of_the_plan():
    view = {"agreement": 0.8, "phases_that_disagree": ["phase20", "phase40"], "slices_without_a_line": [2]}
    exam = planned({"2ch": (4.0, 2.39), "4ch": None}, **{"2ch": view, "4ch": {}})
    exam = dataclasses.replace(exam, plan={**exam.plan, "remarks": ["a remark on the stack"]})
    said = ["the offset of 2.39 mm from the acquired plane is outside its 90 % bound of 2 mm"]
    said += ["slice 2 has no line", "phase20 and phase40 disagree"]
    summary = _summary(exam)
    assert not summary.flags and list(summary.remarks[:3]) == [f"2ch: {each}" for each in said]
    assert summary.remarks[3:] == ["a remark on the stack"]
    apart = {**exam.apart, "2ch": (4.0, 2.3949)}
    plan = _with_remarks(exam.plan, apart, ["misnamed"], ["out of order"])
    assert plan["views"]["2ch"]["remarks"] == said and plan["views"]["4ch"]["acquired_angle_deg"] is None
    assert (plan["views"]["2ch"]["acquired_angle_deg"], plan["views"]["2ch"]["acquired_offset_mm"]) == (4.0, 2.39)
    assert (plan["flags"], plan["remarks"]) == (["misnamed"], ["out of order"])


def test_series_whose_plane_does_not_fit_their_name_are_flagged():
    doubts = ["3ch: the series that shows this view is named 4ch"]
    exam = planned({"2ch": (1.0, 1.0)}, **{"2ch": {}})
    assert _summary(exam).severity < 1 and not _summary(exam).flags
    summary = _summary(dataclasses.replace(exam, item={"doubts": doubts}))
    assert summary.flags == doubts and summary.severity == 1
    lost = ["slices have 4 to 5 phases: are files missing?"]
    assert _summary(dataclasses.replace(exam, item={"doubts": doubts, "header": lost})).flags == [*lost, *doubts]


def test_views_without_a_plane_or_without_a_counterpart():
    none = {"verdict": "no plane", "reasons": [FAINT], "within_deg": None, "within_mm": None}
    summary = _summary(planned({"2ch": None, "4ch": None}, **{"2ch": none, "4ch": {}}))
    assert summary.flags == [f"2ch: no plane; {FAINT}"] and summary.severity == 1
    assert summary.words == "2ch no plane, 4ch planned, none acquired"
    # your own weights have no bounds: the exams farthest away come first, but no distance counts as too large
    unknown = {"within_deg": None, "within_mm": None}
    summary = _summary(planned({"2ch": (45.0, 3.0)}, **{"2ch": unknown}))
    assert not summary.flags and summary.severity == 0.5


def test_slices_out_of_order_are_said():
    # the real exam
    # the usual step is 0.15
    (said,) = _disorder([0.1472, 0.3201, 0.7015, 0.6586, 0.869, 0.9175])
    assert "out of order between slices 3 and 4 (0.70, 0.66): the" in said
    assert _disorder([0.1472, 0.3201, 0.7015, 0.6886, 0.869, 0.9175]) == []
    (said,) = _disorder([0.9, 0.95, 0.5, 0.3, 0.4, 0.1])
    assert "slices 1 and 2 (0.90, 0.95) and 4 and 5 (0.30, 0.40): the" in said
    assert _disorder([0.1, 0.5, 0.5, 0.9]) == _disorder([0.9, 0.5, 0.1]) == _disorder([0.5]) == _disorder(()) == []


def test_the_operators_errors_are_the_phantoms():
    population = UNLABELLED
    assert pytest.approx(2.5 * math.hypot(population.turn_error, population.tilt_error)) == OPERATOR_DEG
    assert pytest.approx(2.5 * population.offset_error) == OPERATOR_MM
    assert f"√(bound² + {OPERATOR_DEG:g}²) deg or √(bound² + {OPERATOR_MM:g}²) mm" in TWO_LIMITS


def test_weights_without_error_bounds_are_named():
    known = {"origin": [0.0, 0.0, 0.0], "within_deg": 5.5}
    none = {"origin": None, "within_deg": None}
    assert _without_bounds({"views": {"2ch": known, "4ch": none}}) == []
    (said,) = _without_bounds({"views": {"2ch": known | {"within_deg": None}, "4ch": none}})
    assert said.startswith("These weights have no error bounds")


def test_an_agreement_that_is_the_reason_is_said_once():
    reason = "no plane; agreement 0.53, but must be at least 0.63"
    assert _line(["4ch", reason, "-", "-", "0.53", "-"]) == f"  4ch: {reason}"
    assert _line(["4ch", "plane", "-", "-", "0.93", "-"]) == "  4ch: plane, agreement 0.93"


def test_missing_and_repeated_slices_are_said_on_the_page_and_in_the_archive(tmp_path, monkeypatch):
    write_usual_exam(tmp_path / "exam", views=(), phases=1)
    write_usual_exam(tmp_path / "exam/again", views=(), phases=1, AcquisitionTime="235900")
    for folder in ("exam", "exam/again"):
        shutil.rmtree(tmp_path / folder / "sax_2")
    (item,) = find_inputs(tmp_path / "exam")
    view = dict.fromkeys(("origin", "normal", "within_deg", "within_mm", "agreement", "peak"))
    view |= {"verdict": "no plane", "reasons": [FAINT], "slices_that_disagree": [], "slices_without_a_line": []}

    def run(_, settings):
        folder = settings["output_dir"] / volume_name(item)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "plan.json").write_text(json.dumps({"views": {"2ch": view, "4ch": view}, "slices": 4}))
        return []

    module = sys.modules["planewise.own_exams.plan_exams"]
    monkeypatch.setattr(module, "run_inference", run)
    monkeypatch.setattr(module, "write_page", lambda folder, shown: shown)
    (made,) = plan_exams(tmp_path / "exam", tmp_path / "out", phases="ed", dicom=False)
    said = "slices are missing between slices 3 and 4 of 4, which are 20 mm apart instead of the usual 10 mm"
    # all images of this exam are equal
    same = "slices 1 to 4 of 4 have identical pixels, so 3 slices are copies of others"
    for text in (said, same):
        assert text in str(made.lines) and text in made.page.flags["acquisition"] and text in made.plan["flags"]
        assert text in _summary(made).flags and _summary(made).severity >= 1
    again = "4 slice positions were acquired more than once: the last acquisition is used"
    assert f"  {again}" in made.lines and f"{again}." in made.page.notes[0]
    assert again in _summary(made).remarks and made.plan["remarks"] == [again]


def test_a_slice_without_signal_is_found_in_every_planned_phase(tmp_path):
    write_usual_exam(tmp_path, views=(), phases=3)
    file = tmp_path / "sax_5/IM-0005-0003.dcm"  # the most basal slice
    image = pydicom.dcmread(file)
    image.PixelData = bytes(len(image.PixelData))
    image.save_as(file)
    first, *others = find_inputs(tmp_path, "all")
    blank, _ = _faults(load_stack(first), others)
    assert blank == "no signal in slice 1 of 5: all its pixels are equal (in phase67)"
    assert not any("no signal" in said for said in _faults(load_stack(first), others[:1]))


def test_remarks_of_the_other_phases_are_not_logged(tmp_path, monkeypatch, caplog):
    """The page shows them."""
    module = sys.modules["planewise.own_exams.plan_exams"]
    monkeypatch.setattr(module, "run_inference", lambda bundle, settings: ["exam aa: no plane"])
    remarks = {"header": ["two voxel sizes"], "notes": ["only 60 of 120 phases are used"]}
    item = {"exam": "aa", "image": str(tmp_path / "cine.nii.gz")} | remarks
    others = [item | {"time": time, "phase": f"phase{time}0"} for time in (2, 4)]
    assert _phase_plans(others, bundles_folder(None) / PLANS, {}) == {}
    assert len(caplog.messages) == 2 and all("is not planned" in message for message in caplog.messages)
