"""Load a case as a whole volume of one or more channels, together with its mask."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.image_reader import ImageReader
from monai.transforms import LoadImaged

from planewise.errors import InputError
from planewise.files.datalists import VIEWER
from planewise.files.masks import labels_of
from planewise.files.names import common_name
from planewise.files.nifti import other_grid
from planewise.files.photographs import is_photograph
from planewise.preprocessing.exam_name import exam_of
from planewise.preprocessing.load_photograph import LoadPhotographd
from planewise.preprocessing.load_stack import LoadStackd, load_slices


class LoadVolumed(LoadImaged):
    """Load a volume for each key, as a `MetaTensor` ``(channels, i, j, k)``; masks have one channel.

    The value under a key is one of

    - the path of a NIfTI volume;
    - a list of paths, one for each channel;
    - a list of slices in order, made by `planewise.data.gather_stacks` (read by `load_slices`);
    - the path of a photograph, which is loaded as ``(3, i, j)`` (`LoadPhotographd`), so that image pretexts can use
      photographs with the same config.

    All channels and masks must have the grid of the first channel. An item's ``label_axes`` turn its mask, and its
    ``label_map`` renames the values, as in `LoadSliced`. A mask from a viewer (``label_origin``) may contain the
    numbers of the network's channels, as listed by MONAI Label; they are replaced by the label values of these
    channels. If the user names one file for each channel, the result has the name of the case
    (`planewise.files.names.common_name`). The class derives from `LoadImaged` because MONAI Label looks for that
    class.

    Args:
        keys: keys of images and masks.
        label_keys: keys of masks.
        label_values: values that a mask may contain, in the order of the network's channels; None allows all whole
            numbers from 0 to 255.
        channels: number of channels of the images; a 4D file may then contain them along its last axis, as in the
            Medical Segmentation Decathlon. None allows any number of channels, each in its own file.
        allow_missing_keys: skip keys that an item lacks; False refuses such an item.

    Raises:
        InputError: a key is missing; a file cannot be read, is not three-dimensional or contains voxels that are not
            finite; an image has the wrong number of channels; grids differ; or a mask contains a value that is not
            allowed. The message identifies the exam by its hash.
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
        self.label_keys = (label_keys,) if isinstance(label_keys, str) else tuple(label_keys)
        self.label_values = None if label_values is None else tuple(label_values)
        self.channels = channels
        self.load, self.load_mask = (LoadStackd("image", label_keys=masks) for masks in ((), "image"))
        self.load_photograph = LoadPhotographd("image")

    def __call__(self, data: Mapping[Hashable, Any], reader: ImageReader | None = None) -> dict[Hashable, Any]:
        item = dict(data)
        exam = exam_of(item)
        for key in self.keys:
            if key not in item and not self.allow_missing_keys:
                what = "mask, and this bundle learns from masks" if key in self.label_keys else str(key)
                raise InputError(f"exam {exam}: the case has no {what}")
        first: MetaTensor | None = None
        for key in self.key_iterator(item):
            files = item[key]
            if isinstance(files, (str, Path)) and is_photograph(files):
                item[key] = self._photograph({**item, "image": files})
                if not self._loader.image_only:
                    item[f"{key}_{self.meta_key_postfix[0]}"] = item[key].meta
                continue
            if isinstance(files, (str, Path)):
                files = [files] if key in self.label_keys else self.files_of(Path(files))
            elif files and isinstance(files[0], Mapping):
                files = [files]  # the slices of a single stack
            is_mask = key in self.label_keys
            channels = self._channels(files, item, exam, key, None if is_mask else self.channels)
            first = channels[0] if first is None else first
            for number, channel in enumerate(channels):
                what = "the mask" if is_mask else f"channel {number + 1}"
                _check_grid(channel, first, f"exam {exam}: {what}")
            pixels = torch.stack([channel.as_tensor() for channel in channels])
            if is_mask:
                try:
                    pixels = self._mask(pixels, item)
                except InputError as error:
                    raise InputError(error.reason, f"exam {exam}, mask") from None
            meta = {**channels[0].meta, "original_channel_dim": 0, "spatial_shape": np.array(pixels.shape[1:])}
            # exactly the same for a mask, so that it is reoriented like its image
            meta |= {"affine": first.affine, "oriented": first.meta.get("oriented", True)}
            if len(files) > 1 and not item.get("exam"):
                meta["filename_or_obj"] = f"{common_name(files)}.nii.gz"
            item[key] = MetaTensor(pixels, meta=meta)  # the metadata contain the affine
            if not self._loader.image_only:
                item[f"{key}_{self.meta_key_postfix[0]}"] = item[key].meta
        return item

    def files_of(self, path: Path) -> list[Path]:
        """The files of the case to which a path belongs; `planewise.exams.LoadCased` finds those of other channels."""
        return [path]

    def _photograph(self, item: Mapping[Hashable, Any]) -> MetaTensor:
        """A photograph, ``(3, i, j)``."""
        if self.channels not in (None, 3):
            raise InputError(
                f"a photograph has three colours, and {self.channels} channel{'s are' if self.channels > 1 else ' is'} "
                "needed; add configs/photograph.yaml after the other configs"
            )
        return self.load_photograph(item)["image"]

    def _channels(
        self, files: Sequence[Any], item: Mapping[Hashable, Any], exam: str, key: Hashable, wanted: int | None
    ) -> list[MetaTensor]:
        """The channels of an image, each ``(i, j, k)``, float32. Their number must be ``wanted``, unless that is None."""
        found = [self._volume(file, item, exam, key, wanted) for file in files]
        if len(found) == 1 and found[0].ndim == 4:
            meta = found[0].meta
            found = [MetaTensor(channel, meta=meta) for channel in found[0].as_tensor().unbind(-1)]
        if wanted is not None and len(found) != wanted:
            raise InputError(
                f"exam {exam}: the image has {len(found)} channel{'s' * (len(found) > 1)}, but the network takes "
                f"{wanted}; train it with --in_channels {len(found)}, or give one file for each channel or a 4D file that "
                "contains all channels"
            )
        return found

    def _volume(
        self, file: Any, item: Mapping[Hashable, Any], exam: str, key: Hashable, channels: int | None
    ) -> MetaTensor:
        """One channel, ``(i, j, k)``, float32; or all channels, ``(i, j, k, channels)``, if the file contains them all."""
        if key in self.label_keys and not isinstance(file, (str, Path)):
            return load_slices(file, exam, masks=True, renamed=item.get("label_map"))[0]
        names, load = ("exam", "phase", "time"), self.load
        if key in self.label_keys:
            names, load = (*names, "label_axes", "label_map"), self.load_mask
        volume = load({"image": file, **{name: item[name] for name in names if name in item}})["image"]
        if volume.ndim == 4 and volume.shape[-1] == 1:
            volume = volume[..., 0]
        all_in_one = channels is not None and channels > 1 and volume.ndim == 4 and volume.shape[-1] == channels
        if volume.ndim != 3 and not all_in_one:
            raise InputError(
                f"exam {exam}, {key}: the file has the shape {tuple(volume.shape)}; it must be a 3D volume, and each channel "
                "needs its own file"
            )
        return volume.to(torch.float32)

    def _mask(self, pixels: torch.Tensor, item: Mapping[Hashable, Any]) -> torch.Tensor:
        found, allowed = torch.unique(pixels).tolist(), self.label_values
        wrong = [] if allowed is None else [value for value in found if value not in allowed]
        if wrong and item.get("label_origin") == VIEWER and all(value in range(len(allowed)) for value in found):
            renamed = {str(number): value for number, value in enumerate(allowed)}
            return torch.from_numpy(labels_of(pixels.numpy(), renamed)).to(pixels.dtype)
        if wrong:
            raise InputError(
                f"its values must be {', '.join(map(str, allowed))}, got {wrong[0]:g}; rename the value with "
                "`planewise index --label-map`"
            )
        return pixels


def _check_grid(volume: MetaTensor, first: MetaTensor, what: str) -> None:
    own, wanted = ((tuple(each.shape), np.asarray(each.affine, dtype=np.float64)) for each in (volume, first))
    if problem := other_grid(*own, *wanted):
        raise InputError(f"{what} does not have the grid of the first channel: {problem}")
