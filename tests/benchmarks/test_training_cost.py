"""Test the steps and slices of a schedule against the samplers that the bundles train with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import training_cost
from planewise.data import ExamSampler, PairSampler, SeriesSampler
from training_cost import Section, gflop_per_slice, settings, work


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
    assert work(config, Section(9, 63)) == (2 * -(-drawn // 20), 20)


def test_steps_of_the_other_task_count():
    """Bai 2019: 50,000 steps of the target task, and one pretext step after every ten of them."""
    alone, both = (
        settings("downstream_cardiac_lax_segmentation", overrides={"transfer": way}) for way in ("all", "multitask")
    )
    assert work(alone, Section(5, 10)).steps == 50_000 and work(both, Section(5, 10)).steps == 55_000


def test_series_of_an_epoch():
    config = settings("pretext_knee_location", overrides={"batch_size": 2, "max_epochs": 1, "max_slices": 12})
    batches = list(SeriesSampler(exams([30] * 5), 2, 12))
    found = work(config, Section(5, 150))
    assert found.steps == len(batches) == 3 and found.step_slices == len(batches[0]) == 24


def test_pairs_of_an_epoch():
    changes = {"max_epochs": 1, "samples_per_exam": 2, "batch_size": 3}
    config = settings("pretext_slice_order", overrides=changes)
    batches = list(PairSampler(stacks([7] * 5), 3, 2))
    found = work(config, Section(5, 35))
    assert found.steps == len(batches) == 4 and found.step_slices == len(batches[0]) == 6
    # two slices of a pair cost as much as two single slices, except for the head
    alone = gflop_per_slice(settings("pretext_cardiac_location"))
    assert gflop_per_slice(config) == pytest.approx(alone, rel=1e-3)


def test_both_phases_of_an_exam_stay_together():
    """A third of the 18 slices at the two phases of an exam is used; a frozen backbone needs no backward pass."""
    name = "downstream_cardiac_two_phase_classification"
    config = settings(name, overrides={"max_epochs": 3})
    # an epoch has a batch of 8 exams and one of 2; each exam has 6 slices
    assert work(config, Section(10, 180)) == (3 * 2, 8 * 6)
    # VGG16 for images of three colours: channels in and out of each convolution, and how often the image has been
    # halved
    layers = [(3, 64, 0), (64, 64, 0), (64, 128, 1), (128, 128, 1), (128, 256, 2), *[(256, 256, 2)] * 2, (256, 512, 3)]
    layers += [(512, 512, 3)] * 2 + [(512, 512, 4)] * 3
    expected = sum(2 * 9 * one * other * (224 >> halved) ** 2 for one, other, halved in layers) / 1e9
    frozen, trained = (
        gflop_per_slice(settings(name, overrides={"transfer": way})) for way in ("frozen_encoder", "all")
    )
    assert frozen == pytest.approx((expected, expected), rel=1e-4)
    assert trained[0] == pytest.approx(expected, rel=1e-4) and 2.9 < trained[1] / trained[0] < 3.01


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
    found = work(settings("pretext_rotation", overrides={"max_epochs": 3}), Section(20, 20))
    assert found == (3 * 3, 8), "20 volumes, 8 at a time"
    slices = work(settings("pretext_rotation", ("train.yaml", "2d.yaml"), {"max_epochs": 3}), Section(20, 20))
    assert (slices.steps, slices.step_slices) == (3 * 3, 64), "160 slices, 8 of each volume, 64 at a time"
    flat = gflop_per_slice(settings("pretext_rotation", overrides=small | {"spatial_dims": 2}))[0]
    assert flat == pytest.approx(
        2 * (9 * 2 * 4 * 256 + 2 * 9 * 4 * 4 * 256 + (9 * 4 * 8 + 9 * 8 * 8 + 4 * 8) * 64 + 8 * 4) / 1e9, rel=1e-6
    )


def test_all_that_predicts_patches_is_counted():
    """By hand, in 2D: a 16 x 16 image with two channels, its 9 patches of 8 x 8, and two levels with 4 and 8 channels."""
    size = {"image_size": 16, "patches_per_side": 3, "features": [4, 8], "in_channels": 2, "spatial_dims": 2}
    config = settings(
        "pretext_contrastive_predictive_coding",
        overrides=size | {"embedding": [6, 5], "context_features": 7, "num_negatives": 4},
    )
    encoder = 64 * (9 * 2 * 4 + 2 * 9 * 4 * 4) + 16 * (9 * 4 * 8 + 9 * 8 * 8 + 4 * 8)
    # six patches are followed by a row to predict; their contexts have up to three patches in the row above
    projector, context = 8 * 6 + 6 * 5, 6 * 4 * 3 * (5 * 7 + 7 * 7)
    # each patch predicts one and two rows ahead, except where no second row exists; 6 + 3 predictions, each with 9 patches
    predicted = 6 * 2 * 7 * 5 + 9 * 9 * 5
    expected = 2 * (9 * (encoder + projector) + context + predicted) / 1e9
    assert gflop_per_slice(config)[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pretext_cardiac_multitask", "--exams", "627"], "20 slices a step, 16000 steps: 70.7 PFLOP"),
        (["downstream_cardiac_sax_segmentation", "--slices", "1188"], "10 slices a step, 23800 steps: 52.6 PFLOP"),
        (
            ["downstream_cardiac_sax_segmentation", "--slices", "1188", "--config", "vit.yaml"],
            "23800 steps: 77.2 PFLOP",
        ),
        (["pretext_knee_multitask", "--exams", "1000", "--series", "30"], "30 slices a step, 100000 steps: 56.9 PFLOP"),
    ],
)
def test_the_documented_commands(arguments, says, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["training_cost.py", *arguments])
    training_cost.main()
    assert says in capsys.readouterr().out
