"""Test the flags of implausible volumes, just below and just above each limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planewise.metrics.heart_volumes import HeartVolumes
from planewise.metrics.implausible_volumes import (
    Flag,
    Number,
    few_phases,
    flags_of,
    flags_with_numbers,
    image_faults,
    implausible_volumes,
    in_sentences,
    numbers_by_flag,
    slice_faults,
)

#: Slices 1 to 8 of 10 show both ventricles.
USUAL = [False, *[True] * 8, False]


def hearts_of(lv, rv=None, muscle=100.0, lv_areas=USUAL, rv_areas=USUAL, distance=10.0):
    """A heart with these volumes and the same slices in every phase."""
    rv = lv if rv is None else rv
    count = len(lv)
    return HeartVolumes(
        {"LV": list(lv), "RV": list(rv), "myocardium": [muscle] * count},
        {"LV": [lv_areas] * count, "RV": [rv_areas] * count},
        distance,
        int(np.argmax(lv)),
        int(np.argmin(lv)),
    )


def flagged(*arguments, **settings):
    return [
        (flag.structures, flag.quantity, flag.phase) for flag in implausible_volumes(hearts_of(*arguments, **settings))
    ]


def cycle(count, largest=150.0, smallest=60.0, systole=0.4):
    """Volumes along a cosine, which fall until `systole` and rise until the end."""
    at = np.arange(count) / count
    share = np.where(at < systole, at / systole, 1 + (at - systole) / (1 - systole)) / 2
    return (largest + smallest) / 2 + (largest - smallest) / 2 * np.cos(2 * np.pi * share)


@pytest.mark.parametrize("count", [1, 2, 5, 10, 12, 13, 14, 15, 25, 30])
@pytest.mark.parametrize(("largest", "smallest"), [(150, 60), (280, 240), (60, 15), (500, 430)])
def test_a_plausible_heart_has_no_flag(count, largest, smallest):
    assert implausible_volumes(hearts_of(cycle(count, largest, smallest))) == []


def test_phases_may_begin_anywhere_in_the_cycle():
    for shift in range(25):
        assert implausible_volumes(hearts_of(np.roll(cycle(25), shift))) == []


def test_stroke_volumes_that_differ_are_flagged_at_both_ventricles():
    # 97 and 59 ml, as in the exam that revealed this
    (flag,) = implausible_volumes(hearts_of([135, 38], [102, 43]))
    assert (flag.structures, flag.quantity, flag.phase) == (("LV", "RV"), "stroke volume", 1)
    assert flag.text == "stroke volumes of 97 ml (LV) and 59 ml (RV) differ by more than 25 %"
    assert flagged([160, 60], [160, 84]) == [] and flagged([160, 84], [160, 60]) == []
    assert flagged([160, 60], [160, 86]) == flagged([160, 86], [160, 60]) == [(("LV", "RV"), "stroke volume", 1)]


def test_what_two_epochs_of_training_printed_is_flagged():
    found = flagged([6548, 6286], [100, 107])
    assert (("LV",), "volume", 0) in found and (("LV",), "volume", 1) in found
    assert (("LV",), "ejection fraction", 1) in found and (("RV",), "ejection fraction", 1) in found


@pytest.mark.parametrize(
    ("volumes", "quantity", "phase"),
    [
        ((39, 19), "volume", 0),
        ((641, 560), "volume", 0),
        ((620, 601), "volume", 1),
        ((60, 4.9), "volume", 1),
        ((100, 86), "stroke volume", 1),
        ((500, 199), "stroke volume", 1),
        ((400, 381), "ejection fraction", 1),
        ((100, 9.9), "ejection fraction", 1),
    ],
)
def test_limits_of_numbers(volumes, quantity, phase):
    assert (("LV",), quantity, phase) in flagged(volumes)
    assert (("RV",), quantity, phase) in flagged(volumes)


def test_limits_hold_what_they_name():
    assert flagged([40, 20]) == flagged([640, 580]) == flagged([500, 200]) == flagged([100, 10]) == []
    assert flagged([100, 50], muscle=540 / 1.05) == []
    assert flagged([100, 50], muscle=541 / 1.05) == [(("myocardium",), "mass", 0)]
    assert flagged([100, 50], muscle=29 / 1.05) == [(("myocardium",), "mass", 0)]


def test_one_phase_may_be_any():
    assert flagged([20]) == [] and flagged([4]) == [(("LV",), "volume", 0), (("RV",), "volume", 0)]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("areas", "cut"),
    [
        ([0, 10, 14, 16, 12, 6, 2], {}),
        ([14, 16, 15, 12, 8, 4, 1], {}),
        ([14, 16, 15, 12, 7.9], {}),
        ([14, 16, 15, 12, 8], {5: 50}),
        ([16, 15, 12, 8, 4, 0], {1: 100}),
        ([15.3, 16, 12, 8, 4, 0], {1: 96}),
        ([15.1, 16, 12, 8, 4, 0], {}),
        ([16, 15, 12], {1: 100, 3: 75}),
    ],
)
def test_a_stack_that_ends_inside_the_left_ventricle(areas, cut, turned):
    count = len(areas)
    if turned:
        areas, cut = areas[::-1], {count + 1 - number: share for number, share in cut.items()}
    found = implausible_volumes(hearts_of([150, 60], lv_areas=areas, rv_areas=areas))
    every = ("LV", "RV", "myocardium")
    assert [(flag.structures, flag.quantity, flag.phase) for flag in found] == [(every, "volume", 0)] * bool(cut)
    where = " and ".join(f"{share} % in slice {number}" for number, share in sorted(cut.items()))
    assert all(
        flag.text.endswith(f"relative to its largest area, the LV still covers {where} of {count}") for flag in found
    )


def test_a_ventricle_that_is_not_found_is_said_once():
    (flag,) = implausible_volumes(hearts_of([150, 60], [0, 0], rv_areas=[False] * 10))
    assert flag.structures == ("RV",) and flag.text == "no RV was found at end-diastole"


def test_a_ventricle_lost_between_slices():
    (flag,) = implausible_volumes(
        hearts_of([90], rv_areas=[False, True, True, False, True, False, True, True, True, False])
    )
    assert flag.structures == ("RV",)
    assert flag.text == "RV is missing in slices 4 and 6 of 10, between slices that show it"
    found = hearts_of([150, 60, 100], lv_areas=[False, *[True] * 3, False, *[True] * 4, False])
    flags = implausible_volumes(found)
    said = "LV is missing in slice 5 of 10, between slices that show it"
    assert [(flag.phase, flag.text) for flag in flags] == [(phase, said) for phase in range(3)]
    assert in_sentences(flags, found) == [f"{said} (end-diastole and end-systole)"]


@pytest.mark.parametrize(
    ("missing", "said"),
    [([2], "slice 3 of 10"), ([2, 3], "slices 3 and 4 of 10"), ([2, 3, 4, 6], "slices 3 to 5 and 7 of 10")],
)
def test_slices_in_words(missing, said):
    (flag,) = implausible_volumes(hearts_of([90], rv_areas=[number not in (0, 9, *missing) for number in range(10)]))
    assert f"RV is missing in {said}, between" in flag.text


@pytest.mark.parametrize("first", [True, False])
def test_a_ventricle_lost_long_before_the_other(first):
    end = [False, *[True] * 8, False] if first else [False, *[True] * 8, False][::-1]
    short = [False, *[True] * 5, *[False] * 4]
    short, numbers = (short, "7 to 9") if first else (short[::-1], "2 to 4")
    assert flagged([90], lv_areas=end, rv_areas=short, distance=10.0) == []
    for settings, lost in (
        ({"lv_areas": end, "rv_areas": short}, "RV"),
        ({"lv_areas": short, "rv_areas": end}, "LV"),
    ):
        (flag,) = implausible_volumes(hearts_of([90], distance=11.0, **settings))
        assert flag.structures == (lost,)
        assert f"{lost} is missing in slices {numbers} of 10, although the" in flag.text and "over 33 mm" in flag.text


@given(jump_at=st.integers(0, 24), size=st.floats(35, 60), up=st.booleans())
def test_a_jump_is_flagged_where_it_is(jump_at, size, up):
    curve = cycle(25, 190, 100)
    curve[jump_at] += size if up else -size
    assert (("RV",), "volume", jump_at) in flagged(cycle(25, 190, 100), curve)


@pytest.mark.parametrize("count", [12, 13, 14])
@pytest.mark.parametrize("begin", [0.0, 0.3, 0.7])
def test_a_curve_of_fewer_phases_may_bend_more_but_not_jump(count, begin):
    """Early filling of 60 % within 0.15 of the cycle, and atrial filling of 40 % within 0.15."""
    at = (begin / count + np.arange(count) / count) % 1
    moved = [
        (1 - np.cos(np.pi * np.clip((at - first) / long, 0, 1))) / 2
        for first, long in ((0, 0.4), (0.45, 0.15), (0.85, 0.15))
    ]
    curve = 150 - 90 * moved[0] + 54 * moved[1] + 36 * moved[2]
    assert not any("jumps" in flag.text for flag in implausible_volumes(hearts_of(curve)))
    curve[count // 4] += 60
    assert (("RV",), "volume", count // 4) in flagged(cycle(count), curve)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("rv", "lv", "said"),
    [
        # the exam that revealed this, mm2
        ([0, 3253, 1541, 1190, 73, 0], [0, 2565, 2589, 1835, 801, 261], ("from slice {} to slice {} of 6", 2, 3, "by 53 %")),
        ([0, 3000, 1850, 1190, 73, 0], [0, 2565, 2589, 1835, 801, 261], None),
        ([0, 3000, 1700, 1190, 73, 0], [0, 2565, 2250, 1835, 801, 261], None),  # the LV shrinks, too
        ([900, 3000, 2900, 1190, 73, 0], [2500, 2565, 2589, 1835, 801, 261], None),  # towards the base
    ],
)  # fmt: skip
def test_a_right_ventricle_that_shrinks_although_the_left_does_not_is_flagged(rv, lv, said, turned):
    if turned:
        rv, lv = rv[::-1], lv[::-1]
    found = hearts_of([150, 60], rv_areas=rv, lv_areas=lv)
    shrunk = [flag for flag in implausible_volumes(found) if "a part of the RV may be missing" in flag.text]
    assert len(shrunk) == (said is not None)
    if said:
        where, one, following, fall = said
        numbers = (7 - one, 7 - following) if turned else (one, following)
        assert shrunk[0].text.startswith(where.format(*numbers)) and fall in shrunk[0].text
        assert (shrunk[0].structures, shrunk[0].quantity, shrunk[0].phase) == (("RV",), "volume", 0)
    assert not any("a part" in flag.text for flag in implausible_volumes(hearts_of([150], rv_areas=rv, lv_areas=lv)))


def test_a_ragged_curve_of_twelve_phases_is_flagged():
    """The curve of an audit: neither the check for few phases nor the one for jumps found it."""
    ragged = [150, 140, 130, 60, 120, 100, 65, 150, 90, 60, 100, 140]
    assert [flag.phase for flag in implausible_volumes(hearts_of(ragged)) if flag.text.startswith("LV volume")] == [
        3,
        7,
    ]


def test_few_phases_and_noise_are_no_jumps():
    curve = cycle(11)
    curve[8] += 45
    assert not any("jumps" in flag.text for flag in implausible_volumes(hearts_of(cycle(11), curve)))
    # a heart that hardly beats: segmentation errors are about 5 % of its volume
    faint = cycle(25, 400, 370) + 9 * (-1) ** np.arange(25)
    assert not any("jumps" in flag.text for flag in implausible_volumes(hearts_of(faint)))


def test_end_systole_after_the_heart_fills():
    (flag, *more) = implausible_volumes(hearts_of(cycle(20, systole=0.7)))
    assert not more and flag.structures == ("LV", "RV") and flag.phase == 14
    assert flag.text == "end-systole is 70 % of the cycle after end-diastole, but after 65 % a heart is already filling"
    assert flagged(cycle(20, systole=0.65)) == []
    assert flagged(cycle(4, systole=0.75)) == [], "four phases do not show it"
    # the images of the second half of the cycle were lost
    cut = hearts_of(cycle(20)[:11])
    assert len(implausible_volumes(cut)) == 1
    assert implausible_volumes(replace(cut, times=[k / 20 for k in range(11)])) == []


def test_a_ventricle_that_fills_again_before_end_systole():
    #: 150 -> 80 -> 110 -> 60: up by 30 of 90
    assert flagged([150, 80, 110, 60, 120], [150, 110, 80, 60, 120]) == [(("LV",), "volume", 3)]
    # the RV is smallest earlier, and has refilled by 40 of 90 ml when the LV is smallest
    found = implausible_volumes(hearts_of([150, 110, 80, 60, 120], [150, 60, 70, 100, 130], muscle=100))
    assert any(
        flag.structures == ("RV",) and "RV fills again by 40 ml before end-systole" in flag.text for flag in found
    )
    assert flagged([150, 80, 100, 60, 120], [150, 110, 80, 60, 120]) == []


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("full", "empty", "said"),
    [
        # the exam that revealed this: 32 % of the LV in its second slice
        ([0, 32, 32, 23, 10, 3], [0, 0, 19, 12, 1, 1], ("slice {} of 6 has 48 ml", 2, "32 of the 60 points")),
        ([10, 28, 30, 24, 8], [0, 0, 20, 20, 8], ("slice {} of 5 has 42 ml", 2, "28 of the 60 points")),
        ([24, 30, 30, 16], [0, 20, 20, 8], None),
        ([19, 19, 30, 21, 11], [0, 0, 20, 8, 0], None),
        # a slice between others, which another flag names
        ([19, 30, 30, 21], [10, 0, 20, 8], None),
        ([32, 32, 23, 13], [1, 19, 12, 1], None),
        ([32, 32, 23, 13], [0, 0, 0, 0], None),
    ],
)  # fmt: skip
def test_an_end_slice_that_empties_is_flagged_if_it_decides_the_ejection_fraction(full, empty, said, turned):
    if turned:
        full, empty = full[::-1], empty[::-1]
    found = HeartVolumes(
        {"LV": [150.0, 60.0], "RV": [150.0, 60.0], "myocardium": [100.0, 100.0]},
        {"LV": [full, empty], "RV": [full, full]},
        10.0,
        0,
        1,
    )
    flags = [flag for flag in implausible_volumes(found) if flag.about == "basal slice"]
    assert [(flag.structures, flag.quantity, flag.phase) for flag in flags] == [(("LV",), "volume", 1)] * bool(said)
    if said:
        where, number, points = said
        where = where.format(len(full) + 1 - number if turned else number)
        assert flags[0].text.startswith(f"{where} of the LV at end-diastole and none at end-systole")
        assert points in flags[0].text


def test_an_end_slice_empties_more_if_it_is_thicker():
    """It has 24 % of the LV's area, but counts with 14 mm and so has 33 % of the volume."""
    found = hearts_of([150, 60])
    found = replace(found, areas={"LV": [[24, 30, 30, 16], [0, 20, 20, 8]], "RV": [[30] * 4] * 2})
    thick = replace(found, thickness=[14.0, 9.0, 9.0, 8.0])
    said = "slice 1 of 4 has 50 ml of the LV at end-diastole and none at end-systole"
    assert [any(said in flag.text for flag in implausible_volumes(each)) for each in (found, thick)] == [False, True]


