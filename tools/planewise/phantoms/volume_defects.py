"""Flaws of volumes in the layouts of BraTS and of the Medical Segmentation Decathlon, written on demand to test
readers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planewise.phantoms.abdomen.abdomen import Abdomen
from planewise.phantoms.defect import Defect, registering
from planewise.phantoms.head.head import CONTRASTS, ENHANCING, Head
from planewise.phantoms.scanner.dicom import Identity
from planewise.phantoms.scanner.nifti import NiftiFile

#: Flaws by name, in listing order.
BRATS_DEFECTS: dict[str, Defect] = {}
MSD_DEFECTS: dict[str, Defect] = {}

_in_brats, _in_msd = registering(BRATS_DEFECTS), registering(MSD_DEFECTS)

#: Name of the mask's file in these functions. An image has the name of its contrast, or ``image`` in the decathlon.
MASK = "mask"

Files = list[NiftiFile]


@_in_brats("the T2 image has one slice more than the others")
def channel_shape(files: Files, exam: Head, identity: Identity) -> Files:
    return [_longer(file) if file.name == "t2" else file for file in files]


@_in_brats("the T2 image is displaced by 20 mm from the others")
def channel_elsewhere(files: Files, exam: Head, identity: Identity) -> Files:
    return [_moved(file) if file.name == "t2" else file for file in files]


@_in_brats("no T1 image with contrast agent")
def no_channel(files: Files, exam: Head, identity: Identity) -> Files:
    return [file for file in files if file.name != "t1ce"]


@_in_brats("enhancing tumour has the value 3 instead of 4, as in later BraTS sets")
def labels_of_later_sets(files: Files, exam: Head, identity: Identity) -> Files:
    return [
        _with(file, np.where(file.volume == ENHANCING, 3, file.volume)) if file.name == MASK else file for file in files
    ]


@_in_brats("no mask")
@_in_msd("no mask, although the list names one")
def no_mask(files: Files, exam: Head | Abdomen, identity: Identity) -> Files:
    return [file for file in files if file.name != MASK]


@_in_brats("the mask has one slice more than the images")
@_in_msd("the mask has one slice more than the image")
def mask_shape(files: Files, exam: Head | Abdomen, identity: Identity) -> Files:
    return [_longer(file) if file.name == MASK else file for file in files]


@_in_brats("the mask is displaced by 20 mm from the images")
@_in_msd("the mask is displaced by 20 mm from the image")
def mask_elsewhere(files: Files, exam: Head | Abdomen, identity: Identity) -> Files:
    return [_moved(file) if file.name == MASK else file for file in files]


@_in_brats("the images are empty: zero everywhere")
@_in_msd("the image is empty: the value of air everywhere")
def empty(files: Files, exam: Head | Abdomen, identity: Identity) -> Files:
    return [
        file if file.name == MASK else _with(file, np.full_like(file.volume, file.volume.flat[0])) for file in files
    ]


@_in_brats("one file of four dimensions holds all contrasts")
@_in_msd("the image has four dimensions: two volumes in one file")
def four_dimensions(files: Files, exam: Head | Abdomen, identity: Identity) -> Files:
    images = [file for file in files if file.name != MASK]
    masks = [file for file in files if file.name == MASK]
    together = np.stack([file.volume for file in images] * (2 if len(images) == 1 else 1), axis=-1)
    name = "all" if len(images) == len(CONTRASTS) else images[0].name
    return [NiftiFile(name, together, images[0].affine, step=1.0), *masks]


def _with(file: NiftiFile, volume: np.ndarray) -> NiftiFile:
    return replace(file, volume=volume.astype(file.volume.dtype))


def _longer(file: NiftiFile) -> NiftiFile:
    return _with(file, np.concatenate([file.volume, file.volume[..., -1:]], axis=-1))


def _moved(file: NiftiFile) -> NiftiFile:
    affine = file.affine.copy()
    affine[:3, 3] += 20.0 * affine[:3, 0] / np.linalg.norm(affine[:3, 0])
    return replace(file, affine=affine)
