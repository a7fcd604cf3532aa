"""Which stack is the short axis and which planes are the 2-, 3- and 4-chamber views: geometry first, names as hints.

The rule
--------
The left ventricle points left, anterior and inferior from base to apex. The short-axis stack is the multi-slice stack whose
normal lies nearest to that direction, that is a cine, and whose normal the long-axis views contain. Its normal,
turned from base to apex, is the long axis, and every other plane cuts the middle of the stack in a line. In a clock that is
fixed to the heart (0 degrees: the patient's right-left axis, carried along as the usual long axis is turned into this
exam's by the shortest way; counted about the long axis), the lines of the standard views lie about 60 degrees apart:

- 4ch, the horizontal long axis, nearly contains the right-left axis (-4 degrees),
- 2ch, the vertical long axis, nearly contains the superior-inferior axis (64 degrees),
- 3ch lies between and nearly contains the anterior-posterior axis (124 degrees).

All three contain the long axis and pass through the middle of the left ventricle, so their lines meet in one point. The
views of the right ventricle have angles like the 2ch, but pass 20 to 45 mm to the patient's right of that point: rv2ch
through the middle of the right ventricle, rvot through its outflow tract, tilted.

Each view is therefore a Gaussian in angle, in tilt against the long axis and in distance from the ventricle's middle
(`VIEWS`). Two unknowns are shared by all planes of the exam: how far the heart is rolled about its long axis, and
where the middle of the left ventricle lies (near the centre of the short-axis images). All assignments of views to planes are
scored with both unknowns integrated out; a plane's confidence is the share of the assignments in which it has its view.
What the series is called shifts the odds by a factor of 4 (20 where it says right ventricle): a hint, never a proof.

The angles are the means of four real exams: the one whose pictures this project has, and three whose slice geometry is
public with UOA-Heart-Mechanics-Research/biv-me (4ch 8, -7, -10, -8; 2ch 66, 64, 58, 66; 3ch 129, 114, 140, 112 degrees).
How far the ventricle's middle lies from the image centre comes from thirteen Sunnybrook patients (12 mm along each axis).
The widths are wider than these: they allow for every plane turned by 8 degrees and moved by 10 mm.

Limits
------
- Hearts on the right (dextrocardia), or turned by more than about 30 degrees from the usual pose, are misnamed or undecided.
- Where the 2ch of the left ventricle was not acquired, that of the right is told from it by its distance from the image
  centre alone. It is undecided as a rule and left out; of the real exam's, turned and moved to the limits, one in eight is
  called 2ch. A series name that says RV settles it.
- rv2ch and rvot blend into each other; where only one of the two was acquired it may get the other's name.
- Two planes of one view (a repeat, a pilot scan): the last acquired is used if they lie within 10 degrees and 12 mm of each
  other and are about as likely, cines before single frames; otherwise the likelier one.
- Pixels are not looked at: a knee scanned at a heart's angles, gated, is a heart.
"""

from __future__ import annotations

import re
from itertools import product
from typing import NamedTuple

import numpy as np

from planewise.exams.stacks import gaps, image_centre, phase_counts, stack_middle
from planewise.exams.words import count_of
from planewise.geometry import MIN_BASE_APEX_COSINE, base_to_apex
from planewise.geometry.locations import USUAL_LONG_AXIS


class View(NamedTuple):
    """How a view's plane lies in the heart: degrees, mm. Pairs are mean and standard deviation."""

    angle: tuple[float, float]
    """of its line in the short axis"""
    tilt: float
    """standard deviation of its angle against the long axis"""
    offset: tuple[float, float]
    """of its line from the middle of the left ventricle, to the patient's right"""
    prior: float
    """how likely an exam is to hold it"""


