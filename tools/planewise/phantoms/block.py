"""A block of voxels into which a body is painted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from planewise.phantoms.scanner.pose import rotation
from planewise.phantoms.solids import Coordinates, paint
from planewise.phantoms.texture import Texture


class Block:
    """Signals of several contrasts, and labels, on a common grid of voxels.

    Args:
        side: voxels along each axis.
        spacing: size of the voxels along i, j and k, mm.
        contrasts: number of images that are painted at once.
        rng: generator of the body's pose, bends and textures.
        turn: standard deviation of the body's rotation about each axis, degrees.
        shift: standard deviation of the body's position along each axis, mm.
        bend: standard deviation of the smooth displacement that makes every body different, mm.

    Attributes:
        signal: the picture so far, ``(contrasts, i, j, k)`` float32.
        labels: label of each voxel, ``(i, j, k)`` uint8.
        at: x, y and z of the voxels in the body's own frame (to the right, to the front and to the head), mm.
    """

    def __init__(
        self,
        side: int,
        spacing: Sequence[float],
        contrasts: int,
        rng: np.random.Generator,
        turn: float = 0.0,
        shift: float = 0.0,
        bend: float = 0.0,
    ) -> None:
        self.spacing = np.asarray(spacing, dtype=float)
        self.signal = np.zeros((contrasts, side, side, side), dtype=np.float32)
        self.labels = np.zeros((side, side, side), dtype=np.uint8)
        self._texture, self._rng = Texture(rng), rng
        places = np.meshgrid(*((np.arange(side) - (side - 1) / 2) * step for step in self.spacing), indexing="ij")
        turned = np.eye(3)
        for axis, angle in zip(np.eye(3), np.radians(rng.normal(0, turn, 3)), strict=True):
            turned = turned @ rotation(axis, angle)
        moved = np.tensordot(turned, np.stack(places), 1) + rng.normal(0, shift, 3)[:, None, None, None]
        self.at: Coordinates = tuple(moved.astype(np.float32))
        self.at = tuple(
            part + np.float32(bend) * gaussian_filter(self.texture(70.0, field), 2)
            for field, part in enumerate(self.at)
        )

    @property
    def edge(self) -> float:
        """Width over which the border of a solid fades, mm."""
        return float(self.spacing.mean())

    def texture(self, grain: float, field: int) -> np.ndarray:
        """A smooth random field, standard normal, with features of ``grain`` mm; each number gives a different field."""
        return self._texture(*self.at, grain, field)

    def paint(self, depth: np.ndarray, values: Sequence[float], label: int | None = None) -> None:
        """Paint a solid over the picture so far, in all contrasts, and label its voxels.

        Args:
            depth: depth of each voxel inside the solid, mm, negative outside.
            values: the solid's signal in each contrast.
            label: label of the voxels inside; None leaves the labels unchanged.
        """
        value = np.asarray(values, dtype=np.float32)[:, None, None, None]
        paint(self.signal, depth.astype(np.float32), value, self.edge)
        if label is not None:
            self.labels[depth > 0] = label

    def scanned(self, blur: float, noise: Sequence[float]) -> np.ndarray:
        """The signals as the scanner records them: blurred by a Gaussian, with Gaussian noise.

        Args:
            blur: standard deviation of the blur, voxels.
            noise: standard deviation of the noise in each contrast, in the unit of the signal.
        """
        images = np.stack([gaussian_filter(image, blur) for image in self.signal])
        grain = self._rng.standard_normal(images.shape, dtype=np.float32)
        return images + np.asarray(noise, dtype=np.float32)[:, None, None, None] * grain
