"""Flag implausible volumes of a segmented heart, with reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from planewise.exams.words import listed, some_of
from planewise.metrics.heart_volumes import HeartVolumes

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
#: Smallest area of the RV at end-diastole relative to the slice before, from its largest area towards the apex, if the LV
#: keeps `LV_KEPT` of its area from one slice to the other. In the true masks of 120 phantoms, with slices 10 to 20 mm apart,
#: the smallest is 0.67; a segmentation that lost half of the RV in this slice had 0.47.
RV_KEPT, LV_KEPT = 0.6, 0.9
#: Largest difference between a volume and the mean of its neighbours, as a share of the curve's range, and the minimum
#: number of phases for this check. With this number of phases, a beating heart stays below the limit: the curve of a heart
#: that empties and fills along a cosine within half a cycle reaches 0.17.
JUMP, PHASES_OF_A_CURVE = 0.25, 15
#: The same limit for fewer phases, down to `ENOUGH_PHASES`. There, a short early or atrial filling can take a single phase:
#: among 36,000 simulated curves of 12 to 14 phases (normal, delayed and restrictive filling, fast rates; with noise), the
#: largest value is 0.49.
JUMP_OF_FEWER = 0.5
#: Allowed error of a segmentation from phase to phase, as a share of the largest volume.
NOISE = 0.05
#: Latest end of systole, as a share of the cycle. Systole takes 541 - 2.2 (beats per minute) ms (Boudoulas et al., Chest
#: 80:613, 1981), which is at most 0.55 of a cycle at any heart rate.
LATEST_END_SYSTOLE = 0.65
#: Minimum number of phases for the check of when the heart fills. With fewer phases, end-systole may be between two of
#: them.
PHASES_OF_A_CYCLE = 5
#: Largest increase of a ventricle's volume before end-systole, as a share of the curve's range.
REFILLED = 0.25
#: With fewer phases per heartbeat, end-systole may be missed. It lies at most half a phase from the nearest phase. A heart
#: that empties and fills along a cosine within half a cycle has filled again by then by at most 7 % of its stroke volume
#: with this number of phases, but by 35 % with 5. Protocols ask for at most 45 ms between phases, which is about 20 phases
#: (Kramer et al., J Cardiovasc Magn Reson 22:17, 2020).
ENOUGH_PHASES = 12
#: Limit of a ventricle's volume in an end slice that has none of it at end-systole, as a share of its end-diastolic volume:
#: its share is how many points of the ejection fraction rest on this one slice. The base moves towards the apex, so it
#: usually leaves a slice or two. In the masks of 40 phantoms with slices 10 mm apart, one slice had at most 20 %.
EMPTIED = 0.25

#: The quantities from which each quantity is computed, and the quantity itself.
_SOURCES = {
    "volume": ("volume",),
    "mass": ("volume", "mass"),
    "stroke volume": ("volume", "stroke volume"),
    "ejection fraction": ("volume", "stroke volume", "ejection fraction"),
}
#: Quantities that are computed from two phases.
OF_TWO_PHASES = ("stroke volume", "ejection fraction")
#: The quantity by which values per m2 are divided.
BODY_SURFACE = "body surface"


@dataclass(frozen=True)
class Flag:
    """A note on an implausible value.

    Attributes:
        structures: the structures that the flag concerns, out of ``LV``, ``RV`` and ``myocardium``.
        quantity: ``volume``, ``stroke volume``, ``ejection fraction``, ``mass`` or ``body surface``.
        phase: number of the phase; for a value from two phases, that of end-systole; None for every phase.
        text: what is wrong, as a sentence without a full stop.
        usable: whether the number is only coarse; otherwise, it is marked: nobody should use it unchecked.
        cause: where to look; empty means at the flag's only structure, or else at the acquisition.
    """

    structures: tuple[str, ...]
    quantity: str
    phase: int | None
    text: str
    usable: bool = field(default=False, compare=False)
    cause: str = field(default="", compare=False)

    @property
    def about(self) -> str:
        """The cause in words: people see one line for each."""
        if self.cause or len(self.structures) > 1:
            return self.cause or "acquisition"
        return {"LV": "left ventricle", "RV": "right ventricle"}.get(self.structures[0], self.structures[0])


@dataclass(frozen=True)
class Number:
    """A number that people see: a structure's ``quantity`` (see `Flag`), at a ``phase`` unless it is from two phases;
    ``indexed`` if it is per body surface."""

    structure: str
    quantity: str
    phase: int | None = None
    indexed: bool = False


def flags_of(number: Number, flags: Sequence[Flag], found: HeartVolumes) -> list[Flag]:
    """The flags of a number: its own, and those of the numbers that it is computed from.

    The terminal, the page, the tables and the DICOM report all use this rule. A value per body surface has the flags of the
    value and of the body surface.
    """
    phases, quantities = {number.phase}, _SOURCES[number.quantity] + (BODY_SURFACE,) * number.indexed
    if number.quantity in OF_TWO_PHASES:
        phases = {found.end_diastole, found.end_systole}
    return [
        flag
        for flag in flags
        if number.structure in flag.structures
        and flag.quantity in quantities
        and (flag.phase is None or flag.phase in phases)
    ]


def is_marked(number: Number, flags: Sequence[Flag], found: HeartVolumes) -> bool:
    """Whether a flag says that nobody should use a number unchecked."""
    return any(not flag.usable for flag in flags_of(number, flags, found))


def in_sentences(flags: Iterable[Flag], found: HeartVolumes) -> list[str]:
    """The texts of flags, each once; in brackets, end-diastole and end-systole if a flag concerns a volume there."""
    moments: dict[str, set[str]] = {}
    for flag in flags:
        # other flags are clear without the moment
        named = flag.quantity == "volume" and len(found.volumes["LV"]) > 1 and "end-" not in flag.text
        moments.setdefault(flag.text, set()).update(_moments(found, flag.phase) if named else [])
    return [text + (f" ({listed(sorted(named))})" if named else "") for text, named in moments.items()]


def _moments(found: HeartVolumes, *phases: int | None) -> list[str]:
    """The moments of some phases: end-diastole, end-systole, none, or both; both are one phase if no LV was found."""
    moments = {"end-diastole": found.end_diastole, "end-systole": found.end_systole}
    return [moment for moment, number in moments.items() if number in phases]


def numbers_by_flag(
    numbers: Iterable[Number], flags: Sequence[Flag], found: HeartVolumes
) -> dict[str, dict[str, list[str]]]:
    """The flagged ones among some numbers: maps each flag's text to the quantities of each structure, in the order of the
    flags."""
    concerned = _flagged(numbers, flags, found)
    return {
        text: {structure: list(_quantities(flagged)) for structure, flagged in structures.items()}
        for text, structures in concerned.items()
    }


def _flagged(
    numbers: Iterable[Number], flags: Sequence[Flag], found: HeartVolumes
) -> dict[str, dict[str, list[Number]]]:
    """The flagged ones among some numbers, by the flag's text, in the order of the flags, and by structure."""
    concerned: dict[str, dict[str, list[Number]]] = {flag.text: {} for flag in flags}
    for number in sorted(numbers, key=lambda number: (number.structure, list(_SOURCES).index(number.quantity))):
        for flag in flags_of(number, flags, found):
            concerned[flag.text].setdefault(number.structure, []).append(number)
    return {text: structures for text, structures in concerned.items() if structures}


