"""DICOM SEG of each image series with all its phases, for viewers that overlay a SEG on one series only (OHIF)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

import numpy as np
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import generate_uid

from planewise.exams.dicom_segmentation import reference_to, series_of
from planewise.exams.source_images import SourceImage, true_references, with_values


def series_segmentations(
    phases: Sequence[Dataset],
    images: Sequence[Sequence[SourceImage]],
    description: Callable[[int], str],
    first_number: int,
) -> list[Dataset]:
    """Sort the frames of several phases' segmentations by the series of their images.

    A short axis often has a series for each slice. OHIF overlays a SEG on the first series that it refers to, so the SEG
    of a phase appears on one slice only. Here, each SEG refers to one series, and its frames to the images of all
    phases, so a viewer shows the masks while the cine plays. A series in which nothing is segmented gets no SEG.

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
    for index, group in enumerate(groups.values()):
        sources = list(group.values())
        number = sources[0].header.get("SeriesNumber")
        said = description(index + 1 if number is None else int(number))
        segmentation = _of_series(phases, sources, said, first_number + index)
        if segmentation is not None:
            made.append(segmentation)
    return made


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
    time = with_values(
        Dataset(),
        DimensionIndexPointer=Tag("TemporalPositionIndex"),
        FunctionalGroupPointer=Tag("FrameContentSequence"),
        DimensionDescriptionLabel="Temporal Position Index",
    )
    dimensions = [segment, time, position]
    for dimension in dimensions:
        dimension.DimensionOrganizationUID = organization
    return dimensions


def _along_stack(segmentation: Dataset, frame: Dataset) -> float:
    """Position of a frame along the normal of its plane, mm, rounded so that equal positions are equal numbers."""
    orientation = segmentation.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    row, column = np.asarray(orientation, dtype=float).reshape(2, 3)
    position = np.asarray(frame.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
    return round(float(np.cross(row, column) @ position), 2)
