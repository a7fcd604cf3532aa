"""One DICOM file's header to its frames, or to the reason why the file is left out.

The only room that knows DICOM: its tags are read here, their values made plain in `dicom_values`, files refused in
`refusals`, and LPS turned into RAS+ in `dicom_frames`. Imported by the processes that read headers, so none of these
imports torch or MONAI.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable

import numpy as np
import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial

from planewise.exams.dicom_frames import frames_of
from planewise.exams.dicom_values import value_of
from planewise.exams.frame import Frame
from planewise.exams.refusals import (
    DAMAGED,
    EMPTY,
    NOT_DICOM,
    TRUNCATED,
    Refused,
    refuse_by_name,
    refuse_truncated,
    refuse_what_is_no_slice,
)

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # odd values in odd headers are expected

_KEYWORDS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "SeriesDescription", "ProtocolName", "ConversionType",
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "BodyPartExamined",
    "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime", "SeriesDate", "SeriesTime",
    "SeriesNumber", "AcquisitionNumber", "InstanceNumber", "TemporalPositionIdentifier", "EchoNumbers",
    "ScanningSequence", "SequenceVariant", "ScanOptions", "EchoTime", "RepetitionTime", "EchoPulseSequence",
    "TriggerTime", "CardiacNumberOfImages", "NominalInterval",
    "SliceThickness", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "PhotometricInterpretation",
    "BurnedInAnnotation", "ComplexImageComponent",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
#: Tag to keyword.
_WANTED = {tag_for_keyword(keyword): keyword for keyword in _KEYWORDS}
_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}


def read_headers(paths: Iterable[str]) -> list[list[Frame] | str]:
    """For each path its frames, or the reason (text) why it has none. What a worker process runs."""
    found: list[list[Frame] | str] = []
    for path in paths:
        try:
            found.append(read_header(path))
        except Refused as refused:
            found.append(str(refused))
    return found


def read_header(path: str | os.PathLike) -> list[Frame]:
    """The frames of one file, without its pixels.

    Returns:
        One per image: a file of one image has one.

    Raises:
        Refused: with the reason.
    """
    path = os.fspath(path)
    refuse_by_name(os.path.basename(path))
    try:
        size = os.path.getsize(path)
        if size == 0:
            raise Refused(EMPTY)
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = file.read(132)
            has_preamble = start[128:] == b"DICM"
            # old files start with the first data element: group 0002 or 0008, little endian, a low element number
            if not has_preamble and (start[:2] not in (b"\x02\x00", b"\x08\x00") or start[3:4] != b"\x00"):
                raise Refused(NOT_DICOM)
            file.seek(0)
            dataset = read_partial(file, _at_pixels, force=not has_preamble, specific_tags=list(_WANTED))
            syntax = str(dataset.file_meta.get("TransferSyntaxUID") or "")
            header = {_WANTED[tag]: value_of(dataset, tag) for tag in sorted(dataset.keys()) if tag in _WANTED}
            refuse_what_is_no_slice(header, syntax)
            refuse_truncated(header, syntax, file, size)
            return frames_of(header, path)
    except Refused:
        raise
    except InvalidDicomError:
        raise Refused(NOT_DICOM) from None
    except EOFError:
        raise Refused(TRUNCATED) from None
    except (OSError, PermissionError) as error:
        raise Refused(f"cannot be opened ({error.strerror or type(error).__name__})") from None
    except Exception as error:  # a header can be wrong in any way; one file must not stop a hundred thousand
        raise Refused(f"{DAMAGED} ({type(error).__name__})") from None


def read_frames(path: str | os.PathLike) -> list[np.ndarray]:
    """Pixels of a multi-frame file's frames, ``(columns, rows)`` each, for files that ITK does not open.

    Returns:
        Frames in the file's order, rescaled where the header says so; none for a file of one frame, or one that pydicom
        does not open either.
    """
    try:
        dataset = pydicom.dcmread(path)
        if int(dataset.get("NumberOfFrames") or 1) < 2:
            return []
        slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
        return [frame.T * slope + intercept for frame in dataset.pixel_array]
    except Exception:  # a second attempt at a file that ITK refused: what counts is the first one's reason
        return []


def _at_pixels(tag: int, vr: str | None, length: int) -> bool:
    return tag in _PIXELS
