"""Test that highdicom reads the structured report of findings."""

import highdicom
import numpy as np
import pydicom
import pytest
from planewise.exams import find_inputs
from planewise.exams.dicom_report import Measured, ReportGroup, dicom_report, own_code
from planewise.exams.dicom_segmentation import dicom_segmentation
from planewise.exams.source_images import source_images
from pydicom.sr.coding import Code

from tests.exams.test_dicom_segmentation import CODES, STRUCTURES, some_labels

MILLIMETRES, VIEW = Code("mm", "UCUM", "mm"), Code("399232001", "SCT", "Two chamber")
OFFSET = own_code("offset", "Offset")


@pytest.fixture(params=["series", "enhanced"])
def slices(request, usual_exam, flawed):
    return find_inputs(usual_exam if request.param == "series" else flawed("enhanced"), "ed")[0]["image"]


def written(tmp_path, images, findings):
    file = tmp_path / "made.sr.dcm"
    pydicom.dcmwrite(file, dicom_report(images, findings, "a bundle", "1.2", "weights 1f", "numbers", 9001))
    return highdicom.sr.srread(file)


def test_a_plane_with_its_numbers(slices, tmp_path):
    corners = np.array([[5.0, -7, 11], [105, -7, 11], [105, 93, 11], [5, 93, 11]])
    group = ReportGroup(
        "2ch, planned",
        VIEW,
        [Measured(OFFSET, 3.25, MILLIMETRES)],
        judgements=[(own_code("verdict", "Verdict"), own_code("plane", "Plane"))],
        remarks=["slice 3 disagrees"],
        corners=corners,
    )
    report = written(tmp_path, source_images(slices), [group])
    assert report.SOPClassUID.name == "Comprehensive 3D SR Storage"
    (group,) = report.content.get_planar_roi_measurement_groups()
    assert group.tracking_identifier == "2ch, planned" and group.finding_type == VIEW
    (number,) = group.get_measurements(name=OFFSET)
    assert number.value == 3.25 and number.unit == MILLIMETRES
    assert group.get_qualitative_evaluations()[0].value == own_code("plane", "Plane")
    place = group.roi
    # OHIF shows nothing of an Imaging Measurement Report with a finding that it cannot draw on an image
    assert report.content[0].ConceptNameCodeSequence[0].CodeValue == "18748-4"
    assert place.frame_of_reference_uid == pydicom.dcmread(slices[0]["image"]).FrameOfReferenceUID
    outline = place.value * (-1, -1, 1)
    assert np.allclose(outline[:-1], corners) and np.array_equal(outline[0], outline[-1])
    texts = [item.TextValue for item in group[0].ContentSequence if item.ValueType == "TEXT"]
    assert {"slice 3 disagrees", "a bundle", "weights: weights 1f"} <= {*texts}


def test_a_finding_without_a_place(slices, tmp_path):
    report = written(tmp_path, source_images(slices), [ReportGroup("4ch, no plane", VIEW, remarks=["faint"])])
    (group,) = report.content.get_image_measurement_groups()
    assert group.tracking_identifier == "4ch, no plane" and not group.get_measurements()


def segmented(images, slices):
    return dicom_segmentation(images, some_labels(slices), STRUCTURES, "a bundle", "1.2", "weights 1f", "hearts", 9010)


def test_a_measured_segment(slices, tmp_path):
    images = source_images(slices)
    segmentation = segmented(images, slices)
    volume = Measured(Code("118565006", "SCT", "Volume"), 12.3456, Code("ml", "UCUM", "ml"))
    # the report may refer to more images than were segmented
    own = images[1:]
    report = written(tmp_path, images, [ReportGroup("LV", CODES[1], [volume], segment=(segmentation, 2), images=own)])
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    (reference,) = [
        item
        for item in group[0].ContentSequence
        if item.ValueType == "IMAGE" and item.ConceptNameCodeSequence[0].CodeMeaning == "Referenced Segment"
    ]
    (sop,) = reference.ReferencedSOPSequence
    assert sop.ReferencedSOPInstanceUID == segmentation.SOPInstanceUID and sop.ReferencedSegmentNumber == 2
    assert group.get_measurements()[0].value == 12.346
    sources = [
        item.ReferencedSOPSequence[0]
        for item in group[0].ContentSequence
        if item.ValueType == "IMAGE" and item is not reference
    ]
    assert [(item.ReferencedSOPInstanceUID, item.get("ReferencedFrameNumber")) for item in sources] == [
        (image.file[1], image.frame) for image in own
    ]
