"""Measurements and planes as a DICOM structured report: TID 1500, Measurement Report, in a Comprehensive 3D SR.

PACS, OHIF and dcmqi read measurements from TID 1500, and only SR has coordinates in the frame of reference (SCOORD3D), which
are needed for a plane that contains no image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

import planewise
from planewise.exams.dicom_segmentation import MANUFACTURER, UNKNOWN_VERSION
from planewise.exams.source_images import RAS_TO_LPS, SourceImage, header_values_kept, true_references, with_values

if TYPE_CHECKING:
    from highdicom.sr import AlgorithmIdentification

#: Codes of DICOM PS3.16. OHIF shows a report with this title as text; it fails to draw an Imaging Measurement Report of which
#: a finding has no coordinates on an image.
DIAGNOSTIC_IMAGING_STUDY = Code("18748-4", "LN", "Diagnostic imaging study")
CARDIAC_MRI = Code("241620005", "SCT", "Cardiac MRI")
COMMENT = Code("121106", "DCM", "Comment")


def own_code(value: str, meaning: str) -> Code:
    """Our own code for a concept without a standard code; ``value`` has at most 16 characters, ``meaning`` at most
    64."""
    return Code(value, "99PLANEWISE", meaning)


class Measured(NamedTuple):
    """The code of what was measured, a finite number, and the UCUM code of its unit."""

    name: Code
    value: float
    unit: Code


@dataclass(frozen=True)
class ReportGroup:
    """A group of a report: one plane, one structure at one time, or one ventricle's function."""

    name: str  #: name that viewers list
    kind: Code  #: code of what was found
    numbers: Sequence[Measured] = ()
    judgements: Sequence[tuple[Code, Code]] = ()  #: pairs of question and answer
    remarks: Sequence[str] = ()  #: sentences, such as why a number cannot be right
    corners: np.ndarray | None = None  #: of a flat, closed outline, ``(corners, 3)``, RAS+, mm; None without a position
    segment: tuple[Dataset, int] | None = None  #: the DICOM SEG, and the number of the measured segment in it
    images: Sequence[SourceImage] = ()  #: the images that were segmented


def dicom_report(
    images: Sequence[SourceImage],
    groups: Sequence[ReportGroup],
    bundle: str,
    version: str,
    weights: str,
    description: str,
    series_number: int,
) -> Dataset:
    """A report on an exam, made by an algorithm: preliminary and not verified.

    Args:
        images: images that were measured.
        groups: groups in the order in which the report lists them.
        bundle: name of the bundle that made the results.
        version: the bundle's version; empty if unknown.
        weights: the bundle's weights, in words.
        description: description of the series, at most 64 characters.
        series_number: number of the series.

    Raises:
        InputError: highdicom refuses the images' headers.
    """
    import highdicom as hd  # imported late: it takes half a second, and only DICOM input needs it

    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=["planewise", planewise.__version__]),
        name="planewise",
        manufacturer_name=MANUFACTURER,
        model_name=bundle,
    )
    observer = hd.sr.ObserverContext(Code("121007", "DCM", "Device"), device)
    # without the algorithm's family, a code that readers would list among the judgements
    algorithm = hd.sr.AlgorithmIdentification(bundle, version or UNKNOWN_VERSION, [f"weights: {weights}"])
    with header_values_kept():
        # without an image library, which is optional and repeats the headers: the evidence lists the images
        content = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(observer_device_context=observer),
            procedure_reported=CARDIAC_MRI,
            imaging_measurements=[_group(each, images, algorithm) for each in groups],
            title=DIAGNOSTIC_IMAGING_STUDY,
        )
        segmentations = {str(each.segment[0].SOPInstanceUID): each.segment[0] for each in groups if each.segment}
        report = hd.sr.Comprehensive3DSR(
            evidence=[*(image.header for image in images), *segmentations.values()],
            # highdicom copies the content and searches it twice for images that are no evidence
            content=with_values(content[0], ContentSequence=[]),
            series_instance_uid=hd.UID(),
            series_number=series_number,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer=MANUFACTURER,
            is_complete=True,
            is_final=False,
            is_verified=False,
        )
        report.ContentSequence = content[0].ContentSequence
    report.SeriesDescription = description
    true_references(report, images)
    return report


def _group(said: ReportGroup, images: Sequence[SourceImage], algorithm: AlgorithmIdentification) -> Dataset:
    import highdicom as hd

    common = {
        "tracking_identifier": hd.sr.TrackingIdentifier(uid=hd.UID(), identifier=said.name),
        "finding_type": said.kind,
        "algorithm_id": algorithm,
        "measurements": [
            hd.sr.Measurement(name=number.name, value=round(float(number.value), 3), unit=number.unit)
            for number in said.numbers
        ]
        or None,
        "qualitative_evaluations": [hd.sr.QualitativeEvaluation(*judgement) for judgement in said.judgements] or None,
    }
    if said.corners is not None:
        # the last corner of a closed line equals the first
        corners = np.concatenate([said.corners, said.corners[:1]]) * RAS_TO_LPS
        kind, frame = hd.sr.GraphicTypeValues3D.POLYLINE, images[0].header.FrameOfReferenceUID
        place = hd.sr.ImageRegion3D(graphic_type=kind, graphic_data=corners, frame_of_reference_uid=frame)
        group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=place, **common)
    elif said.segment is not None:
        segmentation, number = said.segment
        sources = [hd.sr.SourceImageForSegmentation(image.header.SOPClassUID, image.uid) for image in said.images]
        segment = hd.sr.ReferencedSegment(
            segmentation.SOPClassUID, segmentation.SOPInstanceUID, number, source_images=sources
        )
        group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, **common)
    else:
        group = hd.sr.MeasurementsAndQualitativeEvaluations(**common)
    for remark in said.remarks:
        group[0].ContentSequence.append(
            hd.sr.TextContentItem(name=COMMENT, value=remark, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS)
        )
    return group
