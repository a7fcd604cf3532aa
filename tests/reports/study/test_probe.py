"""Test that the probe's section shows every score in its column."""

from __future__ import annotations

from planewise.reports.study import probe

from tests.reports.study.studies import study_folder, tables_of, write


def test_every_pretext_that_was_probed_has_a_row(tmp_path):
    location = {"mse": 9.0, "mae": 0.02, "pearson_r": 0.03, "r2": 0.04, "explained_variance": 9.0}
    scores = {"slices": 40, "exams": 4, "location": location, "neighbour_mae": 0.11, "chance_mae": 0.36}
    write(tmp_path / "pretrain/simclr/test/metrics.json", {"probe": scores})
    write(tmp_path / "pretrain/old/test/metrics.json", {"location": location})
    unknown = {"pearson_r": None, "r2": None, "mae": None}
    nothing = {"slices": 0, "exams": 0, "location": unknown, "neighbour_mae": None, "chance_mae": None}
    write(tmp_path / "pretrain/byol/test/metrics.json", {"probe": nothing})
    tables, page = tables_of(probe, study_folder(tmp_path, pretexts=["old", "simclr", "byol", "to_come"]))
    assert tables["Relative location from frozen features"] == [
        ["pretext", "r", "R²", "MAE", "distance of the nearest neighbour", "of a random slice", "scored on"],
        ["SimCLR", "0.0300", "0.0400", "0.0200", "0.1100", "0.3600", "40 slices of 4 exams"],
        ["BYOL", "-", "-", "-", "-", "-", "0 slices of 0 exams"],
    ]


def test_a_study_without_probes_has_no_such_section(tmp_path):
    _, page = tables_of(probe, study_folder(tmp_path))
    assert page.html("").endswith("</style>")


def test_exams_without_locations_have_no_such_section(tmp_path):
    """ACDC's volumes are like this: their base and apex cannot be distinguished."""
    unknown = {"pearson_r": None, "r2": None, "mae": None}
    nothing = {"slices": 0, "exams": 0, "location": unknown, "neighbour_mae": None, "chance_mae": None}
    # nor has a single exam, whose slices cannot be predicted from others
    for content in (nothing, nothing | {"slices": 14, "exams": 1}):
        write(tmp_path / "pretrain/simclr/test/metrics.json", {"probe": content})
        assert tables_of(probe, study_folder(tmp_path, pretexts=["simclr"]))[0] == {}
