"""Load exams and cases from what a person or MONAI Label names: a folder, or one of several files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection

from planewise.errors import InputError
from planewise.exams.cases import channels_of_case
from planewise.files.names import check_channels
from planewise.files.nifti import open_nifti
from planewise.preprocessing.load_stack import LoadStackd
from planewise.preprocessing.load_volume import LoadVolumed


class LoadExamd(LoadStackd):
    """`LoadStackd` that also takes the path of a folder with DICOM files, in which it finds the stack of the view.

    Args:
        keys: keys of stacks.
        view: the stack to look for in a folder, ``"sax"``, ``"4ch"`` or ``"sagittal"``.
        contrast: contrast of a sagittal stack, ``"t2fs"`` (the default) or ``"any"``.
        loading: further arguments of `LoadStackd`.
    """

    def __init__(self, keys: KeysCollection, view: str = "sax", contrast: str | None = None, **loading: Any) -> None:
        super().__init__(keys, **loading)
        self.view = view
        self.contrast = contrast

    def in_folder(self, folder: str | Path) -> dict[str, Any]:
        """The first recognised stack of a folder, as an item."""
        from planewise.exams.inputs import find_stacks  # the only part that needs pydicom

        stack = find_stacks(folder, self.view, contrast=self.contrast)[0]
        return {key: value for key, value in stack.items() if key != "views"}


class LoadCased(LoadVolumed):
    """`LoadVolumed` that also takes the path of a folder with a DICOM series.

    MONAI Label can pass only one path. With ``channel_names``, the file of one channel, or a folder, represents the
    whole case.

    Args:
        keys: keys of images and masks.
        channels: number of channels of the images, see `LoadVolumed`.
        channel_names: endings of a case's file names, in lower case and in order; ignored if there are not ``channels``.
        loading: further arguments of `LoadVolumed`.
    """

    def __init__(
        self, keys: KeysCollection, channels: int | None = None, channel_names: Sequence[str] = (), **loading: Any
    ) -> None:
        super().__init__(keys, channels=channels, **loading)
        names = check_channels(channel_names)
        self.channel_names = names if len(names) == channels else ()
        self.load = LoadExamd("image", view="volume", label_keys=())

    def files_of(self, path: Path) -> list[Path]:
        """The files of the case to which a path belongs. A 4D file is a complete case."""
        one_channel = path.is_dir()
        with suppress(OSError, InputError):  # the reader reports an unreadable file
            one_channel = one_channel or np.prod(open_nifti(path).shape[3:]) == 1
        return channels_of_case(path, self.channel_names) if self.channel_names and one_channel else [path]
