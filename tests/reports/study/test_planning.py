"""Test the section about planned views."""

from planewise.reports.study import planning

from tests.reports.study.studies import study_folder, tables_of, write


def test_the_first_three_exams_with_their_verdicts(tmp_path):
    for name in "dbca":
        write(tmp_path / f"plans/{name}/plan.json", {"views": {view: {"verdict": f"{view}{name}"} for view in "xy"}})
        (tmp_path / f"plans/{name}/plan.png").write_bytes(name.encode())
    _, page = tables_of(planning, study_folder(tmp_path))
    assert [(picture.png.decode(), picture.caption, picture.main, picture.lead) for picture in page.pictures] == [
        (name, f"Exam {name}. x: x{name}; y: y{name}.", name == "a", name == "a") for name in "abc"
    ]
