"""Sort frames into ordered stacks of slices: by geometry, because names and numbers mislead. RAS+, mm."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from planewise.exams.stack import Frame, Slice, Stack, is_cine
from planewise.findings import NOTE, Finding, finding, of_level
from planewise.words import natural_order

#: Slices whose axes agree to this are parallel: headers round direction cosines (1e-5 is 0.001 degrees), while views
#: that a person would call different differ by more than 10 degrees.
SAME_ORIENTATION = np.radians(0.5)
#: Pixel spacings that agree to this (relative) are the same number with different rounding.
SAME_SPACING = 0.002
#: Two slices closer than this share of their thickness are the same slice, acquired again.
SAME_POSITION = 0.3
#: Two series of single images with one geometry have the same contrast if their echo times and repetition times agree
#: to these shares. Technologists adapt TR to the number of slices, but T1, PD and T2 differ by factors.
SAME_ECHO_TIME, SAME_REPETITION_TIME = 0.15, 0.4
#: A slice with less than this share of the phases that its neighbours have is left out.
MIN_PHASES = 0.5


def build_stacks(frames: Sequence[Frame]) -> list[Stack]:
    """Parallel slices with the same matrix, pixel spacing and kind of image, in order along their normal; the stacks
    are in the order in which they were acquired. Series do not matter: a stack may come as one series or as one per
    slice, and one series may contain several stacks. Single images with one geometry but different contrasts are
    separate stacks."""
    stacks = [_stack(members) for group in _parallel_groups(frames) for members in _contrasts(group)]
    return sorted(stacks, key=lambda stack: (stack.slices[0].acquired, stack.slices[0].phases[0].path))


def _parallel_groups(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames that agree in matrix and kind exactly, and in spacing and orientation up to rounding."""
    buckets = defaultdict(list)
    columns = np.array([frame.affine for frame in frames])[:, :3, :2]
    sides = np.linalg.norm(columns, axis=1)
    directions = np.swapaxes(columns / sides[:, None], 1, 2).reshape(len(frames), 6)
    for frame, numbers in zip(frames, np.round(np.hstack([sides, directions]), 4).tolist(), strict=True):
        # equal headers go into one bucket at once; buckets that differ by rounding are merged below
        buckets[(frame.rows, frame.columns, frame.kind, *numbers)].append(frame)
    groups: list[tuple[tuple, np.ndarray, np.ndarray, list[Frame]]] = []
    # larger buckets first, so that a rounding outlier joins the majority
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


def _contrasts(frames: list[Frame]) -> list[list[Frame]]:
    """Frames of one geometry, separated by contrast: PD and T2 with the same slices. Frames of a
    cine stay together, although its slices may come as series with their own names, echo times and repetition times."""
    if any(frame.gated for frame in frames):
        return _cines_apart(frames)
    acquisitions = defaultdict(list)
    for frame in frames:
        acquisitions[frame.series_or_folder, frame.echo_time].append(frame)
    places = {key: {*_places(members)} for key, members in acquisitions.items()}
    if sum(map(len, places.values())) < 0.75 * len(frames):  # a series over time repeats most positions
        return [frames]
    contrasts: list[list[tuple]] = []
    # larger groups first, so that a few repeated slices join the stack to which they belong
    for key in sorted(acquisitions, key=lambda key: -len(places[key])):
        for others in contrasts:
            if _same_contrast(acquisitions[key][0], acquisitions[others[0]][0], named=len(places[key]) > 1):
                others.append(key)
                break
        else:
            contrasts.append([key])
    return [[frame for key in keys for frame in acquisitions[key]] for keys in contrasts]


