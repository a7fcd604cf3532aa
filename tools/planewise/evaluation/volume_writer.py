"""Volumes of one slice as NIfTI files."""

from __future__ import annotations

from typing import Any

from monai.config import NdarrayOrTensor
from monai.data import NibabelWriter


class VolumeWriter(NibabelWriter):
    """MONAI's writer of NIfTI files for volumes ``(1, i, j, slices)``; a volume of one slice is written as ``(i, j, 1)``.

    MONAI's own drops the last axis of such a volume, and then fails in `SaveImage` (1.6.1), which assumes one fewer
    dimension. Use it as the ``writer`` of `SaveImaged`.
    """

    def set_data_array(self, data_array: NdarrayOrTensor, channel_dim: int | None = 0, **kwargs: Any) -> None:
        super().set_data_array(data_array, channel_dim, **kwargs | {"squeeze_end_dims": False})
        self.data_obj = self.data_obj[..., 0]
