"""Write volumes as NIfTI files, including volumes of one slice."""

from __future__ import annotations

import logging
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from monai.config import NdarrayOrTensor
from monai.data import NibabelWriter
from nibabel.nifti1 import Nifti1Image

from planewise.atomic_write import atomic_write
from planewise.nifti_files import written_affine
from planewise.predicted_masks import is_corrected, mark_predicted, said_of_a_kept, set_aside

logger = logging.getLogger(__name__)


class VolumeWriter(NibabelWriter):
    """MONAI's writer of NIfTI files for volumes ``(channels, i, j, slices)``, with millimetres as their unit; a volume of one
    channel and one slice is written as ``(i, j, 1)``. Whole numbers are marked as predicted (`is_predicted`): masks, and the
    lines of planned views, which an index would otherwise take as labels, because they lie on the images' grid.

    MONAI's own writer drops the last axis of such a volume, and then `SaveImage` (1.6.1) fails. It also fails for sagittal
    and coronal volumes that lie exactly along the patient's axes, and gives a sheared volume two geometries (see
    `written_affine`). On a full disk, it replaces an old file by a truncated file; this class keeps the old file. It also
    keeps a mask that a person corrected, under another name (`set_aside`). Use it as the ``writer`` of `SaveImaged`.
    """

    def set_data_array(self, data_array: NdarrayOrTensor, channel_dim: int | None = 0, **kwargs: Any) -> None:
        super().set_data_array(data_array, channel_dim, **kwargs | {"squeeze_end_dims": False})
        if self.data_obj.shape[-1] == 1:
            self.data_obj = self.data_obj[..., 0]

    def set_metadata(self, *args: Any, **kwargs: Any) -> None:
        super().set_metadata(*args, **kwargs)
        self.affine = written_affine(np.asarray(self.affine), self.data_obj.shape)

    @classmethod
    def resample_if_needed(cls, data_array: NdarrayOrTensor, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        # MONAI (1.6.1) mistakes the first of three axes for channels, and reads the affine of a slice, which may be singular
        resampled, affine = super().resample_if_needed(data_array[..., None], *args, **kwargs)
        return resampled[..., 0], affine

    def write(self, filename: str | PathLike[str], verbose: bool = False, **kwargs: Any) -> None:
        ending = ".nii.gz" if fspath(filename).endswith(".nii.gz") else ".nii"
        with atomic_write(fspath(filename), ending=ending) as part:
            super().write(part, verbose, **kwargs)
            file = Path(fspath(filename))
            if nibabel.load(part).get_data_dtype().kind in "iu" and is_corrected(file):
                logger.warning(said_of_a_kept(file, set_aside(file, ending)))

    @classmethod
    def create_backend_obj(cls, *args: Any, **kwargs: Any) -> Nifti1Image:
        image = super().create_backend_obj(*args, **kwargs)
        image.header.set_xyzt_units("mm")
        if image.get_data_dtype().kind in "iu":
            mark_predicted(image)
        return image
