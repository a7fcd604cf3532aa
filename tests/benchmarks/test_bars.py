"""Test what the modules of bars measure, at small sizes."""

from __future__ import annotations

import math
from importlib import import_module

import pytest
import torch
from bars import comparators, index, scores, steps, trainer, two_views, whole_run
from monai.bundle import ConfigParser
from planewise.exams.scan import scan_folder
from planewise.metrics import volume_scores
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams
from timing import Options

from tests.conftest import ROOT
from tests.cuda_stand_in import WITHOUT_VALUES

QUICK = Options(repetitions=2, quick=True)
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("module", "count", "limits"),
    [
        ("comparators", 2 * len(comparators.BUNDLES), {0.05}),
        ("index", None, {1.0}),
        ("scores", 1, {0.2}),
        ("steps", 3, {1.05}),
        ("trainer", 3, {1.08}),
        ("volume_batch", 3, {1 / 5, 2.04}),
        pytest.param("two_views", 4, {1.0}, marks=SLOW),
        pytest.param("whole_run", 8, {2.0}, marks=SLOW),
    ],
)
def test_what_is_measured(module, count, limits):
    bars = {bar.name: bar for bar in import_module(f"bars.{module}").measure(QUICK)}
    assert count is None or len(bars) == count
    # tests do not install kornia
    assert {name for name, bar in bars.items() if bar.value is None} <= {"ours / kornia, batched"}
    assert all(math.isfinite(bar.value) and bar.value > 0 for bar in bars.values() if bar.value is not None)
    assert {bar.limit for bar in bars.values() if bar.limit is not None} == limits
    if module == "trainer":
        # a point of the training curve has the loss and its two terms; each point also checks whether the loss is finite
        waits = bars["waits for the device, trainer minus bare loop"].value
        assert waits * trainer.QUICK_BLOCK == pytest.approx(4), "the trainer waits for nothing but its log"


def test_headers_are_read_from_the_same_files(tmp_path):
    population = UNLABELLED.at_size("demo").with_values(phases=1)
    list(write_exams(Recipe("dsbcc", 3, population), tmp_path / "exam", 1))
    count = index._repeat(tmp_path / "exam", tmp_path / "tree", 30)
    plain, scan = index._plain(tmp_path / "tree"), scan_folder(tmp_path / "tree")
    assert len(plain) == len(scan.frames) == count >= 30
    place = index.TAGS.index("SOPInstanceUID")
    assert sorted(str(row[place]) for row in plain) == sorted(frame.sop for frame in scan.frames)


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_monai(seed):
    """The masks are random blobs with holes, and their number varies from slice to slice; the spacing differs along
    each axis."""
    draw = torch.Generator().manual_seed(seed)
    smooth = torch.nn.functional.avg_pool2d(torch.rand(2, 4, 24, 20, generator=draw), 5, 1, 2)
    one, other = ((smooth - smooth.min()) / (smooth.max() - smooth.min()) * 3.99).byte().permute(0, 2, 3, 1)
    spacing = [1.5, 2.0, 9.0]
    wanted = scores.monai_scores(one, other, spacing, scores.STRUCTURES)
    found = volume_scores(one, other, spacing, scores.STRUCTURES)
    for name, structure in wanted.items():
        assert found[name] == pytest.approx(structure, rel=1e-5)


@pytest.mark.parametrize("case", steps.CASES, ids=str)
def test_cases_are_bundles_of_the_papers_size(case):
    config = ConfigParser.load_config_file(str(ROOT / "bundles" / case.bundle / "configs/train.yaml"))
    changed = {name.partition("#")[0] for name in case.settings}
    assert config.keys() >= changed | {"samples_per_epoch", "log_interval", "batch_size"}


def test_a_step_of_labelled_volumes(monkeypatch):
    monkeypatch.setattr(steps, "CASES", [steps.Case("downstream_brain_tumour_segmentation", "brats")])
    monkeypatch.setattr(steps, "_QUICK", {"features": [4, 8], "image_size": 16, "batch_size": 2})
    step, *_ = steps.measure(QUICK)
    assert step.value > 0


def test_both_loops_do_the_same():
    """With the same batches and seeds, the bare loop and the trainer end with the same weights."""
    weights = []
    with trainer.phantom_datalist(1) as datalist:
        for loop in (trainer.TrainerEpoch, trainer.BareEpoch):
            torch.manual_seed(0)
            config = trainer.bundle_config("pretext_cardiac_multitask", ("train.yaml", "demo.yaml"), datalist, "cpu")
            # augmentation draws from the seed of the iteration, which the bare loop does not set
            config.update(trainer.TINY | {"samples_per_epoch": 5 * 8, "rotate": 0.0, "zoom": [1.0, 1.0]})
            one = config.get_parsed_content("train#trainer")
            readings = loop(one, 2, clock=lambda device: 0.0)()
            assert len(readings) == 2
            weights.append(one.network.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("make", [two_views._ours, two_views._monai])
def test_losses_are_compared_on_the_device(make):
    held = [cell.cell_contents for cell in make(4, WITHOUT_VALUES).__closure__]
    parts = [part for part in held if isinstance(part, torch.Tensor)]
    assert {part.device for part in parts} == {WITHOUT_VALUES}


@pytest.mark.parametrize(("device", "epochs"), [("cpu", (2, 1)), ("cuda:0", (40, 25))])
def test_both_trainings_have_the_papers_width_and_short_epochs(device, epochs):
    fine_tuning, pretraining = runs = whole_run.runs(Options(device=device))
    assert fine_tuning.exams[0] == 1
    assert tuple(run.settings["max_epochs"] for run in runs) == epochs
    assert all(run.configs == ("train.yaml",) for run in runs)
    assert [run.settings["samples_per_epoch"] for run in runs] == [2 * 10, 31 * 20]
    # a validation is part of each run
    assert all(run.exams[1] and run.settings.get("val_interval", 1) <= run.settings["max_epochs"] for run in runs)
