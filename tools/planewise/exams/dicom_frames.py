"""Extract the values of each frame from a DICOM header. Only this module converts LPS to RAS+."""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from functools import lru_cache, partial
from typing import Any

from pydicom.dataset import Dataset

from planewise.exams.refusals import (
    BAD_GEOMETRY,
    BAD_SCALE,
    NO_POSITION,
    SINGLE_FRAME,
    Refused,
    number_of,
    refuse_scale,
    values_of,
)
from planewise.exams.stack import Frame
from planewise.files import arrays
from planewise.words import natural_order

#: Direction cosines are made orthonormal if they deviate by more: ITK does so with all, and headers with three decimals move
#: the corner of an image by tenths of a millimetre.
ROUNDED = 1e-5
#: Largest deviation of direction cosines, as differences of their scalar products from those of orthonormal axes. Rounding
#: to three decimals changes a scalar product by up to 0.001 x sqrt(3), and turns the plane by less than 0.1 deg.
LARGEST_DEVIATION = 1.75e-3
#: ScanOptions that mean fat suppression: FS is DICOM's own term; manufacturers write the others.
_FAT_OPTIONS = {"FS", "SFS", "FATSAT", "FAT_SAT", "FSS", "WE", "SPIR", "SPAIR", "STIR", "CHESS"}
#: Enhanced files use one word where classic files use ScanningSequence.
_PULSE_SEQUENCES = {"SPIN": "SE", "GRADIENT": "GR", "BOTH": "GR/SE"}
#: Words of ImageType that name the component of the complex image; all others are magnitude.
_COMPONENTS = {
    "phase": {"P", "PHASE", "PHASE MAP", "VELOCITY MAP", "P_FFE", "P_SE", "P_PCA", "V"},
    "real": {"R", "REAL", "R_FFE", "R_IR"},
    "imaginary": {"I", "IMAGINARY", "I_FFE"},
}
#: Values of enhanced files that mean fat suppression; suppression of water or silicone has other purposes.
_SUPPRESSIONS = {"FAT": True, "FAT_AND_WATER": True, "NONE": False}


def frames_of(header: dict, path: str) -> list[Frame]:
    """The frames of a file, whose header maps keywords to values (`dicom.read_header`).

    Raises:
        Refused: the header gives no position for an image, or rescales the frames of a CT file in different ways.
    """
    common = _common(header, path)
    count = int(header.get("NumberOfFrames") or 1)
    # not the sequence: some programs end single-frame files with an empty one. ITK takes no geometry from the header of a
    # single frame if the SOP class is that of multi-frame files
    if count > 1 or str(header.get("SOPClassUID") or "") not in SINGLE_FRAME:
        per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
        if len(per_frame) != count:
            raise Refused(NO_POSITION)
        shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        scales = {arrays.rescale_of(group, shared) for group in per_frame}
        for scale in scales - {None}:
            refuse_scale(*scale)
        if header.get("Modality") == "CT" and len(scales) > 1:
            raise Refused(BAD_SCALE)
        frames = [
            common | _enhanced_frame(group, shared, index) | _kind_of(common, group, shared)
            for index, group in enumerate(per_frame)
        ]
        return _numbered(frames)
    between = values_of(header.get("SpacingBetweenSlices"))
    if between not in ([], [""]) and not number_of(between[0]):
        raise Refused(BAD_GEOMETRY)
    options = {str(value).strip().upper() for value in values_of(header.get("ScanOptions"))} - {""}
    geometry = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness")
    frame = {
        "frame": None,
        "affine": slice_affine(*map(header.get, geometry)),
        "thickness": _thickness(header.get("SliceThickness")),
        "trigger": number_of(header.get("TriggerTime")),
        "instance": _whole(header.get("InstanceNumber")),
        "echo_time": number_of(header.get("EchoTime")),
        "repetition_time": number_of(header.get("RepetitionTime")),
        "fat_suppressed": bool(options & _FAT_OPTIONS) if options else None,
    }
    return [Frame(**common | frame)]


