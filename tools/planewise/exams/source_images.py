"""The DICOM images of an exam, as headers to which results (a segmentation, a report) refer: they have the same patient and
study, and name every image by its SOP instance UID.

Here, each frame of a multi-frame file counts as a separate image with a temporary UID, which `true_references` later
replaces by the file's UID and the frame's number, because highdicom takes many single-frame images or one multi-frame file,
but a stack can be spread over several multi-frame files.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage, generate_uid
from pydicom.valuerep import DA, format_number_as_ds

from planewise.errors import InputError
from planewise.findings import finding

#: The only elements that `hide` keeps: geometry and references, without names, dates, places and free text.
_NOT_PERSONAL = (
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "Modality", "StudyInstanceUID", "SeriesInstanceUID",
    "FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "Rows", "Columns", "NumberOfFrames", "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
)  # fmt: skip
#: Required in every DICOM file, empty if unknown.
_REQUIRED = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate", "StudyTime",
    "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID", "FrameOfReferenceUID")
_OF_MANY_FRAMES = (
    "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence", "NumberOfFrames", "FrameIncrementPointer",
)  # fmt: skip
#: Factors that convert a point or a direction from RAS+ to DICOM's LPS coordinates.
RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class SourceImage:
    """One image of a stack."""

    header: Dataset  #: header of a single-frame image, without pixels
    file: tuple[str, str]  #: UIDs of the file's SOP class and of the file
    frame: int | None  #: number in a multi-frame file, from 1; None in a single-frame file

    @property
    def uid(self) -> str:
        """The SOP instance UID by which new files refer to the image until `true_references`."""
        return str(self.header.SOPInstanceUID)


def is_dicom(item: Mapping[str, Any]) -> bool:
    """Whether an item of `planewise.exams.find_inputs` is a stack of DICOM images."""
    slices = item["image"]
    return isinstance(slices, list) and bool(slices) and "time" not in slices[0] and "affine" in slices[0]


def source_images(slices: Sequence[Mapping[str, Any]], hide: str | None = None) -> list[SourceImage]:
    """The images of a stack. Their SpacingBetweenSlices is the mean distance between the slices' positions, because programs
    compute volumes with it, and the value in the header may be wrong.

    Args:
        slices: slices of a DICOM stack in order, as items of a datalist: ``image``, ``affine``, and ``frame`` in
            multi-frame files.
        hide: the exam's hash, which replaces the patient; names, dates, places and free text are left out. The UIDs
            stay (DICOM PS3.15, Retain UIDs Option), because results need them to refer to the images. None keeps the
            patient.

    Raises:
        InputError: a file cannot be read, or its header lacks a UID that every result must name.
    """
    headers: dict[str, Dataset] = {}
    images = []
    affines = np.array([entry["affine"] for entry in slices], dtype=float)
    thickness = np.linalg.norm(affines[0, :3, 2])
    # the third axis of a slice's affine is its normal, as long as its thickness
    across = (affines[-1, :3, 3] - affines[0, :3, 3]) @ affines[0, :3, 2] / thickness
    between = abs(across) / max(len(slices) - 1, 1)
    for entry in slices:
        path = str(entry["image"])
        if path not in headers:
            headers[path] = _header(path, hide)
        header = headers[path]
        # some programs write new ones into each file, but a result has one of each
        for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
            setattr(header, keyword, headers[str(slices[0]["image"])][keyword].value)
        header.SliceThickness = header.get("SliceThickness") or _number(thickness)
        header.SpacingBetweenSlices = (
            _number(between) if between else header.get("SpacingBetweenSlices") or header.SliceThickness
        )
        file = (str(header.SOPClassUID), str(header.SOPInstanceUID))
        frame = entry.get("frame")
        if frame is None:
            images.append(SourceImage(header, file, None))
        else:
            images.append(SourceImage(_one_frame(header, entry["affine"]), file, int(frame) + 1))
    return images


@contextmanager
def header_values_kept() -> Iterator[None]:
    """Use headers unchanged in new files, without highdicom's log and its warnings, which contain names.

    Raises:
        InputError: highdicom refuses a header.
    """
    log = logging.getLogger("highdicom")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # the message may contain a value of the header
        raise InputError(finding("no-dicom", kind="headers", error=type(error).__name__)) from error
    finally:
        log.setLevel(level)


def with_values(header: Dataset, **values: object) -> Dataset:
    """A copy of a header with other values; the given header does not change."""
    changed = Dataset()
    for element in header:
        # an element in both headers would be one object, so a new value would change both
        if element.keyword not in values:
            changed.add(element)
    for keyword, value in values.items():
        setattr(changed, keyword, value)
    return changed


def true_references(dataset: Dataset, images: Sequence[SourceImage]) -> None:
    """Replace the UIDs that stand for frames by their files' UIDs and frame numbers, everywhere in a new file.

    In lists of files (the evidence of a report, the referenced series of a segmentation), each file then appears once.
    """
    frames = {image.uid: image for image in images}
    for item in [dataset, *_items(dataset)]:
        image = frames.get(str(item.get("ReferencedSOPInstanceUID", "")))
        if image is not None:
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.file
            if image.frame is not None:
                item.ReferencedFrameNumber = image.frame
    for series in [item for item in _items(dataset) if "SeriesInstanceUID" in item]:
        for keyword in ("ReferencedInstanceSequence", "ReferencedSOPSequence"):
            if keyword in series:
                files = {str(entry.ReferencedSOPInstanceUID): entry for entry in series[keyword].value}
                for entry in files.values():
                    entry.pop("ReferencedFrameNumber", None)
                setattr(series, keyword, list(files.values()))


def _items(dataset: Dataset) -> list[Dataset]:
    """Every item of every sequence, at any depth."""
    return [item for element in dataset.iterall() if element.VR == "SQ" for item in element.value]


def _header(path: str, hide: str | None) -> Dataset:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except Exception as error:  # a header can be wrong in any way
        raise InputError(finding("no-dicom", kind="headers", error=type(error).__name__)) from error
    missing = [keyword for keyword in _NEEDED if not header.get(keyword)]
    if missing:
        raise InputError(finding("no-dicom", kind="missing", missing=missing))
    with warnings.catch_warnings():  # highdicom refuses character sets such as an empty one before ISO 2022 IR 87
        warnings.simplefilter("ignore")
        header.decode()
    header.SpecificCharacterSet = "ISO_IR 192"
    if hide is not None:
        kept = Dataset()
        for keyword in _NOT_PERSONAL:
            if keyword in header:
                kept[keyword] = header[keyword]
        kept.PatientID = kept.PatientName = hide
        kept.PatientIdentityRemoved = "YES"
        kept.DeidentificationMethod = ["planewise --anonymous", "PS3.15 Retain UIDs Option"]
        header = kept
    for keyword in _REQUIRED:
        if header.get(keyword) is None:
            setattr(header, keyword, "")
        elif keyword.endswith("Date"):
            try:
                DA(str(header[keyword].value))
            except ValueError:  # anonymisers write 20120000, which highdicom refuses
                setattr(header, keyword, "")
    return header


def _one_frame(header: Dataset, affine: Sequence[Sequence[float]]) -> Dataset:
    """The header of one frame: the file's own, with the frame's position."""
    matrix = np.asarray(affine, dtype=float)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    row, column = (RAS_TO_LPS * matrix[:3, axis] / spacing[axis] for axis in (0, 1))
    image = with_values(
        header,
        SOPClassUID=MRImageStorage,
        SOPInstanceUID=generate_uid(),
        ImagePositionPatient=[_number(value) for value in RAS_TO_LPS * matrix[:3, 3]],
        ImageOrientationPatient=[_number(value) for value in (*row, *column)],
        # PixelSpacing starts with the distance between rows, which is the spacing along the affine's second axis
        PixelSpacing=[_number(spacing[1]), _number(spacing[0])],
        SliceThickness=_number(spacing[2]),
    )
    for keyword in _OF_MANY_FRAMES:
        image.pop(keyword, None)
    return image


def _number(value: float) -> str:
    return format_number_as_ds(float(value))
