"""Smooth random fields for the grain, the vessels and the roughness of tissue."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

#: Number of nodes along each edge of the lattice, after which it repeats. It has 8 MB, and fits into the cache of a core.
LATTICE = 128

#: Number of nodes across one feature of the field.
FEATURE = 10


@lru_cache(maxsize=1)
def _lattice() -> np.ndarray:
    """The field that all textures read, flattened, standard normal, float32. It is computed once, in 0.2 s."""
    frequency = np.fft.fftfreq(LATTICE)
    radial = np.sqrt(frequency[:, None, None] ** 2 + frequency[:, None] ** 2 + frequency[: LATTICE // 2 + 1] ** 2)
    noise = np.fft.rfftn(np.random.default_rng(20).standard_normal((LATTICE,) * 3, dtype=np.float32))
    # only wavelengths of about two features, so that there is no drift over the lattice and no detail below a few nodes
    band = np.exp(-((radial * 2 * FEATURE - 1) ** 2) / (2 * 0.45**2)) * (radial > 0)
    field = np.fft.irfftn(noise * band, (LATTICE,) * 3, (0, 1, 2))
    return (field / field.std()).astype(np.float32).ravel()


class Texture:
    """Random fields in space with a standard normal value at every point. Every patient has different fields.

    All fields read the same lattice, with different steps, offsets and directions. Each point has the value of a node
    near it, without interpolation. The field looks smooth if a feature is more than about three pixels wide.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._start = rng.uniform(0, LATTICE, 3)
        # the directions are oblique to the body's axes, so that repetitions are never aligned with an image
        self._directions = np.linalg.qr(rng.standard_normal((3, 3)))[0]

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray, grain: float, field: int = 0) -> np.ndarray:
        """The field at points.

        Args:
            x, y, z: coordinates, equal shapes, float32, mm.
            grain: approximate width of one feature, mm.
            field: number of the field; different numbers give independent fields.

        Returns:
            Standard normal values, shape of ``x``, float32.
        """
        across = (self._directions * (FEATURE / grain)).astype(np.float32)
        # whole periods are added, so that all coordinates are positive and truncation rounds down
        start = (self._start + np.array([37, 59, 83]) * field + 64 * LATTICE).astype(np.float32)
        index = None
        for (a, b, c), first in zip(across, start, strict=True):
            node = (x * a + y * b + z * c + first).astype(np.int32) & (LATTICE - 1)
            index = node if index is None else index * LATTICE + node
        return _lattice().take(index)
