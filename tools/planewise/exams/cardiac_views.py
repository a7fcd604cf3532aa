"""Typical positions of the standard views' planes in the heart (tools/docs/recognition.md)."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

import numpy as np

from planewise.geometry.planes import USUAL_LONG_AXIS


class View(NamedTuple):
    """The typical position of a view's plane in the heart, degrees and mm. Pairs are mean and standard deviation."""

    angle: tuple[float, float]  #: angle of its line in the short axis
    tilt: float  #: standard deviation of its angle against the long axis
    offset: tuple[float, float]  #: distance of its line from the left ventricle's middle, to the patient's right
    prior: float  #: probability that an exam has this view


VIEWS = {
    "2ch": View(angle=(64, 11), tilt=11, offset=(0, 11), prior=0.85),
    "3ch": View(angle=(124, 14), tilt=11, offset=(0, 11), prior=0.35),
    "4ch": View(angle=(-4, 11), tilt=11, offset=(0, 11), prior=0.9),
    "rv2ch": View(angle=(74, 14), tilt=14, offset=(36, 13), prior=0.15),
    "rvot": View(angle=(93, 14), tilt=16, offset=(26, 13), prior=0.12),
}
#: Planes that are not a view.
OTHER = "other"

_NAMES = (*VIEWS, OTHER)
#: Prior for planes that are not a view, which are assumed to be spread evenly over angle, tilt and 160 mm.
_OTHER_PRIOR = 0.12

#: Roll of the heart about its long axis, standard deviation, degrees.
ROLL = 11.0
#: Distance of the left ventricle's middle from the centre of the short-axis images: (share of exams, standard deviation
#: along each axis in mm). The second pair is for images that were cropped or centred elsewhere.
CENTRE = ((0.95, 14.0), (0.05, 60.0))
#: Cost of each further plane with the same view (natural logarithm of the odds).
_REPEAT = -4.0
#: Weight of a name (natural logarithm of the odds).
_HINT, _RV_HINT = 1.4, 3.0


@dataclass(slots=True, eq=False)
class Candidate:
    """A plane that roughly contains the long axis; `assign` adds its views."""

    stack: int  #: index among the exam's stacks
    slice: int
    point: np.ndarray  #: (3,), centre of the image, RAS+, mm
    normal: np.ndarray  #: (3,), unit vector, RAS+
    hint: str | None  #: view claimed by the series' name
    phases: int
    acquired: tuple
    series: str
    cine: bool = False  #: whether it has at least half as many phases as the plane with the most phases
    view: str = OTHER  #: its view in the most likely assignment
    posterior: dict[str, float] = field(default_factory=dict)  #: view to probability
    distance: float = 0.0  #: distance of its line from the middle of the ventricle, mm


class Line(NamedTuple):
    """The line in which a plane meets the plane that is perpendicular to the heart's long axis."""

    angle: float  #: angle on the heart's clock, degrees in [0, 180)
    tilt: float  #: angle of the plane against the long axis, degrees
    offset: float  #: offset of the line from the middle, mm
    across: np.ndarray  #: (2,), unit vector on the clock along the offset, to the patient's right unless horizontal


def is_straight(normal: np.ndarray) -> bool:
    """Whether a plane is axial, coronal or sagittal to within 3 degrees: typical of scouts, rare for heart views."""
    return bool(np.abs(normal).max() > np.cos(np.radians(3)))


