"""Test that the pretexts' section shows every score in its column."""

from __future__ import annotations

import numpy as np
from planewise.metrics.restoration import restoration_scores
from planewise.reports.study import pretexts

from tests.reports.study.studies import study_folder, tables_of, write


def test_every_score_stands_in_its_own_column(tmp_path):
    location = {"mse": 0.01, "mae": 0.02, "pearson_r": 0.03, "r2": 0.04, "explained_variance": 0.05, "median": 9.0}
    view = {
        "line_angle_deg": {"mean": 1.5, "sd": 0.11, "median": 9.0},
        "line_distance_mm": {"mean": 2.5, "sd": 0.12, "median": 9.0},
        "plane_angle_deg": {"mean": 3.5, "sd": 0.13, "median": 9.0},
        "plane_offset_mm": {"mean": None, "sd": None, "median": None},
    }
    orientation = {"heatmap_mse": 0.0123, "views": {"2ch": view, "4ch": view}}
    write(tmp_path / "pretrain/multitask/test/metrics.json", {"location": location, "orientation": orientation})
    write(tmp_path / "pretrain/location/test/metrics.json", {"location": location})
    tables, _ = tables_of(pretexts, study_folder(tmp_path, pretexts=["orientation", "location", "multitask"]))
    ours = ["0.0100", "0.0200", "0.0300", "0.0400", "0.0500"]
    assert tables["Relative location (Zhang 2024, Table 2)"] == [
        ["pretext", "MSE", "MAE", "r", "R²", "explained var."],
        ["location", *ours],
        # DSBCC's lines of the paper's Table 2
        ["Zhang 2024, location", "0.0187", "0.1030", "0.9187", "0.8266", "0.8304"],
        ["multitask", *ours],
        ["Zhang 2024, multitask", "0.0128", "0.0826", "0.9415", "0.8822", "0.8847"],
    ]
    cells = ["1.50 (0.11)", "2.50 (0.12)", "3.50 (0.13)", "-", "0.0123"]
    assert tables["Relative orientation"] == [
        ["pretext", "view", "line angle (deg)", "line distance (mm)", "plane angle (deg)", "plane offset (mm)",
         "heatmap MSE"],
        ["multitask", "2ch", *cells],
        ["multitask", "4ch", *cells],
    ]  # fmt: skip


def test_views_without_lines_are_named(tmp_path):
    measured = ("line_angle_deg", "line_distance_mm", "plane_angle_deg", "plane_offset_mm")
    lost = {key: {"mean": None, "sd": None, "median": None} for key in measured}
    found = {key: {"mean": 1.0, "sd": 0.1, "median": 1.0} for key in measured}
    for name, view in (("orientation", lost | {"lines_not_found": 20}), ("multitask", found | {"lines_not_found": 0})):
        orientation = {"heatmap_mse": 0.1, "views": {"2ch": view, "4ch": view}}
        write(tmp_path / f"pretrain/{name}/test/metrics.json", {"orientation": orientation})
    _, page = tables_of(pretexts, study_folder(tmp_path, pretexts=["orientation", "multitask"]))
    assert "there is nothing to measure (orientation: 2ch and 4ch)." in page.html("")


def test_squares_of_positions_stand_one_by_one(tmp_path):
    found, lost = ({"mean": 5.5, "sd": 0.25, "median": 9.0}, {"mean": None, "sd": None, "median": None})
    squares = {
        "crossing": {"dice": 0.75, "centre_mm": found, "not_found": 3},
        "far left": {"dice": 0.0, "centre_mm": lost, "not_found": 8},
    }
    positions = {"accuracy": 0.9, "dice": 0.375, "centre_mm": found, "not_found": 11, "squares": squares}
    write(tmp_path / "pretrain/lax_position/test/metrics.json", {"positions": positions})
    picture = tmp_path / "pretrain/lax_position/test/squares.png"
    picture.write_bytes(b"a picture")
    study = study_folder(tmp_path, pretexts=["lax_position"], view="4ch")
    tables, page = tables_of(pretexts, study)
    assert tables["Anatomical positions"] == [
        ["pretext", "square", "Dice", "centre, error (mm)", "not found"],
        ["anatomical positions", "all", "0.375", "5.50 (0.25)", "11"],
        ["anatomical positions", "crossing", "0.750", "5.50 (0.25)", "3"],
        ["anatomical positions", "far left", "0.000", "-", "8"],
    ]
    assert b"a picture" in [picture.png for picture in page.pictures]


