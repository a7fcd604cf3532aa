"""Test that images agree with the labels, with the scanner's slice thickness, noise and shading."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.workshop.phantoms.heart.heart import LABELS
from planewise.workshop.phantoms.painting import image_points
from scipy.ndimage import map_coordinates


def _clean(exam, **values):
    """The exam's scanner without noise and shading."""
    return replace(exam.scanner, noise=0.0, shading=0.0, blur=0.0, **values)


def _slice(exam, scanner, pose, spacing, matrix) -> np.ndarray:
    """The slice at end-diastole."""
    scanner = replace(scanner, spacing=spacing, phases=1)
    return replace(exam, scanner=scanner).scan(pose, np.random.default_rng(0), matrix)[0]


def test_blood_is_bright_muscle_is_grey_where_the_labels_are(exam):
    pose = exam.poses["sax"][len(exam.poses["sax"]) // 2]
    scanner = _clean(exam, thickness=0.1)
    image = _slice(exam, scanner, pose, 1.5, (180, 180)) / scanner.gain
    labels = exam.heart.label(image_points(pose, 1.5, (180, 180))[0], 0.0)
    for name, wanted, tolerance in (
        ("lv", 1.0, 0.12),
        ("rv", 1.0, 0.15),
        ("myocardium", scanner.contrast.myocardium, 0.06),
    ):
        assert np.median(image[labels == LABELS[name]]) == pytest.approx(wanted, abs=tolerance), name


def test_views_agree_where_they_cross(exam):
    # every image shows the same tissue at the same position in patient space
    sax, lax = exam.poses["sax"][4], exam.poses["4ch"][0]
    scanner, matrix = _clean(exam, thickness=0.1), (220, 220)
    images = [_slice(exam, scanner, pose, 1.4, matrix) for pose in (sax, lax)]
    direction = np.cross(sax.normal, lax.normal)
    direction /= np.linalg.norm(direction)
    # a point in both planes: start at one centre and move within its plane to the other plane
    towards = np.cross(direction, sax.normal)
    start = sax.centre + towards * (((lax.centre - sax.centre) @ lax.normal) / (towards @ lax.normal))
    line = start + np.linspace(-70, 70, 141)[:, None] * direction

    def profile(image: np.ndarray, pose, shift: float = 0.0) -> np.ndarray:
        inverse = np.linalg.inv(pose.affine((1.4, 1.4), matrix, 1.0))
        column, row, depth, _ = inverse @ np.c_[line + shift * direction, np.ones(len(line))].T
        assert np.abs(depth).max() < 1e-6
        return map_coordinates(image, [row, column], order=1)

    same = np.corrcoef(profile(images[0], sax), profile(images[1], lax))[0, 1]
    moved = np.corrcoef(profile(images[0], sax), profile(images[1], lax, shift=10.0))[0, 1]
    assert same > 0.97
    assert moved < 0.85
