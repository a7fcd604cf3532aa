"""Test the weights that ship: their file, the record next to it, and the README's statements about them."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest
import torch
from planewise.errors import InputError
from planewise.networks import read_weights
from planewise.workshop.packaging.run import Run

from tests.evaluation.test_plane_bounds import row
from tools.released.card import (
    RELEASE_BEGIN,
    RELEASE_END,
    card_rows,
    card_scores,
    kept_bounds,
    measured_on,
    record_of_release,
    save_in_half,
    with_release,
)


def saved(folder: Path, **tensors: torch.Tensor) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, folder / "run.pt")
    return folder / "run.pt"


def shipped(folder: Path, **record: object) -> tuple[Path, dict]:
    """A bundle's weights with a record next to them, and the record."""
    models = folder / "bundle" / "models"
    weights = saved(models, a=torch.zeros(2)).rename(models / "model.pt")
    content = {"weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), "data": "phantoms"}
    content |= {"made_by": "a recipe", "scores": {}, "config": {"depth": 2}} | record
    (models / "record.json").write_text(json.dumps(content))
    return weights, content


def test_convolutions_take_half_the_room_and_come_back_as_float32(tmp_path):
    kernel, mean, count = torch.randn(8, 4, 3, 3), torch.tensor([1e-9, 70000.0]), torch.tensor(7)
    save_in_half(saved(tmp_path, kernel=kernel, mean=mean, count=count), tmp_path / "models/model.pt")
    stored = torch.load(tmp_path / "models/model.pt", weights_only=True)
    assert {name: value.dtype for name, value in stored.items()} == {
        "kernel": torch.float16, "mean": torch.float32, "count": torch.int64,
    }  # fmt: skip
    read = read_weights(tmp_path / "models/model.pt")
    assert read["kernel"].dtype == torch.float32 and torch.equal(read["kernel"], kernel.half().float())
    assert torch.equal(read["mean"], mean) and torch.equal(read["count"], count)


def test_the_record_of_a_release_has_no_path_of_the_machine(tmp_path):
    weights = saved(tmp_path / "bundle/models", a=torch.zeros(2)).rename(tmp_path / "bundle/models/model.pt")
    config = {"datalist": "/home/jane/d.json", "device": "cuda:1", "num_workers": 4, "depth": 5, "extra": 1}
    run = Run(tmp_path, weights, config | {"pretext_config": "/home/jane/train.yaml"}, {"seed": 3})
    run.__dict__["data"] = "phantoms (2 training exams)"
    train = {"datalist": "$@bundle_root + '/d.json'", "device": "$device()", "num_workers": None, "depth": 2}
    record = record_of_release(run, weights, train, {"mae": 0.5}, {"made_by": "a recipe", "phantoms": {}})
    assert record == {
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), "data": "phantoms (2 training exams)",
        "made_by": "a recipe", "phantoms": {}, "seed": 3, "scores": {"mae": 0.5},
        "config": train | {"depth": 5, "extra": 1},
    }  # fmt: skip
    (weights.parent / "record.json").write_text(json.dumps(record))
    released = Run.of_weights(weights)
    assert released.ships and released.config == record["config"] and released.scores == ("test", {"mae": 0.5})
    run.__dict__["data"] = None
    with pytest.raises(InputError, match="the datalist of .* is missing or has changed, so its data is not known"):
        record_of_release(run, weights, train, {}, {})


def test_scores_on_patients_come_before_those_on_phantoms(tmp_path):
    def found(mean):
        return {"mean": mean, "sd": 0.12345, "median": 0}

    left = {
        "dice": found(0.91234),
        "ejection_fraction_distance_pct": found(3.54),
        "diastole_volume_error_ml": found(-8.96),
    }
    scores = {"exams": 20, "mean": {"dice": found(0.85678), "missed": 3}, "structures": {"LV": left}}
    patients = {"data": "20 patients of a set", "source": "A set.", "scores": scores}
    weights, _ = shipped(tmp_path, patients=patients, scores={"mean_dice": 0.95})
    run = Run.of_weights(weights)
    rows = card_rows(run)
    assert rows.index("| patients_structures_LV_dice | 0.9123 ± 0.1235 |") < rows.index("| mean_dice | 0.95 |")
    assert rows[-1] == "| mean_dice | 0.95 |" and any(row.endswith("Source: A set.") for row in rows)
    assert [*card_scores(run).values()][:2] == [0.8568, 0.1235] and len(card_scores(run)) == 9
    assert measured_on(run).startswith("20 patients of a set") and measured_on(run).endswith("phantoms")


def test_what_a_readme_says_of_them_stands_under_performance_and_is_replaced():
    readme = "# A\n\n## Performance\n\nolder\n"
    once = with_release(readme, ["new"])
    assert once == f"# A\n\n## Performance\n\n{RELEASE_BEGIN}\nnew\n{RELEASE_END}\n\nolder\n"
    assert with_release(once, ["newer"]) == once.replace("new\n", "newer\n")
    with pytest.raises(InputError, match="no heading Performance"):
        with_release("# A\n", ["new"])


LIMITS = {"min_peak": 0.5, "min_agreement": 0.6, "max_residual": 12.0, "max_spread": 12.0}


def test_how_many_planes_keep_bounds_among_those_that_are_shown():
    bounds = {"2ch": {"angle_deg": [3.0, 2.0], "offset_mm": [1.0, 0.0]}}
    rows = [
        row("2ch", 5.0, 0.5, angle_sd=2.0),  # sqrt(9 + 16) = 5 is kept
        row("2ch", 5.1, 1.5, angle_sd=2.0),
        row("2ch", 3.1, 0.5, angle_sd=0.5),  # sqrt(9 + 1)
        row("2ch", 4.0, 0.5, angle_sd=math.nan),  # the bound is unknown, so the plane does not count as within it
        *(row("2ch", 90, 90, **{name: value}) for name, value in
          (("peak", 0.4), ("agreement", 0.5), ("residual_mm", 13.0), ("spread_deg", 13.0), ("spread_deg", math.nan))),
    ]  # fmt: skip
    assert kept_bounds(rows, bounds, **LIMITS) == {
        "2ch": {"planes": 9, "refused": 5, "angle_deg": 0.5, "offset_mm": 0.75}
    }


def test_of_planes_that_are_all_refused_none_is_counted():
    bounds = {"2ch": {"angle_deg": [3.0, 2.0], "offset_mm": [1.0, 0.0]}}
    assert kept_bounds([row("2ch", 1, 1, peak=0.1)], bounds, **LIMITS) == {
        "2ch": {"planes": 1, "refused": 1, "angle_deg": None, "offset_mm": None}
    }
