from __future__ import annotations

import pytest
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, Lambdad
from planewise.data import ReadableItems
from planewise.data.readable_items import NoneReadable, reason_of
from planewise.errors import InputError
from planewise.findings import finding


def halved(number):
    if number % 2:
        raise InputError(finding("exam-unusable", error=number))
    return 10 // (number - 8) if number >= 8 else number // 2


def items(*numbers):
    data = [{"image": number, "exam": f"e{number}"} for number in numbers]
    return ReadableItems(Dataset(data, Compose([Lambdad("image", halved)])))


def read(dataset, **options):
    return [batch["image"].item() for batch in DataLoader(dataset, batch_size=1, **options)]


def odd(*numbers):
    return {f"e{number}": finding("exam-unusable", error=number) for number in numbers}


def test_what_cannot_be_read_is_named_and_the_others_go_on():
    dataset = items(2, 3, 4, 5, 6)
    for _ in range(2):
        assert read(dataset) == [1, 2, 3]
        assert dataset.refused == odd(3, 5)


def test_several_workers_read_each_once():
    assert sorted(read(items(2, 3, 4, 6), num_workers=2)) == [1, 2, 3]


def test_a_person_s_own_file_is_called_by_its_hash(monkeypatch):
    monkeypatch.setattr("planewise.data.readable_items.exam_of", lambda item: "hash")
    dataset = items(2, 3)
    del dataset.dataset.data[1]["exam"]
    assert read(dataset) == [1] and list(dataset.refused) == ["hash"]


@pytest.mark.parametrize("numbers", [(3,), (5, 3)])
def test_if_all_are_refused_the_error_has_all_reasons(numbers):
    dataset = items(*numbers)
    with pytest.raises(NoneReadable) as caught:
        read(dataset)
    assert caught.value.refused == dataset.refused == odd(*numbers)
    assert reason_of(caught.value) == finding("exam-unusable", error=numbers[0])
    assert reason_of(InputError("3 is odd")) == finding("exam-unusable", error="3 is odd")


def test_a_fault_of_the_program_is_no_fault_of_an_input():
    with pytest.raises(RuntimeError) as caught:
        read(items(2, 8))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