def _common(header: dict, path: str) -> dict:
    def text(keyword: str) -> str:
        return str(header.get(keyword) or "")

    folder = os.path.basename(os.path.dirname(path))
    acquisition, number = _whole(header.get("AcquisitionNumber")), _whole(header.get("SeriesNumber"))
    image_type = [str(value).upper() for value in values_of(header.get("ImageType"))]
    sequence, variant = (
        "/".join(sorted(map(str, values_of(header.get(key))))) for key in ("ScanningSequence", "SequenceVariant")
    )
    description = f"{text('SeriesDescription')} {text('ProtocolName')}"
    beats = ("CardiacNumberOfImages", 1), ("NominalInterval", 0), ("TriggerTime", 0)
    return {
        "path": path,
        "rows": int(header["Rows"]),
        "columns": int(header["Columns"]),
        "kind": "|".join(
            [_component(image_type, text("ComplexImageComponent")), sequence, variant, text("EchoNumbers")]
        ),
        "text": f"{description} {folder}",
        "description": description,
        "sequence": sequence or _PULSE_SEQUENCES.get(text("EchoPulseSequence"), ""),
        "localizer": "LOCALIZER" in image_type,
        "derived": "DERIVED" in image_type[:1] or "SECONDARY" in image_type[1:2],
        "uncorrected": "ND" in image_type,
        "gated": any((number_of(header.get(keyword)) or 0) > least for keyword, least in beats),
        "body_part": text("BodyPartExamined").lower(),
        "acquired": (_acquired(header), number, acquisition, _folder_order(folder)),
        "patient": text("PatientID").strip(),
        "study": text("StudyInstanceUID"),
        "series": text("SeriesInstanceUID"),
        "frame_of_reference": text("FrameOfReferenceUID"),
        "sop": text("SOPInstanceUID"),
    }


def _whole(value: Any) -> int:
    """A whole number; 0 if it is unknown."""
    return int(number_of(value) or 0)


def _numbered(frames: list[dict]) -> list[Frame]:
    """The frames of an enhanced file (`_enhanced_frame`), numbered from 1 in the order that their headers give. Images of one
    place that the headers do not tell apart get the number 0: their order is unknown."""
    ordered = sorted(range(len(frames)), key=lambda row: (frames[row]["instance"], row))
    alike = defaultdict(set)
    places = [(frame["kind"], frame["echo_time"], *(round(line[3], 1) for line in frame["affine"])) for frame in frames]
    for frame, place in zip(frames, places, strict=True):
        alike[place].add(frame["instance"])
    counts, numbers = Counter(places), {row: number for number, row in enumerate(ordered, 1)}
    return [
        Frame(**frame | {"instance": numbers[row] if counts[place] == 1 or len(alike[place]) > 1 else 0})
        for row, (frame, place) in enumerate(zip(frames, places, strict=True))
    ]


def _enhanced_frame(group: Dataset, shared: Dataset, index: int) -> dict:
    """One frame of an enhanced multi-frame file. Its ``instance`` is a tuple whose order is that of the frames' times, as
    far as the file says."""
    first = partial(arrays.first_of, group, shared)
    heart, content = (partial(first, f"{name}Sequence") for name in ("CardiacSynchronization", "FrameContent"))
    delays = heart("NominalCardiacTriggerDelayTime"), heart("ActualCardiacTriggerDelayTime")
    trigger = next((time for time in map(number_of, delays) if time is not None), None)
    percentage = heart("NominalPercentageOfCardiacPhase")
    # the last two are usually alike, but some files have only one
    clocks = content("FrameReferenceDateTime"), content("FrameAcquisitionDateTime")
    order = (content("TemporalPositionIndex"), percentage, *values_of(content("DimensionIndexValues")), *clocks)
    thickness = first("PixelMeasuresSequence", "SliceThickness")
    return {
        "frame": index,
        "affine": slice_affine(
            first("PlanePositionSequence", "ImagePositionPatient"),
            first("PlaneOrientationSequence", "ImageOrientationPatient"),
            first("PixelMeasuresSequence", "PixelSpacing"),
            thickness,
        ),
        "thickness": _thickness(thickness),
        "trigger": trigger,
        # scanners write a delay of zero if the scan is not triggered
        "gated": (trigger or 0) > 0 or percentage is not None,
        "instance": tuple(number_of(value) or 0 for value in order),
        "echo_time": number_of(first("MREchoSequence", "EffectiveEchoTime")),
        "repetition_time": number_of(first("MRTimingAndRelatedParametersSequence", "RepetitionTime")),
        "fat_suppressed": _SUPPRESSIONS.get(str(first("MRModifierSequence", "SpectrallySelectedSuppression"))),
    }