VIEWS = {
    "2ch": View(angle=(64, 11), tilt=11, offset=(0, 11), prior=0.85),
    "3ch": View(angle=(124, 14), tilt=11, offset=(0, 11), prior=0.35),
    "4ch": View(angle=(-4, 11), tilt=11, offset=(0, 11), prior=0.9),
    "rv2ch": View(angle=(74, 14), tilt=14, offset=(36, 13), prior=0.15),
    "rvot": View(angle=(93, 14), tilt=16, offset=(26, 13), prior=0.12),
}
OTHER = "other"
_NAMES = (*VIEWS, OTHER)
#: Planes that are none of the views: spread evenly over angle, tilt and 160 mm, with this prior.
_OTHER_PRIOR = 0.12

#: Roll of the heart about its long axis, standard deviation, degrees.
ROLL = 11.0
#: Middle of the left ventricle from the centre of the short-axis images: (share of exams, standard deviation along each
#: axis in mm). The second is for images that were cropped or centred on something else.
CENTRE = ((0.95, 14.0), (0.05, 60.0))
#: Each further plane with the same view costs this (natural logarithm of the odds).
_REPEAT = -4.0
#: Two planes of one view are a repeat if they are this close (degrees, mm) and the one is at least this share as likely
#: as the other; otherwise the likelier of them is the view.
_REPEAT_ANGLE, _REPEAT_DISTANCE, _REPEAT_SHARE = 10.0, 12.0, 0.75
#: What a name is worth (natural logarithm of the odds).
_HINT, _RV_HINT = 1.4, 3.0
#: Planes tilted further than this against the long axis are no long-axis views.
_MAX_TILT = 45.0
#: Views less certain than this are reported and left out.
MIN_CONFIDENCE = 0.6
#: A stack is called the short axis from this confidence on.
MIN_STACK_CONFIDENCE = 0.4
#: Fewest slices of a short-axis stack.
MIN_SLICES = 3

_HINTS = {
    "rv2ch": r"\brv\b.{0,8}(2 ?ch|two|2 ?cv|vla)|(2 ?ch|2 ?cv|vla).{0,4}\brv\b|\brv2ch\b",
    "rvot": r"rvot|rv out|\brv\b.{0,4}outflow",
    "3ch": r"\b3 ?ch|\b3 ?cv|three ?ch|\blvot\b|\b3 ?kammer|\b3 ?kb\b",
    "4ch": r"\b4 ?ch|\b4 ?cv|four ?ch|\bhla\b|\b4 ?kammer|\b4 ?kb\b",
    "2ch": r"\b2 ?ch|\b2 ?cv|two ?ch|\bvla\b|\b2 ?kammer|\b2 ?kb\b",
    "sax": r"\bsax?\b|short ?ax|\bksa\b|kurz",
}
_HEART_WORDS = r"cine|heart|card|ventric|trufi|fiesta|bssfp|\blge\b|" + "|".join(_HINTS.values())


def named_view(text: str) -> str | None:
    """The view that a series' name claims, or None. Names are hints: two series may claim one view, or the wrong one."""
    plain = re.sub(r"[_\-./|]+", " ", text.lower())
    return next((view for view, pattern in _HINTS.items() if re.search(pattern, plain)), None)


def recognise(stacks: list[dict], short_axis: int | None = None) -> dict:
    """The short-axis stack of an exam and the planes of its long-axis views.

    Args:
        stacks: of one exam, as `stacks.build_stacks` gives them.
        short_axis: index of the short-axis stack, if a person has said which it is.

    Returns:
        ``stack``: index of the short-axis stack, or None; ``confidence`` of it, and ``candidate``: the best one even where
        it is not good enough; ``axis``: unit vector from base to apex, RAS+, or None; ``views``: view to {``stack``,
        ``slice``, ``confidence``, ``runners_up``}; ``undecided``: the same for planes whose best view is below
        `MIN_CONFIDENCE`; ``left_out``: reasons in words.
    """
    result = {
        "stack": None,
        "confidence": 0.0,
        "candidate": None,
        "axis": None,
        "views": {},
        "undecided": [],
        "left_out": [],
    }
    if short_axis is not None:
        return result | _recognise_views(stacks, short_axis, 1.0, _score_stack(stacks, short_axis)[1])
    scored = sorted(
        (
            (*_score_stack(stacks, index), index)
            for index, stack in enumerate(stacks)
            if len(stack["slices"]) >= MIN_SLICES
        ),
        key=lambda entry: (-entry[0], -phase_counts(stacks[entry[2]])[1], -len(stacks[entry[2]]["slices"])),
    )
    if not scored:
        most = max((len(stack["slices"]) for stack in stacks), default=0)
        result["left_out"].append(f"no stack of {MIN_SLICES} or more parallel slices (the largest has {most})")
        return result
    odds, planes, best = scored[0]
    confidence = float(1 / (1 + np.exp(-odds)))
    if confidence < MIN_STACK_CONFIDENCE:
        result["left_out"].append(_why_no_short_axis(stacks[best]))
        return result | {"candidate": best, "confidence": confidence}
    return result | _recognise_views(stacks, best, confidence, planes)


