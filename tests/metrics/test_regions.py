from __future__ import annotations

import pytest
import torch
from planewise.errors import InputError
from planewise.metrics import region_classes, region_values, volume_scores

STRUCTURES = {"1": "core", "2": "oedema", "4": "enhancing"}
REGIONS = {"WT": ["core", "oedema", "enhancing"], "TC": ["core", "enhancing"], "ET": ["enhancing"]}


def test_brats_regions():
    assert region_values(STRUCTURES, REGIONS) == {(1, 2, 4): "WT", (1, 4): "TC", (4,): "ET"}
    assert region_classes(STRUCTURES, REGIONS) == [(1, 2, 3), (1, 3), (3,)]
    assert region_values(STRUCTURES, {}) == {(1,): "core", (2,): "oedema", (4,): "enhancing"}
    with pytest.raises(InputError, match="rim.; use only core, oedema, enhancing in --regions, or score each"):
        region_values(STRUCTURES, {"WT": ["rim"]})


def row(*values: int) -> torch.Tensor:
    """Labels of a volume whose voxels form a row."""
    return torch.tensor(values).reshape(-1, 1, 1)


def dice(prediction: torch.Tensor, reference: torch.Tensor) -> dict[str, float]:
    scores = volume_scores(prediction, reference, (1, 1, 1), region_values(STRUCTURES, REGIONS))
    return {name: float(score["dice"]) for name, score in scores.items()}


def test_dice_of_regions_by_hand():
    # whole tumour: four voxels, five predicted, three shared; core: two and two, one shared; enhancing: one and one, none
    # shared
    found = dice(row(0, 2, 2, 2, 1, 4, 0), row(0, 0, 2, 2, 4, 0, 1))
    assert found == pytest.approx({"WT": 2 * 3 / 9, "TC": 2 * 1 / 4, "ET": 0})
