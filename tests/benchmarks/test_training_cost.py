"""Test the steps and slices of a schedule against the samplers that the bundles train with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import training_cost
from planewise.data import ExamSampler
from training_cost import gflop_per_slice, settings, work


def exams(depths: list[int]) -> SimpleNamespace:
    return SimpleNamespace(items=[{"exam": f"e{n}"} for n, depth in enumerate(depths) for _ in range(depth)])


def stacks(depths: list[int]) -> SimpleNamespace:
    return SimpleNamespace(
        items=[{"exam": f"e{n}", "slice": k} for n, depth in enumerate(depths) for k in range(depth)]
    )


@pytest.mark.parametrize("per_exam", [1, 3, "all"])
@pytest.mark.parametrize("length", [None, 50])
def test_slices_of_an_epoch(per_exam, length):
    dataset = exams([7] * 9)
    changes = {"samples_per_exam": per_exam, "samples_per_epoch": length, "max_epochs": 2}
    config = settings("pretext_cardiac_location", overrides=changes)
    drawn = len(list(ExamSampler(dataset, per_exam, length)))
    assert work(config, 9, 63) == (2 * -(-drawn // 20), 20)


def test_a_network_of_volumes_is_counted_at_its_size():
    """A residual encoder's operations by hand: an image of 16^3 with two channels, and two levels with 4 and 8 channels."""
    small = {"image_size": 16, "features": [4, 8], "in_channels": 2, "head_features": []}
    config = settings("pretext_rotation", overrides=small)
    fine, deep = 16**3, 8**3
    stem = 27 * 2 * 4 * fine
    first = 2 * 27 * 4 * 4 * fine
    # the second level's block halves the grid; its shortcut is a convolution with a kernel of one voxel
    second = 27 * 4 * 8 * deep + 27 * 8 * 8 * deep + 4 * 8 * deep
    expected = 2 * (stem + first + second + 8 * 10) / 1e9
    assert gflop_per_slice(config)[0] == pytest.approx(expected, rel=1e-6)
    found = work(settings("pretext_rotation", overrides={"max_epochs": 3}), 20, 20)
    assert found == (3 * 3, 8), "20 volumes, 8 at a time"
    slices = work(settings("pretext_rotation", ("train.yaml", "2d.yaml"), {"max_epochs": 3}), 20, 20)
    assert slices == (3 * 3, 64), "160 slices, 8 of each volume, 64 at a time"
    flat = gflop_per_slice(settings("pretext_rotation", overrides=small | {"spatial_dims": 2}))[0]
    assert flat == pytest.approx(
        2 * (9 * 2 * 4 * 256 + 2 * 9 * 4 * 4 * 256 + (9 * 4 * 8 + 9 * 8 * 8 + 4 * 8) * 64 + 8 * 4) / 1e9, rel=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pretext_cardiac_multitask", "--exams", "627"], "20 slices a step, 16000 steps: 70.7 PFLOP"),
        (["downstream_cardiac_sax_segmentation", "--slices", "1188"], "10 slices a step, 23800 steps: 52.6 PFLOP"),
        (["pretext_knee_multitask", "--exams", "1000", "--series", "30"], "30 slices a step, 100000 steps: 56.9 PFLOP"),
    ],
)
def test_the_documented_commands(arguments, says, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["training_cost.py", *arguments])
    training_cost.main()
    assert says in capsys.readouterr().out
