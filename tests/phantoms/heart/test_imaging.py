"""Test that images agree with the labels, with the scanner's slice thickness, noise and shading."""

from dataclasses import replace

import numpy as np
import pytest
from planewise.workshop.phantoms.heart.heart import LABELS
from planewise.workshop.phantoms.imaging import image_points
from scipy.ndimage import binary_dilation, binary_erosion, map_coordinates


def _clean(exam, **values):
    """The exam's scanner without noise and shading."""
    return replace(exam.scanner, noise=0.0, shading=0.0, blur=0.0, **values)


def _slice(exam, scanner, pose, phases=(0.0,), **values) -> np.ndarray:
    return replace(exam, scanner=scanner).scan(pose, np.array(phases), np.random.default_rng(0), **values)


def test_blood_is_bright_muscle_is_grey_where_the_labels_are(exam):
    pose = exam.poses["sax"][len(exam.poses["sax"]) // 2]
    scanner = _clean(exam, thickness=0.1)
    image = _slice(exam, scanner, pose, spacing=1.5, matrix=(180, 180))[0] / scanner.gain
    labels = exam.heart.label(image_points(pose, 1.5, (180, 180))[0], 0.0)
    for name, wanted, tolerance in (
        ("lv", 1.0, 0.12),
        ("rv", 1.0, 0.15),
        ("myocardium", scanner.contrast.myocardium, 0.06),
    ):
        assert np.median(image[labels == LABELS[name]]) == pytest.approx(wanted, abs=tolerance), name


def test_the_cavity_shrinks_in_systole(exam):
    pose = exam.poses["sax"][len(exam.poses["sax"]) // 2]
    diastole, systole = _slice(exam, _clean(exam), pose, phases=(0.0, 0.37))
    points = image_points(pose, exam.scanner.spacing, exam.scanner.matrix)[0]
    cavity = exam.heart.label(points, 0.0) == LABELS["lv"]
    assert systole[cavity].mean() < 0.9 * diastole[cavity].mean()


def test_views_agree_where_they_cross(exam):
    # every image shows the same tissue at the same position in patient space
    sax, lax = exam.poses["sax"][4], exam.poses["4ch"][0]
    scanner, matrix = _clean(exam, thickness=0.1), (220, 220)
    images = [_slice(exam, scanner, pose, spacing=1.4, matrix=matrix)[0] for pose in (sax, lax)]
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


def test_thick_slices_blur_what_slants(exam):
    # near the apex the wall slants: its edge is sharp in a thin slice, grey in a thick one
    pose = exam.poses["sax"][-3]
    thin, thick = (
        _slice(exam, _clean(exam, thickness=thickness), pose, spacing=1.5, matrix=(180, 180))[0]
        for thickness in (0.5, 12.0)
    )
    assert np.abs(np.gradient(thick)).max() < np.abs(np.gradient(thin)).max()
    assert not np.allclose(thin, thick)


def test_noise_is_the_share_asked_for_and_rician_in_air(exam):
    scanner = replace(exam.scanner, noise=0.05, shading=0.0, blur=0.0)
    pose = exam.poses["sax"][4]
    noisy, clean = _slice(exam, scanner, pose) / scanner.gain, _slice(exam, _clean(exam), pose) / scanner.gain
    bright, air = clean > 0.8, clean == 0
    assert (noisy - clean)[bright].std() == pytest.approx(0.05, rel=0.1)
    # without signal, the magnitude of two noisy channels remains, with the mean sigma sqrt(pi / 2)
    assert noisy[air].mean() == pytest.approx(0.05 * np.sqrt(np.pi / 2), rel=0.05)


def test_shading_brightens_what_is_close_to_the_coils(exam):
    pose = exam.poses["sax"][4]
    plain = _slice(exam, _clean(exam), pose)[0]
    shaded = _slice(exam, replace(_clean(exam), shading=1.0), pose)[0]
    ratio = shaded[plain > 20] / plain[plain > 20]
    assert ratio.min() >= 1 and ratio.max() > 1.7 and ratio.min() < 1.3


def test_opposed_fat_draws_dark_lines(exam):
    contrast = exam.scanner.contrast
    pose = exam.poses["sax"][4]
    images = []
    for fat in (1.2, -1.2):
        scanner = replace(_clean(exam), contrast=replace(contrast, fat=fat, liver=0.5, muscle=0.5))
        images.append(_slice(exam, scanner, pose)[0])
    assert (images[1] <= images[0] + 1e-3).all()
    assert (images[1] < 0.3 * images[0]).sum() > 30


def test_strands_darken_and_roughen_the_right_ventricle_most_at_its_apex(exam):
    def right(pose, **values) -> tuple[float, float]:
        """Mean and standard deviation in the right ventricle, as shares of the blood's signal."""
        scanner = _clean(exam, thickness=0.1, contrast=replace(exam.scanner.contrast, **values))
        image = _slice(exam, scanner, pose)[0] / scanner.gain
        pixels = image[_inside(pose)]
        return float(pixels.mean()), float(pixels.std())

    def _inside(pose) -> np.ndarray:
        return exam.heart.label(image_points(pose, exam.scanner.spacing, exam.scanner.matrix)[0], 0.0) == LABELS["rv"]

    poses = [pose for pose in exam.poses["sax"] if _inside(pose).sum() > 30]
    heights = [exam.heart.to_local(pose.centre)[2] for pose in poses]
    darker, rougher = [], []
    for height in (0, 30):
        plain, dark, meshed = (
            right(poses[int(np.argmin(np.abs(np.array(heights) - height)))], **values)
            for values in ({}, {"right_blood": 0.8}, {"right_blood": 0.8, "right_strands": 1.0})
        )
        assert dark[0] == pytest.approx(0.8 / 0.97 * plain[0], abs=0.05)
        darker.append(dark[0] - meshed[0])
        rougher.append(meshed[1] - dark[1])
    assert 0.02 < darker[0] < darker[1] and rougher[0] > 0


def test_readers_count_the_sponge_of_trabeculae_as_cavity(exam):
    pose = exam.poses["sax"][4]
    points = image_points(pose, exam.scanner.spacing, exam.scanner.matrix)[0]
    labels = exam.heart.label(points, 0.0)
    images = {
        (thickness, blood): _slice(
            exam,
            _clean(
                exam,
                thickness=0.1,
                contrast=replace(exam.scanner.contrast, sponge=(thickness,) * 2, sponge_blood=blood),
            ),
            pose,
        )[0]
        for thickness, blood in ((0.0, 0.5), (4.0, 0.0), (4.0, 0.5))
    }
    plain, dark, grey = images.values()
    for name in ("lv", "rv"):
        inside = labels == LABELS[name]
        assert dark[inside].mean() < grey[inside].mean() < plain[inside].mean(), name
        # it lies along the wall, so the middle of the cavity stays as it is
        assert np.allclose(plain[binary_erosion(inside, iterations=5)], dark[binary_erosion(inside, iterations=5)]), (
            name
        )
    outside = ~binary_dilation(labels > 0, iterations=3)
    assert np.allclose(plain[outside], dark[outside])
