"""Measure how much the released planner gains from all phases of a cine, and the error bounds of such joint planes.

The program writes phantom exams of five phases in settings that the weights have not seen, plans every phase with the bundle
that ships, joins the phases as `planewise plan` does, and prints

- errors of end-diastole alone, of every phase alone and of the joint planes, against the planes that the anatomy defines;
- the number of planes of single phases that are within the bounds of single planes (``plane_bounds``);
- the bounds (``joint_bounds`` of the planning bundle's inference.yaml) from one half of the exams, and the number of planes
  of the other half that are within them;
- a limit on the distance of later phases from the joint plane (``phases_apart``): in one half of the exams, 99 of 100 later
  phases are within it; and the number of later phases of the other half that are within it.

With ``--exam``, it plans a real exam instead, and compares each phase with the planes that the operator prescribed, with the
joint planes, and with the long axis of the left ventricle, from the centres of the segmented blood pool.

    python -m tools.studies.joint_plans
    python -m tools.studies.joint_plans --exam ../shared/data/cardiac_cine_exam/dicom
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import planewise
import torch
from monai.bundle import ConfigParser
from planewise.data import find_inputs
from planewise.evaluation.joint_plan import join_phases
from planewise.evaluation.plane_bounds import ERRORS, KEPT, checked_bounds, phases_apart
from planewise.geometry import Bound, calibrated_bound
from planewise.own_exams.heart_bundles import PLANS
from planewise.own_exams.load_bundle import bundles_folder
from planewise.own_exams.plan_exams import distance
from planewise.preprocessing.exam_name import exam_of

from tools.studies.plans_of import plans_of

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
#: Share of the later phases within ``phases_apart``.
USUAL = 99


class Planned(NamedTuple):
    """A plane with known errors; or, if the kind is ``apart``, the distance of a later phase's plane from the joint plane."""

    kind: str
    view: str
    calibrates: bool
    """Whether the plane is used to measure bounds; if not, it is used to check them"""
    errors: tuple[float, float]
    """Degrees and mm"""
    moved: tuple[float, float]
    """Jack-knife standard errors of the plane, degrees and mm"""
    kept: tuple[bool, bool]
    """Whether the errors are within the plane's bounds"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("work/joint_plans"), help="folder for the exams, which are kept"
    )
    parser.add_argument(
        "--exams", type=int, default=30, help="exams of each setting for the bounds, and as many for the check"
    )
    parser.add_argument("--seed", type=int, default=270)
    parser.add_argument("--exam", type=Path, help="a DICOM exam to plan, in place of phantoms")
    given = parser.parse_args()
    if given.exam:
        print("\n".join(compared(given.exam)))
        return
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
    print("\n| each phase | within the bound on the angle | within the bound on the offset |")
    print("|---|---|---|")
    for view in dict.fromkeys(plane.view for plane in planes):
        kept = np.array([plane.kept for plane in planes if plane[:2] == ("each", view)])
        print(f"| {view} | {kept[:, 0].sum()} of {len(kept)} | {kept[:, 1].sum()} of {len(kept)} |")
    print("\n| joint plane | base | factor | planes of the other half within the bound |")
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
    print(
        f"\n| distance of later phases from the joint plane | limit that {USUAL} of 100 phases of one half keep "
        "| phases of the other half within this limit |"
    )
    print("|---|---|---|")
    for view in dict.fromkeys(plane.view for plane in joint):
        half, other = (
            np.array([plane.errors for plane in planes if plane[:3] == ("apart", view, calibrates)])
            for calibrates in (True, False)
        )
        angle, offset = np.percentile(half, USUAL, axis=0)
        within = int(((other[:, 0] <= angle) & (other[:, 1] <= offset)).sum())
        print(f"| {view} | {angle:.1f} deg, {offset:.1f} mm | {within} of {len(other)} |", flush=True)


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
            first, *others = views
            joint = joined(views, {})
            kinds = {
                "ed": ([views[first]], wanted),
                "each": (views.values(), wanted),
                "joint": ([joint], wanted),
                "apart": ([views[phase] for phase in others], joint),
            }
            for kind, (plans, references) in kinds.items():
                for view, entry in ((view, plan[view]) for plan in plans for view in plan if view in wanted):
                    if entry["origin"] is not None and references[view]["origin"] is not None:
                        errors = distance(entry, references[view])
                        moved = entry["angle_sd_deg"], entry["offset_sd_mm"]
                        yield Planned(kind, view, calibrates, errors, moved, _kept(errors, entry))


def compared(exam: Path) -> Iterator[str]:
    """Yield the lines of a table of a real exam: each phase and the joint plan against the operator's planes.

    Args:
        exam: folder of a DICOM exam with a cine of the short axis and acquired 2ch and 4ch views.
    """
    items = find_inputs(exam, "all")
    plans = {str(item["phase"]): plan["views"] for item, plan in zip(items, plans_of(items), strict=True)}
    wanted = items[0]["image"][0]["planes"]
    config = shipped_settings()
    bounds = checked_bounds(config["joint_bounds"], config["views"])
    apart = phases_apart(config["joint_bounds"], config["views"])
    joint = joined(plans, bounds, apart)
    with tempfile.TemporaryDirectory() as folder:
        (heart,) = planewise.segment(exam, folder)
        affines = [nibabel.load(mask).affine for mask in heart.masks]
        axes = dict(zip(plans, map(long_axis, heart.labels, affines), strict=True))
    yield "| plane | verdict | from the acquired plane | its bounds | from the joint plane | long axis |"
    yield "|---|---|---|---|---|---|"
    for view in joint:
        for name, entry in [*((phase, plan[view]) for phase, plan in plans.items()), ("joint", joint[view])]:
            cells = ["-"] * 4
            if entry["origin"] is not None:
                errors = [distance(entry, reference) for reference in (wanted[view], joint[view])]
                cells[0], cells[2] = (f"{angle:.1f} deg, {offset:.1f} mm" for angle, offset in errors)
                cells[1] = f"{entry['within_deg']:.1f} deg, {entry['within_mm']:.1f} mm"
            if name in axes:
                cells[3] = f"{np.degrees(np.arcsin(axes[name] @ wanted[view]['normal'])):.1f} deg"
            disagrees = ", disagrees" if name in joint[view]["phases_that_disagree"] else ""
            yield f"| {view}, {name} | {'; '.join([entry['verdict'], *entry['reasons']])}{disagrees} | {' | '.join(cells)} |"


def long_axis(labels: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The direction of the left ventricle's long axis: the line through the centres of its blood pool on the slices, which
    are weighted by their area.

    Args:
        labels: label map, ``(i, j, slices)``, with 3 for the left ventricle on at least two slices.
        affine: affine of the volume, RAS+, mm.

    Returns:
        Unit vector, RAS+, along the order of the slices.
    """
    shown = [number for number in range(labels.shape[2]) if (labels[..., number] == 3).any()]
    centres = np.array([[*np.argwhere(labels[..., number] == 3).mean(axis=0), number, 1] for number in shown])
    areas = np.array([(labels[..., number] == 3).sum() for number in shown])
    slopes = np.polyfit(shown, (centres @ affine.T)[:, :3], 1, w=np.sqrt(areas))[0]
    return slopes / np.linalg.norm(slopes)


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


def shipped_settings() -> dict[str, Any]:
    """The settings of the planning bundle's ``inference.yaml``."""
    return ConfigParser.load_config_file(str(bundles_folder(None) / PLANS / "configs/inference.yaml"))


def joined(
    phases: Mapping[str, Mapping[str, Any]],
    bounds: Mapping[str, Mapping[str, Bound]],
    apart: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, Any]:
    """The views of an exam, joined from the views of its phases, of which the first is end-diastole (`join_phases`)."""
    first, *others = phases
    return join_phases(phases[first], {phase: phases[phase] for phase in others}, bounds, apart)


def _kept(errors: tuple[float, float], entry: Mapping[str, Any]) -> tuple[bool, bool]:
    within = entry["within_deg"], entry["within_mm"]
    angle, offset = (limit is not None and error <= limit for error, limit in zip(errors, within, strict=True))
    return angle, offset


if __name__ == "__main__":
    main()
