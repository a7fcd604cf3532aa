"""Test that the sections about pretrainings show every score in its column."""

from __future__ import annotations

import numpy as np
from planewise.metrics.pretexts import restoration_scores
from planewise.workshop.study.pretrainings import add_label_probe, add_plans, add_pretexts, add_probe

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
    tables, _ = tables_of(add_pretexts, study_folder(tmp_path, pretexts=["orientation", "location", "multitask"]))
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
    tables, page = tables_of(add_pretexts, study)
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
    tables, page = tables_of(add_pretexts, study)
    assert tables["Scores in the pretexts' own tasks"] == [
        ["pretext", "score", "value", "by chance"],
        ["rotation", "rotation accuracy", "0.7500", "0.1"],
        ["exemplar", "retrieval top 1", "0.6250", "0.125"],
        ["jigsaw", "jigsaw accuracy", "0.5000", "0.001"],
        ["masked autoencoder", "restoration hidden MSE", "0.2500", "1"],
        ["severity", "noise MAE", "0.5000", "0.8"],
        ["severity", "blur by level rank correlation", "-", "-"],
    ]
    contents["rotation"]["rotation"]["accuracy"] = 0.109
    contents["jigsaw"]["jigsaw"]["accuracy"] = 0.0009
    contents["masked_autoencoder"]["restoration"]["hidden"]["restored"] = 1.02
    contents["severity"]["noise"]["mae"] = 0.74
    for name, content in contents.items():
        write(tmp_path / f"pretrain/{name}/test/metrics.json", content)
    rows = tables_of(add_pretexts, study)[0]["Scores in the pretexts' own tasks"][1:]
    assert [row[0] for row in rows if row[-1].endswith("(!)")] == [
        "rotation",
        "jigsaw",
        "masked autoencoder",
        "severity",
    ]


def test_every_pretext_that_was_probed_has_a_row(tmp_path):
    location = {"mse": 9.0, "mae": 0.02, "pearson_r": 0.03, "r2": 0.04, "explained_variance": 9.0}
    scores = {"slices": 40, "exams": 4, "location": location, "neighbour_mae": 0.11, "chance_mae": 0.36}
    write(tmp_path / "pretrain/simclr/test/metrics.json", {"probe": scores})
    write(tmp_path / "pretrain/old/test/metrics.json", {"location": location})
    unknown = {"pearson_r": None, "r2": None, "mae": None}
    nothing = {"slices": 0, "exams": 0, "location": unknown, "neighbour_mae": None, "chance_mae": None}
    write(tmp_path / "pretrain/byol/test/metrics.json", {"probe": nothing})
    tables, page = tables_of(add_probe, study_folder(tmp_path, pretexts=["old", "simclr", "byol", "to_come"]))
    assert tables["Relative location from frozen features"] == [
        ["pretext", "r", "R²", "MAE", "distance of the nearest neighbour", "of a random slice", "scored on"],
        ["SimCLR", "0.0300", "0.0400", "0.0200", "0.1100", "0.3600", "40 slices of 4 exams"],
        ["BYOL", "-", "-", "-", "-", "-", "0 slices of 0 exams"],
    ]


def test_exams_without_locations_have_no_such_section(tmp_path):
    """ACDC's volumes are like this: their base and apex cannot be distinguished."""
    unknown = {"pearson_r": None, "r2": None, "mae": None}
    nothing = {"slices": 0, "exams": 0, "location": unknown, "neighbour_mae": None, "chance_mae": None}
    # nor has a single exam, whose slices cannot be predicted from others
    for content in (nothing, nothing | {"slices": 14, "exams": 1}):
        write(tmp_path / "pretrain/simclr/test/metrics.json", {"probe": content})
        assert tables_of(add_probe, study_folder(tmp_path, pretexts=["simclr"]))[0] == {}


def probed(linear, neighbours):
    return {"score": "kappa", "features": 44, "exams": 11, "linear": linear, "neighbours": neighbours}


def test_every_encoder_is_compared_with_the_random_one(tmp_path):
    write(
        tmp_path / "probe/untrained/test/metrics.json",
        probed({"9": [None, 0.2], "18": [0.3, 0.3]}, {"9": [0.5, None], "18": [0.6, 0.7]}),
    )
    write(
        tmp_path / "probe/simclr/test/metrics.json",
        probed({"9": [0.2, 0.4], "18": [0.4, 0.5]}, {"9": [0.0, 0.1], "18": [0.2, 0.4]}),
    )
    tables, page = tables_of(add_label_probe, study_folder(tmp_path, pretexts=["simclr", "to_come"]))
    assert tables["Kappa of the linear probe on frozen features"] == [
        ["encoder", "9", "18"],
        ["untrained", "0.200", "0.300 (0.000)"],
        ["SimCLR", "0.300 (0.141)", "0.450 (0.071)"],
    ]
    assert tables["Kappa of the nearest neighbours on frozen features"][1:] == [
        ["untrained", "0.500", "0.650 (0.071)"],
        ["SimCLR", "0.050 (0.071)", "0.300 (0.141)"],
    ]
    differences = tables["Paired differences from untrained in kappa of the linear probe"][1:]
    assert [row[:2] for row in differences] == [
        ["9, SimCLR minus untrained", "+0.200"],  # of the second draw, which both have
        ["18, SimCLR minus untrained", "+0.150"],
    ]


def test_an_encoder_that_was_probed_with_other_counts_has_the_rows_it_has(tmp_path):
    write(tmp_path / "probe/untrained/test/metrics.json", probed({"9": [0.1, 0.2]}, {"9": [0.5, 0.5]}))
    write(tmp_path / "probe/simclr_again/test/metrics.json", probed({"18": [0.4, 0.4]}, {"18": [0.2, 0.2]}))
    study = study_folder(tmp_path, pretexts=["simclr"], methods=["none", "simclr_again"])
    tables, _ = tables_of(add_label_probe, study)
    assert tables["Kappa of the linear probe on frozen features"] == [
        ["encoder", "9", "18"],
        ["untrained", "0.150 (0.071)", "-"],
        ["SimCLR again", "-", "0.400 (0.000)"],
    ]


def test_the_first_three_exams_with_their_verdicts(tmp_path):
    for name in "dbca":
        write(tmp_path / f"plans/{name}/plan.json", {"views": {view: {"verdict": f"{view}{name}"} for view in "xy"}})
        (tmp_path / f"plans/{name}/plan.png").write_bytes(name.encode())
    _, page = tables_of(add_plans, study_folder(tmp_path))
    assert [(picture.png.decode(), picture.caption, picture.main) for picture in page.pictures] == [
        (name, f"Exam {name}. x: x{name}; y: y{name}.", name == "a") for name in "abc"
    ]
    assert [picture.png for picture in page.head] == [b"a"]