def heart_clock(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors towards 0 and 90 degrees on the heart's clock, in the plane perpendicular to the long axis
    ``axis``, ``(3,)``, RAS+."""
    usual = np.array(USUAL_LONG_AXIS)
    zero = np.array([1.0, 0, 0]) - usual[0] * usual
    zero /= np.linalg.norm(zero)
    cross, cosine = np.cross(usual, axis), usual @ axis
    # Rodrigues' formula for the rotation that takes `usual` to `axis`
    zero = zero + np.cross(cross, zero) + np.cross(cross, np.cross(cross, zero)) / (1 + cosine)
    return zero, np.cross(axis, zero)


def line_of(plane_point: np.ndarray, normal: np.ndarray, axis: np.ndarray, middle: np.ndarray) -> Line:
    """The line in which a plane meets the plane that is perpendicular to ``axis`` at ``middle``; all arguments (3,),
    RAS+, mm.
    """
    zero, ninety = heart_clock(axis)
    direction = np.cross(normal, axis)
    angle = np.arctan2(direction @ ninety, direction @ zero) % np.pi
    across = np.array([np.sin(angle), -np.cos(angle)])
    slope = normal @ (across[0] * zero + across[1] * ninety)
    return Line(
        angle=float(np.degrees(angle)),
        tilt=float(np.degrees(np.arcsin(min(1.0, abs(normal @ axis))))),
        offset=float(normal @ (plane_point - middle) / slope),
        across=across,
    )


#: Rolls of the heart to sum over, degrees.
_ROLLS = np.arange(-60.0, 61.0, 4.0)


def assign(planes: list[Candidate], axis: np.ndarray, middle: np.ndarray) -> float:
    """Give every plane its ``view``, ``posterior`` (the probability of each view) and ``distance`` from the ventricle's
    middle (mm).

    Returns:
        The evidence that these are views of a heart: the natural logarithm of the likelihood of all assignments,
        relative to the assignment without any view.
    """
    lines = [line_of(plane.point, plane.normal, axis, middle) for plane in planes]
    scores = [_scores(plane, line) for plane, line in zip(planes, lines, strict=True)]
    # tables (planes, views); the score of an assignment is a sum over their entries
    fixed, rolled, square, vector, matrix = map(np.array, zip(*scores, strict=True))
    choices = _assignments(fixed + rolled.max(axis=2) - 0.5 * np.minimum(square, 30))
    rank = np.arange(len(planes))
    total = fixed[rank, choices].sum(axis=1)
    counts = np.stack([(choices == view).sum(axis=1) for view in range(len(VIEWS))], axis=1)
    total += _REPEAT * np.maximum(counts - 1, 0).sum(axis=1)
    rolls = rolled[rank, choices].sum(axis=1) - 0.5 * (_ROLLS / ROLL) ** 2
    total += np.logaddexp.reduce(rolls, axis=1)
    # Gaussian integrals over the middle of the ventricle, in closed form
    matrix, vector = matrix[rank, choices].sum(axis=1), vector[rank, choices].sum(axis=1)
    integrals, means = [], []
    for share, spread in CENTRE:
        precision = matrix + np.eye(2) / spread**2
        mean = np.linalg.solve(precision, vector[..., None])[..., 0]
        normaliser = np.log(share) - 0.5 * np.log(np.linalg.det(precision * spread**2))
        integrals.append(normaliser + 0.5 * (vector * mean).sum(axis=1))
        means.append(mean)
    total += np.logaddexp.reduce(integrals) - 0.5 * square[rank, choices].sum(axis=1)
    weights = np.exp(total - total.max())
    weights /= weights.sum()
    best = int(total.argmax())
    middle_found = means[int(np.argmax([integral[best] for integral in integrals]))][best]
    for index, (plane, line) in enumerate(zip(planes, lines, strict=True)):
        shares = np.bincount(choices[:, index], weights, len(_NAMES))
        plane.posterior = {name: float(share) for name, share in zip(_NAMES, shares, strict=True)}
        plane.view = _NAMES[choices[best, index]]
        plane.distance = float(line.offset - line.across @ middle_found)
    none = (choices == len(VIEWS)).all(axis=1)
    return float(np.logaddexp.reduce(total) - total[none][0])


def _scores(plane: Candidate, line: Line) -> tuple[np.ndarray, ...]:
    """Log-likelihood terms of one plane under every view, ``other`` last, without constants that all views share.

    Returns:
        Fixed terms ``(views,)``, terms per roll ``(views, rolls)``, and the sufficient statistics of the ventricle's
        middle, a quadratic form ``(views,)``, ``(views, 2)`` and ``(views, 2, 2)``.
    """
    views = list(VIEWS.values())
    angle, angle_sd = np.array([view.angle for view in views]).T
    offset, offset_sd = np.array([view.offset for view in views]).T
    tilt_sd = np.array([view.tilt for view in views])
    residual = (line.angle - angle[:, None] - _ROLLS + 90) % 180 - 90  # lines have no direction: modulo 180
    evenly = np.log(np.sqrt(2 * np.pi))
    fixed = np.log([view.prior for view in views]) - np.log(angle_sd) - np.log(offset_sd) - np.log(tilt_sd) + np.log(2)
    fixed = fixed - 0.5 * (line.tilt / tilt_sd) ** 2
    other = np.log(_OTHER_PRIOR) + 3 * evenly - np.log(180.0) - np.log(160.0) - np.log(90.0)
    fixed = np.append(fixed, other)
    hint = plane.hint
    if hint in VIEWS:
        fixed[_NAMES.index(hint)] += _RV_HINT if hint.startswith("rv") else _HINT
        if hint == "2ch":  # "2ch" is also a name for the right ventricle's view
            fixed[_NAMES.index("rv2ch")] += _HINT / 2
    if not plane.cine:
        fixed[:-1] -= 1.0 + 2.0 * is_straight(plane.normal)  # a single frame is more likely a pilot scan or a scout
    weight = np.append(1 / offset_sd**2, 0.0)
    apart = line.offset - np.append(offset, 0.0)
    return (
        fixed,
        np.vstack([-0.5 * (residual / angle_sd[:, None]) ** 2, np.zeros(len(_ROLLS))]),
        weight * apart**2,
        (weight * apart)[:, None] * line.across,
        weight[:, None, None] * np.outer(line.across, line.across),
    )


def _assignments(optimistic: np.ndarray, most: int = 8_000) -> np.ndarray:
    """Assignments worth scoring, shape (N, planes): indices of views.

    A view is skipped for a plane if even its optimistic score is hopeless (e^-10 of the best). If too many assignments
    remain, planes that fit no view well count as other.
    """
    allowed = [list(np.flatnonzero(row >= row.max() - 10)) for row in optimistic]
    other = len(VIEWS)
    allowed = [views if other in views else [*views, other] for views in allowed]
    for index in np.argsort(optimistic[:, :other].max(axis=1) - optimistic[:, other]):
        if np.prod([len(views) for views in allowed], dtype=float) <= most:
            break
        allowed[index] = [other]
    return np.array(list(product(*allowed)))
