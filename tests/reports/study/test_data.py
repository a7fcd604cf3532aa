"""Test the sections about the data, which counts exams, not items, and about versions."""

from __future__ import annotations

from planewise.workshop.study.sections import add_data, add_provenance

from tests.reports.study.studies import study_folder, tables_of, write


def test_exams_are_counted_once(tmp_path):
    def items(*exams):
        return [{"exam": exam} for exam in exams]

    write(
        tmp_path / "labelled.json", {"training": items("a", "a", "b", "c"), "validation": [], "test": items("d", "d")}
    )
    write(tmp_path / "elsewhere.json", {"training": items("a"), "validation": items("b", "c"), "test": []})
    study = study_folder(tmp_path, datalists={"unlabelled": str(tmp_path / "elsewhere.json")})
    page = tables_of(add_data, study)[1].html("")
    assert "<li>labelled exams: 3 training, 0 validation, 1 test</li>" in page
    assert "<li>unlabelled exams: 1 training, 2 validation, 0 test</li>" in page
    assert "the same exams" not in page


def test_test_images_that_pretexts_learned_from_are_named(tmp_path):
    write(tmp_path / "labelled.json", {"test": [{"exam": "a", "image": "a.nii"}, {"exam": "b", "image": "b.nii"}]})
    study = study_folder(tmp_path, datalists={"unlabelled": str(tmp_path / "elsewhere.json")}, pretexts=["rotation"])
    for section, said in (
        ("validation", "<b>1 of 2 patients in the test section of the labelled images have images in the training or"),
        ("test", "<li>no image of the labelled test exams was found"),
    ):
        write(tmp_path / "elsewhere.json", {section: [{"exam": "z", "image": "b.nii"}]})
        assert said in tables_of(add_data, study)[1].html("")


def test_exams_without_labels_are_counted_among_the_labelled(tmp_path):
    exams = {
        "training": [{"exam": "a", "grade": 0}, {"exam": "b"}, {"exam": "c"}],
        "validation": [{"exam": "d", "label": "d.nii.gz"}, {"exam": "d"}],
        "test": [],
    }
    write(tmp_path / "labelled.json", exams)
    page = tables_of(add_data, study_folder(tmp_path, phantom={"labelled": ""}))[1].html("")
    assert "<li>labelled exams: 3 training (1 with labels), 1 validation, 0 test</li>" in page


def test_versions_of_all_installed_packages_and_the_commit(tmp_path):
    packages = {"planewise": "1.2", "monai": "3.4", "itk": None}
    first = {"packages": packages, "python": "3.11", "commit": "abc"}
    write(tmp_path / "pretrain/a/run.json", first)
    write(tmp_path / "pretrain/b/run.json", {"devices": ["a GPU", "a <processor>"], "precision": "bfloat16"} | first)
    write(tmp_path / "finetune/b/run.json", first | {"devices": ["a GPU"], "precision": None})
    (tmp_path / "finetune/b/run.json").rename(tmp_path / "finetune/run.json")
    (tmp_path / "pretrain/b/broken").mkdir()
    (tmp_path / "pretrain/b/broken/run.json").write_text('{"devices": [')
    _, page = tables_of(add_provenance, study_folder(tmp_path))
    text = page.html("")
    assert ">planewise 1.2, monai 3.4; Python 3.11; commit abc;" in text
    assert "trained on a &lt;processor&gt;, a GPU; bfloat16." in text and str(tmp_path) not in text
