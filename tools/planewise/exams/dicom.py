"""One DICOM file's header to plain dictionaries, one per frame, or the reason why the file is left out.

The only place that reads DICOM tags and the only one that turns LPS into RAS+. Imported by the processes that read
headers, so it imports neither torch nor MONAI.
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE  # odd values in odd headers are expected

#: Why a file is left out. Each is a sentence that a person reads beside a count and one example.
HIDDEN = "hidden or system file (._*, DICOMDIR, Thumbs.db, ...)"
EMPTY = "empty file (0 bytes)"
NOT_DICOM = "not a DICOM file"
ARCHIVE = "an archive: unpack it first"
TRUNCATED = "truncated: the file ends before its image does"
DAMAGED = "damaged: the header cannot be read"
NO_IMAGE = "DICOM without an image (report, presentation state, raw data, ...)"
NOT_MR = "not MR"
CAPTURE = "secondary capture or screen save"
BURNT_IN = "burnt-in annotation: text in the pixels may name the patient"
COLOUR = "colour image"
MOSAIC = "mosaic: many slices tiled into one image, without a position for each"
PROJECTION = "projection or reformat (MIP, MPR): not an acquired plane"
NO_POSITION = "no position or orientation in the header"
BAD_GEOMETRY = "broken geometry: zero pixel spacing or an orientation that is no rotation"
NO_FRAME_POSITIONS = "multi-frame file without a position for each frame"
TRANSFER_SYNTAX = "compressed in a way that ITK cannot read"

#: Read by ITK's GDCM: uncompressed, deflated, JPEG, JPEG-LS, JPEG 2000 and RLE; not video or high-throughput JPEG 2000.
_READABLE = {"1.2.840.10008.1.2", *(f"1.2.840.10008.1.2.{tail}" for tail in ("1", "1.99", "2", "5"))} | {
    f"1.2.840.10008.1.2.4.{tail}" for tail in (50, 51, 57, 70, 80, 81, 90, 91)
}
_DEFLATED = "1.2.840.10008.1.2.1.99"
_ENHANCED_MR = {f"1.2.840.10008.5.1.4.1.1.4.{tail}" for tail in ("1", "4")}
_CLASSIC_MR = "1.2.840.10008.5.1.4.1.1.4"
_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"
_PROJECTIONS = {"PROJECTION IMAGE", "MIP", "MINIP", "MPR", "CSA MPR", "CSAPARALLEL"}
_NOT_DICOM_SUFFIXES = {
    ".txt", ".csv", ".tsv", ".json", ".xml", ".html", ".htm", ".pdf", ".md", ".yml", ".yaml", ".cfg", ".ini", ".log", ".py",
    ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".nii", ".mat", ".npy", ".npz", ".h5", ".hdf5", ".mha", ".mhd",
    ".nrrd", ".raw", ".xls", ".xlsx", ".doc", ".docx", ".mp4", ".avi", ".mov", ".exe", ".dll", ".db", ".pt", ".pth",
}  # fmt: skip
#: ScanOptions that mean fat suppression: FS is DICOM's own term, the others are what manufacturers write.
_FAT_OPTIONS = {"FS", "SFS", "FATSAT", "FAT_SAT", "FSS", "WE", "SPIR", "SPAIR", "STIR", "CHESS"}
#: Enhanced files say in one word what classic ones say in ScanningSequence.
_PULSE_SEQUENCES = {"SPIN": "SE", "GRADIENT": "GR", "BOTH": "GR/SE"}
#: What enhanced files write of it; water and silicone are suppressed for other reasons.
_SUPPRESSIONS = {"FAT": True, "FAT_AND_WATER": True, "NONE": False}
_ARCHIVES = {".zip", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz"}
_SYSTEM_NAMES = {"dicomdir", "thumbs.db", "desktop.ini"}

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
#: Kinds of text by how pydicom strips it: as a whole, or every part.
_TEXTS = {"CS", "DA", "TM", "DT"}
_TEXTS_BY_PART = {"SH", "LO"}


class Refused(Exception):
    """A file that gives no frames; its text is one of the reasons above."""


def read_headers(paths: Iterable[str]) -> list[list[dict] | str]:
    """For each path its frames, or the reason (text) why it has none. What a worker process runs."""
    found: list[list[dict] | str] = []
    for path in paths:
        try:
            found.append(read_header(path))
        except Refused as refused:
            found.append(str(refused))
    return found


def read_header(path: str | os.PathLike) -> list[dict]:
    """The frames of one file, without its pixels.

    Returns:
        One dictionary per frame: ``path``, ``frame`` (index in a multi-frame file, else None), ``affine`` (4x4 rows of
        floats, voxel ``(i, j, 0)`` to RAS+ mm; ``i`` along an image row), ``rows``, ``columns``, ``thickness`` (mm or
        None), ``trigger`` (ms after the R wave, or None), ``instance``, ``acquired`` (sortable), ``kind`` (what must agree
        inside a stack besides geometry), ``text`` (words that may name the view), ``description`` (the same without the
        folder), ``echo_time`` and ``repetition_time`` (ms or None), ``sequence`` (``SE``, ``GR``, ``IR/SE``, ... or empty),
        ``fat_suppressed`` (None where nothing says it), ``localizer``, ``gated``, ``body_part``, and the raw identifiers
        ``patient``, ``study``, ``series``, ``frame_of_reference``, ``sop``, which are hashed before anything is written.

    Raises:
        Refused: with the reason.
    """
    path = os.fspath(path)
    name = os.path.basename(path)
    suffix = os.path.splitext(name)[1].lower()
    if name.startswith(".") or name.lower() in _SYSTEM_NAMES:
        raise Refused(HIDDEN)
    if suffix in _ARCHIVES:
        raise Refused(ARCHIVE)
    if suffix in _NOT_DICOM_SUFFIXES or name.lower().endswith(".nii.gz"):
        raise Refused(NOT_DICOM)
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
            header = {_WANTED[tag]: _value(dataset, tag) for tag in sorted(dataset.keys()) if tag in _WANTED}
            _refuse_what_is_no_slice(header, syntax)
            _refuse_truncated(header, syntax, file, size)
            return _frames(header, path)
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


def _value(dataset: Dataset, tag: int) -> Any:
    """An element's value as plain Python has it. What pydicom does with a value costs more than reading the element did,
    so that plain ones do not go through it; whatever is odd does."""
    element: DataElement | RawDataElement = dataset.get_item(tag)
    raw = element.value
    if not isinstance(element, RawDataElement) or not raw or not raw.isascii() or b"\x1b" in raw:
        return dataset[tag].value
    kind = element.VR or dictionary_VR(tag)
    if kind == "US" and len(raw) == 2 and element.is_little_endian:
        return raw[0] + 256 * raw[1]
    if kind in _TEXTS_BY_PART:
        parts: list = [part.rstrip("\0 ") for part in raw.decode("ascii").split("\\")]
    else:
        parts = raw.decode("ascii").rstrip("\0 ").split("\\")
    try:
        if kind == "DS":
            parts = [float(part) for part in parts]
        elif kind == "IS":
            parts = [int(part) for part in parts]
        elif kind == "UI":
            parts = [part.strip() for part in parts]
        elif kind not in _TEXTS_BY_PART and kind not in _TEXTS:
            return dataset[tag].value
    except ValueError:
        return dataset[tag].value
    return parts[0] if len(parts) == 1 else parts


def _refuse_what_is_no_slice(header: dict, syntax: str) -> None:
    sop_class = str(header.get("SOPClassUID") or "")
    modality = str(header.get("Modality") or "")
    image_type = {str(value).upper() for value in _values(header.get("ImageType"))}
    if not sop_class and not modality and "Rows" not in header:
        raise Refused(TRUNCATED if syntax else NOT_DICOM)
    if sop_class.startswith(_CAPTURES) or modality in ("SC", "OT") or "SCREEN SAVE" in image_type:
        raise Refused(CAPTURE)
    if "Rows" not in header or "Columns" not in header:
        in_image_class = sop_class == _CLASSIC_MR or sop_class in _ENHANCED_MR
        raise Refused(TRUNCATED if in_image_class else NO_IMAGE)
    if modality not in ("MR", "") or (sop_class and sop_class != _CLASSIC_MR and sop_class not in _ENHANCED_MR):
        raise Refused(f"{NOT_MR} ({modality or 'another kind of image'})")
    if str(header.get("BurnedInAnnotation") or "").upper() == "YES":
        raise Refused(BURNT_IN)
    if int(header.get("SamplesPerPixel") or 1) > 1:
        raise Refused(COLOUR)
    if "MOSAIC" in image_type:
        raise Refused(MOSAIC)
    if image_type & _PROJECTIONS:
        raise Refused(PROJECTION)
    if syntax and syntax not in _READABLE:
        raise Refused(f"{TRANSFER_SYNTAX} ({pydicom.uid.UID(syntax).name})")


def _refuse_truncated(header: dict, syntax: str, file, size: int) -> None:
    """pydicom stops in front of the pixel data; what is left of the file must hold them."""
    if syntax == _DEFLATED:
        return  # read from a buffer; the file's own position says nothing
    start = file.tell()
    file.seek(start)
    head = file.read(12)
    big_endian = syntax == "1.2.840.10008.1.2.2"
    if head[:4] != (b"\x7f\xe0\x00\x10" if big_endian else b"\xe0\x7f\x10\x00"):
        raise Refused(TRUNCATED if start >= size else NO_IMAGE)
    explicit = head[4:6] in (b"OW", b"OB")
    start += 12 if explicit else 8
    if syntax.startswith("1.2.840.10008.1.2.4") or syntax == "1.2.840.10008.1.2.5":
        # encapsulated: items of stated length up to a delimiter
        file.seek(start)
        while (item := file.read(8))[:4] == b"\xfe\xff\x00\xe0":
            file.seek(int.from_bytes(item[4:], "little"), os.SEEK_CUR)
        if item[:4] != b"\xfe\xff\xdd\xe0":
            raise Refused(TRUNCATED)
        return
    bits = int(header.get("BitsAllocated") or 16)
    frames = int(header.get("NumberOfFrames") or 1)
    wanted = math.ceil(int(header["Rows"]) * int(header["Columns"]) * frames * bits / 8)
    if size - start < wanted:
        raise Refused(TRUNCATED)


def _frames(header: dict, path: str) -> list[dict]:
    common = _common(header, path)
    per_frame = header.get("PerFrameFunctionalGroupsSequence")
    if per_frame:
        shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        return [common | _enhanced_frame(group, shared, index) for index, group in enumerate(per_frame)]
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise Refused(NO_FRAME_POSITIONS)
    frame = {
        "frame": None,
        "affine": _affine(
            header.get("ImagePositionPatient"),
            header.get("ImageOrientationPatient"),
            header.get("PixelSpacing"),
            header.get("SliceThickness"),
        ),
        "thickness": _number(header.get("SliceThickness")),
        "trigger": _number(header.get("TriggerTime")),
        "instance": int(_number(header.get("InstanceNumber")) or 0),
        "echo_time": _number(header.get("EchoTime")),
        "repetition_time": _number(header.get("RepetitionTime")),
        "fat_suppressed": _fat_suppressed(header),
    }
    return [common | frame]


def _common(header: dict, path: str) -> dict:
    folder = os.path.basename(os.path.dirname(path))
    image_type = [str(value).upper() for value in _values(header.get("ImageType"))]
    sequence = "/".join(sorted(map(str, _values(header.get("ScanningSequence")))))
    description = " ".join(str(header.get(key) or "") for key in ("SeriesDescription", "ProtocolName"))
    kind = (
        _component(image_type, str(header.get("ComplexImageComponent") or "")),
        sequence,
        "/".join(sorted(map(str, _values(header.get("SequenceVariant"))))),
        str(header.get("EchoNumbers") or ""),
    )
    return {
        "path": path,
        "rows": int(header["Rows"]),
        "columns": int(header["Columns"]),
        "kind": "|".join(kind),
        "text": f"{description} {folder}",
        "description": description,
        "sequence": sequence or _PULSE_SEQUENCES.get(str(header.get("EchoPulseSequence") or ""), ""),
        "localizer": "LOCALIZER" in image_type,
        "gated": (_number(header.get("CardiacNumberOfImages")) or 0) > 1
        or (_number(header.get("NominalInterval")) or 0) > 0
        or (_number(header.get("TriggerTime")) or 0) > 0,
        "body_part": str(header.get("BodyPartExamined") or "").lower(),
        "acquired": (
            _acquired(header),
            int(_number(header.get("SeriesNumber")) or 0),
            int(_number(header.get("AcquisitionNumber")) or 0),
            _folder_order(folder),
        ),
        "patient": str(header.get("PatientID") or "").strip(),
        "study": str(header.get("StudyInstanceUID") or ""),
        "series": str(header.get("SeriesInstanceUID") or ""),
        "frame_of_reference": str(header.get("FrameOfReferenceUID") or ""),
        "sop": str(header.get("SOPInstanceUID") or ""),
    }


def _enhanced_frame(group: Dataset, shared: Dataset, index: int) -> dict:
    """One frame of an enhanced multi-frame file; a group that all frames share stands in the shared sequence."""

    def first(sequence: str, keyword: str):
        for source in (group, shared):
            items = source.get(sequence)
            if items and items[0].get(keyword) is not None:
                return items[0].get(keyword)
        return None

    trigger = first("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime")
    if trigger is None:
        trigger = first("CardiacSynchronizationSequence", "ActualCardiacTriggerDelayTime")
    temporal = first("FrameContentSequence", "TemporalPositionIndex")
    thickness = first("PixelMeasuresSequence", "SliceThickness")
    return {
        "frame": index,
        "affine": _affine(
            first("PlanePositionSequence", "ImagePositionPatient"),
            first("PlaneOrientationSequence", "ImageOrientationPatient"),
            first("PixelMeasuresSequence", "PixelSpacing"),
            thickness,
        ),
        "thickness": _number(thickness),
        "trigger": _number(trigger),
        # a delay of zero is what scanners write where nothing triggers
        "gated": (_number(trigger) or 0) > 0,
        "instance": int(temporal) * 100_000 + index if temporal else index,
        "echo_time": _number(first("MREchoSequence", "EffectiveEchoTime")),
        "repetition_time": _number(first("MRTimingAndRelatedParametersSequence", "RepetitionTime")),
        "fat_suppressed": _SUPPRESSIONS.get(str(first("MRModifierSequence", "SpectrallySelectedSuppression"))),
    }


def _fat_suppressed(header: dict) -> bool | None:
    """Whether ScanOptions names fat suppression; None where there are no options to name it."""
    options = {str(value).strip().upper() for value in _values(header.get("ScanOptions"))} - {""}
    return bool(options & _FAT_OPTIONS) if options else None


def _affine(position, orientation, spacing, thickness) -> list[list[float]]:
    """Voxel ``(i, j, k)`` of a slice to RAS+ mm, as rows of floats."""
    if position is None or orientation is None or len(_values(position)) != 3 or len(_values(orientation)) != 6:
        raise Refused(NO_POSITION)
    if spacing is None or len(_values(spacing)) != 2:
        raise Refused(BAD_GEOMETRY)
    # three numbers at a time, NumPy costs more than it saves
    numbers = [float(value) for value in (*orientation, *position, *spacing)]
    row, column, origin, (between_rows, between_columns) = numbers[:3], numbers[3:6], numbers[6:9], numbers[9:]
    # 1e-3: headers round direction cosines to about five digits
    rotation = abs(_dot(row, row) - 1) < 1e-3 and abs(_dot(column, column) - 1) < 1e-3 and abs(_dot(row, column)) < 1e-3
    if not all(map(math.isfinite, numbers)) or not rotation or between_rows <= 0 or between_columns <= 0:
        raise Refused(BAD_GEOMETRY)
    normal = [
        row[1] * column[2] - row[2] * column[1],
        row[2] * column[0] - row[0] * column[2],
        row[0] * column[1] - row[1] * column[0],
    ]
    depth = _number(thickness) or 1.0
    # PixelSpacing names the distance between rows first
    affine = [
        [row[axis] * between_columns, column[axis] * between_rows, normal[axis] * depth, origin[axis]]
        for axis in range(3)
    ]
    # LPS to RAS+
    return [*([-value for value in line] for line in affine[:2]), affine[2], [0.0, 0.0, 0.0, 1.0]]


def _dot(a: list[float], b: list[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _acquired(header: dict) -> str:
    """When the image was acquired, as text that sorts; empty where the header does not say."""
    if header.get("AcquisitionDateTime"):
        return str(header["AcquisitionDateTime"]).ljust(14, "0")
    for when in ("Acquisition", "Content", "Series"):
        if header.get(f"{when}Time"):
            return f"{header.get(f'{when}Date') or ''}{header.get(f'{when}Time')}"
    return ""


def _component(image_type: list[str], complex_component: str) -> str:
    """``phase``, ``real``, ``imaginary`` or ``magnitude``."""
    words = {*image_type[2:], complex_component.upper()}
    if words & {"P", "PHASE", "PHASE MAP", "VELOCITY MAP", "P_FFE", "P_SE", "P_PCA", "V"}:
        return "phase"
    if words & {"R", "REAL", "R_FFE", "R_IR"}:
        return "real"
    if words & {"I", "IMAGINARY", "I_FFE"}:
        return "imaginary"
    return "magnitude"


def natural_order(text: str) -> tuple:
    """Sorts ``sax_5`` before ``sax_23``."""
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part)


#: Of folders, which many files share.
_folder_order = lru_cache(maxsize=256)(natural_order)


def _values(value) -> list:
    if value is None:
        return []
    return list(value) if not isinstance(value, str) and hasattr(value, "__iter__") else [value]


def _number(value) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
