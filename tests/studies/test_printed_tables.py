"""Test the tables that the programs of studies print, from results worked out by hand; exams and networks are stand-ins."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from planewise.geometry import Bound
from planewise.phantoms import UNLABELLED

from tools.studies import archive_flags, joint_plans, no_plane
from tools.studies.joint_plans import Planned


def printed(program, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch, *words: object) -> list[str]:
    """The lines that a program prints."""
    monkeypatch.setattr(sys, "argv", [program.__name__, *map(str, words)])
    program.main()
    return capsys.readouterr().out.splitlines()


def entry(origin=(0.0, 0, 0), normal=(1.0, 0, 0), within=(3.0, 2.0), moved=(0.5, 0.25), reasons=()):
    """A view of a plan."""
    refused = bool(reasons)
    return {
        "origin": None if refused else list(origin), "normal": None if refused else list(normal),
        "within_deg": None if refused else within[0], "within_mm": None if refused else within[1],
        "angle_sd_deg": None if refused else moved[0], "offset_sd_mm": None if refused else moved[1],
        "verdict": "no plane" if refused else "plane", "reasons": list(reasons),
    }  # fmt: skip


def test_errors_and_bounds_of_joint_planes(capsys, monkeypatch, tmp_path):
    """Ten planes of one half have offsets of 1 to 10 mm and angles twice as large, without standard errors: 9 of 10 are
    within the tenth. The other half has one plane beyond each bound."""
    asked = []

    def planned(folder, exams, seed, calibrates):
        asked.append((folder, exams, seed, calibrates))
        for number in range(1, 11):
            size = float(number) + (0.5 if not calibrates and number == 10 else 0.0)
            yield Planned("joint", "2ch", calibrates, (2 * size, size), (0.0, 0.0), (False, False))
            yield Planned("apart", "2ch", calibrates, (2.0 * number, 1.0 * number), (0.0, 0.0), (False, False))
            yield Planned("each", "2ch", calibrates, (8.0, 4.0), (0.0, 0.0), (number > 3, number > 6))
        yield Planned("ed", "2ch", calibrates, (5.0, 3.0), (0.0, 0.0), (True, True))

    monkeypatch.setattr(joint_plans, "planned", planned)
    lines = printed(joint_plans, capsys, monkeypatch, "--out", tmp_path, "--exams", 4, "--seed", 50)
    # the exams of the check are others than those of the bounds, in all four settings
    assert asked == [(tmp_path, 4, 50, True), (tmp_path, 4, 60, False)]
    rows = [line for line in lines if line.startswith("| 2ch")]
    assert rows == [
        "| 2ch, end-diastole | 2 | 5.0 deg, 3.0 mm | 5.0 deg, 3.0 mm |",
        "| 2ch, each phase | 20 | 8.0 deg, 4.0 mm | 8.0 deg, 4.0 mm |",
        # the 90th percentile of 1, 1, 2, 2 .. 9, 9, 10 and 10.5 lies a tenth of the way from the second 9 to 10
        "| 2ch, all phases, joint | 20 | 11.0 deg, 5.5 mm | 18.2 deg, 9.1 mm |",
        "| 2ch | 14 of 20 | 8 of 20 |",
        "| 2ch angle_deg | 20.000 deg | 0.000 | 9 of 10 |",
        "| 2ch offset_mm | 10.000 mm | 0.000 | 9 of 10 |",
        # the 99th percentile of 1 to 10 is 9.91
        "| 2ch | 19.8 deg, 9.9 mm | 9 of 10 |",
    ]


def test_planes_are_compared_with_those_of_the_anatomy_and_with_the_joint_plane(monkeypatch, tmp_path):
    """The 2ch plane of end-diastole is 3 mm from the anatomy's, that of the second phase 9 mm. End-diastole counts twice, so
    the joint plane is 5 mm away. The 3ch view is not acquired, and the 4ch view has no plane at end-diastole."""
    plane = {"origin": [0.0, 0, 0], "normal": [1.0, 0, 0]}
    items = [
        {"exam": "a", "phase": phase, "image": [{"planes": {"2ch": plane, "4ch": plane}}]} for phase in ("ed", "es")
    ]
    plans = [
        {"views": {"2ch": entry((3.0, 0, 0)), "4ch": entry(reasons=["peak"]), "3ch": entry()}},
        {"views": {"2ch": entry((9.0, 0, 0)), "4ch": entry((0.5, 0, 0)), "3ch": entry()}},
    ]
    asked = []
    monkeypatch.setattr(joint_plans, "written", lambda *given: asked.append(given) or [tmp_path / "tree"])
    monkeypatch.setattr(joint_plans, "find_inputs", lambda *given: asked.append(given) or items)
    monkeypatch.setattr(joint_plans, "plans_of", lambda given: plans)
    found = list(joint_plans.planned(tmp_path, 7, 30, True))
    assert asked[0][:3] == (tmp_path, 7, 30) and asked[1] == (tmp_path / "tree", "all")
    # the planes that the anatomy defines have no technologist's errors
    errors = ("turn_error=0", "tilt_error=0", "offset_error=0")
    assert all(f"--set {error}" in asked[0][3] for error in errors)
    assert [(one.kind, one.view, one.errors[1], one.kept[1]) for one in found] == [
        ("ed", "2ch", 3.0, False),
        ("each", "2ch", 3.0, False), ("each", "2ch", 9.0, False), ("each", "4ch", 0.5, True),
        # of two phases, one is half, so the 4ch view has a joint plane, that of the second phase
        ("joint", "2ch", 5.0, False), ("joint", "4ch", 0.5, False),
        ("apart", "2ch", 4.0, False), ("apart", "4ch", 0.0, True),
    ]  # fmt: skip
    assert all(one.calibrates and one.errors[0] == pytest.approx(0) for one in found)
    assert {one.moved for one in found} == {(0.5, 0.25)}


def test_phantoms_of_all_settings_are_written_in_their_own_folders(monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(joint_plans.subprocess, "run", lambda words, check: commands.append(words))
    trees = list(joint_plans.written(tmp_path / "my exams", 6, 20, "--set turn_error=0"))
    assert [tree.name for tree in trees] == ["usual_20_6", "fine_21_6", "strange_22_6", "hard_23_6"]
    assert [words[:6] for words in commands] == [
        [sys.executable, "-m", "planewise", "phantom", "cardiac", str(tree)] for tree in trees
    ]
    given = [dict(zip(words[6::2], words[7::2], strict=True)) for words in commands]
    assert [(each["--seed"], each["--exams"], each["--phases"], each["--layout"]) for each in given] == [
        (str(20 + number), "6", "5", "dsbcc") for number in range(4)
    ]
    assert all("turn_error=0" in words for words in commands)
    # phantoms have these settings, and each takes its value
    for words in commands:
        assert UNLABELLED.with_text([word for word in words if "=" in word]).turn_error == 0


def test_a_real_exam_is_compared_phase_by_phase(monkeypatch):
    """The operator's 2ch plane is x = 0. The two phases are 1 and 7 mm from it, and the joint plane is at 3 mm."""
    plane = {"origin": [0.0, 0, 0], "normal": [1.0, 0, 0]}
    items = [{"exam": "a", "phase": phase, "image": [{"planes": {"2ch": plane}}]} for phase in ("ed", "es")]
    plans = [{"views": {"2ch": entry((1.0, 0, 0))}}, {"views": {"2ch": entry((7.0, 0, 0), within=(4.0, 2.5))}}]
    bounds = {"2ch": {"angle_deg": [6.0, 0], "offset_mm": [4.5, 0], "phases_apart": [2.0, 3.5]}, "measured_on": "x"}
    settings = {"views": ["2ch"], "joint_bounds": bounds}
    # the ventricle's axis leans by 30 degrees out of the plane at end-diastole, and lies in it at end-systole
    axes = {"ed": np.array([0.5, 0, np.sqrt(0.75)]), "es": np.array([0, 0, 1.0])}
    heart = SimpleNamespace(masks=["ed", "es"], labels=["ed", "es"])
    for name, stand_in in {
        "find_inputs": lambda exam, phases: items if (exam, phases) == (Path("exam"), "all") else None,
        "plans_of": lambda given: plans,
        "shipped_settings": lambda: settings,
        "long_axis": lambda labels, affine: axes[labels] if labels == affine else None,
    }.items():
        monkeypatch.setattr(joint_plans, name, stand_in)
    monkeypatch.setattr(joint_plans.planewise, "segment", lambda exam, folder: [heart], raising=False)
    monkeypatch.setattr(joint_plans.nibabel, "load", lambda mask: SimpleNamespace(affine=mask))
    _, _, *rows = joint_plans.compared(Path("exam"))
    assert rows == [
        "| 2ch, ed | plane | 0.0 deg, 1.0 mm | 3.0 deg, 2.0 mm | 0.0 deg, 2.0 mm | 30.0 deg |",
        "| 2ch, es | plane, disagrees | 0.0 deg, 7.0 mm | 4.0 deg, 2.5 mm | 0.0 deg, 4.0 mm | 0.0 deg |",
        "| 2ch, joint | plane | 0.0 deg, 3.0 mm | 6.0 deg, 4.5 mm | 0.0 deg, 0.0 mm | - |",
    ]


