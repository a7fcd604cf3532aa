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
#: Largest difference between a volume and the mean of its neighbours, as a share of the curve's range, and the minimum
#: number of phases for this check. With this number of phases, a beating heart stays below the limit: the curve of a heart
#: that empties and fills along a cosine within half a cycle reaches 0.17.
JUMP, PHASES_OF_A_CURVE = 0.25, 15
#: Allowed error of a segmentation from phase to phase, as a share of the largest volume.
NOISE = 0.05
#: Latest end of systole, as a share of the cycle. Systole takes 541 - 2.2 (beats per minute) ms (Boudoulas et al., Chest
#: 80:613, 1981), which is at most 0.55 of a cycle at any heart rate.
LATEST_END_SYSTOLE = 0.65
#: Minimum number of phases for the check of when the heart fills. With fewer phases, end-systole may be between two of
#: them.
PHASES_OF_A_CYCLE = 5
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
    checks = (_few_phases, _ranges, _stroke_volumes, _lost_slices, _cut_off, _jumps, _late_end_systole, _emptied_end)
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
    for phase in range(found.count):
        for name, _, values in _missing(found, phase):
            yield finding("volume-incomplete", found.called(name, "volume", phase), **values)


def _missing(found: HeartResults, phase: int) -> Iterator[tuple[str, np.ndarray, dict]]:
    """Yield each ventricle with slices in which it is missing by mistake, these slices, and the values of a finding."""
    places = {name: np.flatnonzero(found.areas[name][phase]) for name in VENTRICLES}
    count = len(found.areas["LV"][phase])
    for name, other in (VENTRICLES, VENTRICLES[::-1]):
        own, others = places[name], places[other]
        if not len(own):
            continue
        missing = np.setdiff1d(np.arange(own[0], own[-1]), own)
        if len(missing):
            yield name, missing, {"kind": "between", "slices": _runs(missing), "count": count}
        for beyond in (others[others < own[0]], others[others > own[-1]]):
            lost = float(np.asarray(found.thickness)[beyond].sum())
            if lost > ENDS_APART:
                values = {"slices": _runs(beyond), "count": count, "other": other, "mm": round(lost)}
                yield name, beyond, {"kind": "beyond", **values}


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


def _jumps(found: HeartResults) -> Iterator[Finding]:
    for name in VENTRICLES if found.count >= PHASES_OF_A_CURVE else ():
        curve = np.asarray(found.volumes[name])
        off = np.abs(curve - (np.roll(curve, 1) + np.roll(curve, -1)) / 2)
        limit = max(JUMP * np.ptp(curve), NOISE * curve.max())
        # only the largest deviation counts, because at a jump, the neighbouring phases also deviate, by half as much
        for phase in np.flatnonzero((off > limit) & (off >= np.maximum(np.roll(off, 1), np.roll(off, -1)))):
            if {(phase + step) % len(curve) for step in (-1, 1)} <= {*found.comparable(int(phase))}:
                values = {"ml": curve[phase], "off": off[phase]}
                yield finding("volume-unsteady", found.called(name, "volume", phase), **values)


def _late_end_systole(found: HeartResults) -> Iterator[Finding]:
    if found.count >= PHASES_OF_A_CYCLE:
        times = found.times or np.arange(found.count) / found.count
        share = round((times[found.end_systole] - times[found.end_diastole]) % 1, 6)
        if share > LATEST_END_SYSTOLE:
            yield finding("end-systole-late", percent=round(100 * share), limit=round(100 * LATEST_END_SYSTOLE))


def _emptied_end(found: HeartResults) -> Iterator[Finding]:
    for name in VENTRICLES if found.several else ():
        full, empty = (np.asarray(found.areas[name][phase], float) for phase in (found.end_diastole, found.end_systole))
        if not full.any() or not empty.any():
            continue
        full = full * np.asarray(found.thickness)
        emptied = np.where(empty > 0, 0, full)
        for ventricle, missing, _ in _missing(found, found.end_systole):
            if ventricle == name:
                emptied[missing] = 0  # `_lost_slices` flags them
        number, share = int(emptied.argmax()), emptied.max() / full.sum()
        if share >= EMPTIED:
            values = {"slice": number + 1, "count": len(full), "ml": share * found.volumes[name][found.end_diastole]}
            values |= {"points": 100 * share, "of": found.ejection_fraction(name)}
            name = found.called(name, "volume", found.end_systole)
            yield finding("volume-incomplete", name, kind="emptied", **values)


def image_faults(
    images: Sequence[np.ndarray], names: Sequence[str], found: HeartResults | None = None
) -> list[Finding]:
    """Find slices that show nothing, because all their pixels are equal, and slices that are in the stack twice, because
    their pixels are identical. Copies stay in the volumes, because nobody knows which position is the true one.

    Args:
        images: images of the stack in each phase, ``(i, j, slices)``.
        names: name of each phase.
        found: the volumes. If only some phases have such slices, their volumes are marked, and also end-diastole and
            end-systole, because the LV may be larger or smaller in those phases.
    """
    blank: dict[int, set[tuple[int, ...]]] = {}
    alike: dict[int, set[tuple[int, ...]]] = {}
    for phase, image in enumerate(images):
        same = defaultdict(list)
        for number, pixels in enumerate(np.moveaxis(image, -1, 0)):
            same[b"" if pixels.min() == pixels.max() else pixels.tobytes()].append(number)
        if empty := same.pop(b"", []):
            blank[phase] = {(number,) for number in empty}
        if copies := {tuple(numbers) for numbers in same.values() if len(numbers) > 1}:
            alike[phase] = copies
    faults = []
    for kind, phases in (("blank", blank), ("copies", alike)):
        if not phases:
            continue
        groups = sorted(set.union(*phases.values()))
        slices = [" = ".join(str(number + 1) for number in numbers) for numbers in groups]
        values = {"slices": slices, "copies": len({number for numbers in groups for number in numbers[1:]})}
        if kind == "blank":
            values = {"slices": _runs([number for (number,) in groups])}
        if len(phases) < len(images):
            kind, values["phases"] = f"{kind}-in", [names[phase] for phase in phases]
        if len(phases) < len(images) and found is not None:
            concerned = {*phases, found.end_diastole, found.end_systole}
            values["marks"] = sorted({f"volume at {moment}" for phase in concerned for moment in found.moments(phase)})
        faults.append(finding("slices-alike", kind=kind, count=images[0].shape[-1], **values))
    return faults