def test_an_end_slice_that_is_missing_by_mistake_is_flagged_once():
    """At end-systole, the RV has left its last four slices, in which the LV is visible; one of them had most of the RV."""
    areas = {"LV": [[20] * 6] * 2, "RV": [[30, 30, 40, 0, 0, 0], [20, 20, 0, 0, 0, 0]]}
    volumes = {"LV": [150.0, 60.0], "RV": [150.0, 60.0], "myocardium": [100.0, 100.0]}
    flags = [flag for flag in implausible_volumes(HeartVolumes(volumes, areas, 10.0, 0, 1)) if flag.phase == 1]
    of_rv = [flag.text for flag in flags if flag.structures == ("RV",)]
    assert of_rv == ["RV is missing in slices 3 to 6 of 6, although the LV is visible there, over 40 mm"]
    # unevenly spaced slices: with the same mean distance, those without the RV cover only 24 mm
    thin = HeartVolumes(volumes, areas, 10.0, 0, 1, thickness=[18.0, 18.0, 6.0, 6.0, 6.0, 6.0])
    assert not any("RV is missing" in flag.text for flag in implausible_volumes(thin))


def test_a_flag_of_both_moments_is_one_sentence():
    flags = [Flag(("RV",), "volume", phase, text) for text in ("missing", "odd") for phase in (2, 1, 1)]
    flags += [Flag(("RV",), "volume", None, "coarse"), Flag(("RV",), "volume", 0, "small")]
    del flags[3]
    assert in_sentences(flags, FOUND) == [
        "missing (end-diastole and end-systole)",
        "odd (end-diastole)",
        "coarse",
        "small",
    ]