def _kind_of(common: dict, group: Dataset, shared: Dataset) -> dict:
    """The kind of a frame of an enhanced file, which may contain magnitude and phase; empty if the frame has no own type."""
    first = partial(arrays.first_of, group, shared, "MRImageFrameTypeSequence")
    image_type = [str(value).upper() for value in values_of(first("FrameType"))]
    component = str(first("ComplexImageComponent") or "")
    if not image_type and not component:
        return {}
    return {"kind": f"{_component(image_type, component)}|{common['kind'].partition('|')[2]}"}


def slice_affine(position, orientation, spacing, thickness) -> list[list[float]]:
    """Voxel ``(i, j, k)`` of a slice to RAS+ mm, 4x4 as rows of floats (DICOM PS3.3, C.7.6.2.1.1), from ImagePositionPatient,
    ImageOrientationPatient, PixelSpacing and SliceThickness (1 mm if it is unknown or not above zero).

    Raises:
        Refused: a value is missing or not a number, the orientation is not a rotation, a spacing is not above zero, or a
            value is beyond `SMALLEST_SPACING`, `LARGEST_SPACING`, `THICKEST` or `FARTHEST`.
    """
    if position is None or orientation is None or len(values_of(position)) != 3 or len(values_of(orientation)) != 6:
        raise Refused(NO_POSITION)
    if spacing is None or len(values_of(spacing)) != 2:
        raise Refused(BAD_GEOMETRY)
    # for three numbers at a time, NumPy costs more than it saves
    numbers = [float(value) for value in (*orientation, *position, *spacing)]
    row, column, origin, (between_rows, between_columns) = numbers[:3], numbers[3:6], numbers[6:9], numbers[9:]
    deviation = max(abs(_dot(row, row) - 1), abs(_dot(column, column) - 1), abs(_dot(row, column)))
    if not all(map(math.isfinite, numbers[:9])):
        raise Refused(NO_POSITION)
    depth = _thickness(thickness) or 1.0
    possible = deviation < LARGEST_DEVIATION and arrays.SMALLEST_SPACING <= depth <= arrays.THICKEST
    possible = possible and all(
        arrays.SMALLEST_SPACING <= side <= arrays.LARGEST_SPACING for side in (between_rows, between_columns)
    )
    if not possible or max(map(abs, origin)) > arrays.FARTHEST:
        raise Refused(BAD_GEOMETRY)
    normal = _cross(row, column)
    if deviation > ROUNDED:
        column, normal = _unit(column), _unit(normal)
        row = _cross(column, normal)
    # PixelSpacing names the distance between rows first
    affine = [
        [row[axis] * between_columns, column[axis] * between_rows, normal[axis] * depth, origin[axis]]
        for axis in range(3)
    ]
    # LPS to RAS+
    return [*([-value for value in line] for line in affine[:2]), affine[2], [0.0, 0.0, 0.0, 1.0]]


def _thickness(value: Any) -> float | None:
    """A thickness in mm; None if it is unknown. Some programs write zero for an unknown thickness."""
    number = number_of(value)
    return number if number and number > 0 else None


def _dot(a: list[float], b: list[float]) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _cross(a: list[float], b: list[float]) -> list[float]:
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def _unit(a: list[float]) -> list[float]:
    length = math.sqrt(_dot(a, a))
    return [value / length for value in a]


def _acquired(header: dict) -> str:
    """The time of the acquisition, else of the image or the series, as a text whose order is that of the times; empty if
    unknown."""
    if stamp := str(header.get("AcquisitionDateTime") or ""):
        return stamp
    # older headers write dates with points and times with colons
    times = {when: str(header.get(f"{when}Time") or "") for when in ("Acquisition", "Content", "Series")}
    known = (f"{header.get(f'{when}Date') or ''}".replace(".", "") + time for when, time in times.items() if time)
    return next(known, "").replace(":", "")


def _component(image_type: list[str], complex_component: str) -> str:
    """``phase``, ``real``, ``imaginary`` or ``magnitude``."""
    words = {*image_type[2:], complex_component.upper()}
    return next((component for component, named in _COMPONENTS.items() if words & named), "magnitude")


#: Sort keys of folders, cached because many files share a folder.
_folder_order = lru_cache(maxsize=256)(natural_order)
