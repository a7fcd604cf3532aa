"""Test every cell in the section of grades against values worked out by hand."""

from __future__ import annotations

import pytest
from planewise.workshop.study.classification import add_classification

from tests.reports.study.studies import study_folder, tables_of, write

METHODS = {"none": {}, "rotation": {"pretext": "rotation"}}
#: Maps methods to the kappa of two draws, with 9 and with 179 graded photographs.
KAPPA = {"none": {9: (0.2, None), 179: (0.8, 0.9)}, "rotation": {9: (0.4, 0.6), 179: (0.9, 0.8)}}
#: Maps methods to the validation kappa after both epochs of both draws, with 179 photographs; a kappa may be unknown.
CURVES = {"none": (("0.1", "0.3"), ("nan", "0.2")), "rotation": (("0.3", "0.1"), ("0.1", "0.1"))}


def metrics(kappa):
    return {
        "kappa": kappa,
        "accuracy": 0.5,
        "distance": 0.75,
        "recall": {"none": 1.0, "mild": None},
        "confusion": [[2, 0], [0, 0]],
        "photographs": 56,
    }


@pytest.fixture
def study(tmp_path):
    for method, counts in KAPPA.items():
        for count, draws in counts.items():
            for draw, kappa in enumerate(draws):
                folder = tmp_path / f"finetune/{method}/{count}/{draw}"
                write(folder / "test/metrics.json", metrics(kappa))
                # with 9 photographs nothing is learned, so the first epoch is the best
                first, second = CURVES[method][draw] if count == 179 else ("0.0", "0.0")
                (folder / "history.csv").write_text(f"epoch,val_loss,val_kappa\n1,0.7,{first}\n2,0.5,{second}\n")
    return study_folder(tmp_path, anatomy="photograph", pretexts=["rotation"], methods=METHODS)


def test_tables(study):
    tables, page = tables_of(add_classification, study)
    rows = tables["Kappa, by the number of graded photographs (Fig. 4)"]
    assert rows[0] == ["method", "9 (5 %)", "179 (100 %)"]
    # draws 0.1 and 0.2 apart have deviations of 0.05 sqrt(2) and 0.1 sqrt(2); a draw without a kappa is left out
    assert rows[1:] == [["from scratch", "0.200", "0.850 (0.071)"], ["rotation", "0.500 (0.141)", "0.850 (0.071)"]]
    rows = tables["Share of each true grade that was predicted correctly"]
    assert rows[0][1:3] == ["none", "mild"] and rows[1][0] == "9, from scratch" and rows[1][-1].startswith("0.750")
    paired = tables["Paired differences in kappa"]
    assert paired[1][0] == "9, rotation minus scratch" and "+0.200" in paired[1]
    assert "56 photographs were graded" in page.html("") and paired[0][0] == "graded photographs"


def test_other_studies_have_no_such_section_and_this_one_no_other(study, tmp_path):
    write(tmp_path / "other/finetune/none/4/0/test/metrics.json", {"mean": {"dice": 0.5}})
    assert tables_of(add_classification, study_folder(tmp_path / "other", methods={"none": {}}))[0] == {}
