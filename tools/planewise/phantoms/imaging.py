"""Sampling the model to images: slice thickness, partial volume, coil shading, noise."""

from __future__ import annotations

import numpy as np

from planewise.phantoms.body import Body
from planewise.phantoms.chambers import REACH, Chambers
from planewise.phantoms.heart import Heart
from planewise.phantoms.pose import ImagePose
from planewise.phantoms.scanner import Scanner

#: Sheets that a slice is averaged from, as shares of its thickness from its middle.
SHEETS = np.array([-1 / 3, 0.0, 1 / 3])


def image_points(
    pose: ImagePose, spacing: float, matrix: tuple[int, int], offsets: np.ndarray = np.zeros(1)
) -> np.ndarray:
    """Pixel centres of an image in patient space.

    Args:
        pose: of the image.
        spacing: mm.
        matrix: columns and rows.
        offsets: along the normal, mm, shape ``(S,)``.

    Returns:
        Points, RAS+, mm, shape ``(S, rows, columns, 3)``, float32.
    """
    affine = pose.affine((spacing, spacing), matrix, 1.0)
    columns, rows = (np.arange(count) for count in matrix)
    points = affine[:3, 3] + columns[:, None] * affine[:3, 0] + rows[:, None, None] * affine[:3, 1]
    return (points + offsets[:, None, None, None] * affine[:3, 2]).astype(np.float32)


def acquire(
    heart: Heart,
    body: Body,
    scanner: Scanner,
    pose: ImagePose,
    phases: np.ndarray,
    rng: np.random.Generator,
    matrix: tuple[int, int] | None = None,
    spacing: float | None = None,
) -> np.ndarray:
    """One slice through the cycle.

    Args:
        heart, body: what is scanned.
        scanner: thickness, contrast, shading, noise.
        pose: of the slice.
        phases: of the cycle, in [0, 1), shape ``(P,)``.
        rng: of the noise.
        matrix: columns and rows; the scanner's unless given.
        spacing: mm; the scanner's unless given.

    Returns:
        Images, pixel values from 0, float32, shape ``(P, rows, columns)``.
    """
    matrix, spacing = matrix or scanner.matrix, spacing or scanner.spacing
    points = image_points(pose, spacing, matrix, SHEETS * scanner.thickness)
    shape = points.shape[:3]
    points = points.reshape(-1, 3)
    columns = tuple(np.ascontiguousarray(points[:, axis]) for axis in range(3))
    still, depth = body.paint(columns, scanner.contrast, spacing)
    near = _within_reach(heart, points)
    chambers = Chambers(heart, points[near], body.texture)
    middle = slice(len(SHEETS) // 2 * shape[1] * shape[2], (len(SHEETS) // 2 + 1) * shape[1] * shape[2])
    # elements of the coil lie closer here and there
    uneven = body.texture(*(part[middle] for part in columns), 110, 10)
    coil = coil_shading(depth[middle], uneven, scanner.shading).reshape(shape[1:])
    images = np.empty((len(phases), *shape[1:]), dtype=np.float32)
    for image, phase in zip(images, phases, strict=True):
        moving = still[near]
        chambers.paint(moving, float(phase), scanner.contrast, spacing)
        signal = still.copy()
        signal[near] = moving
        image[:] = blurred(signal.reshape(shape).mean(axis=0), scanner.blur) * coil
    return magnitude(images, scanner.noise, rng) * np.float32(scanner.gain)


def magnitude(images: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """The size of two noisy channels, so fat that has pulled a sum below zero comes out bright."""
    channels = rng.standard_normal((2, *images.shape), dtype=np.float32) * np.float32(noise)
    return np.hypot(images + channels[0], channels[1])


def blurred(image: np.ndarray, share: float) -> np.ndarray:
    """The image with a share of each pixel spread over its neighbours: scanners measure less than they show."""
    side = np.float32(share / 4)
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if axis == each else (0, 0) for each in (0, 1)], mode="edge")
        before, after = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
        image = image * (1 - 2 * side) + (before + after) * side
    return image


def _within_reach(heart: Heart, points: np.ndarray) -> np.ndarray:
    """Which points ``(N, 3)`` the beating heart can reach."""
    local = heart.to_local(points)
    reach = REACH.astype(np.float32)
    return ((local > reach[:, 0]) & (local < reach[:, 1])).all(axis=-1)


def coil_shading(depth: np.ndarray, uneven: np.ndarray, shading: float) -> np.ndarray:
    """Brightness that falls off with the depth below the skin (mm), 1 far inside."""
    near = np.exp(-np.maximum(depth, 0) * np.float32(1 / 38))
    return 1 + np.float32(shading) * near * np.maximum(1 + np.float32(0.4) * uneven, 0)
