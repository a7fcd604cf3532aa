"""Measure how much the released planner gains from all phases of a cine, and the error bounds of such joint planes.

The program writes phantom exams of five phases in settings that the weights have not seen, plans every phase with the bundle
that ships, joins the phases as `planewise plan` does, and prints

- errors of end-diastole alone, of every phase alone and of the joint planes, against the planes that the anatomy defines;
- the bounds (``joint_bounds`` of the planning bundle's inference.yaml) from one half of the exams, and the number of planes
  of the other half that are within them.

    python -m tools.studies.joint_plans
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from planewise.data import find_inputs
from planewise.evaluation.joint_plan import join_phases
from planewise.evaluation.plane_bounds import ERRORS, KEPT
from planewise.geometry import Bound, calibrated_bound, plane_errors
from planewise.own_exams.plans_of import plans_of
from planewise.preprocessing.exam_name import exam_of

#: Options for hearts without a technologist's errors, so that the acquired planes are those that the anatomy defines.
_EXACT = "--set turn_error=0 --set tilt_error=0 --set offset_error=0"
SETTINGS = {
    "usual": "",
    "fine": "--thickness 7 --gap 1 --set spacing=1.2,1.5",
    "strange": "--thickness 9 --gap 2 --set lung=0.1,0.25 --set fat=0.2,0.6 --set blur=0.8,1.2 --set image_rotation=80"
    " --set shading=1,1.5 --set noise=0.05,0.1",
    "hard": "--thickness 9 --gap 1 --set shading=1,1.6 --set noise=0.06,0.12 --set myocardium=0.5,0.65 --set tilt=18"
    " --set breath=4",
}
#: Kinds of plans, with a description of each.
KINDS = {"ed": "end-diastole", "each": "each phase", "joint": "all phases, joint"}


class Planned(NamedTuple):
    """A plane with known errors."""

    kind: str
    view: str
    calibrates: bool
    """Whether the plane serves to measure bounds; otherwise it serves to check them"""
    errors: tuple[float, float]
    """Degrees and mm"""
    moved: tuple[float, float]
    """Jack-knife standard errors of the plane, degrees and mm"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("work/joint_plans"), help="folder for the exams, which are kept"
    )
    parser.add_argument(
        "--exams", type=int, default=30, help="exams of each setting for the bounds, and as many for the check"
    )
    parser.add_argument("--seed", type=int, default=270)
    given = parser.parse_args()
    planes = [
        plane for rank in range(2) for plane in planned(given.out, given.exams, given.seed + 10 * rank, rank == 0)
    ]
    print("| plane | exams | median | 9 of 10 within |")
    print("|---|---|---|---|")
    for view in dict.fromkeys(plane.view for plane in planes):
        for kind, words in KINDS.items():
            errors = np.array([plane.errors for plane in planes if (plane.kind, plane.view) == (kind, view)])
            (angle, offset), (most, far) = np.median(errors, axis=0), np.percentile(errors, 90, axis=0)
            print(
                f"| {view}, {words} | {len(errors)} | {angle:.1f} deg, {offset:.1f} mm | {most:.1f} deg, {far:.1f} mm |"
            )
    print("\n| joint plane | base | factor | kept by the other half |")
    print("|---|---|---|---|")
    joint = [plane for plane in planes if plane.kind == "joint"]
    for view in dict.fromkeys(plane.view for plane in joint):
        for number, (name, unit) in enumerate(zip(ERRORS, ("deg", "mm"), strict=True)):
            half, other = (
                [(plane.errors[number], plane.moved[number]) for plane in joint if plane[1:3] == (view, calibrates)]
                for calibrates in (True, False)
            )
            bound = calibrated_bound(*torch.tensor(half, dtype=torch.float64).T, KEPT)
            kept = sum(error <= bound.at(moved) for error, moved in other)
            print(
                f"| {view} {name} | {bound.base:.3f} {unit} | {bound.factor:.3f} | {kept} of {len(other)} |", flush=True
            )


def planned(folder: Path, exams: int, seed: int, calibrates: bool) -> Iterator[Planned]:
    """Write new exams of all settings, and yield their planned planes.

    Args:
        folder: folder for the exams.
        exams: number of exams of each setting.
        seed: seed of the first setting; the others use the following numbers.
        calibrates: see `Planned`.
    """
    for tree in written(folder, exams, seed, _EXACT):
        items = find_inputs(tree, "all")
        by_exam: dict[str, list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
        for item, plan in zip(items, plans_of(items), strict=True):
            by_exam.setdefault(exam_of(item), []).append((item, plan["views"]))
        for phases in by_exam.values():
            wanted = phases[0][0]["image"][0]["planes"]
            views = {str(item["phase"]): views for item, views in phases}
            joint = joined(views, {})
            for kind, plans in (("ed", [phases[0][1]]), ("each", views.values()), ("joint", [joint])):
                for view, entry in ((view, plan[view]) for plan in plans for view in plan if view in wanted):
                    if entry["origin"] is not None:
                        yield Planned(kind, view, calibrates, distance(entry, wanted[view]), _moved(entry))


def written(folder: Path, exams: int, seed: int, options: str = "") -> Iterator[Path]:
    """Write exams of five phases in each of the `SETTINGS`, and yield their folders; complete exams are kept.

    Args:
        folder: folder for the exams.
        exams: number of exams of each setting.
        seed: seed of the first setting; the others use the following numbers.
        options: further options of ``planewise phantom cardiac``.
    """
    for number, (name, own) in enumerate(SETTINGS.items()):
        tree = folder / f"{name}_{seed + number}_{exams}"
        command = f"phantom cardiac {shlex.quote(str(tree))} --layout dsbcc --phases 5 {options} {own}"
        command += f" --exams {exams} --seed {seed + number}"
        subprocess.run([sys.executable, "-m", "planewise", *shlex.split(command)], check=True)
        yield tree.resolve()


def joined(phases: Mapping[str, Mapping[str, Any]], bounds: Mapping[str, Mapping[str, Bound]]) -> dict[str, Any]:
    """The views of an exam, joined from the views of its phases, of which the first is end-diastole."""
    first, *others = phases
    return join_phases(phases[first], {phase: phases[phase] for phase in others}, bounds)


def distance(entry: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[float, float]:
    """Angle (degrees) and offset (mm) of a planned plane from another plane, at the planned plane's origin."""
    origin, normal, *reference = (
        torch.tensor(plane[key], dtype=torch.float64) for plane in (entry, other) for key in ("origin", "normal")
    )
    return plane_errors(origin, normal, *reference, at=origin)


def _moved(entry: Mapping[str, Any]) -> tuple[float, float]:
    return entry["angle_sd_deg"], entry["offset_sd_mm"]


if __name__ == "__main__":
    main()
