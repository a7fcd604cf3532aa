"""Test that highdicom reads a label map written as DICOM SEG, at the right place in patient space."""

import highdicom
import numpy as np
import pydicom
import pytest
from planewise.errors import InputError
from planewise.exams import find_inputs
from planewise.exams.dicom_segmentation import Structure, dicom_segmentation, series_segmentations
from planewise.exams.source_images import source_images
from pydicom.datadict import keyword_for_tag
from pydicom.sr.coding import Code

CODES = [Code("53085002", "SCT", "Right ventricle"), Code("87878005", "SCT", "Left ventricle")]
STRUCTURES = [Structure(1, "RV", CODES[0], (1, 0, 0)), Structure(3, "LV", CODES[1], (1, 1, 1))]


def some_labels(slices):
    """A blob for each value, longer along i than along j, so that transposing it makes a difference."""
    header = pydicom.dcmread(slices[0]["image"], stop_before_pixels=True)
    labels = np.zeros((header.Columns, header.Rows, len(slices)), dtype=np.uint8)
    random = np.random.default_rng(0)
    for value, first in ((1, 2), (3, 9)):
        part = labels[first : first + 6, 3:7, 1:-1]
        part[random.random(part.shape) < 0.7] = value
    return labels


def made(folder, tmp_path, structures=STRUCTURES, hide=None):
    slices = find_inputs(folder, "all")[1]["image"]  # the second phase
    labels = some_labels(slices)
    images = source_images(slices, hide)
    file = tmp_path / "made.seg.dcm"
    pydicom.dcmwrite(
        file, dicom_segmentation(images, labels, structures, "a bundle", "1.2", "weights 1f", "hearts", 9010)
    )
    return slices, labels, file


def points_of(segmentation, number):
    """The segment's pixels in patient space, RAS+, mm, computed from each frame's header."""
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    points = []
    for frame, group in zip(segmentation.pixel_array, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        if group.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        spacing = shared.PixelMeasuresSequence[0].PixelSpacing
        orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        rows, columns = np.nonzero(frame)
        lps = position + columns[:, None] * spacing[1] * orientation[:3] + rows[:, None] * spacing[0] * orientation[3:]
        points.append(lps * (-1, -1, 1))
    return np.concatenate(points)


@pytest.mark.parametrize("kind", ["series", "enhanced"])
def test_its_pixels_lie_where_the_label_map_has_them(kind, usual_exam, flawed, tmp_path):
    slices, labels, file = made(usual_exam if kind == "series" else flawed("enhanced"), tmp_path)
    segmentation = highdicom.seg.segread(file)
    assert segmentation.segmentation_type.value == "BINARY" and segmentation.number_of_segments == 2
    for number, structure in enumerate(STRUCTURES, start=1):
        wanted = np.concatenate(
            [
                np.argwhere(labels[..., depth] == structure.value) @ np.array(entry["affine"])[:3, :2].T
                + np.array(entry["affine"])[:3, 3]
                for depth, entry in enumerate(slices)
            ]
        )
        found = points_of(segmentation, number)
        assert len(found) == len(wanted) > 20
        assert np.abs(found[:, None] - wanted).max(axis=-1).min(axis=1).max() < 1e-3
        description = segmentation.get_segment_description(number)
        assert description.segment_label == structure.name
        assert description.segmented_property_type == structure.code
        assert description.segmented_property_category.value == "91723000"
        assert description.algorithm_type.value == "AUTOMATIC"


@pytest.mark.parametrize("kind", ["series", "enhanced"])
def test_every_frame_names_the_image_that_it_lies_on(kind, usual_exam, flawed, tmp_path):
    slices, _, file = made(usual_exam if kind == "series" else flawed("enhanced"), tmp_path)
    segmentation = pydicom.dcmread(file)
    place = {tuple(np.round(np.array(entry["affine"])[:3, 3] * (-1, -1, 1), 2)): entry for entry in slices}
    named = set()
    for group in segmentation.PerFrameFunctionalGroupsSequence:
        entry = place[tuple(np.round(np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float), 2))]
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPInstanceUID == pydicom.dcmread(entry["image"]).SOPInstanceUID
        assert source.get("ReferencedFrameNumber") == (entry["frame"] + 1 if "frame" in entry else None)
        named.add(source.ReferencedSOPInstanceUID)
    headers = [pydicom.dcmread(entry["image"], stop_before_pixels=True) for entry in slices]
    wanted = {header.SeriesInstanceUID: set() for header in headers}
    for header in headers:
        wanted[header.SeriesInstanceUID].add(header.SOPInstanceUID)
    listed = {
        series.SeriesInstanceUID: [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence]
        for series in segmentation.ReferencedSeriesSequence
    }
    assert {series: set(uids) for series, uids in listed.items()} == wanted
    assert all(len(set(uids)) == len(uids) for uids in listed.values())
    assert segmentation.StudyInstanceUID == headers[0].StudyInstanceUID
    assert segmentation.FrameOfReferenceUID == headers[0].FrameOfReferenceUID
    assert segmentation.SeriesInstanceUID not in wanted and segmentation.SeriesDescription == "hearts"
    assert segmentation.PatientName == headers[0].PatientName and segmentation.PatientID == headers[0].PatientID


