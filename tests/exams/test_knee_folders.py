"""Test indexing of whole folders of knees, real and with damaged phantom exams."""

import math
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from planewise.findings import finding
from planewise.geometry import intersection_lines, line_heatmaps
from planewise.workshop.phantoms import KNEE_UNLABELLED, Recipe, write_exams

from tests.exams.knees import index, items_of


def test_real_localizers_give_three_stacks_per_frame_of_reference(real_localizers):
    result = index(real_localizers)
    exams = result.datalist["exams"].values()
    assert len(exams) == 2
    for exam in exams:
        assert {name: stack["slices"] for name, stack in exam["stacks"].items()} == {
            "sagittal": 7,
            "axial": 1,
            "coronal": 1,
        }
        assert exam["stacks"]["sagittal"]["spacing"] == pytest.approx(15)
        assert exam["stacks"]["sagittal"]["confidence"] <= 0.2
        assert finding("stack-remark", kind="localizer-used").record() in exam["left_out"]
        assert finding("exam-grouped", count=2, kind="several-frames-of-reference").record() in exam["left_out"]
    assert len(items_of(result)) == 14


def test_lines_in_real_localizers_are_those_of_their_headers(real_localizers):
    """The result equals a slow version: directly from the headers, in DICOM's LPS, pixel by pixel, in plain floats."""
    headers = {}
    for path in sorted(real_localizers.glob("*/*MRDC*")):
        headers[path] = pydicom.dcmread(path, stop_before_pixels=True)
    items = items_of(index(real_localizers))
    checked = 0
    for item in items:
        header = headers[Path(item["image"])]
        own = [other for other in headers.values() if other.FrameOfReferenceUID == header.FrameOfReferenceUID]
        for view, axis in (("axial", 2), ("coronal", 1)):
            other = sorted(
                (h for h in own if abs(_normal(h)[axis]) > 0.9), key=lambda h: float(h.ImagePositionPatient[axis])
            )[3]
            plane = item["planes"][view]
            affine = torch.tensor(item["affine"], dtype=torch.float64)
            line = intersection_lines(
                affine,
                torch.tensor(plane["origin"], dtype=torch.float64),
                torch.tensor(plane["normal"], dtype=torch.float64),
            )
            heatmap = line_heatmaps(line[None], (256, 256), sigma=6.0)[0].numpy()
            for i, j in ((0, 0), (127, 128), (124, 130), (119, 12), (20, 123), (255, 255)):
                assert heatmap[i, j] == pytest.approx(_slow_heatmap(header, other, i, j), abs=2e-5)
                checked += heatmap[i, j] > 0.05
    assert checked > 20


def _normal(header) -> list[float]:
    a, b = (
        [float(v) for v in header.ImageOrientationPatient[:3]],
        [float(v) for v in header.ImageOrientationPatient[3:]],
    )
    return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]


def _slow_heatmap(header, other, i: int, j: int) -> float:
    """Eq. (1) with sigma 6 at the pixel in column i and row j of one image, for the plane of another image."""
    row, column = header.ImageOrientationPatient[:3], header.ImageOrientationPatient[3:]
    between_rows, between_columns = (float(value) for value in header.PixelSpacing)
    normal = _normal(other)
    distance, a, b = 0.0, 0.0, 0.0
    for k in range(3):
        point = (
            float(header.ImagePositionPatient[k])
            + i * between_columns * float(row[k])
            + j * between_rows * float(column[k])
        )
        distance += normal[k] * (point - float(other.ImagePositionPatient[k]))
        a += normal[k] * between_columns * float(row[k])
        b += normal[k] * between_rows * float(column[k])
    return math.exp(-(distance**2) / (2 * 6.0**2 * (a * a + b * b)))


RECIPE = Recipe(
    "fastmri", seed=3, population=KNEE_UNLABELLED.at_size("demo").with_values(localizer=0, plain_sagittal=1)
)


def test_planes_of_a_phantom_are_its_central_slices(tmp_path):
    list(write_exams(RECIPE, tmp_path, 1))
    planes = items_of(index(tmp_path))[0]["planes"]
    assert set(planes) == {"axial", "coronal"}
    for view, plane in planes.items():
        poses = RECIPE.exam(1).poses[view]
        centre = poses[len(poses) // 2]
        assert abs(np.dot(plane["normal"], centre.normal)) == pytest.approx(1, abs=1e-6)
        middle = np.mean([pose.centre for pose in poses], axis=0)
        assert np.dot(plane["normal"], np.array(plane["origin"]) - middle) == pytest.approx(0, abs=0.02)
