"""Load a photograph in colour, and its grade."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, PILReader
from monai.transforms import LoadImaged, Transform
from PIL import Image, ImageOps, UnidentifiedImageError

from planewise.errors import InputError
from planewise.files.photographs import CUT, NO_PHOTOGRAPH, UNREADABLE, colour_problem
from planewise.preprocessing.exam_name import volume_name


class LoadPhotographd(LoadImaged):
    """Load a PNG or JPEG file under each key, as a `MetaTensor` ``(3, i, j)``: red, green and blue from 0 to 1.

    MONAI's `PILReader` reads the file: i points to the right, along the rows, and j downwards. The photograph is rotated
    upright according to the camera's EXIF tag; all other tags are dropped. Results have its `volume_name`. The class derives
    from `LoadImaged` because MONAI Label looks for that class.

    Raises:
        InputError: a file is not a photograph, is truncated, or has unsupported colours.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, reader="PILReader", allow_missing_keys=allow_missing_keys)
        self.pixels = PILReader(converter=_upright, formats=("PNG", "JPEG"))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        for key in self.key_iterator(item):
            if not isinstance(item[key], (str, Path)):
                raise InputError(f"{key} is not the path of a photograph; index the folder with --anatomy photograph")
            pixels = self._read(item[key])
            meta = {
                # in the form that `loaded_name` expects
                "filename_or_obj": f"{volume_name({**item, 'image': item[key]})}.nii.gz",
                "original_channel_dim": 0,
                "spatial_shape": np.array(pixels.shape[1:]),
            }
            item[key] = MetaTensor(pixels, affine=torch.eye(4, dtype=torch.float64), meta=meta)
            if not self._loader.image_only:
                item[f"{key}_{self.meta_key_postfix[0]}"] = item[key].meta
        return item

    def _read(self, path: str | Path) -> torch.Tensor:
        try:
            array, _ = self.pixels.get_data(self.pixels.read(path))
        except UnidentifiedImageError:
            raise InputError(NO_PHOTOGRAPH) from None
        except InputError:
            raise
        # a broken PNG file raises a SyntaxError
        except (Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
            raise InputError(CUT if "truncated" in str(error) else UNREADABLE) from None
        return (torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1).to(torch.float32) / 255).contiguous()


def _upright(image: Image.Image) -> Image.Image:
    if problem := colour_problem(image.mode):
        raise InputError(problem)
    return ImageOps.exif_transpose(image)


class ReadGraded(Transform):
    """Write an item's grade, under ``key``, to ``grade``, as an int64 tensor without axes; raise `InputError` if there
    is none (`planewise.data.graded` selects items, but MONAI Label passes only masks)."""

    def __init__(self, key: str = "grade") -> None:
        self.key = key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        if self.key not in data:
            raise InputError(f"the photograph has no {self.key}, and this bundle learns from grades")
        return {**data, "grade": torch.tensor(int(data[self.key]))}