def test_a_phase_that_is_end_diastole_and_end_systole_is_named_as_both():
    """All masks are empty."""
    found, flags = hearts_of([0, 0, 0]), [Flag(("LV",), "volume", 0, "empty")]
    assert in_sentences(flags, found) == ["empty (end-diastole and end-systole)"]
    numbers = [Number("LV", "volume", phase) for phase in range(3)]
    assert flags_with_numbers(numbers, flags, found) == ["LV end-diastolic and end-systolic volume: empty"]


def test_a_flag_of_other_phases_names_them():
    numbers = [
        Number(name, quantity, phase) for name in ("LV", "RV") for quantity in QUANTITIES[:2] for phase in range(3)
    ]
    flags = [Flag(("RV",), "volume", 0, "short"), Flag(("LV",), "volume", 0, "odd"), Flag(("LV",), "volume", 1, "odd")]
    named = flags_with_numbers(numbers, flags, FOUND, ["phase00", "phase33", "phase67"])
    assert named == ["RV volume and mass in phase00: short", "LV end-diastolic volume and end-diastolic mass: odd"]


def test_flags_of_two_moments_name_them_if_other_phases_have_them_too():
    """Without the moment, two flags that differ only in a number seem to contradict each other."""
    numbers = [Number("RV", "volume", phase) for phase in range(4)] + [Number("RV", "stroke volume")]
    found = hearts_of([60, 150, 90, 140])
    flags = [
        Flag(("RV",), "volume", phase, text) for text, phase in (("4 slices", 1), ("4 slices", 3), ("3 slices", 0))
    ]
    flags += [Flag(("RV",), "volume", phase, "odd") for phase in (0, 1, 2)]
    assert flags_with_numbers(numbers, flags, found) == [
        "RV end-diastolic volume and stroke volume: 4 slices",
        "RV end-systolic volume and stroke volume: 3 slices",
        "RV end-diastolic and end-systolic volume and stroke volume: odd",
    ]


