"""Sample images of the beating heart, with slice thickness, partial volume, coil shading and noise."""

from __future__ import annotations

import numpy as np

from planewise.phantoms.heart.body import Body
from planewise.phantoms.heart.chambers import REACH, Chambers
from planewise.phantoms.heart.heart import Heart
from planewise.phantoms.heart.scanner import Scanner
from planewise.phantoms.scanner.imaging import SHEETS, blurred, coil_shading, image_points, magnitude
from planewise.phantoms.scanner.pose import ImagePose


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
    """Scan one slice through the cycle.

    Args:
        heart, body: the scanned objects.
        scanner: the scanner, which determines thickness, contrast, shading and noise.
        pose: pose of the slice.
        phases: phases of the cycle, in [0, 1), shape ``(P,)``.
        rng: generator of the noise.
        matrix: columns and rows; the scanner's by default.
        spacing: pixel spacing, mm; the scanner's by default.

    Returns:
        Images with pixel values of 0 or more, float32, shape ``(P, rows, columns)``.
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
    # the distance from the coil's elements varies from place to place
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


def _within_reach(heart: Heart, points: np.ndarray) -> np.ndarray:
    """Whether the beating heart can reach each of the points ``(N, 3)``."""
    local = heart.to_local(points)
    reach = REACH.astype(np.float32)
    return ((local > reach[:, 0]) & (local < reach[:, 1])).all(axis=-1)
