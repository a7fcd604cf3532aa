"""Export the labelled volumes of a datalist in nnU-Net's layout, so that nnU-Net trains on the same exams and split."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from planewise.data.datalist import gather_stacks, load_datalist, read_datalist
from planewise.data.readable_items import reason_of
from planewise.data.select_items import labelled
from planewise.errors import InputError
from planewise.files.atomic_write import atomic_write
from planewise.files.datalists import SECTIONS
from planewise.files.masks import HEART_STRUCTURES
from planewise.files.nifti import write_nifti
from planewise.findings import Finding
from planewise.preprocessing import LoadVolumed
from planewise.preprocessing.exam_name import exam_of, slice_name

#: The names that nnU-Net accepts for the folder of a data set.
_FOLDER = re.compile(r"Dataset\d{3}_\w+")


@dataclass(frozen=True)
class NnunetDataset:
    """The folder that `export_nnunet` wrote, and the number of volumes of each section."""

    folder: Path
    counts: Mapping[str, int]
    splits: Path | None
    """``splits_final.json``; None without a validation section."""
    left_out: Mapping[str, Finding]
    """Maps each exam that cannot be used to the reason."""


def export_nnunet(
    datalist: str | Path,
    output: str | Path,
    structures: tuple[str, ...] = (),
    progress: Callable[[int, int], None] | None = None,
) -> NnunetDataset:
    """Write the volumes that have a mask in the format of nnU-Net (version 2).

    ``imagesTr`` and ``labelsTr`` contain the training and the validation sections, ``imagesTs`` and ``labelsTs`` the test
    section. The name of a case consists of its exam's hash and its phase.

    Args:
        datalist: datalist of stacks or whole volumes.
        output: new folder, with a name that nnU-Net accepts, such as ``nnUNet_raw/Dataset101_Heart``.
        structures: names of the mask values 1, 2, ... If empty, short-axis structures get their usual names, others numbers.
        progress: called with (volumes done, total number of volumes).

    Raises:
        InputError: nnU-Net does not accept the folder's name or the mask values, or there are no masks or images.
    """
    datalist, output = Path(datalist).expanduser().resolve(), Path(output).expanduser().resolve()
    if not _FOLDER.fullmatch(output.name):
        raise InputError(
            f"nnU-Net finds data sets by the names of their folders; use a name like Dataset101_Heart, not {output.name}"
        )
    if output.is_dir() and any(output.iterdir()):
        raise InputError(f"{output} is not empty; name a new folder, or remove it")
    items = [(section, item) for section in SECTIONS for item in _volumes(datalist, section)]
    if not items:
        raise InputError(
            f"no image of {datalist} has a mask; add your own masks with `planewise index --labels FOLDER`"
        )
    header = read_datalist(datalist).get("planewise") or {}
    names = structures or (tuple(HEART_STRUCTURES["sax"].values()) if header.get("stack") == "sax" else ())
    load = LoadVolumed(keys=("image", "label"))
    cases: dict[str, list[str]] = {section: [] for section in SECTIONS}
    left_out: dict[str, Finding] = {}
    values: set[int] = set()
    channels = 0
    for number, (section, item) in enumerate(items, 1):
        name, kind = slice_name(item), "Ts" if section == "test" else "Tr"
        try:
            loaded = load(item)
        except InputError as error:
            left_out[exam_of(item)] = reason_of(error)
            continue
        image, mask = loaded["image"], loaded["label"]
        values |= {int(value) for value in torch.unique(mask.as_tensor())}
        channels = max(channels, len(image))
        for channel, pixels in enumerate(image.as_tensor()):
            write_nifti(output / f"images{kind}" / f"{name}_{channel:04d}.nii.gz", pixels.numpy(), image.affine)
        write_nifti(output / f"labels{kind}" / f"{name}.nii.gz", mask.as_tensor()[0].numpy(), image.affine)
        cases[section].append(name)
        if progress is not None:
            progress(number, len(items))
    if not channels:
        raise InputError(f"none of the {len(items)} volumes can be read; the first: {next(iter(left_out.values()))}")
    train, validate = cases["training"], cases["validation"]
    description = {
        "channel_names": {str(number): name for number, name in enumerate(_channels(header, channels))},
        "labels": {"background": 0} | _labels(values, names),
        "numTraining": len(train) + len(validate),
        "file_ending": ".nii.gz",
    }
    splits = output / "splits_final.json" if train and validate else None
    contents = {output / "dataset.json": description, splits: [{"train": train, "val": validate}]}
    for file, content in contents.items():
        if file is not None:
            with atomic_write(file) as part:
                part.write_text(json.dumps(content, indent=1))
    return NnunetDataset(output, {section: len(found) for section, found in cases.items()}, splits, left_out)


def _volumes(datalist: Path, section: str) -> list[dict[str, Any]]:
    """The volumes of a section that have a mask."""
    items = load_datalist(datalist, section)
    if not any("label" in item for item in items):
        return []
    return [item for item in gather_stacks(labelled(items, {})) if "label" in item]


def _channels(header: Mapping[str, Any], count: int) -> list[str]:
    """Names of the channels; nnU-Net normalises a channel called CT differently."""
    named = [str(name) for name in header.get("channels", ())]
    if len(named) == count:
        return named
    return ["MRI" if header.get("anatomy") in ("cardiac", "knee") else f"channel {number}" for number in range(count)]


def _labels(values: set[int], names: tuple[str, ...]) -> dict[str, int]:
    """Map the name of each structure to its mask value; nnU-Net requires consecutive values."""
    highest = max(max(values), len(names))
    if names and max(values) > len(names):
        raise InputError(
            f"the masks contain the value {max(values)}; name all structures with --structures, got {len(names)}"
        )
    if not names and values - {0} != set(range(1, highest + 1)):
        raise InputError(
            f"nnU-Net needs the mask values 0, 1, 2, ..., got {sorted(values)}; use `planewise index --label-map`"
        )
    return {(names[value - 1] if names else f"structure {value}"): value for value in range(1, highest + 1)}