def test_corrected_phases_are_not_compared_with_the_network_s():
    """The network finds 100 ml too little at end-systole, and a person corrects the first and the last phase of systole."""
    curve = cycle(25, 190, 140) - 100 * (np.arange(25) == 9)
    curve[[0, 10]] = 190, 140
    found = replace(hearts_of(cycle(25, 190, 140), curve), end_diastole=0, end_systole=10)
    assert [flag.text[:18] for flag in implausible_volumes(found)] == ["RV volume of 41 ml", "RV fills again by "]
    assert implausible_volumes(replace(found, corrected=[0, 10])) == []


@pytest.mark.parametrize("count", [2, 5, 11])
def test_few_phases_may_miss_end_systole(count):
    """The worst case: end-systole is in the middle between two phases; the heart empties and fills within half a cycle."""
    (flag,) = few_phases(replace(hearts_of(cycle(count)), times=[phase / count for phase in range(count)]))
    assert f"only {count} phases" in flag.text and flag.structures == ("LV", "RV")
    assert (flag.quantity, flag.phase) == ("volume", int(np.argmin(cycle(count))))
    assert (1 - np.cos(2 * np.pi * 2 * 0.5 / count)) / 2 > 0.07


def test_enough_phases_have_no_remark():
    assert few_phases(replace(hearts_of(cycle(12)), times=[phase / 12 for phase in range(12)])) == []
    assert few_phases(replace(hearts_of([150]), times=[0])) == []
    # a person has chosen them, and named them ED and ES
    assert few_phases(hearts_of([150, 60])) == []
    # 13 phases, of which 7 are left
    assert few_phases(replace(hearts_of(cycle(7)), times=[0, 0.08, 0.15, 0.23, 0.31, 0.38, 0.46])) == []
    assert (1 - np.cos(2 * np.pi * 2 * 0.5 / 12)) / 2 < 0.07