def _recognise_views(stacks: list[dict], chosen: int, confidence: float, planes: list[dict]) -> dict:
    result = {"stack": chosen, "candidate": chosen, "confidence": confidence, "axis": long_axis(stacks[chosen])}
    result |= {"views": {}, "undecided": [], "left_out": []}
    _choose_views(result, planes)
    _tell_what_is_left(result, stacks)
    return result


def long_axis(stack: dict) -> np.ndarray | None:
    """Unit vector from base to apex along a stack's normal, RAS+; None where base and apex cannot be told apart."""
    axis = base_to_apex(stack["normal"]).numpy()
    return None if np.isnan(axis).any() else axis


def angle_to_usual_axis(stack: dict) -> float:
    """Degrees between a stack's normal and the usual long axis, in [0, 90]."""
    return float(np.degrees(np.arccos(min(1.0, abs(stack["normal"] @ USUAL_LONG_AXIS)))))


def is_straight(normal: np.ndarray) -> bool:
    """Whether a plane is axial, coronal or sagittal to within 3 degrees, as scouts are and heart views hardly ever."""
    return bool(np.abs(normal).max() > np.cos(np.radians(3)))


def _score_stack(stacks: list[dict], index: int) -> tuple[float, list[dict]]:
    """Log-odds that a stack is the short axis, and what its planes would be."""
    stack = stacks[index]
    axis = long_axis(stack)
    if axis is None:
        return -10.0 - angle_to_usual_axis(stack) / 90, []
    step = float(np.median(gaps(stack)))
    odds = -2.5 - 0.5 * (angle_to_usual_axis(stack) / 22) ** 2
    odds += np.log(min(len(stack["slices"]), 8) / 3)
    odds += 1.5 * (phase_counts(stack)[1] >= 5) + 1.0 * stack["gated"]
    odds += 2.0 * (named_view(stack["text"]) == "sax") or 1.0 * bool(re.search(_HEART_WORDS, stack["text"]))
    if stack["body_part"]:
        odds += 0.5 if re.search("heart|card|chest|thorax", stack["body_part"]) else -2.0
    odds -= 2.0 * (not 3.5 <= step <= 25)
    odds -= 3.0 * is_straight(stack["normal"])
    planes = _candidates(stacks, index, axis)
    evidence = _assign(planes, axis, stack_middle(stack)) if planes else 0.0
    return float(odds + np.clip(evidence, 0, 6)), planes


def _candidates(stacks: list[dict], chosen: int, axis: np.ndarray) -> list[dict]:
    """Planes that contain the long axis more or less: every slice of the small stacks, of large ones the one nearest to
    the middle of the short-axis images."""
    middle = stack_middle(stacks[chosen])
    planes = []
    for index, stack in enumerate(stacks):
        if index == chosen or abs(stack["normal"] @ axis) > np.sin(np.radians(_MAX_TILT)):
            continue
        distance = [abs(stack["normal"] @ (image_centre(stack, entry) - middle)) for entry in stack["slices"]]
        few = len(stack["slices"]) <= 5
        for rank, entry in enumerate(stack["slices"]):
            if few or rank == int(np.argmin(distance)):
                planes.append(
                    {
                        "stack": index,
                        "slice": rank,
                        "point": image_centre(stack, entry),
                        "normal": stack["normal"],
                        "hint": named_view(stack["text"] if few else ""),
                        "phases": len(entry["phases"]),
                        "acquired": entry["acquired"],
                        "series": entry["series"],
                    }
                )
    most = max((plane["phases"] for plane in planes), default=1)
    for plane in planes:
        plane["cine"] = 2 * plane["phases"] >= most
    return planes


