"""Test the study of joint plans, with results worked out by hand; exams and networks are stand-ins."""

from __future__ import annotations

import json
import sys

import monai.bundle
import numpy as np
import pytest
from planewise.own_exams.heart_bundles import PLANS
from planewise.own_exams.load_bundle import bundles_folder
from planewise.workshop.phantoms import UNLABELLED
from planewise.workshop.phantoms.files import NiftiFile

from tools.studies import joint_plans
from tools.studies.joint_plans import Planned


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
    monkeypatch.setattr(sys, "argv", ["joint_plans", "--out", str(tmp_path), "--exams", "4", "--seed", "50"])
    joint_plans.main()
    lines = capsys.readouterr().out.splitlines()
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
    assert asked == [(tmp_path, 7, 30), (tmp_path / "tree", "all")]
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
    trees = list(joint_plans.written(tmp_path / "my exams", 6, 20))
    assert [tree.name for tree in trees] == ["usual_20_6", "fine_21_6", "strange_22_6", "hard_23_6"]
    assert [words[:6] for words in commands] == [
        [sys.executable, "-m", "planewise", "phantom", "cardiac", str(tree)] for tree in trees
    ]
    given = [dict(zip(words[6::2], words[7::2], strict=True)) for words in commands]
    assert [(each["--seed"], each["--exams"], each["--phases"], each["--layout"]) for each in given] == [
        (str(20 + number), "6", "5", "dsbcc") for number in range(4)
    ]
    # phantoms have these settings, and each takes its value; the technologist makes no errors
    for words in commands:
        population = UNLABELLED.with_text([word for word in words if "=" in word])
        assert population.turn_error == population.tilt_error == population.offset_error == 0


def test_plans_are_those_that_the_bundle_writes(tmp_path):
    volumes, rng = tmp_path / "volumes", np.random.default_rng(0)
    for slices in (3, 5):
        pixels = rng.integers(0, 1000, (64, 64, slices)).astype(np.int16)
        NiftiFile(f"of{slices}.nii.gz", pixels, np.diag([2.2, 2.2, 8, 1])).write(volumes)
    plans = joint_plans.plans_of([{"image": str(volumes / f"of{slices}.nii.gz")} for slices in (5, 3)])
    bundle = bundles_folder(None) / PLANS
    monai.bundle.run(
        config_file=str(bundle / "configs/inference.yaml"), logging_file=False, bundle_root=str(bundle),
        input=str(volumes), output_dir=str(tmp_path / "out"),
    )  # fmt: skip
    assert [plan["slices"] for plan in plans] == [5, 3]
    for name, plan in zip(("of5", "of3"), plans, strict=True):
        assert json.loads((tmp_path / "out" / name / "plan.json").read_text()) == plan
