"""Test that values read without pydicom's conversion equal those with it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from planewise.exams.dicom_frames import slice_affine
from planewise.exams.dicom_values import value_of
from planewise.exams.refusals import Refused
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.multival import MultiValue

TEXTS = ["A", "A ", " A", "A\0", "", " ", "A\\B", "A \\ B\\", "\\A", "M\\\\N"]
NUMBERS = ["1", " 12", "1.5 ", "-3e2", "+4", "", "1\\2\\3", "1 \\ 2.25", "1\\\\3", "007", "one", "1.0"]


def element(keyword: str, value: bytes, implicit: bool, little: bool) -> bytes:
    tag = tag_for_keyword(keyword)
    order = "little" if little else "big"
    value += b" " * (len(value) % 2)
    head = (tag >> 16).to_bytes(2, order) + (tag & 0xFFFF).to_bytes(2, order)
    if implicit:
        return head + len(value).to_bytes(4, order) + value
    return head + dictionary_VR(tag).encode() + len(value).to_bytes(2, order) + value


def reads_alike(keyword: str, value: bytes, implicit: bool = False, little: bool = True, before: bytes = b"") -> bool:
    data = before + element(keyword, value, implicit, little)
    found = []
    for read in (lambda dataset, tag: dataset[tag].value, value_of):
        dataset: Dataset = read_dataset(DicomBytesIO(io.BytesIO(data).getvalue()), implicit, little)
        try:
            given = read(dataset, tag_for_keyword(keyword))
            found.append((list(given) if isinstance(given, (MultiValue, list)) else given, None))
        except Exception as error:
            found.append((None, type(error)))
    return found[0] == found[1]


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    "keyword", ["ImageType", "PatientID", "SeriesDescription", "AcquisitionTime", "SOPInstanceUID"]
)
def test_texts(keyword, implicit):
    assert [text for text in TEXTS if not reads_alike(keyword, text.encode(), implicit)] == []


@pytest.mark.parametrize("keyword", ["SliceThickness", "ImagePositionPatient", "SeriesNumber"])
def test_numbers(keyword):
    assert [text for text in NUMBERS if not reads_alike(keyword, text.encode())] == []


@pytest.mark.parametrize("little", [True, False])
def test_words(little):
    for value in (b"\x01\x02", b"\xff\xff", b"\x01\x00\x02\x00", b""):
        assert reads_alike("Rows", value, little=little)


def test_letters_beyond_ascii():
    for encoding, name in (("latin-1", b"ISO_IR 100"), ("utf-8", b"ISO_IR 192")):
        charset = element("SpecificCharacterSet", name, False, True)
        assert reads_alike("SeriesDescription", "Kürze, größer".encode(encoding), before=charset)
    japanese = element("SpecificCharacterSet", b"ISO 2022 IR 6\\ISO 2022 IR 87", False, True)
    assert reads_alike("SeriesDescription", b"\x1b$B;3ED\x1b(B", before=japanese)


def test_pydicom_is_asked_for_what_is_odd_only(monkeypatch):
    dataset = read_dataset(DicomBytesIO(element("ImageType", b"ORIGINAL\\PRIMARY", False, True)), False, True)
    monkeypatch.setattr(Dataset, "__getitem__", lambda *_: pytest.fail("a plain value went through pydicom"))
    assert value_of(dataset, tag_for_keyword("ImageType")) == ["ORIGINAL", "PRIMARY"]


def test_affine_is_the_matrix_of_its_definition():
    rng = np.random.default_rng(0)
    for _ in range(20):
        directions, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        row, column = directions[:, 0], directions[:, 1]
        position, spacing, thickness = rng.normal(size=3) * 100, rng.uniform(0.5, 2, 2), rng.uniform(1, 9)
        # PS3.3 C.7.6.2.1.1: i runs along a row, in which neighbours are one column spacing apart
        expected = np.eye(4)
        expected[:3] = np.stack([row * spacing[1], column * spacing[0], np.cross(row, column) * thickness, position], 1)
        expected = np.diag([-1, -1, 1, 1]) @ expected
        found = slice_affine(list(position), [*row, *column], list(spacing), thickness)
        assert np.array_equal(found, expected)
        assert found[3] == [0, 0, 0, 1]


def test_broken_geometry_is_refused():
    good = ([0, 0, 0], [1, 0, 0, 0, 1, 0], [1, 1], 8)
    assert slice_affine(*good)
    for wrong in (
        (["nan", 0, 0], *good[1:]),
        (good[0], [1, 0, 0, 0.1, 1, 0], *good[2:]),
        (good[0], [1, 0, 0, 1, 0, 0], *good[2:]),
        (good[0], good[1], [0, 1], 8),
        (good[0], good[1], [1, float("inf")], 8),
    ):
        with pytest.raises(Refused, match="geometry|position"):
            slice_affine(*wrong)
