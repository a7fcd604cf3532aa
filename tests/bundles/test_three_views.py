"""Test that an override alone adds the 3-chamber view, from DICOM files to the page of a planned view."""

import json

import pytest
from planewise.commands import app
from planewise.exams import index_folder, write_datalist
from planewise.geometry import angle_between_planes
from planewise.workshop.phantoms import UNLABELLED, Recipe, write_exams
from planewise.workshop.phantoms.heart.exam import true_planes
from torch import tensor
from typer.testing import CliRunner

from tests.bundles.conftest import train_and_evaluate

VIEWS = ["2ch", "4ch", "3ch"]
NAME = "pretext_cardiac_multitask"
RECIPE = Recipe(
    "dsbcc", 37, UNLABELLED.at_size("demo").with_values(phases=1, spacing=(3.6, 4.2)), extra_views=1.0
)  # fmt: skip


@pytest.fixture(scope="module")
def exams(tmp_path_factory):
    """A folder of three exams with further views, some of them under a wrong name, and its datalist."""
    folder = tmp_path_factory.mktemp("three_views")
    list(write_exams(RECIPE, folder / "exams", 3))
    (folder / "sections.csv").write_text("exam,section\n1,training\n2,validation\n3,test\n")
    found = index_folder(folder / "exams", sections=folder / "sections.csv")
    return folder, write_datalist(found.datalist, folder / "list.json"), found.datalist


def test_the_index_finds_it_whatever_its_name(exams):
    _, _, datalist = exams
    assert datalist["planewise"]["views"] == ["2ch", "4ch"], "the default views to learn from"
    for number, section in enumerate(("training", "validation", "test"), start=1):
        heart = RECIPE.exam(number).heart
        true = {view: tensor(true_planes(heart)[view][1]) for view in VIEWS}
        for item in datalist[section]:
            found = {view: tensor(item["planes"][view]["normal"]).double() for view in VIEWS}
            for view in VIEWS:
                # the technologist's errors of turn and tilt, whose standard deviations are 4 and 3 degrees
                assert angle_between_planes(found[view], true[view]).rad2deg() < 15
        assert 40 < angle_between_planes(found["3ch"], found["4ch"]).rad2deg() < 80


@pytest.mark.slow  # quick tests cover its parts: the index, and heatmaps of any views (test_experiments)
def test_three_views_train_score_and_plan_by_an_override(exams, tmp_path):
    folder, datalist, _ = exams
    train_and_evaluate(
        NAME, datalist, tmp_path / "run", section="test", views=VIEWS, samples_per_epoch=8, max_epochs=1,
        val_interval=1,
    )  # fmt: skip
    scores = json.loads((tmp_path / "run/test/metrics.json").read_text())
    assert list(scores["orientation"]["views"]) == VIEWS
    # inference takes the views from the run that made the weights
    words = ["plan", folder / "exams/train/train/3", "-o", tmp_path / "out", "--weights", tmp_path / "run"]
    outcome = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, words), "--device", "cpu"])
    assert outcome.exit_code == 0, outcome.output
    (page,) = (tmp_path / "out").glob("*/index.html")
    assert list(json.loads((page.parent / "plan.json").read_text())["views"]) == VIEWS
    assert "\n  3ch: " in outcome.output and "3ch acquired" in page.read_text()