def test_main_scores_of_any_pretext_stand_beside_chance(tmp_path):
    """No table of the page knows the keys of a new pretext's scores."""
    contents = {
        "rotation": {"volumes": 9, "rotation": {"accuracy": 0.75, "chance": 0.1}},
        "exemplar": {"retrieval": {"candidates": 8, "chance1": 0.125, "top1": 0.625, "top5": 0.9, "chance5": 0.625}},
        "jigsaw": {"jigsaw": {"accuracy": 0.5, "chance": 0.001, "puzzles": 9}},
        "masked_autoencoder": {
            "restoration": restoration_scores(np.array([[0.25, 2.0, 1.0]]), np.array([[0.5, 0.0, 1.0]]))
        },
        "severity": {
            "slices": 9,
            "noise": {"levels": 4, "mae": 0.5, "chance_mae": 0.8, "lower_is_better": True},
            "blur": {"by_level": {"rank_correlation": None}},
            "probe": {"location": {"mae": 0.5}},
        },
    }
    study = study_folder(tmp_path, pretexts=list(contents))
    for name, content in contents.items():
        write(tmp_path / f"pretrain/{name}/test/metrics.json", content)
    tables, page = tables_of(pretexts, study)
    assert tables["Scores in the pretexts' own tasks"] == [
        ["pretext", "score", "value", "by chance"],
        ["rotation", "rotation accuracy", "0.7500", "0.1"],
        ["exemplar", "retrieval top 1", "0.6250", "0.125"],
        ["jigsaw", "jigsaw accuracy", "0.5000", "0.001"],
        ["masked autoencoder", "restoration hidden MSE", "0.2500", "1"],
        ["severity", "noise MAE", "0.5000", "0.8"],
        ["severity", "blur by level rank correlation", "-", "-"],
    ]
    assert "<p class=note>exemplar: a prediction is correct if" in page.html("")
    assert "No better than chance" not in page.html("")
    contents["rotation"]["rotation"]["accuracy"] = 0.109
    contents["jigsaw"]["jigsaw"]["accuracy"] = 0.0009
    contents["masked_autoencoder"]["restoration"]["hidden"]["restored"] = 1.02
    contents["severity"]["noise"]["mae"] = 0.74
    for name, content in contents.items():
        write(tmp_path / f"pretrain/{name}/test/metrics.json", content)
    guessed = tables_of(pretexts, study)[1].html("")
    assert (
        "<b>No better than chance in their own task: rotation, jigsaw, masked autoencoder and severity.</b>" in guessed
    )


def test_the_exams_of_the_scores_are_named(tmp_path):
    """The page must not say that no training saw the test exams of the task, which a pretext may have learned from."""
    write(tmp_path / "pretrain/location/test/metrics.json", {"probe": {}})
    items = {"training": ["a", "b"], "test": ["c"]}
    lists = {
        name: {section: [{"image": f"{exam}.nii"} for exam in exams] for section, exams in of.items()}
        for name, of in {
            "unlabelled": items,
            "labelled": {"test": ["a"]},
            "dsbcc": {**items, "validation": ["c"]},
        }.items()
    }
    for name, content in lists.items():
        write(tmp_path / f"{name}.json", content)
    for unlabelled, said in (
        ("unlabelled", "<p>Scored on the test exams of the unlabelled images, from which no pretext learned.</p>"),
        ("labelled", "<p>Scored on the test exams, from which no pretext learned.</p>"),
        ("dsbcc", "<p>Scored on the test exams of the unlabelled images, but 1 of their 1 patient also validated"),
    ):
        given = {"unlabelled": str(tmp_path / f"{unlabelled}.json"), "labelled": str(tmp_path / "labelled.json")}
        page = tables_of(pretexts, study_folder(tmp_path, pretexts=["location"], datalists=given))[1].html("")
        assert said in page and "no training saw" not in page
