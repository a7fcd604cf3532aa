from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path

import pydicom
import pytest
from planewise.commands.plan import plan
from planewise.exams import find_inputs
from planewise.findings import finding, to_text
from planewise.own_exams.archive_page import OPERATOR_DEG, OPERATOR_MM, TWO_LIMITS
from planewise.own_exams.heart_bundles import PLANS, load_stack
from planewise.own_exams.load_bundle import bundles_folder
from planewise.own_exams.plan_exams import (
    MOST_PHASES,
    PlannedExam,
    _by_phase,
    _compared,
    _disorder,
    _faults,
    _lacks_bounds,
    _lines,
    _phase_plans,
    _row,
    _summary,
    _with_findings,
    judged,
    plan_exams,
    reasons_alike,
)
from planewise.preprocessing.exam_name import volume_name
from planewise.workshop.phantoms import UNLABELLED

from tests.exams.conftest import write_usual_exam

FLAT, FAINT, FAR = (
    "the slices lie 0.0 deg from axial",
    "peak 0.42, but must be at least 0.5",
    "residual 13.00, but must be at most 12",
)


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


def planned(apart, *found, **views):
    """A planned exam; each view may have its own values."""
    known = {"verdict": "plane", "reasons": [], "origin": [0.0] * 3, "within_deg": 5.0, "within_mm": 2.0}
    known |= {"agreement": 0.8, "slices_that_disagree": [], "slices_without_a_line": []}
    views = {view: known | entry for view, entry in views.items()}
    findings = [*found, *(each for view, entry in views.items() for each in judged(view, entry, apart[view]))]
    plan = {"views": views, "bounds_measured_on": "9 exams", "slices": 5}
    return PlannedExam("aa", Path(), [], {}, [], apart, plan, None, findings)


def test_a_view_is_flagged_beyond_what_plan_and_operator_may_err():
    # hypot(5, 12.5) is 13.46 degrees, hypot(2, 5) is 5.385 mm
    summary = _summary(planned({"2ch": (13.4, 5.3), "4ch": (1.0, 5.5)}, **{"2ch": {}, "4ch": {}}))
    assert summary.flags == [finding("view-far", "4ch", values=["5.5 mm"], limits=["5.39 mm"])]
    assert summary.severity == pytest.approx(5.5 / math.hypot(2, 5))
    assert summary.flagged == ["4ch_offset_mm"] and summary.words.count("(!)") == 1
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
    exam, far = planned({"2ch": apart}, **{"2ch": {}}), apart[0] == 40
    cells = _row("2ch", exam.plan, apart)[2:4]
    assert [cell.endswith("(!)") for cell in cells] == [far, far]
    lacking = exam.plan["views"]["2ch"] | {"within_deg": None, "within_mm": None}
    plain = _compared(lacking, apart)
    assert plain == [f"{apart[0]} deg", f"{apart[1]} mm"]
    assert [cell != bare for cell, bare in zip(cells, plain, strict=True)] == [
        name in outside for name in ("angle_deg", "offset_mm")
    ]
    assert _summary(exam).flagged == [f"2ch_{name}" for name in outside] * far
    entry = _with_findings(exam.plan, exam.apart, exam.findings)["views"]["2ch"]
    assert entry["outside_bound"] == [f"acquired_{name}" for name in outside]


def test_what_is_no_flag_is_a_remark_of_the_table_and_of_the_plan():
    view = {"phases_that_disagree": ["phase20", "phase40"], "slices_without_a_line": [2]}
    note = finding("no-frame-of-reference", shared="study")
    exam = planned({"2ch": (4.0, 2.3949), "4ch": None}, note, **{"2ch": view, "4ch": {}})
    said = [
        finding("plane-disagrees", "2ch", kind="no-line", names=["slice 2"], count=1),
        finding("plane-disagrees", "2ch", kind="disagree", names=["phase20", "phase40"], count=2),
    ]
    assert not _summary(exam).flags and _summary(exam).remarks == [note, *said]
    plan = _with_findings(exam.plan, exam.apart, exam.findings)
    first, second = plan["views"].values()
    assert first["findings"] == [each.record() for each in said] and plan["findings"] == [note.record()]
    assert (first["acquired_angle_deg"], first["acquired_offset_mm"]) == (4.0, 2.39)
    assert second["findings"] == [] and second["acquired_angle_deg"] is None


def test_series_whose_plane_does_not_fit_their_name_are_flagged():
    exam = planned({"2ch": (1.0, 1.0)}, **{"2ch": {}})
    assert _summary(exam).severity < 1 and not _summary(exam).flags
    doubts = [finding("series-misnamed", "3ch", named="4ch", number=7), finding("phases-unequal", low=4, high=5)]
    summary = _summary(planned({"2ch": (1.0, 1.0)}, *doubts, **{"2ch": {}}))
    assert summary.flags == doubts and summary.severity == 1


