"""Segmented stacks as DICOM SEG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

import planewise
from planewise.errors import InputError
from planewise.exams.dicom_frames import frames_of
from planewise.exams.source_images import SourceImage, header_values_kept, true_references, with_values
from planewise.exams.words import listed

#: Codes of DICOM PS3.16.
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
MANUFACTURER = "planewise contributors"
#: DICOM requires a version of an algorithm.
UNKNOWN_VERSION = "unknown"


@dataclass(frozen=True)
class Structure:
    """A structure of a label map.

    Attributes:
        value: its value in the label map.
        name: name that viewers list.
        code: SNOMED CT code.
        colour: red, green, blue in [0, 1].
    """

    value: int
    name: str
    code: Code
    colour: Sequence[float]


def dicom_segmentation(
    images: Sequence[SourceImage],
    labels: np.ndarray,
    structures: Sequence[Structure],
    bundle: str,
    version: str,
    weights: str,
    description: str,
    series_number: int,
    corrected: bool = False,
) -> Dataset:
    """Convert a label map to a binary DICOM SEG with one segment for each structure, on the images' own frames.

    Each SEG is a separate series, because OHIF shows one segmentation per series. A structure that is missing from the
    label map still has a segment, without frames, so that segment 1 is the same structure in every file.

    Args:
        images: images of the stack, from `source_images`.
        labels: label map ``(i, j, slices)``, ``i`` along an image row, in the order of the images.
        structures: structures in the order of the segments.
        bundle: name of the bundle that made the label map.
        version: the bundle's version; empty if unknown.
        weights: the bundle's weights, in words.
        description: description of the series, at most 64 characters.
        series_number: number of the series.
        corrected: whether a person corrected the label map.

    Raises:
        InputError: highdicom refuses the images' headers.
    """
    import highdicom as hd  # half a second, and only DICOM input needs it

    algorithm = hd.AlgorithmIdentificationSequence(
        name=bundle,
        version=version or UNKNOWN_VERSION,
        family=ARTIFICIAL_INTELLIGENCE,
        source=MANUFACTURER,
        parameters={"weights": weights},
    )
    types = hd.seg.SegmentAlgorithmTypeValues
    segments = []
    for number, structure in enumerate(structures, start=1):
        segment = hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=structure.name,
            segmented_property_category=ANATOMICAL_STRUCTURE,
            segmented_property_type=structure.code,
            algorithm_type=types.SEMIAUTOMATIC if corrected else types.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        segment.RecommendedDisplayCIELabValue = _cielab(structure.colour)
        segments.append(segment)
    # (slices, rows, columns, segments): a row of the array is a column of the label map
    masks = np.stack([(labels == structure.value).transpose(2, 1, 0) for structure in structures], axis=-1)
    # highdicom takes the images of one series; a short axis often has a series for each slice
    sources = [with_values(image.header, SeriesInstanceUID="1.2") for image in images]
    with header_values_kept():
        made = hd.seg.Segmentation(
            source_images=sources,
            pixel_array=masks.astype(np.uint8),
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=hd.UID(),
            series_number=series_number,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            manufacturer_model_name="planewise",
            software_versions=planewise.__version__,
            device_serial_number="0",
            content_label="SEGMENTATION",
            content_description=description,
        )
    made.SeriesDescription = description
    made.ReferencedSeriesSequence = series_of(images)
    true_references(made, images)
    return made


def read_dicom_segmentation(path: Path, values: Mapping[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """The label map ``(i, j, frames)`` of a DICOM SEG by any program, and its frames' affines ``(frames, 4, 4)``, RAS+, mm.
    ``values`` maps the name of each segment to its label value.

    Raises:
        InputError: the file cannot be read, or a segment has another name.
    """
    try:
        file = pydicom.dcmread(path)
        affines = [frame.affine for frame in frames_of({part.keyword: part.value for part in file}, str(path))]
        numbers = file.pixel_array.reshape(-1, file.Rows, file.Columns).transpose(2, 1, 0)
        if file.SegmentationType != "LABELMAP":
            groups = [frame.SegmentIdentificationSequence[0] for frame in file.PerFrameFunctionalGroupsSequence]
            inside = numbers > int(file.get("MaximumFractionalValue", 1)) // 2
            numbers = inside * np.array([int(group.ReferencedSegmentNumber) for group in groups])
        names = {int(segment.SegmentNumber): str(segment.SegmentLabel) for segment in file.SegmentSequence}
    except Exception as error:  # pydicom raises many types for what a file lacks
        raise InputError("it cannot be read") from error
    used = {names.get(number, "") for number in np.unique(numbers[numbers > 0]).tolist()}
    if others := used - values.keys():
        raise InputError(f"its segment {min(others)} must be named {listed(values, 'or')}")
    labels = np.zeros_like(numbers)
    for number, name in names.items():
        labels[numbers == number] = values.get(name, 0)
    return labels, np.array(affines)


def series_of(images: Sequence[SourceImage]) -> list[Dataset]:
    """Every series of the images, with references to its images, as a Referenced Series Sequence."""
    series: dict[str, list[Dataset]] = {}
    for image in images:
        series.setdefault(str(image.header.SeriesInstanceUID), []).append(reference_to(image))
    return [
        with_values(Dataset(), SeriesInstanceUID=uid, ReferencedInstanceSequence=references)
        for uid, references in series.items()
    ]


def reference_to(image: SourceImage) -> Dataset:
    """An item that refers to an image."""
    return with_values(Dataset(), ReferencedSOPClassUID=image.header.SOPClassUID, ReferencedSOPInstanceUID=image.uid)


def _cielab(colour: Sequence[float]) -> list[int]:
    """A colour as DICOM's 16-bit CIELab (PS3.3 C.10.7.1.1)."""
    from skimage.color import rgb2lab

    lightness, a, b = rgb2lab(np.asarray(colour, dtype=float)[None, None])[0, 0]
    return [round(value * 65535) for value in (lightness / 100, (a + 128) / 255, (b + 128) / 255)]
