"""Test that the section about the data counts exams, not items."""

from __future__ import annotations

from planewise.reports.study import data

from tests.reports.study.studies import study_folder, tables_of, write


def test_exams_are_counted_once(tmp_path):
    def items(*exams):
        return [{"exam": exam} for exam in exams]

    write(
        tmp_path / "labelled.json", {"training": items("a", "a", "b", "c"), "validation": [], "test": items("d", "d")}
    )
    write(tmp_path / "elsewhere.json", {"training": items("a"), "validation": items("b", "c"), "test": []})
    study = study_folder(tmp_path, datalists={"unlabelled": str(tmp_path / "elsewhere.json")})
    page = tables_of(data, study)[1].html("")
    assert "<li>labelled exams: 3 training, 0 validation, 1 test</li>" in page
    assert "<li>unlabelled exams: 1 training, 2 validation, 0 test</li>" in page
    assert "the same exams" not in page


def test_one_datalist_is_said_to_be_of_both(tmp_path):
    exams = {"training": [{"exam": "a"}, {"exam": "b"}], "validation": [], "test": [{"exam": "c"}]}
    write(tmp_path / "labelled.json", exams)
    page = tables_of(data, study_folder(tmp_path, phantom={"labelled": ""}))[1].html("")
    assert "<li>labelled exams: 2 training, 0 validation, 1 test</li>" in page
    assert "pretraining learns from the same exams" in page and "unlabelled exams:" not in page


def test_test_images_that_pretexts_learned_from_are_named(tmp_path):
    write(tmp_path / "labelled.json", {"test": [{"exam": "a", "image": "a.nii"}, {"exam": "b", "image": "b.nii"}]})
    study = study_folder(tmp_path, datalists={"unlabelled": str(tmp_path / "elsewhere.json")}, pretexts=["rotation"])
    for section, said in (
        ("validation", "<b>1 of 2 patients in the test section of the labelled images have images in the training or"),
        ("test", "<li>no image of the labelled test exams is in the training or validation section of the"),
    ):
        write(tmp_path / "elsewhere.json", {section: [{"exam": "z", "image": "b.nii"}]})
        assert said in tables_of(data, study)[1].html("")


def test_exams_without_labels_are_counted_among_the_labelled(tmp_path):
    exams = {
        "training": [{"exam": "a", "grade": 0}, {"exam": "b"}, {"exam": "c"}],
        "validation": [{"exam": "d", "label": "d.nii.gz"}, {"exam": "d"}],
        "test": [],
    }
    write(tmp_path / "labelled.json", exams)
    page = tables_of(data, study_folder(tmp_path, phantom={"labelled": ""}))[1].html("")
    assert "<li>labelled exams: 3 training (1 with labels), 1 validation, 0 test</li>" in page


def test_draws_of_all_labelled_exams_are_said_to_differ_only_in_their_seed(tmp_path):
    exams = {"training": [{"exam": "a", "label": "a.nii"}, {"exam": "b", "label": "b.nii"}, {"exam": "c"}]}
    write(tmp_path / "labelled.json", exams)
    study = study_folder(tmp_path, phantom={"labelled": ""})
    alone = "Each draw selects labelled exams at random, the same for all methods."
    for draws, told in (({2: [0, 1], 1: [0]}, True), ({1: [0, 1]}, False), ({2: [0]}, False)):
        said = data.drawn_in_words(study, {("none", count): numbers for count, numbers in draws.items()})
        assert (said == alone) != told
        assert said.startswith(f"{alone[:-1]}, except with 2: there, each draw takes all labelled exams of") == told
    assert data.drawn_in_words(study_folder(tmp_path / "no_datalist"), {("none", 2): [0, 1]}) == alone
    folds = study_folder(tmp_path, phantom={"labelled": ""}, target={"arguments": "--fold {draw}"})
    assert (
        data.labelled_exams(study) == 2 and data.takes_all(study, [1, 2]) == [2] and data.takes_all(folds, [1, 2]) == []
    )


def test_photographs_are_called_so(tmp_path):
    exams = {"training": [{"exam": "a", "grade": 0}, {"exam": "b", "grade": 1}]}
    write(tmp_path / "labelled.json", exams)
    study = study_folder(tmp_path, anatomy="photograph", phantom={"labelled": ""})
    assert data.drawn_in_words(study, {("none", 2): [0, 1]}) == (
        "Each draw selects graded photographs at random, the same for all methods, except with 2: there, each draw takes all "
        "graded photographs of the training section. These draws differ only in the seed of the training, so they do not "
        "show how much the choice of photographs matters."
    )
