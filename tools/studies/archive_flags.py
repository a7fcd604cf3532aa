"""Measure how many good views an archive of `planewise plan` flags, and how many misplaced views it finds.

The program writes phantom exams of five phases in settings that the weights have not seen, with a technologist's usual
errors, and plans them as `planewise plan` does. Then it moves the 2ch and 4ch views in the headers of the files: it turns
both about the line in which they cross, or shifts them along their normals. The archive compares recognised views with the
plan: for each movement, the program prints how many of these are flagged. For views that are not recognised, it prints how
many the archive reports because the name of their series does not fit their plane.

    python -m tools.studies.archive_flags
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from planewise.data import find_inputs
from planewise.evaluation.plane_bounds import checked_bounds
from planewise.own_exams.plan_exams import apart_limits, distance
from planewise.phantoms.imaging import rotation
from planewise.preprocessing.exam_name import exam_of

from tools.studies.joint_plans import joined, shipped_settings, written
from tools.studies.plans_of import plans_of

VIEWS = ("2ch", "4ch")
#: DICOM's axes point to the patient's left and back.
_LPS = np.array([-1.0, -1.0, 1.0])


class Move(NamedTuple):
    """How the acquired views of an exam are misplaced."""

    turn: float = 0.0
    """Degrees about the line in which the views cross, in both directions"""
    shift: float = 0.0
    """mm along each view's normal, in both directions"""

    def __str__(self) -> str:
        if self == Move():
            return "as prescribed"
        return f"turned by {self.turn:g} deg" if self.turn else f"shifted by {self.shift:g} mm"


MOVES = (Move(), Move(turn=15), Move(turn=25), Move(shift=8), Move(shift=12))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("work/archive_flags"), help="folder for the exams, which are kept"
    )
    parser.add_argument("--exams", type=int, default=20, help="exams of each setting")
    parser.add_argument("--seed", type=int, default=370, help="seed of the first setting; the others use the next ones")
    given = parser.parse_args()
    planned = [(tree, joint_plans(tree)) for tree in written(given.out, given.exams, given.seed)]
    print("| views | with a plane | compared | flagged by distance | by the series' name |")
    print("|---|---|---|---|---|")
    for move in MOVES:
        found = [each for tree, plans in planned for each in outcomes(tree, plans, move)]
        compared = [each for each in found if each != "named" and each != "missing"]
        print(
            f"| {move} | {len(found)} | {len(compared)} | {compared.count('far')} "
            f"({100 * compared.count('far') / len(compared):.1f} %) | {found.count('named')} |",
            flush=True,
        )


def joint_plans(tree: Path) -> dict[str, dict[str, Any]]:
    """The views of each exam, joined from all phases with the bounds of the bundle that ships."""
    config = shipped_settings()
    bounds = checked_bounds(config["joint_bounds"], config["views"])
    items = find_inputs(tree, "all")
    by_exam: dict[str, dict[str, Any]] = {}
    for item, plan in zip(items, plans_of(items), strict=True):
        by_exam.setdefault(exam_of(item), {})[str(item["phase"])] = plan["views"]
    return {exam: joined(phases, bounds) for exam, phases in by_exam.items()}


def outcomes(tree: Path, plans: Mapping[str, Mapping[str, Any]], move: Move) -> Iterator[str]:
    """Yield what an archive says about each view that has a planned plane.

    Args:
        tree: exams as they were prescribed.
        plans: maps each exam to its planned views.
        move: how the acquired views are misplaced.

    Yields:
        ``far`` if the view is farther from the plan than an archive accepts, ``near`` otherwise; for views that are not
        recognised, ``named`` if the archive names the series, and ``missing`` otherwise.
    """
    for sign in (1, -1) if any(move) else (1,):
        for item in find_inputs(misplaced(tree, Move(sign * move.turn, sign * move.shift)), "ed"):
            acquired = item["image"][0]["planes"]
            for view, entry in plans[exam_of(item)].items():
                limits = apart_limits(entry)
                if entry["origin"] is None or limits is None:
                    continue
                if view in acquired:
                    apart = distance(entry, acquired[view])
                    yield "far" if any(value > limit for value, limit in zip(apart, limits, strict=True)) else "near"
                else:
                    yield "named" if any(view in doubt for doubt in item.get("doubts", ())) else "missing"


def misplaced(tree: Path, move: Move) -> Path:
    """A copy of the exams next to them, whose 2ch and 4ch files have other positions in their headers."""
    if not any(move):
        return tree
    folder = tree.with_name(f"{tree.name}_{move.turn:g}_{move.shift:g}")
    if folder.is_dir():
        return folder
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(tree, part, copy_function=os.link)
    for item in find_inputs(tree, "ed"):
        planes = item["image"][0]["planes"]
        point, direction = crossing([planes[view] for view in VIEWS])
        turn = rotation(direction * _LPS, np.radians(move.turn))
        for view in VIEWS:
            series = Path(item["views"][view]["image"]).parent
            for file in (part / series.relative_to(tree)).iterdir():
                header = pydicom.dcmread(file)
                row, column = (turn @ axis for axis in np.reshape(header.ImageOrientationPatient, (2, 3)).astype(float))
                position = point * _LPS + turn @ (np.array(header.ImagePositionPatient, float) - point * _LPS)
                position += move.shift * np.cross(row, column)
                header.ImageOrientationPatient = [f"{value:.8f}" for value in (*row, *column)]
                header.ImagePositionPatient = [f"{value:.6f}" for value in position]
                file.unlink()  # the copy is a link to the original
                header.save_as(file)
    part.rename(folder)
    return folder


def crossing(planes: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """A point and the unit direction of the line in which two planes cross."""
    normals = np.array([plane["normal"] for plane in planes])
    offsets = [plane["normal"] @ np.array(plane["origin"]) for plane in planes]
    direction = np.cross(*normals)
    direction /= np.linalg.norm(direction)
    return np.linalg.solve([*normals, direction], [*offsets, 0.0]), direction


if __name__ == "__main__":
    main()
