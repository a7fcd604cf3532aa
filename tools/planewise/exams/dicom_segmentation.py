"""Segmented stacks as DICOM SEG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import generate_uid

import planewise
from planewise.exams.source_images import SourceImage, header_values_kept, true_references, with_values

#: Codes of DICOM PS3.16.
ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
MANUFACTURER = "planewise contributors"
#: DICOM requires a version of an algorithm.
UNKNOWN_VERSION = "unknown"


@dataclass(frozen=True)
class Structure:
    """A structure of a label map."""

    value: int  #: its value in the label map
    name: str  #: name that viewers list
    code: Code  #: SNOMED CT code
    colour: Sequence[float]  #: red, green, blue in [0, 1]


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
    """Convert a label map to a binary DICOM SEG on the images' own frames, a series of its own (OHIF shows one
    segmentation per series). Each structure has a segment, without frames if it is missing, so that segment 1 is the
    same in every file.

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


def series_segmentations(
    phases: Sequence[Dataset],
    images: Sequence[Sequence[SourceImage]],
    description: Callable[[int], str],
    first_number: int,
) -> list[Dataset]:
    """Sort the frames of several phases' segmentations by the series of their images.

    OHIF overlays a SEG on the first series that it refers to, so the SEG of a phase appears on one slice only if each
    slice has a series. Here, each SEG refers to one series, and its frames to the images of all phases, so a viewer
    shows the masks while the cine plays. A series in which nothing is segmented gets no SEG.

    Args:
        phases: the segmentation of each phase, from `dicom_segmentation`.
        images: images of each phase.
        description: description of a SEG's series, from the number of the image series.
        first_number: number of the first SEG's series.
    """
    groups: dict[str, dict[str, SourceImage]] = {}
    for image in (image for phase in images for image in phase):
        groups.setdefault(str(image.header.SeriesInstanceUID), {})[image.uid] = image
    made = []
    for index, sources in enumerate(list(group.values()) for group in groups.values()):
        number = sources[0].header.get("SeriesNumber")
        said = description(index + 1 if number is None else int(number))
        made.append(_of_series(phases, sources, said, first_number + index))
    return [segmentation for segmentation in made if segmentation is not None]


def _of_series(
    phases: Sequence[Dataset], images: Sequence[SourceImage], description: str, number: int
) -> Dataset | None:
    """The frames of all phases that lie on the given images; None if there are none."""
    wanted = {(image.file[1], image.frame) for image in images}
    frames, pixels, taken = [], [], set()
    for phase, segmentation in enumerate(phases, start=1):
        every = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
        for frame, mask in zip(segmentation.PerFrameFunctionalGroupsSequence, every, strict=True):
            source = frame.DerivationImageSequence[0].SourceImageSequence[0]
            on = (str(source.ReferencedSOPInstanceUID), source.get("ReferencedFrameNumber"))
            segment = int(frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            # an image that stands for a missing phase has a mask already
            if on in wanted and (on, segment) not in taken and mask.any():
                taken.add((on, segment))
                frames.append((phase, segment, deepcopy(frame)))
                pixels.append(mask)
    if not frames:
        return None
    places = sorted({_along_stack(phases[0], frame) for _, _, frame in frames})
    for phase, segment, frame in frames:
        content = frame.FrameContentSequence[0]
        content.TemporalPositionIndex = phase
        content.DimensionIndexValues = [segment, phase, places.index(_along_stack(phases[0], frame)) + 1]
    uid, organization = generate_uid(), generate_uid()
    # pydicom's pack_bits moved between versions 2 and 3
    packed = np.packbits(np.stack(pixels).astype(bool), bitorder="little").tobytes()
    joined = with_values(
        phases[0],
        SOPInstanceUID=uid,
        SeriesInstanceUID=generate_uid(),
        SeriesNumber=number,
        SeriesDescription=description,
        ContentDescription=description,
        NumberOfFrames=len(frames),
        PerFrameFunctionalGroupsSequence=[frame for _, _, frame in frames],
        ReferencedSeriesSequence=series_of(images),
        SourceImageSequence=[reference_to(image) for image in images],
        DimensionOrganizationSequence=[with_values(Dataset(), DimensionOrganizationUID=organization)],
        DimensionIndexSequence=_dimensions(phases[0], organization),
        PixelData=packed + b"\0" * (len(packed) % 2),
    )
    true_references(joined, images)
    joined.preamble, joined.file_meta = phases[0].preamble, deepcopy(phases[0].file_meta)
    joined.file_meta.MediaStorageSOPInstanceUID = uid
    return joined


def _dimensions(segmentation: Dataset, organization: str) -> list[Dataset]:
    """Segment, phase and position: the dimensions of the SEG of one phase, with time in between."""
    segment, position = deepcopy(list(segmentation.DimensionIndexSequence))
    time = Dataset()
    time.DimensionIndexPointer = Tag("TemporalPositionIndex")
    time.FunctionalGroupPointer = Tag("FrameContentSequence")
    time.DimensionDescriptionLabel = "Temporal Position Index"
    for dimension in (segment, time, position):
        dimension.DimensionOrganizationUID = organization
    return [segment, time, position]


def _along_stack(segmentation: Dataset, frame: Dataset) -> float:
    """Position of a frame along the normal of its plane, mm, rounded so that equal positions are equal numbers."""
    orientation = segmentation.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    row, column = np.asarray(orientation, dtype=float).reshape(2, 3)
    position = np.asarray(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
    return round(float(np.cross(row, column) @ position), 2)
