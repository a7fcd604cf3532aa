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