def test_views_without_a_plane_or_without_a_counterpart():
    none = {"verdict": "no plane", "reasons": [FAINT], "within_deg": None, "within_mm": None}
    summary = _summary(planned({"2ch": None, "4ch": None}, **{"2ch": none, "4ch": {}}))
    assert summary.flags == [finding("no-plane", "2ch", why=FAINT)] and summary.severity == 1
    # your own weights have no bounds: the exams farthest away come first, but no distance counts as too large
    unknown = {"within_deg": None, "within_mm": None}
    summary = _summary(planned({"2ch": (45.0, 3.0)}, **{"2ch": unknown}))
    assert not summary.flags and summary.severity == 0.5


def test_the_terminal_has_a_line_for_each_view_and_flag():
    exam = planned({"2ch": (40.0, 1.0), "4ch": None}, **{"2ch": {}, "4ch": {"verdict": "no plane", "reasons": [FLAT]}})
    lines = _lines("aa", exam.plan, exam.apart, exam.findings)
    assert [line.split(":")[0].strip() for line in lines] == ["Exam aa, 5 slices", "2ch", "4ch", "check"]


def test_slices_out_of_order_are_said():
    # the real exam; the usual step is 0.15
    (found,) = _disorder([0.1472, 0.3201, 0.7015, 0.6586, 0.869, 0.9175])
    assert found["between"] == ("3 and 4 (0.70, 0.66)",)
    assert _disorder([0.1472, 0.3201, 0.7015, 0.6886, 0.869, 0.9175]) == []
    (found,) = _disorder([0.9, 0.95, 0.5, 0.3, 0.4, 0.1])
    assert found["between"] == ("1 and 2 (0.90, 0.95)", "4 and 5 (0.30, 0.40)")
    assert _disorder([0.1, 0.5, 0.5, 0.9]) == _disorder([0.9, 0.5, 0.1]) == _disorder([0.5]) == _disorder(()) == []


def test_the_operators_errors_are_the_phantoms():
    population = UNLABELLED
    assert pytest.approx(2.5 * math.hypot(population.turn_error, population.tilt_error)) == OPERATOR_DEG
    assert pytest.approx(2.5 * population.offset_error) == OPERATOR_MM
    assert f"√(bound² + {OPERATOR_DEG:g}²) deg or √(bound² + {OPERATOR_MM:g}²) mm" in TWO_LIMITS


def test_weights_without_error_bounds_are_known():
    known = {"origin": [0.0, 0.0, 0.0], "within_deg": 5.5}
    none = {"origin": None, "within_deg": None}
    assert not _lacks_bounds({"views": {"2ch": known, "4ch": none}})
    assert _lacks_bounds({"views": {"2ch": known | {"within_deg": None}, "4ch": none}})


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
        return {}

    module = sys.modules["planewise.own_exams.plan_exams"]
    monkeypatch.setattr(module, "run_inference", run)
    monkeypatch.setattr(module, "write_page", lambda folder, shown: shown)
    (made,) = plan_exams(tmp_path / "exam", tmp_path / "out", phases="ed", dicom=False)
    gap = finding("slices-missing", between=["3 and 4"], count=4, mm=[20], usual=10)
    # all images of this exam are equal
    same = finding("slices-alike", kind="copies", slices=["1 = 2 = 3 = 4"], count=4, copies=3, where="")
    for flag in (gap, same):
        assert str(flag) in str(made.lines) and str(flag) in made.page.flags
        assert flag in _summary(made).flags and flag.record() in made.plan["findings"] and _summary(made).severity >= 1
    (again,) = [found for found in made.findings if found.code == "slices-other-images"]
    assert f"  {again}" in made.lines and again in _summary(made).remarks and again.record() in made.plan["findings"]


def test_a_slice_without_signal_is_found_in_every_planned_phase(tmp_path):
    write_usual_exam(tmp_path, views=(), phases=3)
    file = tmp_path / "sax_5/IM-0005-0003.dcm"  # the most basal slice
    image = pydicom.dcmread(file)
    image.PixelData = bytes(len(image.PixelData))
    image.save_as(file)
    first, *others = find_inputs(tmp_path, "all")
    blank, _ = _faults(load_stack(first), others)
    assert (blank["kind"], blank["slices"], "phase67" in blank["where"]) == ("blank", ("1",), True)
    assert all(found["kind"] == "copies" for found in _faults(load_stack(first), others[:1]))


def test_remarks_of_the_other_phases_are_not_logged(tmp_path, monkeypatch, caplog):
    """The page shows them."""
    module = sys.modules["planewise.own_exams.plan_exams"]
    monkeypatch.setattr(module, "run_inference", lambda bundle, settings: {})
    remarks = {"findings": to_text([finding("phases-not-used", count=60, of=120)])}
    item = {"exam": "aa", "image": str(tmp_path / "cine.nii.gz")} | remarks
    others = [item | {"time": time, "phase": f"phase{time}0"} for time in (2, 4)]
    assert _phase_plans(others, bundles_folder(None) / PLANS, {}) == {}
    assert len(caplog.messages) == 2 and not any("120" in message for message in caplog.messages)