def _quantities(numbers: Iterable[Number]) -> dict[str, None]:
    return dict.fromkeys(number.quantity for number in numbers)


def flags_with_numbers(
    numbers: Sequence[Number], flags: Sequence[Flag], found: HeartVolumes, names: Sequence[str] = ()
) -> list[str]:
    """The flags of some numbers, each after the numbers that it concerns: ``LV and RV stroke volume: ...``. ``RV: ...``
    concerns all of the RV's numbers, ``all: ...`` those of all structures. With the phases' names, a flag that concerns
    neither end-diastole nor end-systole names its phases: ``RV volume in phase58: ...``."""
    sentences = []
    for text, concerned in _flagged(numbers, flags, found).items():
        alike: dict[tuple[str, ...], list[str]] = {}
        for structure, flagged in concerned.items():
            own = {number for number in numbers if number.structure == structure}
            named = [_in_words(quantity, own, flagged, found) for quantity in _quantities(flagged)]
            alike.setdefault(() if own <= set(flagged) else tuple(named), []).append(structure)
        about = ", ".join(
            f"{listed(structures)} {listed(quantities)}" if quantities else listed(structures)
            for quantities, structures in alike.items()
        )
        structures = sorted({number.structure for number in numbers})
        phases = sorted(
            {number.phase for flagged in concerned.values() for number in flagged if number.phase is not None}
        )
        if names and phases and not _moments(found, *phases):
            about += f" in {some_of([names[phase] for phase in phases])}"
        sentences.append(f"{'all' if alike == {(): structures} else about}: {text}")
    return sentences


