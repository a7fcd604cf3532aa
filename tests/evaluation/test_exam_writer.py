"""Test what all writers of inference share: one folder for each exam of every batch, with the exam's name."""

from __future__ import annotations

import fcntl
import shutil
from threading import Thread

import pytest
import torch
from monai.data import MetaTensor
from planewise.evaluation.exam_writer import ExamWriter, PredictionsWriter

from .passes import pass_over


class Names(ExamWriter):
    """A minimal writer, whose files the test reads again."""

    def write(self, exam, folder, item, output):
        (folder / "told.txt").write_text(f"{exam} {item['number']} {output['answer']}")


def test_each_exam_of_each_batch_is_written_once_with_its_own_item_and_output(tmp_path, caplog):
    def output(name):
        return {
            "image": MetaTensor(torch.zeros(1, 2, 2, 2), meta={"filename_or_obj": f"{name}.nii.gz"}),
            "answer": name.upper(),
        }

    items = [[{"number": 1}, {"number": 2}], [{"number": 3}]]
    caplog.set_level("INFO")
    pass_over(Names(tmp_path / "out"), items, [[output("a"), output("b")], [output("c")]])
    assert "wrote 3 folders into the output folder, one for each result" in caplog.messages
    told = {path.parent.name: path.read_text() for path in (tmp_path / "out").glob("*/told.txt")}
    assert told == {"a": "a 1 A", "b": "b 2 B", "c": "c 3 C"}


class Answers(PredictionsWriter):
    def diagnose(self, exam, folder, item, output):
        return {"answer": output["answer"]}


def answer(folder, answers, note="a"):
    outputs = [
        {"image": MetaTensor(torch.zeros(1, 2, 2, 2), meta={"filename_or_obj": name}), "answer": value}
        for name, value in answers.items()
    ]
    pass_over(Answers(folder, note), [[{} for _ in outputs]], [outputs])
    return (folder / "predictions.csv").read_text().splitlines()


def test_the_table_keeps_the_exams_of_earlier_runs(tmp_path, caplog):
    """Their folders are in the same output folder; a deleted or repeated one loses its earlier row."""
    caplog.set_level("INFO")
    assert answer(tmp_path, {"a": 0.5, "b": 0.25, "=c": 1.0, "d": "x, y"})[0] == "exam,answer,note"
    shutil.rmtree(tmp_path / "b")
    with (tmp_path / "predictions.csv").open("a") as file:
        file.write("d,cut off\n")
    table = answer(tmp_path, {"e": 0.75, "a": 0.125}, note="b")
    assert table == ["exam,answer,note", "'=c,1,a", 'd,"x, y",a', "e,0.75,b", "a,0.125,b"]
    assert "predictions.csv keeps the rows of 2 exams from earlier runs" in caplog.messages
    assert answer(tmp_path, {"=c": 0.5}) == ["exam,answer,note", *table[2:], "'=c,0.5,a"]


def test_two_runs_that_end_at_the_same_moment_keep_the_rows_of_both(tmp_path):
    answer(tmp_path, {"a": 0.5})
    with open(tmp_path / "predictions.lock", "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        run = Thread(target=answer, args=(tmp_path, {"b": 0.25}))
        run.start()
        run.join(0.5)
        # a row that the other run writes while it holds the lock
        (tmp_path / "c").mkdir()
        (tmp_path / "predictions.csv").write_text("exam,answer,note\na,0.5,a\nc,1,a\n")
    run.join(60)
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1:] == ["a,0.5,a", "c,1,a", "b,0.25,a"]


@pytest.mark.parametrize(
    ("earlier", "said"),
    [("exam,grade,note\na,1,x\n", "has other columns"), ('exam,"ans', "cannot be read"), ("", "other")],
)
def test_another_table_is_replaced_and_said_so(earlier, said, tmp_path, caplog):
    (tmp_path / "a").mkdir()
    (tmp_path / "predictions.csv").write_text(earlier)
    assert answer(tmp_path, {"b": 0.5}) == ["exam,answer,note", "b,0.5,a"]
    assert said in caplog.text and "replaced" in caplog.text
