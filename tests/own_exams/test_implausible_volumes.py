"""Test the flags of implausible volumes, just below and just above each limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planewise.findings import finding
from planewise.own_exams.heart_results import HeartResults
from planewise.own_exams.implausible_volumes import image_faults, implausible_volumes

#: Slices 1 to 8 of 10 show both ventricles.
USUAL = [False, *[True] * 8, False]


def hearts_of(lv, rv=None, muscle=100.0, lv_areas=USUAL, rv_areas=USUAL, distance=10.0):
    """A heart with these volumes and the same slices in every phase; its phases are called by their numbers."""
    rv = lv if rv is None else rv
    count = len(lv)
    return HeartResults(
        {"LV": list(lv), "RV": list(rv), "myocardium": [muscle] * count},
        {"LV": [lv_areas] * count, "RV": [rv_areas] * count},
        [distance] * len(lv_areas),
        int(np.argmax(lv)),
        int(np.argmin(lv)),
        names=[*map(str, range(count))],
    )


def kinds(flags):
    """Code and kind of each flag, with its subject."""
    return [(flag.code, dict(flag.values).get("kind", ""), flag.subject) for flag in flags]


def flagged(*arguments, **settings):
    return kinds(implausible_volumes(hearts_of(*arguments, **settings)))


def outside(*numbers):
    return [("number-implausible", "", number) for number in numbers]


def cycle(count, largest=150.0, smallest=60.0, systole=0.4):
    """Volumes along a cosine, which fall until `systole` and rise until the end."""
    at = np.arange(count) / count
    share = np.where(at < systole, at / systole, 1 + (at - systole) / (1 - systole)) / 2
    return (largest + smallest) / 2 + (largest - smallest) / 2 * np.cos(2 * np.pi * share)


@pytest.mark.parametrize("count", [1, 2, 12, 25])
@pytest.mark.parametrize(("largest", "smallest"), [(150, 60), (280, 240), (60, 15), (500, 430)])
def test_a_plausible_heart_has_no_flag(count, largest, smallest):
    assert implausible_volumes(hearts_of(cycle(count, largest, smallest))) == []


def test_stroke_volumes_that_differ_are_flagged_at_both_ventricles():
    # 97 and 59 ml, as in the exam that revealed this
    found = implausible_volumes(hearts_of([135, 38], [102, 43]))
    assert found == [finding("stroke-volumes-differ", left=97, right=59, percent=25)]
    assert flagged([160, 60], [160, 84]) == [] and flagged([160, 84], [160, 60]) == []
    differ = [("stroke-volumes-differ", "", "")]
    assert flagged([160, 60], [160, 86]) == flagged([160, 86], [160, 60]) == differ


@pytest.mark.parametrize(
    ("volumes", "number"),
    [
        ((39, 19), "volume at end-diastole"),
        ((641, 560), "volume at end-diastole"),
        ((620, 601), "volume at end-systole"),
        ((60, 4.9), "volume at end-systole"),
        ((100, 86), "stroke volume"),
        ((500, 199), "stroke volume"),
        ((400, 381), "ejection fraction"),
        ((100, 9.9), "ejection fraction"),
    ],
)
def test_limits_of_numbers(volumes, number):
    assert {*outside(f"LV {number}", f"RV {number}")} <= {*flagged(volumes)}


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
    where = [f"{share} % in slice {number}" for number, share in sorted(cut.items())]
    found = implausible_volumes(hearts_of([150, 60], lv_areas=areas, rv_areas=areas))
    assert found == ([finding("stack-cut-off", shares=where, count=count)] if cut else [])


def test_a_ventricle_lost_between_slices():
    areas = [False, True, True, False, True, False, True, True, True, False]
    lost = {"kind": "between", "slices": ["4", "6"], "count": 10}
    assert implausible_volumes(hearts_of([90], rv_areas=areas)) == [finding("volume-incomplete", "RV volume", **lost)]
    areas = [False, *[True] * 3, False, *[True] * 4, False]
    subjects = [f"LV volume at {moment}" for moment in ("end-diastole", "end-systole")]
    assert flagged([150, 60, 100], lv_areas=areas) == [("volume-incomplete", "between", name) for name in subjects]


@pytest.mark.parametrize("first", [True, False])
def test_a_ventricle_lost_long_before_the_other(first):
    end = [False, *[True] * 8, False] if first else [False, *[True] * 8, False][::-1]
    short = [False, *[True] * 5, *[False] * 4]
    short, numbers = (short, "7 to 9") if first else (short[::-1], "2 to 4")
    assert flagged([90], lv_areas=end, rv_areas=short, distance=10.0) == []
    for lost, other, areas in (
        ("RV", "LV", {"lv_areas": end, "rv_areas": short}),
        ("LV", "RV", {"lv_areas": short, "rv_areas": end}),
    ):
        values = {"kind": "beyond", "slices": [numbers], "count": 10, "other": other, "mm": 33}
        found = implausible_volumes(hearts_of([90], distance=11.0, **areas))
        assert found == [finding("volume-incomplete", f"{lost} volume", **values)]


@pytest.mark.parametrize(
    ("full", "empty", "where"),
    [
        # the exam that revealed this: 32 % of the LV in its second slice
        ([0, 32, 32, 23, 10, 3], [0, 0, 19, 12, 1, 1], (2, 48, 32)),
        ([24, 30, 30, 16], [0, 20, 20, 8], None),
        ([32, 32, 23, 13], [1, 0, 12, 1], None),  # a slice between others, which another flag names
    ],
)
def test_an_end_slice_that_empties_is_flagged_if_it_decides_the_ejection_fraction(full, empty, where):
    areas = {"LV": [full, empty], "RV": [full, full]}
    found = replace(hearts_of([150.0, 60.0], lv_areas=full), areas=areas)
    flags = [flag for flag in implausible_volumes(found) if dict(flag.values).get("kind") == "emptied"]
    assert [flag.subject for flag in flags] == ["LV volume at end-systole"] * bool(where)
    if where:
        assert (flags[0]["slice"], flags[0]["ml"], flags[0]["points"]) == pytest.approx(where)


@pytest.mark.parametrize("count", [2, 5, 11])
def test_few_phases_may_miss_end_systole(count):
    """The worst case: end-systole is in the middle between two phases; the heart empties and fills within half a cycle."""
    found = replace(hearts_of(cycle(count)), times=[phase / count for phase in range(count)])
    assert implausible_volumes(found) == [finding("phases-few", count=count)]
    assert (1 - np.cos(2 * np.pi * 2 * 0.5 / count)) / 2 > 0.07


def test_a_slice_that_shows_nothing_or_is_there_twice_is_flagged():
    images = [np.random.default_rng(phase).normal(size=(6, 5, 4)).astype(np.float32) for phase in range(3)]
    assert image_faults(images) == []
    images[2][..., 3] = 0.0
    assert image_faults(images) == [finding("slices-alike", kind="blank", slices=["4"], count=4)]
    for image in images:
        image[..., 2], image[..., 3] = image[..., 0], 7.0
    copies = finding("slices-alike", kind="copies", slices=["1 = 3"], count=4, copies=1)
    assert image_faults(images) == [finding("slices-alike", kind="blank", slices=["4"], count=4), copies]