def test_flags_of_an_archive(capsys, monkeypatch, tmp_path):
    """Of each exam, one view is far from its plan, three are near, one has a name of its own and one is missing."""
    trees = [tmp_path / "usual", tmp_path / "fine"]
    monkeypatch.setattr(archive_flags, "written", lambda *given: trees if given == (tmp_path, 3, 9) else None)
    monkeypatch.setattr(archive_flags, "joint_plans", lambda tree: {"of": tree})
    moves = []

    def outcomes(tree, plans, move):
        assert plans == {"of": tree}
        moves.append(move)
        return ["far", "near", "near", "near", "named", "missing", "missing"]

    monkeypatch.setattr(archive_flags, "outcomes", outcomes)
    lines = printed(archive_flags, capsys, monkeypatch, "--out", tmp_path, "--exams", 3, "--seed", 9)
    said = ["as prescribed", "turned by 15 deg", "turned by 25 deg", "shifted by 8 mm", "shifted by 12 mm"]
    assert lines[2:] == [f"| {move} | 14 | 8 | 2 (25.0 %) | 2 |" for move in said]
    assert [str(move) for move in moves[::2]] == said and moves[::2] == moves[1::2]


def test_joint_plans_of_an_archive_have_the_bounds_that_ship(monkeypatch, tmp_path):
    bounds = {"2ch": {"angle_deg": [6.0, 0], "offset_mm": [4.5, 0]}, "measured_on": "x"}
    items = [{"exam": exam, "phase": phase} for exam in "ab" for phase in ("ed", "es")]
    plans = [{"views": {"2ch": entry((place, 0, 0))}} for place in (0.0, 3.0, 6.0, 6.0)]
    monkeypatch.setattr(archive_flags, "shipped_settings", lambda: {"views": ["2ch"], "joint_bounds": bounds})
    monkeypatch.setattr(archive_flags, "find_inputs", lambda tree, phases: items if phases == "all" else None)
    monkeypatch.setattr(archive_flags, "plans_of", lambda given: plans)
    found = archive_flags.joint_plans(tmp_path)
    assert {exam: views["2ch"]["origin"][0] for exam, views in found.items()} == {"a": 1.0, "b": 6.0}
    assert {(views["2ch"]["within_deg"], views["2ch"]["within_mm"]) for views in found.values()} == {(6.0, 4.5)}
    assert Bound(6.0, 0.0).at(1.0) == 6.0