#: End-diastole is the second of three phases, end-systole the third.
FOUND = hearts_of([90, 150, 60])
QUANTITIES = ("volume", "mass", "stroke volume", "ejection fraction")


@pytest.mark.parametrize(
    ("quantity", "phase", "reached"),
    [
        ("volume", 1, {"volume at 1", "mass at 1", "stroke volume", "ejection fraction"}),
        ("volume", 2, {"volume at 2", "mass at 2", "stroke volume", "ejection fraction"}),
        ("volume", 0, {"volume at 0", "mass at 0"}),
        ("mass", 1, {"mass at 1"}),
        ("stroke volume", 2, {"stroke volume", "ejection fraction"}),
        ("ejection fraction", 2, {"ejection fraction"}),
        ("volume", None, {f"{q} at {n}" for q in QUANTITIES[:2] for n in range(3)} | set(QUANTITIES[2:])),
    ],
)
def test_a_number_has_the_flags_of_the_numbers_that_it_is_computed_from(quantity, phase, reached):
    flag = Flag(("LV",), quantity, phase, "odd")
    numbers = {f"{name} at {at}": Number("LV", name, at) for name in QUANTITIES[:2] for at in range(3)}
    numbers |= {name: Number("LV", name) for name in QUANTITIES[2:]}
    assert {name for name, number in numbers.items() if flags_of(number, [flag], FOUND) == [flag]} == reached
    assert not any(flags_of(Number("RV", name, 1), [flag], FOUND) for name in QUANTITIES)