def _in_words(quantity: str, numbers: Iterable[Number], flagged: Iterable[Number], found: HeartVolumes) -> str:
    """A structure's quantity, with its moments unless all of its numbers are flagged."""
    phases = {number.phase for number in numbers if number.quantity == quantity}
    of_flag = {number.phase for number in flagged if number.quantity == quantity}
    moments = [] if of_flag == phases else _moments(found, *of_flag)
    return f"{listed(moments).replace('stole', 'stolic')} {quantity}" if moments else quantity


def implausible_volumes(found: HeartVolumes) -> list[Flag]:
    """Flag implausible values among the volumes of a heart.

    Implausible values are

    - volumes, stroke volumes, ejection fractions and masses outside the limits above;
    - left and right stroke volumes that differ too much (`STROKE_VOLUMES_APART`);
    - a ventricle that is missing in a slice between slices that show it, or that ends far before the other ventricle
      (`ENDS_APART`);
    - a stack that ends inside the left ventricle (`APEX_CUT`, `BASE_CUT`), so that volumes and mass may be too small;
    - an RV that shrinks from one slice to the next although the LV does not (`RV_KEPT`);
    - jumps in the curve of a volume over the cycle (`JUMP`, `JUMP_OF_FEWER`);
    - an end-systole after the heart has begun to fill: too late in the cycle, or after a ventricle has filled again
      (`REFILLED`);
    - a large part of a ventricle in an end slice that has none of it at end-systole (`EMPTIED`).

    A flag does not prove an error: a leaking valve, for example, also makes stroke volumes differ.
    """
    checks = (_ranges, _stroke_volumes, _lost_slices, _shrunk_right, _cut_off, _jumps, _late_end_systole, _emptied_end)
    return [flag for flags in checks for flag in flags(found)]


def _ranges(found: HeartVolumes) -> Iterator[Flag]:
    several = len(found.volumes["LV"]) > 1
    diastole, systole = found.end_diastole, found.end_systole
    for ventricle in ("LV", "RV"):
        volumes = found.volumes[ventricle]
        if not volumes[diastole]:
            yield Flag((ventricle,), "volume", diastole, f"no {ventricle} was found at end-diastole")
            continue
        # a single phase need not be end-diastole, so the lower limit of end-systole applies
        least = END_DIASTOLIC_VOLUME[0] if several else END_SYSTOLIC_VOLUME[0]
        yield from _outside(ventricle, "volume", diastole, volumes[diastole], (least, END_DIASTOLIC_VOLUME[1]), "ml")
        if several:
            yield from _outside(ventricle, "volume", systole, volumes[systole], END_SYSTOLIC_VOLUME, "ml")
            stroke, fraction = found.stroke_volume(ventricle), found.ejection_fraction(ventricle)
            yield from _outside(ventricle, "stroke volume", systole, stroke, STROKE_VOLUME, "ml")
            yield from _outside(ventricle, "ejection fraction", systole, fraction, EJECTION_FRACTION, "%")
    yield from _outside("myocardium", "mass", diastole, found.mass, MYOCARDIAL_MASS, "g")


def _outside(
    structure: str, quantity: str, phase: int, value: float, limits: tuple[float, float], unit: str
) -> Iterator[Flag]:
    least, most = limits
    if not least <= value <= most:
        text = f"{structure} {quantity} of {value:.0f} {unit} is outside the limits for adults, {least:g} to {most:g} {unit}"
        yield Flag((structure,), quantity, phase, text)