def _cines_apart(frames: list[Frame]) -> list[list[Frame]]:
    """The frames of gated cines, and separately those of perfusion and maps (see `is_cine`). If there are no cines, all
    frames stay together; frames of unknown kind count as those of cines."""
    series = defaultdict(list)
    for frame, place in zip(frames, _places(frames), strict=True):
        series[frame.series_or_folder, place].append(frame)
    found = [({is_cine(run) for run in _runs(members)}, members) for members in series.values()]
    if not any(True in kinds for kinds, _ in found):
        return [frames]
    cines, others = (
        [frame for kinds, members in found for frame in members if (kinds == {False}) == other]
        for other in (False, True)
    )
    return [cines, others] if others else [cines]


def _places(frames: Sequence[Frame]) -> Iterator[tuple[float, ...]]:
    """The corner of each image, rounded to 0.1 mm."""
    return map(tuple, np.round([frame.affine for frame in frames], 1)[:, :3, 3].tolist())


def _times_differ(one: float | None, other: float | None, share: float) -> bool:
    """Whether two echo or repetition times, if both are known, differ by more than a share of the longer one."""
    return bool(one and other) and abs(one - other) > share * max(one, other)


def _same_contrast(one: Frame, other: Frame, named: bool) -> bool:
    """Whether two images may have the same contrast and show the same body part; if ``named``, their series must also have
    the same name."""
    of_one = not (one.body_part and other.body_part) or one.body_part == other.body_part
    of_one = of_one and not _times_differ(one.echo_time, other.echo_time, SAME_ECHO_TIME)
    of_one = of_one and not _times_differ(one.repetition_time, other.repetition_time, SAME_REPETITION_TIME)
    of_one = of_one and bool(one.fat_suppressed) == bool(other.fat_suppressed)
    return of_one and (not named or one.description.lower() == other.description.lower())


def still(stack: Stack) -> Stack:
    """The stack with only the last acquired image of each slice, because unmarked repeated series look like a time series."""
    several = sum(len(entry.phases) > 1 for entry in stack.slices)
    if not several:
        return stack
    slices = [
        replace(entry, phases=[frame], affine=np.asarray(frame.affine))
        for entry in stack.slices
        for frame in [max(entry.phases, key=lambda frame: (frame.acquired, frame.instance, frame.frame or 0))]
    ]
    notes = of_level(stack.findings, NOTE)  # phases do not matter any more
    return replace(stack, slices=slices, findings=[*notes, finding("images-not-used", count=several, kind="several")])


def _stack(frames: list[Frame]) -> Stack:
    affines = np.array([frame.affine for frame in frames])
    in_plane = np.linalg.norm(affines[0, :3, :2], axis=0)
    normal = np.cross(affines[0, :3, 0], affines[0, :3, 1])
    normal /= np.linalg.norm(normal)
    positions = affines[:, :3, 3] @ normal
    thickness = _median(frame.thickness for frame in frames)
    tolerance = float(np.clip(SAME_POSITION * (thickness or 1.5), 0.05, 3.0))
    slices, repeated = [], 0
    for members in _slots(positions, tolerance):
        runs = _runs([frames[index] for index in members])
        # perfusion and real-time series have more images than a cine, and may be acquired after it
        cines = [run for run in runs if is_cine(run)] or runs
        if all(run[0].derived for run in cines):  # originals may lack the trigger times that their copies have
            cines = [run for run in runs if is_cine(run) is not False] or runs
        enough = MIN_PHASES * max(len(run) for run in cines)
        whole = [run for run in cines if len(run) >= enough]
        run = max(whole, key=lambda run: (not run[0].derived, not run[0].uncorrected, _when(run)))
        repeated += len(runs) > 1
        affine = np.asarray(run[0].affine)
        slices.append(Slice(float(affine[:3, 3] @ normal), affine, run, _when(run), run[0].series_or_folder))
    slices.sort(key=lambda entry: entry.position)
    least = MIN_PHASES * float(np.median([len(entry.phases) for entry in slices]))
    short = sum(len(entry.phases) < least for entry in slices)
    slices = [entry for entry in slices if len(entry.phases) >= least]
    notes = [finding("images-not-used", count=repeated, kind="repeated")] if repeated else []
    notes += [finding("images-not-used", count=short, kind="short-slices")] if short else []
    if not any(frame.phase or frame.time is not None for frame in slices[0].phases):
        notes += unequal_counts([len(entry.phases) for entry in slices])
    if unordered := sum(not _order(entry.phases)[1] for entry in slices):
        notes.append(finding("phases-doubtful", kind="unordered", count=unordered))
    used = [frame for entry in slices for frame in entry.phases]
    return Stack(
        slices=slices,
        normal=normal,
        rows=frames[0].rows,
        columns=frames[0].columns,
        in_plane=(float(in_plane[0]), float(in_plane[1])),
        thickness=thickness,
        text=_texts(frame.text for frame in used),
        description=_texts(frame.description for frame in used),
        gated=any(frame.gated for frame in frames),
        body_part=frames[0].body_part,
        echo_time=_median(frame.echo_time for frame in used),
        repetition_time=_median(frame.repetition_time for frame in used),
        sequence=used[0].sequence,
        fat_suppressed=used[0].fat_suppressed,
        localizer=used[0].localizer,
        findings=notes,
    )


