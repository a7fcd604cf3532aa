"""Compare whole pages of studies, and what their figures and those of exams show, with stored outputs."""

from __future__ import annotations

import importlib
import inspect
import io
import json
from pathlib import Path

import numpy as np
import planewise.reports
import pytest
import torch
import yaml
from matplotlib.figure import Figure
from PIL import Image
from planewise.commands import app
from planewise.metrics import classification_scores, finding_scores
from planewise.reports import (
    classification_figures,
    image_pretext_figures,
    planned_views,
    pretext_figures,
    segmentation_figures,
)
from planewise.reports.segmentation_figures import ShownSlice
from planewise.workshop.study import study_figures
from typer.testing import CliRunner

from tests.expected_text import masked, text_of_figure, text_of_page
from tests.reports.study.studies import write
from tests.reports.study.test_segmentation import study as segmentation  # noqa: F401  (fixtures)
from tests.reports.study.test_two_phases import study as two_phases  # noqa: F401

FOLDER = Path(planewise.reports.__file__).parent


@pytest.fixture
def drawn(monkeypatch) -> list[str]:
    """What each saved figure shows. The figures are not drawn, because drawing takes most of the time."""
    found: list[str] = []

    def saved(figure, file, **_):
        found.append(text_of_figure(figure))
        buffer = io.BytesIO()
        Image.new("L", (1, 1), len(found)).save(buffer, format="png")
        if hasattr(file, "write"):
            file.write(buffer.getvalue())
        else:
            with open(file, "wb") as target:
                target.write(buffer.getvalue())

    monkeypatch.setattr(Figure, "savefig", saved)
    return found


def test_a_page_of_a_study(request, drawn, tmp_path, assert_expected):
    study = request.getfixturevalue("segmentation")
    folder = getattr(study, "path", study)
    _add_what_all_may_have(folder)
    # the papers have many rows, and other tests compare those
    write(folder / "study.json", json.loads((folder / "study.json").read_text()) | {"published": False})
    words = ["report", folder, "-o", tmp_path / "page.html", "--markdown", tmp_path / "page.md"]
    outcome = CliRunner(env={"COLUMNS": "160"}).invoke(app, [str(word) for word in words])
    assert outcome.exit_code == 0, outcome.output
    page = text_of_page((tmp_path / "page.html").read_text())
    pictures = [line for line in (tmp_path / "page.md").read_text().splitlines() if line.startswith("![")]
    text = "\n\n".join([page, *drawn, *pictures, outcome.output.splitlines()[-1]])
    assert_expected("study_segmentation.txt", masked(text, STUDY=folder, TMP=tmp_path))


def _add_what_all_may_have(folder) -> None:
    """A pretext's run and scores, probes, diagnoses and plans."""
    first, *_ = json.loads((folder / "study.json").read_text())["pretexts"]
    run = folder / "pretrain" / first
    write(
        run / "run.json", {"packages": {"torch": "2", "itk": None}, "python": "3.11", "commit": "abc", "processes": 2}
    )
    (run / "config.yaml").write_text(yaml.safe_dump({"samples_per_epoch": 810, "batch_size": 16}))
    (run / "history.csv").write_text(
        "epoch,learning_rate,val_loss,train_loss\n1,0.002,1,2\n2,0.003,0.5,1.5\n3,0.001,0.7,1\n"
    )
    location = {"mse": 0.011, "mae": 0.022, "pearson_r": 0.93, "r2": 0.84, "explained_variance": 0.85}
    squares = {"crossing": {"dice": 0.75, "centre_mm": {"mean": 5.5, "sd": 0.25, "median": 9.0}, "not_found": 3}}
    scores = {
        "location": location,
        "retrieval": {"candidates": 8, "top1": 0.625, "top5": 0.9, "chance1": 0.125, "chance5": 0.625},
        "positions": {"dice": 0.375, "centre_mm": {"mean": None, "sd": None}, "not_found": 11, "squares": squares},
        "probe": {"slices": 40, "exams": 4, "location": location, "neighbour_mae": 0.11, "chance_mae": 0.36},
    }
    write(run / "test/metrics.json", scores)
    for file in folder.glob("finetune/*/*/*/test/metrics.json"):
        content = json.loads(file.read_text())
        for entry in [content.get("mean"), *content.get("structures", {}).values()] if "mean" in content else []:
            entry.setdefault("missed", 1)
            entry.setdefault("missed_share", 0.02)
        content.setdefault("never_predicted", [])
        write(file, content)
    for number, name in enumerate(("untrained", first)):
        linear = {"9": [0.1 + 0.1 * number, 0.2 + 0.3 * number], "18": [0.3, 0.35 + 0.2 * number]}
        neighbours_ = {"9": [0.5, None], "18": [0.6, 0.7 - 0.4 * number]}
        probed = {"score": "kappa", "features": 44, "exams": 11, "linear": linear, "neighbours": neighbours_}
        write(folder / f"probe/{name}/test/metrics.json", probed)
    for number, name in enumerate(("d", "b", "c", "a")):
        views = {view: {"verdict": verdict} for view, verdict in (("2ch", "plane"), ("4ch", "no plane"))}
        write(folder / f"plans/{name}/plan.json", {"views": views})
        Image.new("L", (1, 1), 100 + number).save(folder / f"plans/{name}/plan.png")


