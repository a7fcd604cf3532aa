"""Convert the header of a DICOM file to its frames, or to the reason why the file is left out.

Only this subpackage reads DICOM. This module reads the tags, `dicom_values` converts their values to plain Python
values, `refusals` refuses files, and `dicom_frames` converts LPS to RAS+. The processes that read headers import these
modules, so none of the modules imports torch or MONAI.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterable, Sequence
from typing import BinaryIO

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.uid import ImplicitVRLittleEndian

from planewise.exams.dicom_frames import frames_of
from planewise.exams.dicom_values import value_of
from planewise.exams.frame import Frame
from planewise.exams.refusals import (
    DAMAGED,
    DEFLATED,
    EMPTY,
    NOT_A_FILE,
    NOT_DICOM,
    READ_BY_ITK,
    TRUNCATED,
    Refused,
    refuse_by_name,
    refuse_element,
    refuse_inflated,
    refuse_many_frames,
    refuse_truncated,
    refuse_what_is_no_slice,
)
from planewise.findings import Finding, finding

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # unusual values are common in headers

_KEYWORDS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "SeriesDescription", "ProtocolName", "ConversionType",
    "PatientID", "IssuerOfPatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "BodyPartExamined",
    "AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime", "SeriesDate", "SeriesTime",
    "StudyDate", "PatientBirthDate", "PatientSex",
    "SeriesNumber", "AcquisitionNumber", "InstanceNumber", "TemporalPositionIdentifier", "EchoNumbers",
    "ScanningSequence", "SequenceVariant", "SequenceName", "ScanOptions", "EchoTime", "RepetitionTime", "EchoPulseSequence",
    "DiffusionBValue", "TriggerTime", "CardiacNumberOfImages", "NominalInterval",
    "SliceThickness", "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit",
    "PhotometricInterpretation",
    "BurnedInAnnotation", "ComplexImageComponent", "AcquisitionContrast", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
#: Tag to keyword.
_WANTED = {tag_for_keyword(keyword): keyword for keyword in _KEYWORDS}
_PIXELS = {0x7FE00008, 0x7FE00009, 0x7FE00010}
#: Tags of the headers that all frames share, and of the headers of each frame.
_FRAMES = {0x52009229, 0x52009230}
_PIXELS_OR_FRAMES = _PIXELS | _FRAMES
#: Texts that ITK reads: zeros are an empty text for pydicom, but not for ITK.
_NEVER_NULL = {
    tag_for_keyword(keyword) for keyword in ("SOPClassUID", "PhotometricInterpretation", "SpacingBetweenSlices")
}
#: First tag of the groups that describe the acquisition, the geometry and the pixels.
_ACQUISITION = 0x00180000
#: Number of bytes at a file's start that identify its form; they contain the transfer syntax.
_FIRST = 1024
_DEFLATED = DEFLATED.encode()


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
    """The frames of one file, without its pixels.

    Args:
        path: path of the file.
        modalities: accepted modalities, ``"MR"`` or ``"CT"``.

    Returns:
        One frame per image.

    Raises:
        Refused: the file has no usable frames.
    """
    path = os.fspath(path)
    refuse_by_name(os.path.basename(path))
    try:
        status = os.stat(path)
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            raise Refused(NOT_A_FILE)  # opening a pipe would wait forever
        if size == 0:
            raise Refused(EMPTY)
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = file.read(_FIRST)
            has_preamble = start[128:132] == b"DICM"
            # old files start with the first data element, whose little-endian tag has group 0002 or 0008 and an element
            # number below 256
            if not has_preamble and (start[:2] not in (b"\x02\x00", b"\x08\x00") or start[3:4] != b"\x00"):
                raise Refused(NOT_DICOM)
            if start[:2] == b"\x02\x00" and not has_preamble:
                raise Refused(DAMAGED)
            if _DEFLATED in start:
                refuse_inflated(start + file.read())
            header, meta, ended_at = _read(file, _PIXELS_OR_FRAMES, not has_preamble)
            syntax = str(meta.get("TransferSyntaxUID") or "")
            if ended_at in _FRAMES:
                if syntax != DEFLATED:
                    refuse_many_frames(header, file, size)
                header, meta, _ = _read(file, _PIXELS, not has_preamble)
            refuse_what_is_no_slice(header, syntax, str(meta.get("MediaStorageSOPClassUID") or ""), modalities)
            refuse_truncated(header, syntax, file, size)
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


def _read(file: BinaryIO, ends: set[int], force: bool) -> tuple[dict, FileMetaDataset, int | None]:
    """Read the wanted elements up to the first element of ``ends``. Returns a mapping from keywords to values, the
    file's own header, and the tag of ``ends`` that was reached (None at the end of the file).

    The file position stays at that element, unless the file is deflated.

    Raises:
        Refused: an element of the acquisition, geometry or pixels occurs twice; pydicom would take the last, ITK the first.
            Or ITK cannot read an element (`refuse_element`), or the elements' transfer syntax is not that of the file.
    """
    ended_at: list[int] = []
    seen: set[int] = set()
    file.seek(0)
    source = None if _DEFLATED in file.read(_FIRST) else file  # pydicom inflates the elements into a buffer of its own
    stated = False

    def at_the_end(tag: int, vr: str | None, length: int) -> bool:
        nonlocal stated
        stated = stated or vr is not None
        if tag not in ends:
            refuse_element(tag, vr, length, source)
            if tag in seen:
                raise Refused(DAMAGED)
            # only these groups are checked, because pydicom may pass the first element of a file twice
            if tag >= _ACQUISITION and tag in _WANTED:
                seen.add(tag)
            return False
        ended_at.append(int(tag))
        return True

    file.seek(0)
    dataset = read_partial(file, at_the_end, force=force, specific_tags=list(_WANTED))
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if (dataset.file_meta and not syntax) or (stated and syntax == ImplicitVRLittleEndian):
        raise Refused(DAMAGED)
    for tag in _NEVER_NULL & dataset.keys():
        raw = dataset.get_item(tag).value
        if isinstance(raw, bytes) and b"\0" in raw and not raw.strip(b"\0 "):
            raise Refused(DAMAGED)
    header = {}
    for tag in sorted(_WANTED.keys() & dataset.keys()):
        try:
            header[_WANTED[tag]] = value_of(dataset, tag)
        except Exception:
            # a number that nobody needs, such as a broken SeriesNumber, is as good as absent
            if tag in READ_BY_ITK or dictionary_VR(tag) not in ("DS", "IS", "FD"):
                raise
    return header, dataset.file_meta, ended_at[-1] if ended_at else None
