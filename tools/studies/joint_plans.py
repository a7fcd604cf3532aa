"""Measure how much the released planner gains from all phases of a cine, and the error bounds of such joint planes.

The program writes phantom exams of five phases in settings that the weights have not seen, plans every phase with the bundle
that ships, joins the phases as `planewise plan` does, and prints

- errors of end-diastole alone, of every phase alone and of the joint planes, against the planes that the anatomy defines;
- the number of planes of single phases that are within the bounds of single planes (``plane_bounds``);
- the bounds (``joint_bounds`` of the planning bundle's inference.yaml) from one half of the exams, and the number of planes
  of the other half that are within them;
- a limit on the distance of later phases from the joint plane (``phases_apart``): in one half of the exams, 99 of 100 later
  phases are within it; and the number of later phases of the other half that are within it.

    python -m tools.studies.joint_plans
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigParser
from planewise.evaluation.joint_plan import join_phases
from planewise.evaluation.plane_bounds import ERRORS, KEPT
from planewise.exams import find_inputs
from planewise.geometry import calibrated_bound
from planewise.own_exams.heart_bundles import PLANS
from planewise.own_exams.load_bundle import bundles_folder
from planewise.own_exams.plan_exams import distance
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
    for tree in written(folder, exams, seed):
        items = find_inputs(tree, "all")
        by_exam: dict[str, list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
        for item, plan in zip(items, plans_of(items), strict=True):
            by_exam.setdefault(exam_of(item), []).append((item, plan["views"]))
        for phases in by_exam.values():
            wanted = phases[0][0]["image"][0]["planes"]
            views = {str(item["phase"]): views for item, views in phases}
            first, *others = views
            joint = join_phases(views[first], {phase: views[phase] for phase in others}, {})
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


def written(folder: Path, exams: int, seed: int) -> Iterator[Path]:
    """Write exams of five phases in each of the `SETTINGS`, and yield their folders; complete exams are kept. For the
    arguments, see `planned`."""
    for number, (name, own) in enumerate(SETTINGS.items()):
        tree = folder / f"{name}_{seed + number}_{exams}"
        command = f"phantom cardiac {shlex.quote(str(tree))} --layout dsbcc --phases 5 {_EXACT} {own}"
        command += f" --exams {exams} --seed {seed + number}"
        subprocess.run([sys.executable, "-m", "planewise", *shlex.split(command)], check=True)
        yield tree.resolve()


def plans_of(data: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Plan many stacks with the planning bundle in this process, without writing files.

    Args:
        data: items from `planewise.exams.find_inputs`.

    Returns:
        The plan of each stack, from `planewise.evaluation.PlanViewsd`.
    """
    folder = bundles_folder(None) / PLANS
    config = ConfigParser.load_config_file(str(folder / "configs" / "inference.yaml"))
    steps, handlers = config["postprocessing"]["transforms"], config["handlers"]
    config["postprocessing"]["transforms"] = [step for step in steps if step["_target_"].endswith(".PlanViewsd")]
    config["handlers"] = [handler for handler in handlers if not handler["_target_"].endswith("Writer")]
    config["dataset"]["data"] = list(data)
    parser = ConfigParser(config)
    parser.update({"bundle_root": str(folder)})
    plans: list[dict[str, Any]] = []

    def keep(engine: Engine) -> None:
        plans.extend(output["plan"] for output in engine.state.output)

    evaluator = parser.get_parsed_content("evaluator")
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, keep)
    evaluator.run()
    return plans


def _kept(errors: tuple[float, float], entry: Mapping[str, Any]) -> tuple[bool, bool]:
    within = entry["within_deg"], entry["within_mm"]
    angle, offset = (limit is not None and error <= limit for error, limit in zip(errors, within, strict=True))
    return angle, offset


if __name__ == "__main__":
    main()
