"""Flaws of volumes in the layouts of BraTS and of the Medical Segmentation Decathlon, written on demand to test
readers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planewise.phantoms.abdomen.abdomen import Abdomen
from planewise.phantoms.defect import Defect, changing, displaced, keeping
from planewise.phantoms.head.head import CONTRASTS, ENHANCING, Head
from planewise.phantoms.scanner.dicom import Identity
from planewise.phantoms.scanner.nifti import NiftiFile

#: Name of the mask's file in these functions. An image has the name of its contrast, or ``image`` in the decathlon.
MASK = "mask"

Files = list[NiftiFile]


def _four_dimensions(files: Files, exam: Head | Abdomen, identity: Identity) -> Files:
    images = [file for file in files if file.name != MASK]
    masks = [file for file in files if file.name == MASK]
    together = np.stack([file.volume for file in images] * (2 if len(images) == 1 else 1), axis=-1)
    name = "all" if len(images) == len(CONTRASTS) else images[0].name
    return [NiftiFile(name, together, images[0].affine, step=1.0), *masks]


def _with(file: NiftiFile, volume: np.ndarray) -> NiftiFile:
    return replace(file, volume=volume.astype(file.volume.dtype))


def _longer(file: NiftiFile) -> NiftiFile:
    return _with(file, np.concatenate([file.volume, file.volume[..., -1:]], axis=-1))


_no_mask = keeping(lambda file: file.name != MASK)
_empty = changing(
    lambda file: file if file.name == MASK else _with(file, np.full_like(file.volume, file.volume.flat[0]))
)

#: Flaws by name, in listing order.
BRATS_DEFECTS = {
    "channel_shape": Defect("the T2 image has one slice more than the others", changing(_longer, "t2")),
    "channel_elsewhere": Defect("the T2 image is displaced by 20 mm from the others", changing(displaced, "t2")),
    "no_channel": Defect("no T1 image with contrast agent", keeping(lambda file: file.name != "t1ce")),
    "labels_of_later_sets": Defect(
        "enhancing tumour has the value 3 instead of 4, as in later BraTS sets",
        changing(lambda file: _with(file, np.where(file.volume == ENHANCING, 3, file.volume)), MASK),
    ),
    "no_mask": Defect("no mask", _no_mask),
    "mask_shape": Defect("the mask has one slice more than the images", changing(_longer, MASK)),
    "mask_elsewhere": Defect("the mask is displaced by 20 mm from the images", changing(displaced, MASK)),
    "empty": Defect("the images are empty: zero everywhere", _empty),
    "four_dimensions": Defect("one file of four dimensions holds all contrasts", _four_dimensions),
}
MSD_DEFECTS = {
    "no_mask": Defect("no mask, although the list names one", _no_mask),
    "mask_shape": Defect("the mask has one slice more than the image", changing(_longer, MASK)),
    "mask_elsewhere": Defect("the mask is displaced by 20 mm from the image", changing(displaced, MASK)),
    "empty": Defect("the image is empty: the value of air everywhere", _empty),
    "four_dimensions": Defect("the image has four dimensions: two volumes in one file", _four_dimensions),
}
