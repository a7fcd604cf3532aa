"""Compute images from a model: pixel positions, coil shading, blur and noise."""

from __future__ import annotations

import numpy as np

from planewise.phantoms.scanner.pose import ImagePose

#: A slice is the average of thin sheets. These are their distances from its middle, as shares of its thickness.
SHEETS = np.array([-1 / 3, 0.0, 1 / 3])


def image_points(
    pose: ImagePose, spacing: float, matrix: tuple[int, int], offsets: np.ndarray = np.zeros(1)
) -> np.ndarray:
    """Pixel centres of an image in patient space.

    Args:
        pose: pose of the image.
        spacing: pixel spacing, mm.
        matrix: columns and rows.
        offsets: distances of the sheets along the normal, mm, shape ``(S,)``.

    Returns:
        Points, RAS+, mm, shape ``(S, rows, columns, 3)``, float32.
    """
    affine = pose.affine((spacing, spacing), matrix, 1.0)
    columns, rows = (np.arange(count) for count in matrix)
    points = affine[:3, 3] + columns[:, None] * affine[:3, 0] + rows[:, None, None] * affine[:3, 1]
    return (points + offsets[:, None, None, None] * affine[:3, 2]).astype(np.float32)


def magnitude(images: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Magnitude of two noisy channels. A signal that is negative because of fat becomes bright."""
    channels = rng.standard_normal((2, *images.shape), dtype=np.float32) * np.float32(noise)
    return np.hypot(images + channels[0], channels[1])


def blurred(image: np.ndarray, share: float) -> np.ndarray:
    """Spread a share of each pixel over its neighbours, because real images have more pixels than measured values."""
    side = np.float32(share / 4)
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if axis == each else (0, 0) for each in (0, 1)], mode="edge")
        before, after = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
        image = image * (1 - 2 * side) + (before + after) * side
    return image


def coil_shading(depth: np.ndarray, uneven: np.ndarray, shading: float) -> np.ndarray:
    """A brightness factor that decreases with the depth below the skin (mm), to 1 far inside."""
    near = np.exp(-np.maximum(depth, 0) * np.float32(1 / 38))
    return 1 + np.float32(shading) * near * np.maximum(1 + np.float32(0.4) * uneven, 0)
