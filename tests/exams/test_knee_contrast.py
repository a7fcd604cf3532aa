"""Test that a series' contrast is recognised from its header."""

from dataclasses import replace

import pytest
from planewise.exams.knee_contrast import contrast_of, timed_weighting
from planewise.exams.stack import Stack

from tests.exams.hearts import make_stack


def series(text="", echo_time=None, repetition_time=None, sequence="", fat_suppressed=None) -> Stack:
    times = {"echo_time": echo_time, "repetition_time": repetition_time}
    header = {"sequence": sequence, "fat_suppressed": fat_suppressed, "text": text.lower(), "description": ""}
    return replace(make_stack([[0, 0, 0]], [1, 0, 0]), **times, **header)


T2 = {"echo_time": 60, "repetition_time": 4000, "sequence": "SE"}
PD = {"echo_time": 25, "repetition_time": 2800, "sequence": "SE"}
T1 = {"echo_time": 12, "repetition_time": 600, "sequence": "SE"}


@pytest.mark.parametrize(
    ("values", "found", "least"),
    [
        ({"text": "SAG T2 FS", **T2, "fat_suppressed": True}, "T2w FS by name, TE/TR and scan options", 0.97),
        ({"text": "t2_tse_fs_sag", **T2}, "T2w FS by name and TE/TR", 0.9),
        ({"text": "SAG T2 FATSAT"}, "T2w FS by name", 0.8),
        ({"text": "sag t2w_spair"}, "T2w FS by name", 0.8),
        ({**T2, "fat_suppressed": True}, "T2w FS by TE/TR and scan options", 0.85),
        ({"text": "Sag STIR", **T2, "sequence": "IR/SE"}, "T2w FS by TE/TR and name", 0.85),
        ({"text": "SAG T2", **T2}, "T2w by name and TE/TR, no FS by name", 0.3),
        ({"text": "SAG T2", **T2, "fat_suppressed": True}, "T2w by name and TE/TR, no FS by name but FS by scan options", 0.8),  # noqa: E501
        ({"text": "SAG PD/T2 FS", **T2}, "T2w FS by TE/TR and name", 0.85),
        ({"text": "SAG PD FS", **T2}, "PDw by name but T2w by TE/TR, FS by name", 0.6),
        ({"text": "knee sagittal"}, "", 0.25),
    ],
)  # fmt: skip
def test_what_may_be_t2w_fs(values, found, least):
    contrast = contrast_of(series(**values))
    assert contrast.found == found
    assert not contrast.refused
    assert contrast.confidence >= least


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"text": "SAG PD", **PD}, "PDw by name and TE/TR, no FS by name"),
        ({"text": "SAG PD FS"}, "PDw FS by name"),
        ({"text": "sag_pd_tse_fs", **PD, "fat_suppressed": True}, "PDw FS by name, TE/TR and scan options"),
        ({"text": "PDFS SAG"}, "PDw FS by name"),
        ({"text": "SAG T1", **T1}, "T1w by name and TE/TR, no FS by name"),
        ({**PD}, "PDw by TE/TR"),
        ({**T1}, "T1w by TE/TR"),
        ({"text": "SAG T2 NO FS", **T2}, "T2w by name and TE/TR, no FS by name"),
        ({"text": "SAG T2", **T2, "fat_suppressed": False}, "T2w by name and TE/TR, no FS by name and scan options"),
        ({"text": "SAG T2* GRE", "sequence": "GR"}, "gradient echo by name and sequence, no FS by name"),
        ({"text": "sag dess we", "echo_time": 6, "repetition_time": 16, "sequence": "GR"}, "gradient echo by name and seq"),
        ({"text": "SAG T2 FS", **PD}, "T2w by name but PDw by TE/TR, FS by name"),
    ],
)  # fmt: skip
def test_what_is_another_contrast(values, found):
    contrast = contrast_of(series(**values))
    assert contrast.refused
    assert found in contrast.found
    assert contrast.confidence < 0.3


@pytest.mark.parametrize("sequence", ["RM", "EP", "EP/SE", "SE/IR", "RM/SE", "GR/SE", "GR/IR", ""])
def test_only_a_gradient_echo_is_called_one(sequence):
    """Research sequences and echo-planar ones are classified by their times."""
    assert timed_weighting(60, 4000, sequence) == "T2w"
    assert timed_weighting(60, 4000, "GR") == "gradient echo"


def test_times_between_the_contrasts_say_nothing():
    assert timed_weighting(42, 3000, "SE") is None
    assert timed_weighting(81, 1000, "SE") is None
    assert timed_weighting(60, 1300, "SE") is None
    assert timed_weighting(60, None, "SE") is None
    assert timed_weighting(None, None, "") is None


@pytest.mark.parametrize(
    ("echo_time", "repetition_time", "sequence", "weighting"),
    [
        (45, 3000, "SE", "T2w"), (44, 3000, "SE", None), (38, 3000, "SE", "PDw"), (39, 3000, "SE", None),
        (60, 1500, "SE", "T2w"), (60, 1499, "SE", None), (12, 1100, "SE", "T1w"), (12, 1101, "SE", None),
        (39, 600, "SE", None), (5, 199, "", "gradient echo"), (5, 200, "", "T1w"), (5, 199, "SE", "T1w"),
        (5, 199, "IR", "gradient echo"),
    ],
)  # fmt: skip
def test_times_at_the_limits(echo_time, repetition_time, sequence, weighting):
    """The limits are those of knee protocols: T2 from 45 ms on, PD and T1 up to 38 ms; 1500, 1100 and 200 ms between them."""
    assert timed_weighting(echo_time, repetition_time, sequence) == weighting


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("t2 stir", "T2w FS"), ("t2 tirm", "T2w FS"), ("t2 water", "T2w FS"), ("t2 dixon w", "T2w FS"), ("t2 spir", "T2w FS"),
        ("t2 fat sup", "T2w FS"), ("t2fs", "T2w FS"), ("t2 tsefs", "T2w FS"), ("t2 dixon f", "T2w, no FS"),
        ("t2 without fs", "T2w, no FS"), ("t2 ohne fatsat", "T2w, no FS"), ("t2 nfs", "T2w, no FS"),
        ("t2 w/o fs", "T2w, no FS"),
        ("dp fs", "PDw FS"), ("rho fs", "PDw FS"), ("proton fs", "PDw FS"), ("pdw,fs", "PDw FS"), ("t1 fs", "T1w FS"),
        ("t2 star fs", "gradient echo FS"), ("medic fs", "gradient echo FS"), ("merge fs", "gradient echo FS"),
        ("spgr fs", "gradient echo FS"), ("t2 gre fs", "gradient echo FS"), ("t2 map fs", "FS"),
    ],
)  # fmt: skip
def test_words_of_contrasts(text, found):
    assert contrast_of(series(text)).found.replace(" by name", "") == found


@pytest.mark.parametrize("text", ["updated protocol", "left knee", "corefs", "cat10", "series 12"])
def test_words_that_only_look_like_hints(text):
    assert contrast_of(series(text)).found == ""


def test_the_description_comes_before_the_folder():
    stack = replace(series("sag pd se7_t2_fs"), description="sag pd")
    assert contrast_of(stack).found == "PDw by name, no FS by name"
    assert contrast_of(replace(stack, description="sag")).found == "FS by name"