def heart_clock(axis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors at 0 and 90 degrees of the heart's clock in the plane across the long axis ``axis`` (3,), RAS+.

    0 degrees is the right-left axis, projected for the usual long axis and carried along by the shortest rotation.
    """
    usual = np.array(USUAL_LONG_AXIS)
    zero = np.array([1.0, 0, 0]) - usual[0] * usual
    zero /= np.linalg.norm(zero)
    cross, cosine = np.cross(usual, axis), usual @ axis
    # Rodrigues' formula for the rotation that takes `usual` to `axis`
    zero = zero + np.cross(cross, zero) + np.cross(cross, np.cross(cross, zero)) / (1 + cosine)
    return zero, np.cross(axis, zero)


def line_of(plane_point: np.ndarray, normal: np.ndarray, axis: np.ndarray, middle: np.ndarray) -> dict:
    """Where a plane cuts the plane across the long axis through ``middle``.

    Returns:
        ``angle`` on the heart's clock, degrees in [0, 180); ``tilt``: of the plane against the long axis, degrees;
        ``offset``: of the line from the middle, mm; ``across``: unit vector (2,) on the clock along which the offset is
        counted, to the patient's right for lines that are not horizontal.
    """
    zero, ninety = heart_clock(axis)
    direction = np.cross(normal, axis)
    angle = np.arctan2(direction @ ninety, direction @ zero) % np.pi
    across = np.array([np.sin(angle), -np.cos(angle)])
    slope = normal @ (across[0] * zero + across[1] * ninety)
    return {
        "angle": float(np.degrees(angle)),
        "tilt": float(np.degrees(np.arcsin(min(1.0, abs(normal @ axis))))),
        "offset": float(normal @ (plane_point - middle) / slope),
        "across": across,
    }


_ROLLS = np.arange(-60.0, 61.0, 4.0)


def _assign(planes: list[dict], axis: np.ndarray, middle: np.ndarray) -> float:
    """Give every plane its ``view``, ``posterior`` (view to probability) and ``distance`` from the ventricle's middle (mm).

    Returns:
        The evidence for these being views of a heart: log of the odds against none of them being one.
    """
    lines = [line_of(plane["point"], plane["normal"], axis, middle) for plane in planes]
    scores = [_scores(plane, line) for plane, line in zip(planes, lines, strict=True)]
    # (planes, views) tables that an assignment sums over: fixed, per roll, and the sufficient statistics of the middle
    fixed = np.array([score["fixed"] for score in scores])
    rolled = np.array([score["rolled"] for score in scores])
    square, vector, matrix = (np.array([score[name] for score in scores]) for name in ("square", "vector", "matrix"))
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
        plane["posterior"] = {name: float(share) for name, share in zip(_NAMES, shares, strict=True)}
        plane["view"] = _NAMES[choices[best, index]]
        plane["distance"] = float(line["offset"] - line["across"] @ middle_found)
    none = (choices == len(VIEWS)).all(axis=1)
    return float(np.logaddexp.reduce(total) - total[none][0])


def _scores(plane: dict, line: dict) -> dict:
    """Log-likelihood terms of one plane under every view; constants that all views share are left out."""
    views = list(VIEWS.values())
    angle, angle_sd = np.array([view.angle for view in views]).T
    offset, offset_sd = np.array([view.offset for view in views]).T
    tilt_sd = np.array([view.tilt for view in views])
    residual = (line["angle"] - angle[:, None] - _ROLLS + 90) % 180 - 90  # lines have no direction: modulo 180
    evenly = np.log(np.sqrt(2 * np.pi))
    fixed = np.log([view.prior for view in views]) - np.log(angle_sd) - np.log(offset_sd) - np.log(tilt_sd) + np.log(2)
    fixed = fixed - 0.5 * (line["tilt"] / tilt_sd) ** 2
    other = np.log(_OTHER_PRIOR) + 3 * evenly - np.log(180.0) - np.log(160.0) - np.log(90.0)
    fixed = np.append(fixed, other)
    hint = plane["hint"]
    if hint in VIEWS:
        fixed[_NAMES.index(hint)] += _RV_HINT if hint.startswith("rv") else _HINT
        if hint == "2ch":  # "2ch" is also what the right ventricle's is called
            fixed[_NAMES.index("rv2ch")] += _HINT / 2
    if not plane["cine"]:
        fixed[:-1] -= 1.0 + 2.0 * is_straight(plane["normal"])  # a single frame is more likely a pilot scan or a scout
    weight = np.append(1 / offset_sd**2, 0.0)
    apart = line["offset"] - np.append(offset, 0.0)
    return {
        "fixed": fixed,
        "rolled": np.vstack([-0.5 * (residual / angle_sd[:, None]) ** 2, np.zeros(len(_ROLLS))]),
        "square": weight * apart**2,
        "vector": (weight * apart)[:, None] * line["across"],
        "matrix": weight[:, None, None] * np.outer(line["across"], line["across"]),
    }


def _assignments(optimistic: np.ndarray, most: int = 8_000) -> np.ndarray:
    """Assignments worth scoring, shape (N, planes): indices of views.

    A view whose optimistic score for a plane is hopeless (e^-10 of its best) is not tried; if too many assignments remain,
    the planes that fit no view well are taken as other.
    """
    allowed = [list(np.flatnonzero(row >= row.max() - 10)) for row in optimistic]
    other = len(VIEWS)
    allowed = [views if other in views else [*views, other] for views in allowed]
    for index in np.argsort(optimistic[:, :other].max(axis=1) - optimistic[:, other]):
        if np.prod([len(views) for views in allowed], dtype=float) <= most:
            break
        allowed[index] = [other]
    return np.array(list(product(*allowed)))


def _choose_views(result: dict, planes: list[dict]) -> None:
    """From the planes that have a view's name, the one to use: cine before single frames, then the last acquired."""
    for view in VIEWS:
        same = [plane for plane in planes if plane["view"] == view]
        if not same:
            continue
        # of the parallel slices of one series, the one nearest to the middle; then the last series
        nearest: dict[str, dict] = {}
        for plane in sorted(same, key=lambda plane: -abs(plane["distance"])):
            nearest[plane["series"]] = plane
        likeliest = max(nearest.values(), key=lambda plane: (plane["cine"], plane["posterior"][view]))
        repeats = [plane for plane in nearest.values() if _is_repeat(plane, likeliest, view)]
        chosen = max(repeats, key=lambda plane: (plane["cine"], plane["acquired"]))
        confidence = chosen["posterior"][view]
        runners_up = {
            name: round(share, 3)
            for name, share in sorted(chosen["posterior"].items(), key=lambda entry: -entry[1])
            if name != view and share >= 0.005
        }
        found = {
            "stack": chosen["stack"],
            "slice": chosen["slice"],
            "confidence": confidence,
            "runners_up": runners_up,
            "named": chosen["hint"],
        }
        if confidence < MIN_CONFIDENCE:
            result["undecided"].append({"view": view, **found})
            continue
        result["views"][view] = found
        if len(same) > 1:
            how = "the likeliest is used"
            if len(nearest) == 1:
                how = "the one nearest to the long axis is used"
            elif len(repeats) == len(nearest):
                how = "the last acquisition is used"
            result["left_out"].append(f"{len(same)} planes are {view} views: {how}")


def _is_repeat(plane: dict, other: dict, view: str) -> bool:
    if plane["posterior"][view] < _REPEAT_SHARE * other["posterior"][view]:
        return False
    turned = np.degrees(np.arccos(min(1.0, abs(plane["normal"] @ other["normal"]))))
    return turned <= _REPEAT_ANGLE and abs(plane["distance"] - other["distance"]) <= _REPEAT_DISTANCE


def _why_no_short_axis(stack: dict) -> str:
    angle = angle_to_usual_axis(stack)
    limit = np.degrees(np.arccos(MIN_BASE_APEX_COSINE))
    size = f"{len(stack['slices'])} slices"
    if angle > limit:
        return f"no short-axis stack: the nearest ({size}) is {angle:.0f} deg from the usual long axis, more than {limit:.0f}"
    lacks = []
    if phase_counts(stack)[1] < 5:
        lacks.append("it is no cine")
    if not re.search(_HEART_WORDS, stack["text"]):
        lacks.append("nothing names a heart")
    if is_straight(stack["normal"]):
        lacks.append("it is straight axial, coronal or sagittal")
    return f"no short-axis stack: the nearest ({size}) is {angle:.0f} deg from the usual long axis; {', '.join(lacks)}"


def _tell_what_is_left(result: dict, stacks: list[dict]) -> None:
    """Reasons for what lies across the long axis beside the chosen stack, and for planes without a view."""
    chosen = stacks[result["stack"]]
    used = {(found["stack"], found["slice"]) for found in result["views"].values()}
    for found in result["undecided"]:
        best = ", ".join(f"{name} {share:.2f}" for name, share in list(found["runners_up"].items())[:2])
        result["left_out"].append(f"a plane is undecided: {found['view']} {found['confidence']:.2f}, {best}")
        used.add((found["stack"], found["slice"]))
    claims = {named_view(text) for text in chosen["all_text"].split(" | ")} & set(VIEWS)
    if claims:
        result["left_out"].append(
            f"images named {' and '.join(sorted(claims))} lie parallel to the short axis: no such view"
        )
    others = []
    for index, stack in enumerate(stacks):
        if index == result["stack"] or any(index == other for other, _ in used):
            continue
        turned = np.degrees(np.arccos(min(1.0, abs(stack["normal"] @ chosen["normal"]))))
        if turned < 20:
            count = count_of(len(stack["slices"]), "slice")
            result["left_out"].append(f"{count} like the short axis, {_difference(stack, chosen, turned)}: not used")
        else:
            others.append((turned, len(stack["slices"])))
    if others:
        low, high = min(others)[0], max(others)[0]
        count = count_of(sum(slices for _, slices in others), "slice")
        where = f"{low:.0f}" if high - low < 1 else f"{low:.0f} to {high:.0f}"
        stacks_of = f" in {len(others)} stacks" if len(others) > 1 else ""
        result["left_out"].append(f"{count}{stacks_of} at {where} deg to the short axis: no standard view")


def _difference(stack: dict, chosen: dict, turned: float) -> str:
    """How a stack differs from the short-axis stack that is used."""
    if (stack["columns"], stack["rows"]) != (chosen["columns"], chosen["rows"]):
        return (
            f"but with a matrix of {stack['columns']}x{stack['rows']} instead of {chosen['columns']}x{chosen['rows']} "
            "(the longest consistent run is kept)"
        )
    if not np.allclose(stack["in_plane"], chosen["in_plane"], rtol=0.002):
        return (
            f"but with pixels of {stack['in_plane'][0]:.2f} mm instead of {chosen['in_plane'][0]:.2f} mm "
            "(the longest consistent run is kept)"
        )
    if turned >= 0.5:
        return f"but turned by {turned:.1f} deg (the longest consistent run is kept)"
    if phase_counts(stack)[1] < phase_counts(chosen)[1]:
        return f"but with {phase_counts(stack)[1]} phases instead of {phase_counts(chosen)[1]}"
    return "but rotated in plane or of another kind (sequence, echo, phase image)"
