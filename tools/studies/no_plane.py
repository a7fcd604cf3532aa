"""Measure how often the released planner answers "no plane" for stacks that are not a short axis (see the docs of
pretext_cardiac_multitask).

The program writes stacks as NIfTI files and plans them with the bundle that ships. For each kind of stack, it prints the
number of stacks without any plane, the number of stacks that would have no plane even without the limit on their direction
(``--min_obliquity 0``), and the smallest obliquity. The kinds are

- the short axes of phantoms, which should have planes;
- chests: ten slices, 10 mm apart, through the hearts of these phantoms along the body's axes, and rotated by 16 to 30
  degrees about a random axis in the slices;
- knees: sagittal stacks of phantoms;
- noise: white noise and smoother noise, with the headers of short axes;
- volumes given with ``--volumes``: ten slices along each of their axes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
import torch
from planewise.geometry.stack_direction import degrees_off_axis, why_no_short_axis
from planewise.phantoms import KNEE_UNLABELLED, UNLABELLED, Exam, ImagePose, Recipe
from planewise.phantoms.files import NiftiFile
from planewise.phantoms.heart.study import cine_volume, view_affine
from planewise.phantoms.imaging import rotation
from scipy.ndimage import gaussian_filter

from tools.studies.joint_plans import shipped_settings
from tools.studies.plans_of import plans_of

SLICES, DISTANCE = 10, 10.0
#: Directions of rows and columns: to the patient's left, back and feet.
LEFT, BACK, FEET = np.array([-1.0, 0, 0]), np.array([0, -1.0, 0]), np.array([0, 0, -1.0])
CUTS = {"axial": (LEFT, BACK), "coronal": (LEFT, FEET), "sagittal": (BACK, FEET)}
TURNED = (16.0, 30.0)


class Planned(NamedTuple):
    """The result of planning on one stack."""

    kind: str
    obliquity: float
    """Degrees"""
    off_axis: float
    """Angle between the slices' normal and the usual long axis, degrees"""
    no_plane: bool
    """Whether no view has a plane even if the limit on the direction of the slices is off"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("work/no_plane"), help="folder for the stacks, which are kept")
    parser.add_argument("--stacks", type=int, default=34, help="stacks of each kind; three times as many of noise")
    parser.add_argument("--volumes", nargs="*", type=Path, default=[], help="NIfTI volumes that do not show a heart")
    parser.add_argument("--seed", type=int, default=92)
    given = parser.parse_args()
    kinds = written(given.out, given.stacks, given.volumes, given.seed)
    config = shipped_settings()
    limit = float(config["min_obliquity"])
    print("| stacks | no plane | no plane even with `--min_obliquity 0` | least oblique |")
    print("|---|---|---|---|")
    found = planned(given.out, kinds)
    for kind in dict.fromkeys(kinds.values()):
        of_kind = [each for each in found if each.kind == kind]
        refused = sum(
            each.no_plane or bool(why_no_short_axis(each.obliquity, "", limit, each.off_axis)) for each in of_kind
        )
        by_heatmaps = sum(each.no_plane for each in of_kind)
        least = min(each.obliquity for each in of_kind)
        print(f"| {kind} | {refused} of {len(of_kind)} | {by_heatmaps} | {least:.1f} deg |", flush=True)


def written(folder: Path, count: int, volumes: Sequence[Path], seed: int) -> dict[str, str]:
    """Write the stacks, or keep those of an earlier run with the same settings. Returns the kind of each file by its stem.

    Args:
        folder: folder for the files and for the list of them.
        count, volumes, seed: see `stacks`.
    """
    record = folder / "stacks.json"
    asked = {"stacks": count, "volumes": [volume.name for volume in volumes], "seed": seed}
    if record.is_file() and (kept := json.loads(record.read_text()))["asked"] == asked:
        return kept["kinds"]
    folder.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    kinds = {}
    for kind, file in stacks(count, volumes, seed):
        file.write(folder)
        kinds[file.name.removesuffix(".nii.gz")] = kind
    record.write_text(json.dumps({"asked": asked, "kinds": kinds}))
    return kinds


def planned(folder: Path, kinds: Mapping[str, str]) -> list[Planned]:
    """Plan volumes with the weights that ship, without the limit on the direction of their slices.

    Args:
        folder: folder of the NIfTI files.
        kinds: kind of each file to plan, by its stem.
    """
    plans = plans_of([{"image": str(folder / f"{name}.nii.gz")} for name in kinds], min_obliquity=0.0)
    affines = [torch.from_numpy(nibabel.load(folder / f"{name}.nii.gz").affine) for name in kinds]
    verdicts = [{view["verdict"] for view in plan["views"].values()} for plan in plans]
    return [
        Planned(kind, plan["obliquity_deg"], degrees_off_axis(affine[None]), of_views == {"no plane"})
        for kind, plan, affine, of_views in zip(kinds.values(), plans, affines, verdicts, strict=True)
    ]


def stacks(count: int, volumes: Sequence[Path], seed: int) -> Iterator[tuple[str, NiftiFile]]:
    """Yield the kind and the file of every stack.

    Args:
        count: number of stacks of each kind of phantom; there are three times as many stacks of noise.
        volumes: real volumes that do not show a heart.
        seed: seed of the phantoms, the directions and the noise.
    """
    rng = np.random.default_rng(seed)
    hearts = Recipe("dsbcc", seed, UNLABELLED.with_values(phases=1, spacing=(1.8, 2.8)))
    knees = Recipe("fastmri", seed, KNEE_UNLABELLED.at_size("demo"))
    for number in range(1, count + 1):
        exam = hearts.exam(number)
        cine, affine = cine_volume(exam, "sax")
        yield "short axes of the same chests", NiftiFile(f"sax{number:03d}.nii.gz", cine[..., 0], affine)
        along = {cut: ImagePose(exam.heart.centre, row, column) for cut, (row, column) in CUTS.items()}
        for cut, pose in along.items():
            yield f"{cut} chests", chest(exam, pose, f"{cut}{number:03d}.nii.gz")
        for cut, pose in along.items():
            direction = rng.uniform(0, 2 * np.pi)
            axis = np.cos(direction) * pose.row + np.sin(direction) * pose.column
            turn = rotation(axis, np.radians(rng.uniform(*TURNED)))
            turned = ImagePose(pose.centre, turn @ pose.row, turn @ pose.column)
            name = "chests turned by 16 to 30 degrees from these"
            yield name, chest(exam, turned, f"turned_{cut}{number:03d}.nii.gz")
        knee = knees.exam(number)
        protocol, poses = knee.scanner.protocols["sagittal"], knee.poses["sagittal"]
        affine = poses[0].affine((protocol.spacing, protocol.spacing), protocol.matrix, 1.0)
        affine[:3, 2] = poses[1].centre - poses[0].centre
        pixels = knee.volume("sagittal").transpose(2, 1, 0).astype(np.int16)
        yield "knees", NiftiFile(f"knee{number:03d}.nii.gz", pixels, affine)
        for smooth in range(3):
            noise = gaussian_filter(rng.standard_normal((128, 128, SLICES)), (2.0 * smooth, 2.0 * smooth, 0))
            pixels = (1000 + 100 * noise / noise.std()).astype(np.int16)
            yield "noise", NiftiFile(f"noise{number:03d}_{smooth}.nii.gz", pixels, view_affine(exam, "sax"))
    for volume in volumes:
        yield from cuts_of(volume)


def chest(exam: Exam, pose: ImagePose, name: str) -> NiftiFile:
    """Ten slices of a phantom's chest, centred on ``pose``."""
    scanner = exam.scanner
    places = [pose.moved((rank - (SLICES - 1) / 2) * DISTANCE * pose.normal) for rank in range(SLICES)]
    pixels = np.stack([exam.images(place, 900 + rank)[0].T for rank, place in enumerate(places)], axis=-1)
    affine = places[0].affine((scanner.spacing, scanner.spacing), scanner.matrix, DISTANCE)
    return NiftiFile(name, pixels.astype(np.int16), affine)


def cuts_of(volume: Path) -> Iterator[tuple[str, NiftiFile]]:
    """Cut a real volume along each of its axes into ten evenly spaced slices of the middle two thirds, or into all slices
    along an axis that has fewer than ten."""
    image = nibabel.load(volume)
    pixels = np.asarray(image.dataobj, dtype=np.float32)
    if pixels.ndim != 3:
        raise SystemExit(f"{volume} has {pixels.ndim} axes; give volumes with three axes")
    for axis in range(3):
        # the axis to cut comes last; the two others keep their order
        order = [each for each in range(3) if each != axis] + [axis]
        size = pixels.shape[axis]
        step = max(1, size * 2 // 3 // SLICES)
        count = min(SLICES, size)
        first = (size - step * (count - 1)) // 2
        affine = image.affine[:, [*order, 3]].copy()
        affine[:3, 3] += first * affine[:3, 2]
        affine[:3, 2] *= step
        chosen = pixels.transpose(order)[..., first : first + step * count : step]
        stem = volume.name.removesuffix(".gz").removesuffix(".nii")
        yield "real volumes that were named", NiftiFile(f"{stem}_{axis}.nii.gz", chosen, affine)


if __name__ == "__main__":
    main()
