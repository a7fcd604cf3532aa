from __future__ import annotations

import json
import math
import shutil
import sys
from types import SimpleNamespace

import pytest
from planewise.evaluation import PlanViewsd
from planewise.findings import finding
from planewise.own_exams.plan_exams import (
    OPERATOR_DEG,
    OPERATOR_MM,
    TWO_LIMITS,
    ComparedView,
    plan_exams,
    plan_summary,
)
from planewise.preprocessing import LoadStackd
from planewise.preprocessing.exam_name import volume_name
from planewise.workshop.phantoms import UNLABELLED

from tests.exams.conftest import write_usual_exam

FLAT, FAINT, FAR = (
    "the slices lie 0.0 deg from axial",
    "peak 0.42, but must be at least 0.5",
    "residual 13.00, but must be at most 12",
)


def planned(apart, *found):
    """The summary of an exam with these distances from the acquired views, and these findings."""
    entry = {"verdict": "plane", "reasons": [], "origin": [0.0] * 3, "within_deg": 5.0, "within_mm": 2.0}
    entry |= {"agreement": 0.8, "slices_that_disagree": [], "slices_without_a_line": []}
    views = [ComparedView(view, entry, distance) for view, distance in apart.items()]
    return plan_summary(views, [*found, *(each for view in views for each in view.findings())])


def test_a_view_is_flagged_beyond_what_plan_and_operator_may_err():
    # hypot(5, 12.5) is 13.46 degrees, hypot(2, 5) is 5.385 mm
    summary = planned({"2ch": (13.4, 5.3), "4ch": (1.0, 5.5)})
    assert summary.flags == [finding("view-far", "4ch", values=["5.5 mm"], limits=["5.39 mm"])]
    assert summary.severity == pytest.approx(5.5 / math.hypot(2, 5))
    assert summary.flagged == ["4ch_offset_mm"]
    assert summary.values["2ch_angle_deg"] == 13.4 and summary.values["4ch_bound_mm"] == 2.0
    assert planned({"2ch": (13.5, 0.0)}).flags
    assert not planned({"2ch": (13.4, 5.3)}).flags


def test_series_whose_plane_does_not_fit_their_name_are_flagged():
    usual = planned({"2ch": (1.0, 1.0)})
    assert usual.severity < 1 and not usual.flags
    doubts = [
        finding("view-doubtful", "3ch", named="4ch", number=7, kind="misnamed"),
        finding("phases-doubtful", low=4, high=5, kind="unequal"),
    ]
    summary = planned({"2ch": (1.0, 1.0)}, *doubts)
    assert summary.flags == doubts and summary.severity == 1


def test_the_operators_errors_are_the_phantoms():
    population = UNLABELLED
    assert pytest.approx(2.5 * math.hypot(population.turn_error, population.tilt_error)) == OPERATOR_DEG
    assert pytest.approx(2.5 * population.offset_error) == OPERATOR_MM
    assert f"√(bound² + {OPERATOR_DEG:g}²) deg or √(bound² + {OPERATOR_MM:g}²) mm" in TWO_LIMITS


def test_missing_and_repeated_slices_are_said_on_the_page_and_in_the_archive(tmp_path, monkeypatch):
    write_usual_exam(tmp_path / "exam", views=(), phases=1)
    write_usual_exam(tmp_path / "exam/again", views=(), phases=1, AcquisitionTime="235900")
    for folder in ("exam", "exam/again"):
        shutil.rmtree(tmp_path / folder / "sax_2")
    view = dict.fromkeys(("origin", "normal", "within_deg", "within_mm", "agreement", "peak"))
    view |= {"verdict": "no plane", "reasons": [FAINT], "slices_that_disagree": [], "slices_without_a_line": []}

    class Run:
        workflow = SimpleNamespace(postprocessing=SimpleNamespace(transforms=[PlanViewsd(["2ch"], 3.0)]))

        def __init__(self, bundle, settings):
            self.folder = settings["output_dir"]

        def __call__(self, items, watch=lambda loaded: None):
            folder = self.folder / volume_name(items[0])
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "plan.json").write_text(json.dumps({"views": {"2ch": view, "4ch": view}, "slices": 4}))
            loaded = LoadStackd("image", remarks=False)(items[0])
            watch(loaded | {"native_image": loaded["image"][None]})
            return {}

    module = sys.modules["planewise.own_exams.plan_exams"]
    monkeypatch.setattr(module, "Inference", Run)
    monkeypatch.setattr(module, "write_page", lambda folder, shown: shown)
    (made,) = plan_exams(tmp_path / "exam", tmp_path / "out")
    gap = finding("slices-missing", between=["3 and 4"], count=4, mm=[20], usual=10)
    # all images of this exam are equal
    same = finding("slices-alike", kind="copies", slices=["1 = 2 = 3 = 4"], count=4, copies=3)
    for flag in (gap, same):
        assert str(flag) in str(made.lines) and str(flag) in made.page.flags
        assert flag in made.summary.flags and flag.record() in made.plan["findings"] and made.summary.severity >= 1
    (again,) = [found for found in made.findings if found.code == "images-not-used"]
    assert f"  {again}" in made.lines and again in made.summary.remarks and again.record() in made.plan["findings"]


def test_the_distance_is_that_of_the_planes_at_the_planned_origin():
    """The acquired plane is turned by 30 degrees, and lies 8 mm along its normal from the planned origin; its own origin is
    30 mm away from the point that is nearest to that origin."""
    entry = {"origin": [40, 40, 10], "normal": [1, 0, 0]}
    normal = [math.cos(math.pi / 6), 0.5, 0.0]
    origin = [40 + 8 * normal[0] - 30 * normal[1], 40 + 8 * normal[1] + 30 * normal[0], -50]
    found = ComparedView.of("2ch", entry, {"origin": origin, "normal": normal})
    # 8 mm along a normal that is 30 degrees off: 6.9 mm
    assert found.apart == pytest.approx((30, 8 * normal[0]))
    assert ComparedView.of("2ch", entry, None).cells == ["-", "-"]