def _stroke_volumes(found: HeartVolumes) -> Iterator[Flag]:
    left, right = found.stroke_volume("LV"), found.stroke_volume("RV")
    larger = max(left, right)
    seen = found.volumes["LV"][found.end_diastole] and found.volumes["RV"][found.end_diastole]
    if seen and larger > 0 and abs(left - right) > STROKE_VOLUMES_APART * larger:
        # the text leaves out the difference itself, because 25.3 % would read "25 %, more than 25 %"
        most = f"{100 * STROKE_VOLUMES_APART:.0f} %"
        text = f"stroke volumes of {left:.0f} ml (LV) and {right:.0f} ml (RV) differ by more than {most}"
        yield Flag(("LV", "RV"), "stroke volume", found.end_systole, text, cause="right ventricle")


def _lost_slices(found: HeartVolumes) -> Iterator[Flag]:
    for phase in range(len(found.volumes["LV"])):
        for name, _, text in _missing(found, phase):
            yield Flag((name,), "volume", phase, text)


def _missing(found: HeartVolumes, phase: int) -> Iterator[tuple[str, np.ndarray, str]]:
    """Yield each ventricle with slices in which it is missing by mistake, these slices, and a sentence about them."""
    places = {name: np.flatnonzero(found.areas[name][phase]) for name in ("LV", "RV")}
    count = len(found.areas["LV"][phase])
    for name, other in (("LV", "RV"), ("RV", "LV")):
        own, others = places[name], places[other]
        if not len(own):
            continue
        missing = np.setdiff1d(np.arange(own[0], own[-1]), own)
        if len(missing):
            yield name, missing, f"{name} is missing in {_slices(missing, count)}, between slices that show it"
        for beyond in (others[others < own[0]], others[others > own[-1]]):
            lost = float(_thickness(found, count)[beyond].sum())
            if lost > ENDS_APART:
                which = _slices(beyond, count)
                text = f"{name} is missing in {which}, although the {other} is visible there, over {lost:.0f} mm"
                yield name, beyond, text


def _shrunk_right(found: HeartVolumes) -> Iterator[Flag]:
    lv, rv = (np.asarray(found.areas[name][found.end_diastole], float) for name in ("LV", "RV"))
    numbers = np.flatnonzero(lv)
    # a single phase may be end-systole, when the RV shrinks more from slice to slice
    if len(found.volumes["LV"]) < 2 or len(numbers) < 2 or not rv[numbers].any():
        return
    half = len(numbers) // 2
    if lv[numbers[:half]].sum() < lv[numbers[-half:]].sum():
        numbers = numbers[::-1]  # from base to apex
    for one, following in zip(numbers[rv[numbers].argmax() :], numbers[rv[numbers].argmax() + 1 :], strict=False):
        if 0 < rv[following] < RV_KEPT * rv[one] and lv[following] >= LV_KEPT * lv[one]:
            text = (
                f"from slice {one + 1} to slice {following + 1} of {len(lv)}, the area of the RV falls by "
                f"{100 * (1 - rv[following] / rv[one]):.0f} %, but that of the LV does not: a part of the RV may be missing"
            )
            yield Flag(("RV",), "volume", found.end_diastole, text)


def _cut_off(found: HeartVolumes) -> Iterator[Flag]:
    areas = np.asarray(found.areas["LV"][found.end_diastole], float)
    if len(areas) < 2 or not areas.any():
        return
    ends = np.array([0, len(areas) - 1])
    shares = areas[ends] / areas.max()
    limits = np.where(shares == shares.min(), APEX_CUT, BASE_CUT)
    if (cut := shares >= limits).any():
        where = [f"{100 * share:.0f} % in slice {end + 1}" for end, share in zip(ends[cut], shares[cut], strict=True)]
        text = (
            "the stack seems to end inside the left ventricle, so volumes and mass may be too small: relative to its largest "
            f"area, the LV still covers {listed(where)} of {len(areas)}"
        )
        yield Flag(("LV", "RV", "myocardium"), "volume", found.end_diastole, text)


def _thickness(found: HeartVolumes, count: int) -> np.ndarray:
    """The thickness with which each slice counts, mm."""
    return np.full(count, found.slice_distance) if found.thickness is None else np.asarray(found.thickness)


def _slices(numbers: Sequence[int] | np.ndarray, count: int) -> str:
    """Slices in words, counted from 1. Three or more consecutive slices are written as a range."""
    runs = np.split(np.add(numbers, 1), np.flatnonzero(np.diff(numbers) > 1) + 1)
    which = [part for run in runs for part in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else run)]
    return f"slice{'s' * (len(numbers) > 1)} {listed(map(str, which))} of {count}"