def test_flags_name_the_numbers_that_they_concern():
    flags = [
        Flag(("LV", "RV", "myocardium"), "volume", None, "coarse"),
        Flag(("RV",), "volume", 1, "short"),
        Flag(("LV", "RV"), "stroke volume", 2, "differ"),
        Flag(("LV",), "volume", 0, "jumps"),
        Flag(("RV",), "volume", 2, "short"),
    ]
    row = [Number(name, "volume", 2) for name in ("RV", "myocardium", "LV")]
    row += [Number(name, quantity) for quantity in QUANTITIES[2:] for name in ("LV", "RV")]
    assert flags_with_numbers(row, flags, FOUND) == [
        "all: coarse",
        "RV: short",
        "LV and RV stroke volume and ejection fraction: differ",
    ]
    assert numbers_by_flag(row[:3], flags, FOUND)["short"] == {"RV": ["volume"]}
    some = [Number("myocardium", "mass", 0), Number("LV", "volume", 0), Number("RV", "volume", 2)]
    assert flags_with_numbers(some, flags[1:], FOUND) == ["RV: short", "LV: jumps"]
    assert flags_with_numbers([*some, Number("RV", "volume", 0)], [flags[4]], FOUND) == [
        "RV end-systolic volume: short"
    ]
    assert flags_with_numbers(some[:1], [Flag(("myocardium",), "volume", 0, "odd")], FOUND) == ["all: odd"]