def _median(times: Iterable[float | None]) -> float | None:
    """The median of the known values; None if no value is known."""
    known = [time for time in times if time]
    return float(np.median(known)) if known else None


def _texts(texts: Iterable[str]) -> str:
    """Each text once, in lower case."""
    return " | ".join(sorted({text.lower() for text in texts}))


def _slots(positions: np.ndarray, tolerance: float) -> list[list[int]]:
    """Indices of the frames at each slice position."""
    slots: list[list[int]] = []
    for index in np.argsort(positions, kind="stable"):
        if not slots or positions[index] - positions[slots[-1][0]] > tolerance:
            slots.append([])
        slots[-1].append(int(index))
    return slots


def _runs(frames: Sequence[Frame]) -> list[list[Frame]]:
    """The acquisitions at one slice position, each with its phases in order (see `_order`)."""
    series = defaultdict(list)
    for frame in frames:
        series[frame.series_or_folder, frame.derived, frame.uncorrected].append(frame)
    runs = []
    for members in series.values():
        phase_of = _order(members)[0]
        # if a phase occurs several times in one series, the series was repeated: the nth copy belongs to the nth acquisition
        copies: Counter[Any] = Counter()
        split: dict[int, list[Frame]] = defaultdict(list)
        for frame in sorted(members, key=lambda frame: (frame.acquired, frame.instance)):
            phase = phase_of(frame)
            split[copies[phase]].append(frame)
            copies[phase] += 1
        for run in split.values():
            runs.append(sorted(run, key=_order(run)[0]))
    return runs


def _order(frames: Sequence[Frame]) -> tuple[Callable[[Frame], Any], bool]:
    """The order of the phases of one series at one position.

    Images are sorted by their trigger times or, without them, by InstanceNumber, else by file name and place in the file.

    Returns:
        The key to sort images by, and whether the order is known.
    """
    times = {frame.trigger and round(frame.trigger, 1) for frame in frames}
    if None not in times and len(times) > 1:
        return lambda frame: frame.trigger and round(frame.trigger, 1), True
    if len(frames) <= 2 or any(frame.instance for frame in frames):  # two images may be copies
        return lambda frame: frame.instance, True
    return lambda frame: (natural_order(frame.path), frame.frame or 0), False


def _when(run: Sequence[Frame]) -> tuple:
    """Sort key of an acquisition, in order of time."""
    return max((frame.acquired, frame.instance) for frame in run)


def unequal_counts(counts: Sequence[int]) -> list[Finding]:
    """A flag for slices with different numbers of phases; none if they have equally many."""
    low, high = min(counts), max(counts)
    return [finding("phases-doubtful", low=low, high=high, kind="unequal")] if low < high else []