def test_stacks_without_a_plane(capsys, monkeypatch, tmp_path):
    """Three chests are refused: one by its direction, one by its heatmaps, and one because its normal is far from the axes of
    hearts."""
    kinds = {"s1": "short axes", "c1": "chests", "c2": "chests", "c3": "chests", "c4": "chests"}
    found = [
        no_plane.Planned("short axes", 35.0, 10.0, False),
        no_plane.Planned("chests", 2.5, 10.0, False), no_plane.Planned("chests", 30.0, 10.0, True),
        no_plane.Planned("chests", 30.0, 50.0, False), no_plane.Planned("chests", 15.5, 44.0, False),
    ]  # fmt: skip
    asked = (tmp_path, 5, [Path("spine.nii")], 3)
    monkeypatch.setattr(no_plane, "written", lambda *given: kinds if given == asked else None)
    monkeypatch.setattr(no_plane, "planned", lambda folder, given: found if given == kinds else None)
    monkeypatch.setattr(no_plane, "shipped_settings", lambda: {"min_obliquity": 15.0})
    words = ["--out", tmp_path, "--stacks", 5, "--volumes", "spine.nii", "--seed", 3]
    assert printed(no_plane, capsys, monkeypatch, *words)[2:] == [
        "| short axes | 0 of 1 | 0 | 35.0 deg |", "| chests | 3 of 4 | 1 | 2.5 deg |",
    ]  # fmt: skip
