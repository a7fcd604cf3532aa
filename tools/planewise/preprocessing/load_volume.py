"""Load a case as a whole volume of one or more channels, together with its mask; or a photograph in colour, and its grade."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, PILReader
from monai.transforms import LoadImaged, Transform
from monai.utils import ensure_tuple
from PIL import Image, ImageOps, UnidentifiedImageError

from planewise.errors import InputError
from planewise.files.datalists import VIEWER
from planewise.files.masks import labels_of
from planewise.files.names import common_name
from planewise.files.nifti import other_grid
from planewise.files.photographs import CUT, NO_PHOTOGRAPH, UNREADABLE, colour_problem, is_photograph
from planewise.preprocessing.exam_name import exam_of, volume_name
from planewise.preprocessing.load_stack import LoadStackd


class LoadVolumed(LoadImaged):
    """Load a volume for each key, as a `MetaTensor` ``(channels, i, j, k)``; masks have one channel.

    The value under a key is one of

    - the path of a NIfTI volume;
    - a list of paths, one for each channel;
    - a list of slices in order, made by `planewise.data.gather_stacks` (read by `load_slices`);
    - the path of a photograph, loaded as ``(3, i, j)`` (`LoadPhotographd`), for image pretexts.

    All channels and masks must have the grid of the first channel. ``label_axes`` and ``label_map`` are those of
    `LoadSliced`. A mask from a viewer (``label_origin``) may contain the numbers of the network's channels, as listed by
    MONAI Label; they are replaced by the label values of these channels. If the user names one file for each channel, the
    result has their `common_name`. The class derives from `LoadImaged` because MONAI Label looks for that class.

    Args:
        keys: keys of images and masks.
        label_keys: keys of masks.
        label_values: values that a mask may contain, in the order of the network's channels; None allows all labels.
        channels: number of channels of the images; a 4D file may then contain them along its last axis, as in the
            Medical Segmentation Decathlon. None allows any number of channels, each in its own file.
        allow_missing_keys: skip keys that an item lacks; False refuses such an item.

    Raises:
        InputError: a key is missing; a file cannot be read or has voxels that are not finite; or the number of channels, a
            grid or a mask's value is another one.
    """

    def __init__(
        self,
        keys: KeysCollection,
        label_keys: KeysCollection = ("label",),
        label_values: Sequence[int] | None = None,
        allow_missing_keys: bool = False,
        channels: int | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys=allow_missing_keys)
        self.label_keys = ensure_tuple(label_keys)
        self.label_values = None if label_values is None else tuple(label_values)
        self.channels = channels
        self.load, self.load_mask = (LoadStackd("image", label_keys=masks) for masks in ((), "image"))
        self.load_photograph = LoadPhotographd("image")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        item = dict(data)
        exam = exam_of(item)
        for key in self.keys:
            if key not in item and not self.allow_missing_keys:
                what = "mask, and this bundle learns from masks" if key in self.label_keys else str(key)
                raise InputError(f"exam {exam}: the case has no {what}")
        first: MetaTensor | None = None
        for key in self.key_iterator(item):
            value, is_mask = item[key], key in self.label_keys
            if isinstance(value, (str, Path)) and is_photograph(value):
                if self.channels not in (None, 3):
                    raise InputError(
                        f"a photograph has 3 colours, the network takes {self.channels} channels; add configs/photograph.yaml"
                    )
                item[key] = self.load_photograph({**item, "image": value})["image"]
            else:
                files = value if isinstance(value, list) and not isinstance(value[0], Mapping) else [value]
                if not is_mask and isinstance(value, (str, Path)):
                    files = self.files_of(Path(value))
                channels = self._channels(files, item, f"exam {exam}, {'mask' if is_mask else key}", is_mask)
                first = channels[0] if first is None else first
                item[key] = self._stacked(channels, first, item, is_mask)
                if len(files) > 1 and not item.get("exam"):
                    item[key].meta["filename_or_obj"] = f"{common_name(files)}.nii.gz"
            if not self._loader.image_only:
                item[f"{key}_{self.meta_key_postfix[0]}"] = item[key].meta
        return item

    def files_of(self, path: Path) -> list[Path]:
        """The files of the case to which a path belongs; `planewise.exams.LoadCased` finds those of other channels."""
        return [path]

    def _channels(
        self, files: Sequence[Any], item: Mapping[Hashable, Any], about: str, is_mask: bool
    ) -> list[MetaTensor]:
        """The channels of an image, each ``(i, j, k)``, float32."""
        wanted = None if is_mask else self.channels
        found = []
        for file in files:
            volume = self._volume(file, item, is_mask)
            if volume.ndim == 4 and volume.shape[-1] in (1, wanted):
                found += [MetaTensor(channel, meta=volume.meta) for channel in volume.as_tensor().unbind(-1)]
            elif volume.ndim == 3:
                found.append(volume)
            else:
                raise InputError(
                    f"the file has the shape {tuple(volume.shape)}, not of a 3D volume; each channel needs its own file",
                    about,
                )
        if wanted is not None and len(found) != wanted:
            raise InputError(
                f"it has {len(found)} channel{'s' * (len(found) > 1)}, but the network takes {wanted}; train it with "
                f"--in_channels {len(found)}, or give one file for each channel or a 4D file that contains all channels",
                about,
            )
        return [volume.to(torch.float32) for volume in found]

    def _volume(self, file: Any, item: Mapping[Hashable, Any], is_mask: bool) -> MetaTensor:
        """One channel, ``(i, j, k)``; or all channels, ``(i, j, k, channels)``, if the file contains them all."""
        names = ("exam", "phase", "time", *(("label_axes", "label_map") if is_mask else ()))
        load = self.load_mask if is_mask else self.load
        return load({"image": file, **{name: item[name] for name in names if name in item}})["image"]

    def _stacked(
        self, channels: Sequence[MetaTensor], first: MetaTensor, item: Mapping[Hashable, Any], is_mask: bool
    ) -> MetaTensor:
        """All channels as one image, on the grid of the case's first channel."""
        exam = exam_of(item)
        wanted = tuple(first.shape), np.asarray(first.affine, dtype=np.float64)
        for number, channel in enumerate(channels, 1):
            if problem := other_grid(tuple(channel.shape), np.asarray(channel.affine, dtype=np.float64), *wanted):
                what = "the mask" if is_mask else f"channel {number}"
                raise InputError(f"exam {exam}: {what} does not have the grid of the first channel: {problem}")
        pixels = torch.stack([channel.as_tensor() for channel in channels])
        pixels = self._mask(pixels, item) if is_mask else pixels
        meta = {**channels[0].meta, "original_channel_dim": 0, "spatial_shape": np.array(pixels.shape[1:])}
        # exactly the same for a mask, so that it is reoriented like its image
        meta |= {"affine": first.affine, "oriented": first.meta.get("oriented", True)}
        return MetaTensor(pixels, meta=meta)  # the metadata contain the affine

    def _mask(self, pixels: torch.Tensor, item: Mapping[Hashable, Any]) -> torch.Tensor:
        found, allowed = torch.unique(pixels).tolist(), self.label_values
        wrong = [] if allowed is None else [value for value in found if value not in allowed]
        if wrong and item.get("label_origin") == VIEWER and all(value in range(len(allowed)) for value in found):
            renamed = {str(number): value for number, value in enumerate(allowed)}
            return torch.from_numpy(labels_of(pixels.numpy(), renamed)).to(pixels.dtype)
        if wrong:
            raise InputError(
                f"its values must be {', '.join(map(str, allowed))}, got {wrong[0]:g}; use `planewise index --label-map`",
                f"exam {exam_of(item)}, mask",
            )
        return pixels


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
