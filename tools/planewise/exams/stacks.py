"""Frames to exams, and exams to stacks of slices in order: by geometry, because names and numbers mislead.

Everything here is plain dictionaries and numpy, RAS+, millimetres.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from planewise.exams.dicom import natural_order

#: Slices whose axes agree to this are parallel: headers round direction cosines (1e-5 is 0.001 degrees), while two views
#: that a person calls different differ by more than 10 degrees.
SAME_ORIENTATION = np.radians(0.5)
#: Pixel spacings that agree to this (relative) are the same number, rounded differently.
SAME_SPACING = 0.002
#: Two slices closer than this share of their thickness are the same slice, acquired again.
SAME_POSITION = 0.3
#: Series of single images with one geometry are one contrast, acquired again, if their echo times agree to this share and
#: their repetition times to that: technologists adapt TR to the number of slices, while T1, PD and T2 differ by factors.
SAME_ECHO_TIME, SAME_REPETITION_TIME = 0.15, 0.4
#: A slice with less than this share of the phases that its neighbours have is left out.
MIN_PHASES = 0.5

#: PatientIDs that anonymisers write: they name nobody, so the study stands for the patient.
_NOBODY = {
    "anon", "anonymous", "anonymized", "anonymised", "anonymize", "deidentified", "unknown", "none", "null", "na", "nan",
    "removed", "masked", "hidden", "xxx", "xxxx", "patient", "subject", "test", "phantom", "noid", "noname",
}  # fmt: skip


def group_exams(frames: Iterable[dict], folder: Path) -> list[dict]:
    """Exams: the frames of one study that share a frame of reference.

    Args:
        frames: as `dicom.read_header` gives them.
        folder: what was indexed; where a study has no identifier, the exam's folder below it stands in.

    Returns:
        One dictionary per exam: ``key`` and ``patient_key`` (raw identifiers, to be hashed), ``folder`` (Path that holds
        the exam's files), ``stacks`` (see `build_stacks`), ``notes`` (what was left out or assumed, in words).
    """
    exams = defaultdict(list)
    for frame in frames:
        study = f"study:{frame['study']}" if frame["study"] else f"folder:{_exam_folder(frame['path'], folder)}"
        exams[study, frame["frame_of_reference"]].append(frame)
    references = defaultdict(int)
    for study, _ in exams:
        references[study] += 1
    grouped = []
    for (study, reference), members in exams.items():
        notes = []
        if not reference:
            notes.append(
                "no frame of reference in the headers: slices are related only because they share a "
                + ("study" if study.startswith("study:") else "folder")
            )
        if references[study] > 1:
            notes.append(
                f"the study has {references[study]} frames of reference (the patient was moved): each is an exam of its own"
            )
        members, copies = _drop_copies(members)
        if copies:
            notes.append("1 image is a copy of another" if copies == 1 else f"{copies} images are copies of others")
        grouped.append(
            {
                "key": f"{study}|{reference}",
                "patient_key": _patient_key(members[0]["patient"], study),
                "folder": _common_folder(members),
                "stacks": build_stacks(members),
                "notes": notes,
            }
        )
    return sorted(grouped, key=lambda exam: (natural_order(str(exam["folder"])), exam["key"]))


def _patient_key(patient: str, study: str) -> str:
    plain = "".join(character for character in patient.lower() if character.isalnum())
    named = plain and plain not in _NOBODY and set(plain) != {"0"} and set(plain) != {"x"}
    return f"patient:{patient}" if named else study


def _exam_folder(path: str, folder: Path) -> str:
    """The folder of an exam whose files do not say which study they are of: the file's own, or the one above where that
    is named like a series (``study/sax_5``, ``Se3``)."""
    own = Path(path).parent
    relative = own.relative_to(folder) if own.is_relative_to(folder) else own
    if re.match(r"(sax|lax|rvot|[234]ch|se|ser|series)[_ -]?\d+", own.name.lower()) and relative.parts:
        relative = relative.parent
    return relative.as_posix()


def _common_folder(frames: Sequence[dict]) -> Path:
    folders = {str(Path(frame["path"]).parent) for frame in frames}
    parts = [Path(folder).parts for folder in folders]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return Path(*shared)


def _drop_copies(frames: list[dict]) -> tuple[list[dict], int]:
    """The same image stored twice counts once."""
    seen, kept = set(), []
    for frame in frames:
        geometry = tuple(np.round(np.ravel(frame["affine"]), 3))
        same = (frame["sop"], frame["frame"], geometry, frame["trigger"], frame["instance"])
        if frame["sop"] and same in seen:
            continue
        seen.add(same)
        kept.append(frame)
    return kept, len(frames) - len(kept)


def build_stacks(frames: Sequence[dict]) -> list[dict]:
    """Parallel slices with the same matrix, pixel spacing and kind of image, in order along their normal.

    Series do not matter: a stack may come as one series or as one per slice, and one series may hold several stacks.
    Single images of one geometry but another contrast are stacks of their own (see `_contrasts`).

    Returns:
        One dictionary per stack: ``slices`` in order along ``normal`` (unit vector, RAS+), each with ``position`` (mm
        along the normal), ``affine`` (4x4), ``phases`` (frames in order of time), ``acquired`` and ``series``;
        ``rows``, ``columns``, ``in_plane`` (mm along i and j), ``thickness`` (mm or None), ``text`` (what the images that
        are used are called) and ``all_text`` (repeats as well), ``gated``, ``body_part``, ``echo_time``,
        ``repetition_time``, ``sequence``, ``fat_suppressed``, ``localizer`` and ``description`` as of their frames, and
        ``notes``.
    """
    stacks = [_stack(members) for group in _parallel_groups(frames) for members in _contrasts(group)]
    return sorted(stacks, key=lambda stack: (stack["slices"][0]["acquired"], stack["slices"][0]["phases"][0]["path"]))


def _parallel_groups(frames: Sequence[dict]) -> list[list[dict]]:
    """Frames that agree in matrix and kind exactly, in spacing and orientation up to rounding."""
    buckets = defaultdict(list)
    for frame in frames:
        affine = np.asarray(frame["affine"])
        spacing = np.linalg.norm(affine[:3, :2], axis=0)
        axes = affine[:3, :2] / spacing
        # equal headers fall into one bucket at once; buckets that differ by rounding are merged below
        exact = (frame["rows"], frame["columns"], frame["kind"], *np.round(spacing, 4), *np.round(axes.T.ravel(), 4))
        buckets[exact].append(frame)
    groups: list[tuple[tuple, np.ndarray, np.ndarray, list[dict]]] = []
    # larger buckets first, so that a stray rounding joins the many
    for exact, members in sorted(buckets.items(), key=lambda entry: (-len(entry[1]), entry[0])):
        key, spacing, axes = exact[:3], np.array(exact[3:5]), np.array(exact[5:]).reshape(2, 3)
        for other_key, other_spacing, other_axes, other_members in groups:
            if (
                key == other_key
                and np.allclose(spacing, other_spacing, rtol=SAME_SPACING, atol=0)
                and (np.linalg.norm(axes - other_axes, axis=1) < SAME_ORIENTATION).all()
            ):
                other_members += members
                break
        else:
            groups.append((key, spacing, axes, list(members)))
    return [members for *_, members in groups]


def _contrasts(frames: list[dict]) -> list[list[dict]]:
    """Frames of one geometry, apart by contrast: PD and T2 with the same slices, or the echoes of one series.

    Only single images are told apart. Frames of a cine are not: its slices come as series with names, echo times and
    (gated) repetition times of their own, and it is one stack all the same.
    """
    if any(frame["gated"] for frame in frames):
        return [frames]
    acquisitions = defaultdict(list)
    for frame in frames:
        series = frame["series"] or str(Path(frame["path"]).parent)
        acquisitions[series, frame["echo_time"]].append(frame)
    places = {key: {_place(frame) for frame in members} for key, members in acquisitions.items()}
    if sum(map(len, places.values())) < 0.75 * len(frames):  # most positions come more than once: a series over time
        return [frames]
    contrasts: list[list[dict]] = []
    # larger ones first, so that a slice or two that were repeated join the stack they belong to
    for key in sorted(acquisitions, key=lambda key: -len(places[key])):
        members = acquisitions[key]
        for others in contrasts:
            if _same_contrast(members[0], others[0], named=len(places[key]) > 1):
                others += members
                break
        else:
            contrasts.append(list(members))
    return contrasts


def _place(frame: dict) -> tuple:
    return tuple(np.round(np.asarray(frame["affine"])[:3, 3], 1))


def _same_contrast(one: dict, other: dict, named: bool) -> bool:
    """Whether two images may be of one contrast; ``named``: their series must have the same name for it, too."""
    for key, tolerance in (("echo_time", SAME_ECHO_TIME), ("repetition_time", SAME_REPETITION_TIME)):
        if one[key] and other[key] and abs(one[key] - other[key]) > tolerance * max(one[key], other[key]):
            return False
    if bool(one["fat_suppressed"]) != bool(other["fat_suppressed"]):
        return False
    return not named or one["description"].lower() == other["description"].lower()


def still(stack: dict) -> dict:
    """The stack with one image per slice, the last acquired: series that were repeated without saying so look like time."""
    several = sum(len(entry["phases"]) > 1 for entry in stack["slices"])
    if not several:
        return stack
    slices = [
        entry | {"phases": [frame], "affine": np.asarray(frame["affine"])}
        for entry in stack["slices"]
        for frame in [max(entry["phases"], key=lambda frame: (frame["acquired"], frame["instance"]))]
    ]
    count = "1 slice position holds" if several == 1 else f"{several} slice positions hold"
    notes = [note for note in stack["notes"] if not note.startswith("some slices lack phases")]
    return stack | {"slices": slices, "notes": [*notes, f"{count} several images in one series: the last is used"]}


def _stack(frames: list[dict]) -> dict:
    affines = np.array([frame["affine"] for frame in frames])
    axes = affines[0, :3, :2]
    in_plane = np.linalg.norm(axes, axis=0)
    normal = np.cross(axes[:, 0], axes[:, 1])
    normal /= np.linalg.norm(normal)
    positions = affines[:, :3, 3] @ normal
    thicknesses = [frame["thickness"] for frame in frames if frame["thickness"]]
    thickness = float(np.median(thicknesses)) if thicknesses else None
    tolerance = np.clip(SAME_POSITION * (thickness or 1.5), 0.05, 3.0)

    slices, repeated = [], 0
    for members in _slots(positions, tolerance):
        runs = _runs([frames[index] for index in members])
        enough = MIN_PHASES * max(len(run) for run in runs)
        run = max((run for run in runs if len(run) >= enough), key=_when)
        repeated += len(runs) > 1
        slices.append(
            {
                "position": float(np.asarray(run[0]["affine"])[:3, 3] @ normal),
                "affine": np.asarray(run[0]["affine"]),
                "phases": run,
                "acquired": _when(run),
                "series": run[0]["series"] or str(Path(run[0]["path"]).parent),
            }
        )
    slices.sort(key=lambda entry: entry["position"])
    notes = []
    if repeated:
        count = "1 slice position was" if repeated == 1 else f"{repeated} slice positions were"
        notes.append(f"{count} acquired more than once: the last acquisition is used")
    slices, dropped = _drop_short(slices)
    if dropped:
        notes.append(dropped)
    counts = {len(entry["phases"]) for entry in slices}
    if len(counts) > 1:
        notes.append(f"some slices lack phases: they have {min(counts)} to {max(counts)}")
    return {
        "slices": slices,
        "normal": normal,
        "rows": frames[0]["rows"],
        "columns": frames[0]["columns"],
        "in_plane": tuple(float(value) for value in in_plane),
        "thickness": thickness,
        "text": _texts(frame for entry in slices for frame in entry["phases"]),
        "all_text": _texts(frames),
        "gated": any(frame["gated"] for frame in frames),
        "body_part": frames[0]["body_part"],
        **_acquisition(frame for entry in slices for frame in entry["phases"]),
        "notes": notes,
    }


def _acquisition(frames: Iterable[dict]) -> dict:
    """How the images were made, as the first says; a time as the median of all."""
    frames = list(frames)
    found = {key: frames[0][key] for key in ("sequence", "fat_suppressed", "localizer")}
    found["description"] = " | ".join(sorted({frame["description"].lower() for frame in frames}))
    for key in ("echo_time", "repetition_time"):
        times = [frame[key] for frame in frames if frame[key]]
        found[key] = float(np.median(times)) if times else None
    return found


def _texts(frames: Iterable[dict]) -> str:
    return " | ".join(sorted({frame["text"].lower() for frame in frames}))


def _slots(positions: np.ndarray, tolerance: float) -> list[list[int]]:
    """Indices of the frames at each slice position."""
    slots: list[list[int]] = []
    for index in np.argsort(positions, kind="stable"):
        if slots and positions[index] - positions[slots[-1][0]] <= tolerance:
            slots[-1].append(int(index))
        else:
            slots.append([int(index)])
    return slots


def _runs(frames: Sequence[dict]) -> list[list[dict]]:
    """The acquisitions at one slice position, each with its phases in order of TriggerTime, then InstanceNumber."""
    series = defaultdict(list)
    for frame in frames:
        series[frame["series"] or str(Path(frame["path"]).parent)].append(frame)
    runs = []
    for members in series.values():
        triggers = [frame["trigger"] for frame in members]
        timed = None not in triggers and len({round(trigger, 1) for trigger in triggers}) > 1
        # a phase that comes twice in one series is a repeat inside it: its nth copy belongs to the nth acquisition
        copies: dict[float, int] = defaultdict(int)
        split: dict[int, list[tuple[float, dict]]] = defaultdict(list)
        for frame in sorted(members, key=lambda frame: (frame["acquired"], frame["instance"])):
            phase = round(frame["trigger"], 1) if timed else frame["instance"]
            split[copies[phase]].append((phase, frame))
            copies[phase] += 1
        runs += [[frame for _, frame in sorted(run, key=lambda entry: entry[0])] for run in split.values()]
    return runs


def _when(run: Sequence[dict]) -> tuple:
    """Sorts acquisitions in the order in which they were made."""
    return max((frame["acquired"], frame["instance"]) for frame in run)


def _drop_short(slices: list[dict]) -> tuple[list[dict], str]:
    """Leave out slices that lack most of the phases that the others have."""
    usual = float(np.median([len(entry["phases"]) for entry in slices]))
    kept = [entry for entry in slices if len(entry["phases"]) >= MIN_PHASES * usual]
    if len(kept) == len(slices):
        return slices, ""
    counts = sorted(len(entry["phases"]) for entry in slices if len(entry["phases"]) < MIN_PHASES * usual)
    few = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    what = "1 slice has" if len(counts) == 1 else f"{len(counts)} slices have"
    return kept, f"{what} only {few} of {usual:.0f} phases: left out"


def gaps(stack: dict) -> np.ndarray:
    """True distances (mm) between neighbouring slices, from positions, not from the header's SpacingBetweenSlices."""
    return np.abs([after["position"] - before["position"] for before, after in pairwise(stack["slices"])])


def phase_counts(stack: dict) -> tuple[int, int]:
    """Smallest and largest number of phases of a slice."""
    counts = [len(entry["phases"]) for entry in stack["slices"]]
    return min(counts), max(counts)


def stack_middle(stack: dict) -> np.ndarray:
    """The centre of the images at the middle of the stack, shape (3,), mm."""
    ends = stack["slices"][0], stack["slices"][-1]
    return np.mean([image_centre(stack, entry) for entry in ends], axis=0)


def image_centre(stack: dict, entry: dict) -> np.ndarray:
    """The middle of a slice's image in patient space, shape (3,), mm."""
    return (entry["affine"] @ [(stack["columns"] - 1) / 2, (stack["rows"] - 1) / 2, 0, 1])[:3]
