"""Test that the sections about pretrainings show every score in its column."""

from __future__ import annotations

import numpy as np
from planewise.metrics.pretexts import restoration_scores
from planewise.workshop.study.sections import add_label_probe, add_pretexts

from tests.reports.study.studies import study_folder, tables_of, write


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


def probed(linear):
    return {"score": "kappa", "features": 44, "exams": 11, "linear": linear}


def test_every_encoder_is_compared_with_the_random_one(tmp_path):
    write(
        tmp_path / "probe/untrained/test/metrics.json",
        probed({"9": [None, 0.2], "18": [0.3, 0.3]}),
    )
    write(
        tmp_path / "probe/simclr/test/metrics.json",
        probed({"9": [0.2, 0.4], "18": [0.4, 0.5]}),
    )
    tables, page = tables_of(add_label_probe, study_folder(tmp_path, pretexts=["simclr", "to_come"]))
    assert tables["Kappa of the linear probe on frozen features"] == [
        ["encoder", "9", "18"],
        ["untrained", "0.200", "0.300 (0.000)"],
        ["SimCLR", "0.300 (0.141)", "0.450 (0.071)"],
    ]
    differences = tables["Paired differences from untrained in kappa of the linear probe"][1:]
    assert [row[:2] for row in differences] == [
        ["9, SimCLR minus untrained", "+0.200"],  # of the second draw, which both have
        ["18, SimCLR minus untrained", "+0.150"],
    ]


def test_an_encoder_that_was_probed_with_other_counts_has_the_rows_it_has(tmp_path):
    write(tmp_path / "probe/untrained/test/metrics.json", probed({"9": [0.1, 0.2]}))
    write(tmp_path / "probe/simclr_again/test/metrics.json", probed({"18": [0.4, 0.4]}))
    study = study_folder(tmp_path, pretexts=["simclr"], methods=["none", "simclr_again"])
    tables, _ = tables_of(add_label_probe, study)
    assert tables["Kappa of the linear probe on frozen features"] == [
        ["encoder", "9", "18"],
        ["untrained", "0.150 (0.071)", "-"],
        ["SimCLR again", "-", "0.400 (0.000)"],
    ]
