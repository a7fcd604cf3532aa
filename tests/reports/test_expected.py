"""Test that every figure of evaluation is drawn."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import numpy as np
import planewise.reports
import torch
from planewise.metrics import classification_scores, finding_scores
from planewise.reports import (
    classification_figures,
    planned_views,
    pretext_figures,
    segmentation_figures,
    slices,
)
from planewise.workshop.study import study_figures

FOLDER = Path(planewise.reports.__file__).parent


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
    decision = classification_figures.Decision("a: acl", some(6, 5, 3), some(3, 6, 5) ** 4, [4, 5, 6])
    graded = classification_figures.Graded("a: mild", some(3, 6, 5) / 2, some(6, 5) / 2)
    two = [some(12, 10), some(12, 10)]
    drawn = [
        (classification_figures.roc_figure, found, known, findings, finding_scores(found, known, findings)),
        (
            classification_figures.roc_figure,
            shares, np.eye(3)[classes], names, classification_scores(shares, classes, names),
        ),
        (classification_figures.saliency_figure, [decision, decision._replace(numbers=None)], "t", 2),
        (
            classification_figures.confusion_figure,
            {"confusion": [[3, 1], [0, 2]], "kappa": 0.5, "photographs": 6, "accuracy": 0.8}, ["none", "mild"], "t",
        ),
        (classification_figures.photographs_figure, [graded] * 2, "t"),
        (planned_views.planned_views_figure, some(12, 10, 4), some(3, 12, 10, 4) / 2, affines, plan, "7f3a"),
        (
            pretext_figures.regression_plot,
            some(6) / 2, np.linspace(0, 1, 6),
            {"slope": 0.75, "intercept": -0.25, "pearson_r": 0.5, "r2": 0.375, "mae": 0.125, "mse": 0.0625}, "t",
        ),
        (pretext_figures.restoration_gallery, {"one": some(2, 5, 4), "other": some(2, 5, 4)}, "one", ["a", "b"], "t"),
        (
            slices.prediction_figure,
            two, labels[:2] % 4, labels[1:] % 4, ["a", "b"], segmentation_figures.overlay_labels, ["RV", "LV"], ["r", "b"],
        ),
    ]  # fmt: skip
    figures = {draw.__name__: draw(*given) for draw, *given in drawn}
    # nor may a new one be left out; those of studies are on their pages
    modules = [importlib.import_module(f"planewise.reports.{path.stem}") for path in FOLDER.glob("*_figures.py")]
    public = {"prediction_figure"} | {
        name
        for module in {*modules, planned_views} - {study_figures}
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
        if function.__annotations__.get("return") == "Figure"
    }
    assert figures.keys() == public
    assert all(figure.axes for figure in figures.values())
    assert planned_views.slicer_markups(plan)["markups"]