def test_a_header_that_cannot_be_referred_to_is_refused_without_its_values(usual_exam, tmp_path):
    slices = find_inputs(usual_exam, "all")[1]["image"]
    images = source_images(slices)
    images[0].header.StudyInstanceUID = "Doe"
    with pytest.raises(InputError, match=r"headers cannot be used \(\w+Error\)") as refused:
        dicom_segmentation(images, some_labels(slices), STRUCTURES, "a bundle", "1.2", "weights 1f", "hearts", 9010)
    assert "Doe" not in str(refused.value)


def series_made(phases, labels, hide=None):
    images = [source_images(slices, hide) for slices in phases]
    whole = [
        dicom_segmentation(shown, mask, STRUCTURES, "a bundle", "1.2", "weights 1f", "hearts", 9010)
        for shown, mask in zip(images, labels, strict=True)
    ]
    return series_segmentations(whole, images, lambda number: f"series {number}", 9500)


@pytest.mark.parametrize("kind", ["series", "enhanced"])
def test_each_frame_is_the_mask_of_the_image_that_it_names(kind, usual_exam, flawed, tmp_path):
    folder = usual_exam if kind == "series" else flawed("enhanced")
    phases = [item["image"] for item in find_inputs(folder, "all")[:2]]
    labels = [some_labels(phases[0]), np.flip(some_labels(phases[1]), axis=0)]
    wanted = {}
    for phase, (slices, mask) in enumerate(zip(phases, labels, strict=True), start=1):
        for depth, entry in enumerate(slices):
            header = pydicom.dcmread(entry["image"], stop_before_pixels=True)
            for segment, structure in enumerate(STRUCTURES, start=1):
                pixels = (mask[..., depth] == structure.value).T
                if pixels.any():
                    frame = entry["frame"] + 1 if "frame" in entry else None
                    wanted[header.SOPInstanceUID, frame, segment] = (header.SeriesInstanceUID, phase, pixels)
    found = set()
    for number, segmentation in enumerate(series_made(phases, labels)):
        file = tmp_path / f"{number}.dcm"
        pydicom.dcmwrite(file, segmentation)
        read = highdicom.seg.segread(file)  # which needs the preamble and file meta information
        assert read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID
        (series,) = read.ReferencedSeriesSequence
        images = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
        assert len(images) == len(series.ReferencedInstanceSequence)
        indices = set()
        for group, pixels in zip(read.PerFrameFunctionalGroupsSequence, read.pixel_array, strict=True):
            (source,) = group.DerivationImageSequence[0].SourceImageSequence
            segment = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            key = (source.ReferencedSOPInstanceUID, source.get("ReferencedFrameNumber"), segment)
            series_uid, phase, mask = wanted[key]
            assert series_uid == series.SeriesInstanceUID and source.ReferencedSOPInstanceUID in images
            assert np.array_equal(pixels, mask) and key not in found
            found.add(key)
            content = group.FrameContentSequence[0]
            assert content.TemporalPositionIndex == phase and content.DimensionIndexValues[:2] == [segment, phase]
            indices.add(tuple(content.DimensionIndexValues))
        assert len(indices) == read.NumberOfFrames
        assert [keyword_for_tag(entry.DimensionIndexPointer) for entry in read.DimensionIndexSequence] == [
            "ReferencedSegmentNumber",
            "TemporalPositionIndex",
            "ImagePositionPatient",
        ]
    assert found == set(wanted)
