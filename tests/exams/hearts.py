"""Exams as stacks in memory, for tests that need hearts in many poses without files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from planewise.exams.stack import Frame, Slice, Stack

#: Mean direction from base to apex of four real left ventricles (RAS+).
USUAL_AXIS = np.array([-0.59, 0.58, -0.56]) / np.linalg.norm([-0.59, 0.58, -0.56])


def unit(vector):
    return np.asarray(vector, dtype=float) / np.linalg.norm(vector)


def rotation(axis, degrees):
    """Rotation matrix about an axis (any length)."""
    k, angle = unit(axis), np.radians(degrees)
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def make_frame(**values) -> Frame:
    """A frame as in the header of a cine; ``values`` replace the usual ones."""
    usual = {
        "path": "/data/1.dcm", "frame": None, "affine": np.eye(4).tolist(), "rows": 30, "columns": 40, "thickness": 8.0,
        "trigger": None, "instance": 1, "acquired": ("", 0, 0, ()), "kind": "magnitude", "text": "", "description": "",
        "echo_time": None, "repetition_time": None, "sequence": "", "fat_suppressed": None, "localizer": False,
        "gated": True, "body_part": "", "patient": "p", "study": "s", "series": "1", "frame_of_reference": "f", "sop": "",
    }  # fmt: skip
    return Frame(**(usual | values))


def make_stack(centres, normal, text="", phases=20, acquired=0, size=200, spacing=1.4, gated=True):
    """A stack of square slices with the given image centres (N, 3) and normal."""
    normal = unit(normal)
    helper = np.array([0, 0, 1.0]) if abs(normal[2]) < 0.9 else np.array([1.0, 0, 0])
    u = unit(np.cross(helper, normal))
    v = np.cross(normal, u)
    slices = []
    for rank, centre in enumerate(np.atleast_2d(centres)):
        affine = np.eye(4)
        affine[:3, 0], affine[:3, 1], affine[:3, 2] = u * spacing, v * spacing, normal
        affine[:3, 3] = centre - (size - 1) / 2 * spacing * (u + v)
        slices.append(
            Slice(
                position=float(affine[:3, 3] @ normal),
                affine=affine,
                phases=[make_frame(path=f"{acquired}/{rank}", affine=affine.tolist())] * phases,
                acquired=(("", acquired, 0, ()), rank),
                series=str(acquired),
            )
        )
    return Stack(
        slices=sorted(slices, key=lambda entry: entry.position),
        normal=normal,
        rows=size,
        columns=size,
        in_plane=(spacing, spacing),
        thickness=8.0,
        text=text,
        description=text,
        gated=gated,
        body_part="",
        echo_time=None,
        repetition_time=None,
        sequence="",
        fat_suppressed=None,
        localizer=False,
    )


def turn_and_move(stack, rng, degrees=8.0, millimetres=10.0, pivot=None):
    """Rotate the stack about a random axis through ``pivot`` (by default the centre of its images) and move it, by exactly
    these amounts.
    """
    centre = _centre(stack) if pivot is None else pivot
    turn = rotation(rng.normal(size=3), degrees)
    shift = unit(rng.normal(size=3)) * millimetres
    slices = []
    for entry in stack.slices:
        affine = entry.affine.copy()
        affine[:3, :3] = turn @ affine[:3, :3]
        affine[:3, 3] = turn @ (affine[:3, 3] - centre) + centre + shift
        slices.append(replace(entry, affine=affine))
    normal = turn @ stack.normal
    for entry in slices:
        entry.position = float(entry.affine[:3, 3] @ normal)
    return replace(stack, slices=slices, normal=normal)


def _centre(stack):
    corner = [(stack.columns - 1) / 2, (stack.rows - 1) / 2, 0, 1]
    return np.mean([(entry.affine @ corner)[:3] for entry in stack.slices], axis=0)


def heart(rng, views, tilt=20.0, roll=15.0):
    """A heart whose axis is tilted by up to ``tilt`` degrees and rolled by up to ``roll``, and its planes.

    This follows the anatomy and not the rule under test: long-axis planes contain the axis, 4ch points to the right
    ventricle, 2ch and 3ch are 60 and 120 degrees further; the right ventricle lies 40 mm to the right of the left one.

    Returns:
        {"sax": stack, view: stack, ...} and the middle of the left ventricle.
    """
    # half of the random hearts lie exactly on the allowed limit
    tilted = tilt if rng.random() < 0.5 else rng.uniform(0, tilt)
    rolled = rng.choice([-1, 1]) * roll if rng.random() < 0.5 else rng.uniform(-roll, roll)
    across = unit(np.cross(USUAL_AXIS, rng.normal(size=3)))
    pose = rotation(across, tilted) @ rotation(USUAL_AXIS, rolled)
    axis = pose @ USUAL_AXIS
    right = np.array([1.0, 0, 0])
    right = pose @ unit(right - right @ USUAL_AXIS * USUAL_AXIS)  # towards the right ventricle
    middle = rng.normal(size=3) * 30

    def direction(degrees):
        return rotation(axis, degrees) @ right

    stacks = {}
    look = rng.uniform(-12, 12, size=2)  # operators centre the images on the ventricle by eye
    centre = middle + look[0] * direction(0) + look[1] * direction(90)
    stacks["sax"] = make_stack([centre + axis * step for step in np.linspace(-35, 35, 8)], axis)
    for number, view in enumerate(views, start=1):
        slant = 0.0
        if view in ("2ch", "3ch", "4ch"):
            line = direction({"4ch": -3, "2ch": 62, "3ch": 120}[view])
            through = middle
        elif view == "rv2ch":
            line, slant = direction(rng.uniform(60, 82)), rng.uniform(-15, 15)
            through = middle + rng.uniform(34, 46) * direction(-5)
        else:
            line, slant = direction(rng.uniform(85, 102)), rng.uniform(0, 20)
            through = middle + rng.uniform(20, 30) * direction(-5)
        normal = rotation(line, slant) @ unit(np.cross(line, axis))
        offset = line * rng.uniform(-40, 40) + axis * rng.uniform(-40, 10)
        stacks[view] = make_stack([through + offset], normal, acquired=number)
    return stacks, middle
