"""Read the header of a DICOM file: its frames, or the reason why the file is left out.

The processes that read headers import this module, so it imports neither torch nor MONAI.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_partial
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from planewise.exams.dicom_frames import frames_of
from planewise.exams.refusals import (
    DAMAGED,
    DEFLATED,
    EMPTY,
    NOT_DICOM,
    READABLE,
    TRUNCATED,
    Refused,
    refuse_by_name,
    refuse_what_is_no_slice,
)
from planewise.exams.stack import Frame
from planewise.findings import Finding, finding

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # unusual values are common in headers

_KEYWORDS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "SeriesDescription", "ProtocolName", "ConversionType",
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "BodyPartExamined",
    "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime", "SeriesDate", "SeriesTime",
    "SeriesNumber", "AcquisitionNumber", "InstanceNumber", "EchoNumbers",
    "ScanningSequence", "SequenceVariant", "ScanOptions", "EchoTime", "RepetitionTime", "EchoPulseSequence",
    "TriggerTime", "CardiacNumberOfImages", "NominalInterval",
    "SliceThickness", "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit",
    "PhotometricInterpretation",
    "BurnedInAnnotation", "ComplexImageComponent", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
#: Tag to keyword.
_WANTED = {tag_for_keyword(keyword): keyword for keyword in _KEYWORDS}
_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
#: Transfer syntaxes of headers that are little-endian and not deflated.
_USUAL = READABLE - {DEFLATED, ExplicitVRBigEndian}
#: Kinds of text whose parts pydicom strips, and of numbers in text.
_TEXTS = {"CS", "DA", "TM", "DT", "SH", "LO", "UI", "DS", "IS"}


def read_headers(paths: Iterable[str], modalities: Sequence[str] = ("MR",)) -> list[list[Frame] | Finding]:
    """Return the frames of each path, or why it has none. Worker processes call this."""
    found: list[list[Frame] | Finding] = []
    for path in paths:
        try:
            found.append(read_header(path, modalities))
        except Refused as refused:
            found.append(refused.args[0])
    return found


def read_header(path: str | os.PathLike, modalities: Sequence[str] = ("MR",)) -> list[Frame]:
    """The frames of one file, one per image, without their pixels. ``modalities`` are accepted, ``"MR"`` or ``"CT"``.

    Raises:
        Refused: the file has no usable frames.
    """
    path = os.fspath(path)
    refuse_by_name(os.path.basename(path))
    if os.path.exists(path) and not os.path.isfile(path):
        raise Refused(NOT_DICOM)  # opening a pipe would wait forever
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = file.read(132)
            # old files start with the first data element, whose little-endian tag has group 0002 or 0008
            if not start:
                raise Refused(EMPTY)
            if start[128:] != b"DICM" and (start[:2] not in (b"\x02\x00", b"\x08\x00") or start[3:4] != b"\x00"):
                raise Refused(NOT_DICOM)
            meta, dataset = (start[128:] == b"DICM" and _usual_header(file)) or _header(file)
            header = {}
            for element in dataset.elements():
                if keyword := _WANTED.get(int(element.tag)):  # a number is found sooner than pydicom's tag
                    with suppress(Exception):  # a broken value is as good as none
                        header[keyword] = _value_of(dataset, element)
            syntax = str(meta.get("TransferSyntaxUID") or "")
            refuse_what_is_no_slice(header, syntax, str(meta.get("MediaStorageSOPClassUID") or ""), modalities)
            if syntax != DEFLATED and _is_truncated(header, syntax, file):
                raise Refused(TRUNCATED)
            return frames_of(header, path)
    except Refused:
        raise
    except InvalidDicomError:
        raise Refused(NOT_DICOM) from None
    except EOFError:
        raise Refused(TRUNCATED) from None
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:  # pydicom raises its own OSError for a broken header
            raise Refused(finding("file-unusable", kind="unreadable", error=error.strerror)) from None
        # a header can be wrong in any way; one file must not stop a hundred thousand
        raise Refused(DAMAGED) from None


def _header(file: BinaryIO) -> tuple[Dataset, Dataset]:
    """The file's own header, and the wanted elements of the other one. The file is left at its pixels."""
    file.seek(0)
    dataset = read_partial(file, _is_pixels, force=True, specific_tags=[*_WANTED])
    return dataset.file_meta, dataset


def _usual_header(file: BinaryIO) -> tuple[Dataset, Dataset] | None:
    """`_header` behind the preamble, without pydicom's tests of the file's kind, in half the time; None if it is unusual."""
    meta = read_dataset(file, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    syntax = meta.get("TransferSyntaxUID")
    start, group = file.tell(), file.read(2)
    if not isinstance(syntax, str) or syntax not in _USUAL or group == b"\0\0":
        return None
    file.seek(start)
    is_implicit = syntax == ImplicitVRLittleEndian
    return meta, read_dataset(file, is_implicit, True, stop_when=_is_pixels, specific_tags=[*_WANTED])


def _is_pixels(tag: int, vr: str | None, length: int) -> bool:
    return tag in _PIXELS


def _is_truncated(header: dict, syntax: str, file: BinaryIO) -> bool:
    """Whether the rest of a file, at whose pixels pydicom stopped, is shorter than they are."""
    start, size = file.tell(), os.fstat(file.fileno()).st_size
    if syntax.startswith("1.2.840.10008.1.2.4") or syntax == "1.2.840.10008.1.2.5":
        file.seek(max(start, size - 64))
        return b"\xfe\xff\xdd\xe0" not in file.read()  # the delimiter after the last compressed frame
    pixels = int(header["Rows"]) * int(header["Columns"]) * int(header.get("NumberOfFrames") or 1)
    start += 12 if file.read(6)[4:] in (b"OB", b"OW") else 8  # tag, kind and length
    return size - start < pixels * int(header["BitsAllocated"]) / 8


def _value_of(dataset: Dataset, element: DataElement | RawDataElement) -> Any:
    """An element's value as a plain Python value. pydicom's conversion costs more than reading the element, so only
    unusual values go through it."""
    raw, tag = element.value, element.tag
    if not isinstance(element, RawDataElement) or not raw or not isinstance(raw, bytes) or not raw.isascii():
        return dataset[tag].value
    kind = element.VR or dictionary_VR(tag)
    if kind == "US" and len(raw) == 2 and element.is_little_endian:
        return raw[0] + 256 * raw[1]
    if b"\x1b" in raw or kind not in _TEXTS:
        return dataset[tag].value
    parts: list = [part.rstrip("\0 ") for part in raw.decode("ascii").split("\\")]
    if kind in ("DS", "IS"):
        parts = [float(part) if kind == "DS" else int(part) for part in parts]
    return parts[0] if len(parts) == 1 else parts
