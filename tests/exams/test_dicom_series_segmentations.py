"""Test the SEG of each image series against the label maps from which they were made."""

import runpy
import sys

import highdicom
import numpy as np
import pydicom
import pytest
from planewise.data import find_inputs
from planewise.exams import dicom_series_segmentations
from planewise.exams.dicom_segmentation import dicom_segmentation
from planewise.exams.dicom_series_segmentations import series_segmentations
from planewise.exams.source_images import source_images
from pydicom.datadict import keyword_for_tag

from tests.exams.test_dicom_segmentation import STRUCTURES, some_labels


def made(phases, labels, hide=None):
    images = [source_images(slices, hide) for slices in phases]
    whole = [
        dicom_segmentation(shown, mask, STRUCTURES, "a bundle", "1.2", "weights 1f", "hearts", 9010)
        for shown, mask in zip(images, labels, strict=True)
    ]
    return series_segmentations(whole, images, lambda number: f"series {number}", 9500)


@pytest.fixture
def two_phases(usual_exam):
    phases = [item["image"] for item in find_inputs(usual_exam, "all")[:2]]
    labels = [some_labels(phases[0]), np.flip(some_labels(phases[1]), axis=0)]
    return phases, labels


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
    for number, segmentation in enumerate(made(phases, labels)):
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


def test_series_without_a_structure_are_left_out_and_the_others_are_described(two_phases):
    phases, labels = two_phases
    series = [pydicom.dcmread(entry["image"]).SeriesNumber for entry in phases[0]]
    segmentations = made(phases, labels)  # nothing is segmented in the first and last slice
    assert [file.SeriesDescription for file in segmentations] == [f"series {number}" for number in series[1:-1]]
    assert [file.SeriesNumber for file in segmentations] == [*range(9501, 9501 + len(segmentations))]
    assert len({file.SeriesInstanceUID for file in segmentations}) == len(segmentations)
    assert len({file.SOPInstanceUID for file in segmentations}) == len(segmentations)


def test_an_image_that_stands_for_a_missing_phase_has_one_mask(two_phases):
    phases, labels = two_phases
    twice = made([phases[0], phases[0]], labels)
    for segmentation in twice:
        assert {
            group.FrameContentSequence[0].TemporalPositionIndex
            for group in segmentation.PerFrameFunctionalGroupsSequence
        } == {1}


def test_series_numbers_that_are_hidden_are_counted(two_phases):
    assert [file.SeriesDescription for file in made(*two_phases, hide="abcdef")][:2] == ["series 2", "series 3"]


def test_pydicom_2_without_the_module_pixels_will_do(monkeypatch):
    """`planewise plan` and `segment` import this module, and setup.cfg allows pydicom 2.4."""
    monkeypatch.setitem(sys.modules, "pydicom.pixels", None)
    monkeypatch.delitem(sys.modules, "pydicom.pixels.utils", raising=False)
    assert "series_segmentations" in runpy.run_path(dicom_series_segmentations.__file__)
