"""Test what all writers of inference share: one folder for each exam of every batch, with the exam's name."""

from __future__ import annotations

import torch
from monai.data import MetaTensor
from planewise.evaluation.writers import ExamWriter

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
