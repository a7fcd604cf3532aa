"""Test the section of probes on the task's labels: every score in its row, and the random network as the control."""

from __future__ import annotations

from planewise.reports.study import label_probe

from tests.reports.study.studies import study_folder, tables_of, write


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
    tables, page = tables_of(label_probe, study_folder(tmp_path, pretexts=["simclr", "to_come"]))
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
    assert "predict 11 exams" in page.html("")


def test_a_study_without_probes_has_no_such_section(tmp_path):
    assert tables_of(label_probe, study_folder(tmp_path))[1].html("").endswith("</style>")


def test_an_encoder_that_was_probed_with_other_counts_has_the_rows_it_has(tmp_path):
    write(tmp_path / "probe/untrained/test/metrics.json", probed({"9": [0.1, 0.2]}, {"9": [0.5, 0.5]}))
    write(tmp_path / "probe/simclr_again/test/metrics.json", probed({"18": [0.4, 0.4]}, {"18": [0.2, 0.2]}))
    study = study_folder(tmp_path, pretexts=["simclr"], methods=["none", "simclr_again"])
    tables, _ = tables_of(label_probe, study)
    assert tables["Kappa of the linear probe on frozen features"] == [
        ["encoder", "9", "18"],
        ["untrained", "0.150 (0.071)", "-"],
        ["SimCLR again", "-", "0.400 (0.000)"],
    ]