def _jumps(found: HeartVolumes) -> Iterator[Flag]:
    for ventricle in ("LV", "RV"):
        curve = np.asarray(found.volumes[ventricle])
        if len(curve) < ENOUGH_PHASES:
            continue
        off = np.abs(curve - (np.roll(curve, 1) + np.roll(curve, -1)) / 2)
        jump = JUMP if len(curve) >= PHASES_OF_A_CURVE else JUMP_OF_FEWER
        limit = max(jump * np.ptp(curve), NOISE * curve.max())
        # only the largest deviation counts, because at a jump, the neighbouring phases also deviate, by half as much
        for phase in np.flatnonzero((off > limit) & (off >= np.maximum(np.roll(off, 1), np.roll(off, -1)))):
            if not {(phase + step) % len(curve) for step in (-1, 1)} <= {*found.comparable(int(phase))}:
                continue
            text = (
                f"{ventricle} volume of {curve[phase]:.0f} ml jumps: it differs by {off[phase]:.0f} ml from the phases "
                "before and after"
            )
            yield Flag((ventricle,), "volume", int(phase), text)


def _late_end_systole(found: HeartVolumes) -> Iterator[Flag]:
    count, systole = len(found.volumes["LV"]), found.end_systole
    if count < PHASES_OF_A_CYCLE:
        return
    way = [(found.end_diastole + step) % count for step in range((systole - found.end_diastole) % count + 1)]
    times = found.times or np.arange(count) / count
    share = round((times[systole] - times[found.end_diastole]) % 1, 6)
    if share > LATEST_END_SYSTOLE:
        text = (
            f"end-systole is {100 * share:.0f} % of the cycle after end-diastole, but after {100 * LATEST_END_SYSTOLE:.0f} % "
            "a heart is already filling"
        )
        yield Flag(("LV", "RV"), "volume", systole, text, cause="end-systole")
    way = [phase for phase in way if phase in found.comparable(systole)]
    for ventricle in ("LV", "RV"):
        curve = np.asarray(found.volumes[ventricle])
        # the increase of each phase's volume over the smallest volume up to this phase
        filled = curve[way] - np.minimum.accumulate(curve[way])
        filled_by = filled[-1] if ventricle == "RV" else filled.max()
        if filled_by > max(REFILLED * np.ptp(curve), NOISE * curve.max()):
            text = f"{ventricle} fills again by {filled_by:.0f} ml before end-systole, where the LV is smallest"
            yield Flag((ventricle,), "volume", systole, text)


def _emptied_end(found: HeartVolumes) -> Iterator[Flag]:
    if len(found.volumes["LV"]) < 2:
        return
    for ventricle in ("LV", "RV"):
        full, empty = (
            np.asarray(found.areas[ventricle][phase], float) for phase in (found.end_diastole, found.end_systole)
        )
        if not full.any() or not empty.any():
            continue
        full = full * _thickness(found, len(full))
        emptied = np.where(empty > 0, 0, full)
        for name, missing, _ in _missing(found, found.end_systole):
            if name == ventricle:
                emptied[missing] = 0  # `_lost_slices` flags them
        number, share = int(emptied.argmax()), emptied.max() / full.sum()
        if share >= EMPTIED:
            ml, fraction = share * found.volumes[ventricle][found.end_diastole], found.ejection_fraction(ventricle)
            text = (
                f"{_slices([number], len(full))} has {ml:.0f} ml of the {ventricle} at end-diastole and none at end-systole: "
                f"{100 * share:.0f} of the {fraction:.0f} points of the ejection fraction"
            )
            half = len(full) // 2
            end = "basal" if (number < half) == (full[:half].sum() > full[-half:].sum()) else "apical"
            yield Flag((ventricle,), "volume", found.end_systole, text, cause=f"{end} slice")


