"""Prescribe sagittal, coronal and axial stacks along a knee as a technologist does, including typical errors."""

from __future__ import annotations

import numpy as np

from planewise.phantoms.knee.knee import EPICONDYLE, Knee
from planewise.phantoms.knee.population import KneePopulation
from planewise.phantoms.knee.scanner import Protocol
from planewise.phantoms.scanner.pose import ImagePose, rotation

#: Rotation of a sagittal stack that follows the anterior cruciate ligament, radians.
OBLIQUE = np.radians(10.0)


def true_planes(knee: Knee) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The planes that follow from the anatomy (Zhang 2024, section 5.1.2).

    - ``axial``: perpendicular to the common middle line of femur and tibia;
    - ``coronal``: parallel to this line and to the line along the backs of the condyles;
    - ``sagittal``: perpendicular to the line along the backs of the condyles.

    All planes pass through the middle of the joint.

    Returns:
        Maps each view to the origin and the unit normal of its plane, RAS+, mm.
    """
    middle = knee.to_patient(knee.landmarks["middle"])
    up, across = knee.middle_line, knee.condylar_line
    ahead = np.cross(up, across)
    return {"sagittal": (middle, across), "coronal": (middle, ahead), "axial": (middle, up)}


def lay_stacks(
    knee: Knee,
    population: KneePopulation,
    rng: np.random.Generator,
    protocols: dict[str, Protocol],
) -> dict[str, list[ImagePose]]:
    """Prescribe stacks as a technologist does, with errors.

    Args:
        knee: the knee for which stacks are prescribed.
        population: the population, which determines the size of the errors.
        rng: generator of the errors.
        protocols: the scanner's protocols by name; ``sagittal_plain`` is prescribed like the other sagittal stack.

    Returns:
        Maps the name of each stack to its poses. Sagittal stacks go from the patient's left to right, coronal stacks from
        front to back, and axial stacks from the feet up; each may also be in reverse order.
    """
    planes = true_planes(knee)
    stacks = {}
    # to follow the ligament, the front of the stack rotates to the inner side
    outward = 1.0 if knee.patient.left else -1.0
    oblique = outward * OBLIQUE if rng.random() < population.oblique else 0.0
    for view in ("sagittal", "coronal", "axial"):
        middle, normal = planes[view]
        turn, tilt, tilt_towards, offset, rotate, right, down = rng.standard_normal(7)
        backwards = rng.random() < 0.3
        beyond = rng.uniform(*population.coverage, 2)
        if view != "axial":
            angle = np.radians(population.turn_error) * turn + (oblique if view == "sagittal" else 0.0)
            normal = rotation(knee.middle_line, angle) @ normal
        basis = np.linalg.svd(normal[None])[2][1:]
        lever = np.cos(tilt_towards * np.pi) * basis[0] + np.sin(tilt_towards * np.pi) * basis[1]
        normal = rotation(lever, np.radians(population.tilt_error) * np.clip(tilt, -2.5, 2.5)) @ normal
        row, column = _directions(normal, view, np.radians(population.image_rotation) * np.clip(rotate, -2.5, 2.5))
        shift = population.image_shift * (right * row + down * column)
        pose = ImagePose(middle + population.offset_error * offset * normal + shift, row, column)
        for name in ("sagittal", "sagittal_plain") if view == "sagittal" else (view,):
            places = _places(knee, protocols[name], beyond)
            # sagittal pictures are viewed from the patient's left or right, and are numbered in either direction
            stacks[name] = [pose.moved(place * pose.normal) for place in (places[::-1] if backwards else places)]
    return stacks


def _places(knee: Knee, protocol: Protocol, beyond: np.ndarray) -> np.ndarray:
    """Distances of a stack's slices from its middle, mm."""
    count, distance, aside = protocol.count, protocol.distance, 0.0
    if count is None:
        # the stack extends beyond both epicondyles
        count = int(np.round((2 * EPICONDYLE * knee.shape.scale + beyond.sum()) / distance)) + 1
        aside = (beyond[1] - beyond[0]) / 4
    return (np.arange(count) - (count - 1) / 2) * distance + aside


def _directions(normal: np.ndarray, view: str, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """The directions of rows and columns in the usual display. The patient's front (sagittal) or right side is on the
    left; the head or (axial) the front is at the top."""
    down, right = {
        "sagittal": ((0, 0, -1.0), (0, -1.0, 0)),
        "coronal": ((0, 0, -1.0), (-1.0, 0, 0)),
        "axial": ((0, -1.0, 0), (-1.0, 0, 0)),
    }[view]
    column = np.array(down) - (np.array(down) @ normal) * normal
    column /= np.linalg.norm(column)
    row = np.cross(column, normal)
    row *= np.sign(row @ np.array(right))
    about = np.cross(row, column)
    spin = rotation(about, turn)
    return spin @ row, spin @ column