def test_every_figure_of_evaluation_is_drawn():
    rng = np.random.default_rng(0)

    def some(*shape):
        return np.linspace(0, 1, int(np.prod(shape))).reshape(shape) + rng.random(shape)

    names, findings = ["NOR", "DCM", "HCM"], ["abnormal", "acl"]
    shares = some(9, 3)
    shares /= shares.sum(axis=1, keepdims=True)
    classes = [0, 1, 2, 0, 1, 2, 2, 1, 1]
    found, known = some(9, 2) / 2, np.array([[0, 1, 1, 0, 1, 0, 0, 1, 1], [1, 0, np.nan, 0, 0, 1, 1, 0, 1]]).T
    affines = torch.eye(4, dtype=torch.float64).repeat(4, 1, 1)
    affines[:, 2, 3] = 8 * torch.arange(4)
    plane = {"verdict": "plane", "reasons": [], "origin": [6.0, 5.0, 12.0], "normal": [0.8, 0.6, 0.0], "agreement": 0.9,
             "slices_that_disagree": [2], "slices_without_a_line": [], "within_deg": 5.5, "within_mm": 1.5, "peak": 0.7,
             "residual_mm": 2.5, "spread_deg": 3.5}  # fmt: skip
    none = dict.fromkeys(plane) | {"verdict": "no plane", "reasons": ["peak 0.1"]}
    # without error bounds, the values that a plane was trusted for are shown, in a line that is too long for the picture
    unsure = plane | {"within_deg": None, "within_mm": None, "origin": [9.0, 4.0, 0.0], "slices_that_disagree": [1, 2, 3],
                      "slices_without_a_line": [4], "phases_that_disagree": ["phase 40"]}  # fmt: skip
    plan = {"views": {"2ch": plane, "4ch": none, "3ch": unsure}, "slices": 4, "locations": [0.0, 0.3, 0.6, 1.0]}
    plan |= {"bounds_measured_on": "9 phantoms", "note": "a note"}
    labels = rng.integers(0, 10, (3, 12, 10))
    squares = [f"square {number}" for number in range(1, 10)]
    order = np.array([[0, 1, 2, 3], [3, 1, 0, 2]])
    decision = classification_figures.Decision("a: acl", some(6, 5, 3), some(3, 6, 5) ** 4, [4, 5, 6])
    graded = classification_figures.Graded("a: mild", some(3, 6, 5) / 2, some(6, 5) / 2)
    ahead = [image_pretext_figures.PredictedRow(row, [0, 1], 2, [2, 3]) for row in (1, 2)]
    corners = [(row, column) for row in (0, 3) for column in (0, 4)]
    pairs = {key: some(20) / 2 for key in ("first", "second")} | {"correct": np.arange(20) % 3 > 0}
    distances = {"mirrored": [0, 0, 1], "distance_from": [0.0, 0.5, 0.2], "distance_to": [0.5, 1.0, 0.4]}
    two = [some(12, 10), some(12, 10)]
    shown = {caption: ShownSlice(image, labels[0] % 4, labels[1] % 4) for caption, image in zip("ab", two, strict=True)}
    other = {caption: ShownSlice(image, labels[0] % 4, labels[2] % 4) for caption, image in zip("ab", two, strict=True)}
    structures = {1: "RV", 2: "muscle", 3: "LV"}
    drawn = [
        (classification_figures.roc_figure, shares, classes, names, classification_scores(shares, classes, names)),
        (classification_figures.findings_roc_figure, found, known, findings, finding_scores(found, known, findings), "t"),
        (classification_figures.saliency_figure, [decision, decision._replace(numbers=None)], "t", 2),
        (
            classification_figures.confusion_figure,
            {"confusion": [[3, 1], [0, 2]], "kappa": 0.5, "photographs": 6, "accuracy": 0.8}, ["none", "mild"], "t",
        ),
        (classification_figures.photographs_figure, [graded] * 2, "t"),
        (image_pretext_figures.puzzle_gallery, some(2, 8, 6), some(2, 4, 3, 2), order, order[::-1], 2, ["a", "b"]),
        (image_pretext_figures.neighbour_gallery, [some(2, 5, 4), some(2, 5, 4)], [["a", "b"], ["c", "d"]], "t"),
        (image_pretext_figures.prediction_gallery, some(2, 6, 8), (3, 4), corners, ahead),
        (
            image_pretext_figures.patch_location_gallery,
            some(2, 1, 11, 9), some(2, 9, 3, 3), [1, 4], [1, 6], 3, ["a", "b"],
        ),
        (planned_views.planned_views_figure, some(12, 10, 4), some(3, 12, 10, 4) / 2, affines, plan, "7f3a"),
        (pretext_figures.position_gallery, some(3, 12, 10), labels, labels[::-1], ["a", "b", "c"], squares),
        (pretext_figures.stack_positions_figure, some(10, 3, 12), labels.transpose(2, 0, 1), squares, "t"),
        (
            pretext_figures.heatmap_gallery,
            some(2, 12, 10), some(2, 2, 12, 10) / 2, some(2, 2, 12, 10) / 2, ["a", "b"], ["2ch", "4ch"],
        ),
        (
            pretext_figures.regression_plot,
            some(6) / 2, np.linspace(0, 1, 6),
            {"slope": 0.75, "intercept": -0.25, "pearson_r": 0.5, "r2": 0.375, "mae": 0.125, "mse": 0.0625}, "t",
        ),
        (image_pretext_figures.restoration_gallery, some(2, 5, 4), some(2, 5, 4), some(2, 5, 4), ["a", "b"]),
        (image_pretext_figures.restored_stack_figure, some(5, 4, 6), some(5, 4, 6), "t"),
        (image_pretext_figures.rotation_gallery, [some(2, 5, 4)], ["a", "b"], [True, False]),
        (segmentation_figures.segmentation_gallery, two, labels[:2] % 4, labels[1:] % 4, ["a", "b"], structures),
        (segmentation_figures.method_comparison, {"one": shown, "other": other}, structures),
        (
            image_pretext_figures.order_accuracy_figure,
            pairs, distances | {"accuracy": [0.6, 0.7, 0.8]}, {"chance": 0.5, "accuracy": 0.65, "pairs": 20}, "t",
        ),
    ]  # fmt: skip
    figures = {draw.__name__: draw(*given) for draw, *given in drawn}
    # nor may a new one be left out; those of studies are on their pages
    modules = [importlib.import_module(f"planewise.reports.{path.stem}") for path in FOLDER.glob("*_figures.py")]
    public = {
        name
        for module in {*modules, planned_views} - {study_figures}
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
        if function.__annotations__.get("return") == "Figure"
    }
    assert figures.keys() == public
    assert all(figure.axes for figure in figures.values())
    assert planned_views.slicer_markups(plan)["markups"]
