"""Test that readers read what was written: pydicom the header, ITK the geometry."""

import numpy as np
import pydicom
import pytest
from monai.transforms import LoadImage
from planewise.geometry import check_affine


@pytest.fixture(scope="module")
def files(dsbcc_tree):
    return sorted((dsbcc_tree / "train" / "train" / "1").rglob("*.dcm"))


@pytest.fixture(scope="module")
def headers(files):
    return [pydicom.dcmread(path) for path in files]


def _pose(exam, header):
    """The pose with which an image was planned: the nearest pose of its view."""
    view = header.SeriesDescription
    position = np.array(header.ImagePositionPatient, dtype=float) * [-1, -1, 1]
    return min(exam.poses[view], key=lambda pose: abs((position - pose.centre) @ pose.normal))


def test_series_are_slices_and_phases_go_by_trigger_time(exam, headers):
    by_series = {}
    for header in headers:
        by_series.setdefault(header.SeriesInstanceUID, []).append(header)
    assert len(by_series) == len(exam.poses["sax"]) + 2
    for series in by_series.values():
        series.sort(key=lambda header: float(header.TriggerTime))
        assert [header.InstanceNumber for header in series] == [1, 2, 3]
        assert len({tuple(header.ImagePositionPatient) for header in series}) == 1
    intervals = {series[1].TriggerTime for series in by_series.values()}
    assert len(intervals) > 1, "series of one exam have different heart rates"


def test_itk_reads_the_geometry_that_was_planned(exam, files, headers):
    load = LoadImage(reader="ITKReader")
    for path, header in list(zip(files, headers, strict=True))[::5]:
        image = load(path)
        pose = _pose(exam, header)
        wanted = pose.affine((exam.scanner.spacing,) * 2, (header.Columns, header.Rows), 1.0)
        np.testing.assert_allclose(image.affine[:3, [0, 1, 3]], wanted[:3, [0, 1, 3]], atol=1e-4)
        # MONAI indexes [i, j]: i along a row of the picture
        np.testing.assert_array_equal(np.asarray(image).squeeze(), header.pixel_array.T)
        check_affine(image.affine)
