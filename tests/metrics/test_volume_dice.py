"""Test that the Dice that selects a checkpoint includes whole volumes, also slices without the structure."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine
from planewise.metrics import VolumeDice, volume_scores

from tests.processes import in_processes


def dataset(*volumes: tuple[str, str, int]) -> SimpleNamespace:
    """Stand-in for a dataset, from exam, phase and number of slices of each volume."""
    return SimpleNamespace(
        items=[
            {"image": f"{exam}{phase}{k}.dcm", "exam": exam, "stack": "sax", "phase": phase}
            for exam, phase, slices in volumes
            for k in range(slices)
        ]
    )


def score(slices, prediction, reference, num_classes: int, order: list[int], batch_size: int = 3) -> float:
    """Scores as an evaluator computes them, from batches of rows in some order."""
    evaluator = Engine(lambda engine, batch: (prediction[batch["index"]], reference[batch["index"]]))
    VolumeDice(slices, num_classes).attach(evaluator, "dice")
    batches = [{"index": torch.tensor(order[at : at + batch_size])} for at in range(0, len(order), batch_size)]
    return evaluator.run(batches).metrics["dice"]


def test_volumes_are_told_apart_and_count_alike():
    # ED, one slice: 4 of 4 pixels found; ES, two slices: half of 8 pixels found; structure 2 is absent everywhere
    reference, prediction = torch.zeros(3, 1, 4, 4), torch.zeros(3, 1, 4, 4)
    reference.view(3, -1)[0, :4] = prediction.view(3, -1)[0, :4] = 1
    reference.view(3, -1)[1:, :4] = 1
    prediction.view(3, -1)[1, :4] = 1
    slices = dataset(("a", "ED", 1), ("a", "ES", 2))
    expected = ((1 + 1) + (2 * 4 / (4 + 8) + 1)) / 4
    assert score(slices, prediction, reference, 3, [0, 1, 2]) == pytest.approx(expected)
    assert score(slices, prediction, reference, 3, [2, 0, 1], 1) == pytest.approx(expected)


@pytest.mark.parametrize(
    "differ", [({"image": "first.nii.gz"}, {"image": "second.nii.gz"}), ({"time": 0}, {"time": 7})], ids=str
)
def test_two_files_or_times_of_one_exam_without_phases_are_two_volumes(differ):
    items = [{"image": "cine.nii.gz", "exam": "a", "frame": 0} | own for own in differ]
    reference = torch.ones(2, 1, 2, 2)
    prediction = torch.tensor([1.0, 0]).reshape(2, 1, 1, 1).expand(2, 1, 2, 2)
    # as one volume, the score would be 2 * 4 / (4 + 8)
    assert score(SimpleNamespace(items=items), prediction, reference, 2, [0, 1]) == pytest.approx(0.5)


def share(rank: int) -> float:
    """The score in a process that has every other slice, mixed from both volumes."""
    generator = torch.Generator().manual_seed(1)
    prediction, reference = torch.randint(0, 3, (2, 7, 1, 5, 5), generator=generator)
    rows = list(range(7)) if rank < 0 else list(range(rank, 7, 2))
    return score(dataset(("a", "ED", 3), ("a", "ES", 4)), prediction, reference, 3, rows, 2)


def test_every_process_has_the_score_of_all_slices():
    one, other = in_processes(share)
    assert one == other == pytest.approx(share(-1))


def test_regions_are_scored_as_evaluation_scores_them():
    generator = torch.Generator().manual_seed(2)
    prediction, reference = torch.randint(0, 4, (2, 3, 1, 5, 5, 5), generator=generator)
    # the second volume has no third class, and none is predicted
    for labels in (prediction, reference):
        labels[1][labels[1] == 3] = 2
    regions = [(1, 2, 3), (1, 3), (3,)]
    volumes = SimpleNamespace(items=[{"image": ["a.nii", "b.nii"], "exam": f"e{number}"} for number in range(3)])
    evaluator = Engine(lambda engine, batch: (prediction[batch["index"]], reference[batch["index"]]))
    VolumeDice(volumes, 4, regions=regions).attach(evaluator, "dice")
    found = evaluator.run([{"index": torch.tensor([0, 1])}, {"index": torch.tensor([2])}]).metrics["dice"]
    expected = [
        score["dice"]
        for number in range(3)
        for score in volume_scores(
            prediction[number, 0], reference[number, 0], (1, 1, 1), {region: str(region) for region in regions}
        ).values()
    ]
    assert found == pytest.approx(sum(expected) / 9)
