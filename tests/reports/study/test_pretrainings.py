"""Test that the sections about pretrainings show every score in its column."""

from __future__ import annotations

from planewise.workshop.study.sections import add_pretexts

from tests.reports.study.studies import study_folder, tables_of, write


def test_main_scores_of_any_pretext_stand_beside_chance(tmp_path):
    """No table of the page knows the keys of a new pretext's scores."""
    contents = {
        "rotation": {"volumes": 9, "rotation": {"accuracy": 0.75, "chance": 0.1}},
        "exemplar": {"retrieval": {"candidates": 8, "chance1": 0.125, "top1": 0.625, "top5": 0.9, "chance5": 0.625}},
        "jigsaw": {"jigsaw": {"accuracy": 0.5, "chance": 0.001, "puzzles": 9}},
        "masked_autoencoder": {"restoration": {"hidden": {"restored": 0.25, "chance": 1.0, "lower_is_better": True}}},
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
