"""Find implausible volumes of a segmented heart, and images that make them doubtful."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from planewise.findings import Finding, finding
from planewise.own_exams.heart_results import VENTRICLES, HeartResults

#: Limits of a ventricle's volumes at end-diastole and end-systole and of its stroke volume, ml, and of the mass of the
#: myocardium, g. They are for adults, including adults with disease. In healthy women, the LV has 132 +- 23 ml and the
#: mass is 98 +- 21 g; in healthy men, they are 160 +- 27 ml and 134 +- 21 g (Kawel-Boehm et al., J Cardiovasc Magn Reson
#: 17:29, 2015). The lower limits of volume and mass are 4 and 3 standard deviations below the women's means. The upper
#: limits are 4 times the men's means, which includes the most dilated and the thickest hearts.
END_DIASTOLIC_VOLUME = (40.0, 640.0)
END_SYSTOLIC_VOLUME = (5.0, 600.0)
STROKE_VOLUME = (15.0, 300.0)
MYOCARDIAL_MASS = (30.0, 540.0)
#: Limits of the ejection fraction, per cent.
EJECTION_FRACTION = (5.0, 90.0)
#: Largest difference between the two stroke volumes, as a share of the larger one. Without a leaking valve or a shunt,
#: both ventricles eject the same volume.
STROKE_VOLUMES_APART = 0.25
#: Largest distance, mm, by which one ventricle may extend beyond the other. In 42 masks (of 20 phantoms and a person), one
#: distance reached this limit.
ENDS_APART = 30.0
#: Limits of the LV's area in the two end slices of a stack at end-diastole, as a share of its largest area. The LV tapers
#: towards the apex, so it is small or absent in one of them, and its largest area is in a slice between them. In 24 phantoms,
#: the shares were at most 0.15 at the apex and 0.89 at the base, where the LV ends at the valve.
APEX_CUT, BASE_CUT = 0.5, 0.95
#: With fewer phases per heartbeat, end-systole may be missed. It lies at most half a phase from the nearest phase. A heart
#: that empties and fills along a cosine within half a cycle has filled again by then by at most 7 % of its stroke volume
#: with this number of phases, but by 35 % with 5. Protocols ask for at most 45 ms between phases, which is about 20 phases
#: (Kramer et al., J Cardiovasc Magn Reson 22:17, 2020).
ENOUGH_PHASES = 12
#: Limit of a ventricle's volume in an end slice that has none of it at end-systole, as a share of its end-diastolic volume:
#: its share is how many points of the ejection fraction rest on this one slice. The base moves towards the apex, so it
#: usually leaves a slice or two. In the masks of 40 phantoms with slices 10 mm apart, one slice had at most 20 %.
EMPTIED = 0.25


def implausible_volumes(found: HeartResults) -> list[Finding]:
    """Find implausible values among the volumes of a heart, by the limits above.

    A flag does not prove an error: a leaking valve, for example, also makes stroke volumes differ.
    """
    checks = (_few_phases, _ranges, _stroke_volumes, _lost_slices, _cut_off, _emptied_end)
    return [flag for flags in checks for flag in flags(found)]


def _few_phases(found: HeartResults) -> Iterator[Finding]:
    # phases without a place in the cycle, such as ED and ES, were chosen by a person
    if found.times is not None and found.several:
        count = round(1 / np.median(np.diff(found.times)))  # phases that are absent are counted, too
        if count < ENOUGH_PHASES:
            yield finding("phases-few", count=count)


def _ranges(found: HeartResults) -> Iterator[Finding]:
    diastole, systole = found.end_diastole, found.end_systole
    # a single phase need not be end-diastole, so the lower limit of end-systole applies
    least = END_DIASTOLIC_VOLUME[0] if found.several else END_SYSTOLIC_VOLUME[0]
    judged = [("myocardium", "mass", diastole, found.mass, *MYOCARDIAL_MASS, "g")]
    for name in VENTRICLES:
        volumes = found.volumes[name]
        if not volumes[diastole]:
            yield finding("volume-incomplete", found.called(name, "volume", diastole), kind="nowhere")
            continue
        judged.append((name, "volume", diastole, volumes[diastole], least, END_DIASTOLIC_VOLUME[1], "ml"))
        if found.several:
            judged += [
                (name, "volume", systole, volumes[systole], *END_SYSTOLIC_VOLUME, "ml"),
                (name, "stroke volume", None, found.stroke_volume(name), *STROKE_VOLUME, "ml"),
                (name, "ejection fraction", None, found.ejection_fraction(name), *EJECTION_FRACTION, "%"),
            ]
    for *number, value, low, high, unit in judged:
        if not low <= value <= high:
            yield finding("number-implausible", found.called(*number), value=value, low=low, high=high, unit=unit)


def _stroke_volumes(found: HeartResults) -> Iterator[Finding]:
    left, right = found.stroke_volume("LV"), found.stroke_volume("RV")
    larger = max(left, right)
    seen = found.volumes["LV"][found.end_diastole] and found.volumes["RV"][found.end_diastole]
    if seen and larger > 0 and abs(left - right) > STROKE_VOLUMES_APART * larger:
        # the sentence leaves out the difference itself, because 25.3 % would read "25 %, more than 25 %"
        yield finding("stroke-volumes-differ", left=left, right=right, percent=round(100 * STROKE_VOLUMES_APART))


def _lost_slices(found: HeartResults) -> Iterator[Finding]:
    count = len(found.areas["LV"][0])
    for phase in sorted({found.end_diastole, found.end_systole}):
        for name, other in (VENTRICLES, VENTRICLES[::-1]):
            own, others = (np.flatnonzero(found.areas[each][phase]) for each in (name, other))
            if not len(own):
                continue
            called = found.called(name, "volume", phase)
            if len(missing := np.setdiff1d(np.arange(own[0], own[-1]), own)):
                yield finding("volume-incomplete", called, kind="between", slices=_runs(missing), count=count)
            for beyond in (others[others < own[0]], others[others > own[-1]]):
                lost = float(np.asarray(found.thickness)[beyond].sum())
                if lost > ENDS_APART:
                    values = {"slices": _runs(beyond), "count": count, "other": other, "mm": round(lost)}
                    yield finding("volume-incomplete", called, kind="beyond", **values)


def _cut_off(found: HeartResults) -> Iterator[Finding]:
    areas = np.asarray(found.areas["LV"][found.end_diastole], float)
    if len(areas) < 2 or not areas.any():
        return
    ends = np.array([0, len(areas) - 1])
    shares = areas[ends] / areas.max()
    limits = np.where(shares == shares.min(), APEX_CUT, BASE_CUT)
    if (cut := shares >= limits).any():
        where = [f"{100 * share:.0f} % in slice {end + 1}" for end, share in zip(ends[cut], shares[cut], strict=True)]
        yield finding("stack-cut-off", shares=where, count=len(areas))


def _runs(numbers: Sequence[int] | np.ndarray) -> list[str]:
    """Slices, counted from 1. Three or more consecutive slices are written as a range."""
    runs = np.split(np.add(numbers, 1), np.flatnonzero(np.diff(numbers) > 1) + 1)
    return [str(part) for run in runs for part in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else run)]


def _emptied_end(found: HeartResults) -> Iterator[Finding]:
    for name in VENTRICLES if found.several else ():
        full, empty = (np.asarray(found.areas[name][phase], float) for phase in (found.end_diastole, found.end_systole))
        seen = np.flatnonzero(empty)
        if not full.any() or not len(seen):
            continue
        volumes = full * np.asarray(found.thickness)
        ends = volumes.copy()
        ends[seen[0] : seen[-1] + 1] = 0  # `_lost_slices` flags what lacks between others
        number, share = int(ends.argmax()), ends.max() / volumes.sum()
        if share >= EMPTIED:
            values = {"slice": number + 1, "count": len(full), "ml": share * found.volumes[name][found.end_diastole]}
            values |= {"points": 100 * share, "of": found.ejection_fraction(name)}
            name = found.called(name, "volume", found.end_systole)
            yield finding("volume-incomplete", name, kind="emptied", **values)


def image_faults(images: Sequence[np.ndarray]) -> list[Finding]:
    """Find slices that show nothing in a phase, because all their pixels are equal, and slices that are in the stack twice,
    because their pixels are identical. Copies stay in the volumes, because nobody knows which position is the true one.

    Args:
        images: images of the stack in each phase, ``(i, j, slices)``.
    """
    blank: set[int] = set()
    alike: set[tuple[int, ...]] = set()
    for image in images:
        same = defaultdict(list)
        for number, pixels in enumerate(np.moveaxis(image, -1, 0)):
            same[b"" if pixels.min() == pixels.max() else pixels.tobytes()].append(number)
        blank |= {*same.pop(b"", [])}
        alike |= {tuple(numbers) for numbers in same.values() if len(numbers) > 1}
    count, faults = images[0].shape[-1], []
    if blank:
        faults.append(finding("slices-alike", kind="blank", slices=_runs(sorted(blank)), count=count))
    if alike:
        slices = [" = ".join(str(number + 1) for number in numbers) for numbers in sorted(alike)]
        copies = len({number for numbers in alike for number in numbers[1:]})
        faults.append(finding("slices-alike", kind="copies", slices=slices, count=count, copies=copies))
    return faults