def test_a_slice_that_shows_nothing_or_is_there_twice_is_flagged():
    """Three phases; end-diastole is the first, end-systole the second."""
    found = hearts_of([150, 60, 100], lv_areas=[900.0] * 4, rv_areas=[900.0] * 4)
    names = ["phase00", "phase33", "phase67"]
    images = [np.random.default_rng(phase).normal(size=(6, 5, 4)).astype(np.float32) for phase in range(3)]
    assert image_faults(images, found, names) == []
    images[2][..., 3] = 0.0
    flags = image_faults(images, found, names)
    assert [(flag.structures, flag.quantity, flag.phase) for flag in flags] == [
        (("LV", "RV", "myocardium"), "volume", phase) for phase in range(3)
    ]
    assert {flag.text for flag in flags} == {
        "no signal in slice 4 of 4: all its pixels are equal (in phase67); end-diastole or end-systole may be missed"
    }
    for image in images:
        image[..., 2], image[..., 3] = image[..., 0], 7.0
    assert [(flag.phase, flag.text) for flag in image_faults(images, found, names)] == [
        (None, "no signal in slice 4 of 4: all its pixels are equal"),
        (
            None,
            "slices 1 and 3 of 4 have identical pixels, so 1 slice is a copy of another; copies count in volumes and mass, "
            "with 9 ml of the LV and 9 ml of the RV at end-diastole",
        ),
    ]


def test_copies_of_several_slices_and_in_several_phases_are_one_flag():
    """Eleven pairs; then one pair in each phase, of other slices in each."""
    found, names = hearts_of([150, 60], lv_areas=[300.0] * 24, rv_areas=[300.0] * 24), ["phase00", "phase50"]
    images = [np.random.default_rng(phase).normal(size=(6, 5, 24)) for phase in range(2)]
    for image in images:
        image[..., 1:22:2] = image[..., :22:2]
        image[..., 22] = image[..., 0]
    (flag,) = image_faults(images, found, names)
    assert flag.phase is None and flag.text.startswith(
        "slices 1, 2 and 23; 3 and 4; 5 and 6; 7 and 8; 9 and 10; 11 and 12; 13 and 14; 15 and 16; 17 and 18; 19 and 20; "
        "21 and 22 of 24 have identical pixels, so 12 slices are copies of others; copies count in volumes and mass, "
        "with 36 ml of the LV and 36 ml of the RV at end-diastole"
    )
    images = [np.random.default_rng(phase).normal(size=(6, 5, 24)) for phase in range(2)]
    images[0][..., 1], images[1][..., 4] = images[0][..., 0], images[1][..., 3]
    images[0][..., 8], images[1][..., 9] = 0, 0
    assert list(slice_faults(images, names)) == [
        "no signal in slices 9 and 10 of 24: all their pixels are equal (each in at least one of phase00, phase50)",
        "slices 1 and 2; 4 and 5 of 24 have identical pixels, so 2 slices are copies of others (each in at least one of "
        "phase00, phase50)",
    ]
