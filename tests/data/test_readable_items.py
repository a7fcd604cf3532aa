from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, Lambdad
from planewise.data import ReadableItems
from planewise.data.readable_items import left_out
from planewise.errors import InputError
from planewise.nifti_files import write_nifti
from planewise.preprocessing import LoadVolumed
from planewise.preprocessing.exam_name import exam_of


def halved(number):
    if number % 2:
        raise InputError(f"exam e{number}, image: {number} is odd")
    return 10 // (number - 8) if number >= 8 else number // 2


def items(*numbers):
    data = [{"image": number, "exam": f"e{number}"} for number in numbers]
    return ReadableItems(Dataset(data, Compose([Lambdad("image", halved)])))


def read(dataset, **options):
    return [batch["image"].item() for batch in DataLoader(dataset, batch_size=1, **options)]


def test_what_cannot_be_read_is_named_and_the_others_go_on(caplog):
    with caplog.at_level(logging.WARNING):
        assert read(items(2, 3, 4, 5, 6)) == [1, 2, 3]
    told = [record.getMessage() for record in caplog.records if record.name == "planewise.data.readable_items"]
    assert told == [
        "exam e3 is left out (2 of 5): image: 3 is odd",
        "exam e5 is left out (4 of 5): image: 5 is odd",
    ]
    assert left_out(["exam e1: a doubt", *told]) == {"e3": "image: 3 is odd", "e5": "image: 5 is odd"}


def test_several_workers_read_each_once():
    assert sorted(read(items(2, 3, 4, 6), num_workers=2)) == [1, 2, 3]


def test_a_person_s_own_file_is_called_by_its_hash(caplog, monkeypatch):
    monkeypatch.setattr("planewise.data.readable_items.exam_of", lambda item: "hash")
    dataset = items(2, 3)
    del dataset.dataset.data[1]["exam"]
    with caplog.at_level(logging.WARNING):
        assert read(dataset) == [1]
    assert "exam hash is left out (2 of 2): exam e3, image: 3 is odd" in caplog.text


def test_one_alone_is_refused_in_its_own_words_and_all_with_the_first_s():
    with pytest.raises(Exception) as caught:
        read(items(3))
    assert isinstance(caught.value.__cause__, InputError) and str(caught.value.__cause__) == "exam e3, image: 3 is odd"
    with pytest.raises(InputError, match="^none of the 2 inputs can be read; the first: exam e5, image: 5 is odd$"):
        read(items(5, 3))
    assert read(items()) == []


def test_a_fault_of_the_program_is_no_fault_of_an_input():
    with pytest.raises(RuntimeError) as caught:
        read(items(2, 8))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("channels", [("pat_1_t1", "pat_1_t2"), ("pat_1",)])
def test_a_case_of_ones_own_is_named_once(channels, tmp_path, caplog):
    files = [str(tmp_path / f"{channel}.nii.gz") for channel in channels]
    for file in files:
        write_nifti(Path(file), np.full((4, 4, 4), np.nan, np.float32), np.eye(4))
    data = [{"image": files if files[1:] else files[0]}] * 2
    with caplog.at_level(logging.WARNING), pytest.raises(InputError, match="none of the 2 inputs can be read"):
        read(ReadableItems(Dataset(data, LoadVolumed("image"))))
    told = [record.getMessage() for record in caplog.records if record.name == "planewise.data.readable_items"]
    exam, why = exam_of(data[0]), "image: the volume cannot be read"
    assert told[0].startswith(f"exam {exam} (pat_1) is left out (1 of 2): {why}") and len(told) == 2
    assert str(tmp_path) not in caplog.text and left_out(told)[exam].startswith(why)