def image_faults(images: Sequence[np.ndarray], found: HeartVolumes, names: Sequence[str]) -> list[Flag]:
    """Flag the slices of `slice_faults`. Copies stay in the volumes, because nobody knows which position is the true one; the
    flag says how many ml they have.

    If only some phases have such slices, the flags also mark end-diastole and end-systole, because the LV may be larger or
    smaller in those phases.

    Args:
        images: images of the stack in each phase, ``(i, j, slices)``.
        found: the volumes.
        names: name of each phase.
    """
    flags, structures = [], tuple(found.volumes)
    for text, copies in slice_faults(images, names).items():
        shown = next((phase for phase in (found.end_diastole, found.end_systole) if copies.get(phase)), None)
        if shown is not None:
            depth = _thickness(found, images[shown].shape[-1])[copies[shown]] / 1000
            areas = {name: np.asarray(of[shown])[copies[shown]] for name, of in sorted(found.areas.items())}
            ml = listed(f"{area @ depth:.0f} ml of the {name}" for name, area in areas.items())
            at = f" at {_moments(found, shown)[0]}" if len(images) > 1 else ""
            text += f"; copies count in volumes and mass, with {ml}{at}"
        if len(copies) == len(images):
            flags.append(Flag(structures, "volume", None, text))
            continue
        text += "; end-diastole or end-systole may be missed"
        marked = sorted({*copies, found.end_diastole, found.end_systole})
        flags += [Flag(structures, "volume", phase, text) for phase in marked]
    return flags


def slice_faults(images: Sequence[np.ndarray], names: Sequence[str]) -> dict[str, dict[int, list[int]]]:
    """Sentences, without a full stop, about slices that show nothing, because all their pixels are equal, and about slices
    that are in the stack twice, because their pixels are identical.

    Args:
        images, names: see `image_faults`.

    Returns:
        Maps each sentence to its phases, and each phase to the slices that are copies of others before them.
    """
    count = images[0].shape[-1]
    blank: dict[int, tuple[int, ...]] = {}
    alike: dict[int, tuple[tuple[int, ...], ...]] = {}
    for phase, image in enumerate(images):
        slices = np.moveaxis(image, -1, 0).reshape(count, -1)
        empty = slices.min(axis=1) == slices.max(axis=1)
        same: dict[bytes, list[int]] = {}
        for number in np.flatnonzero(~empty):
            same.setdefault(slices[number].tobytes(), []).append(int(number))
        blank[phase] = tuple(np.flatnonzero(empty).tolist())
        alike[phase] = tuple(tuple(numbers) for numbers in same.values() if len(numbers) > 1)

    def where(faults: Mapping[int, tuple]) -> str:
        there = [phase for phase in faults if faults[phase]]
        each = "in" if len({faults[phase] for phase in there}) == 1 else "each in at least one of"
        return (
            f" ({each} {some_of([names[phase] for phase in there])})"
            if each != "in" or len(there) < len(images)
            else ""
        )

    found: dict[str, dict[int, list[int]]] = {}
    if numbers := sorted({number for empty in blank.values() for number in empty}):
        pixels = f"all {'its' if len(numbers) == 1 else 'their'} pixels are equal"
        found[f"no signal in {_slices(numbers, count)}: {pixels}{where(blank)}"] = {
            phase: [] for phase in blank if blank[phase]
        }
    if groups := sorted({numbers for groups in alike.values() for numbers in groups}):
        copies = {number for numbers in groups for number in numbers[1:]}
        *others, last = (_slices(numbers, count).removeprefix("slices ") for numbers in groups)
        which = "; ".join([*(other.removesuffix(f" of {count}") for other in others), last])
        are = "1 slice is a copy of another" if len(copies) == 1 else f"{len(copies)} slices are copies of others"
        found[f"slices {which} have identical pixels, so {are}{where(alike)}"] = {
            phase: [number for numbers in alike[phase] for number in numbers[1:]] for phase in alike if alike[phase]
        }
    return found


def few_phases(found: HeartVolumes) -> list[Flag]:
    """A flag on end-systole if a heartbeat has so few phases (`ENOUGH_PHASES`) that they may miss it; none for a single
    phase, or for phases without a place in the cycle, such as ED and ES, which a person has chosen."""
    if found.times is None or len(found.times) == 1:
        return []
    count = round(1 / np.median(np.diff(found.times)))  # phases that are absent are counted, too
    if count >= ENOUGH_PHASES:
        return []
    text = f"a heartbeat has only {count} phases (usual: 20 or more), so end-systole may be missed"
    return [Flag(("LV", "RV"), "volume", found.end_systole, text, usable=True)]
