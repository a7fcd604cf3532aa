"""Planes of an exam's other views, from the headers of their files."""

from collections.abc import Sequence
from typing import Any

import torch
from planewise.exams.dicom import read_header
from planewise.geometry import plane_from_affine


def with_planes(item: dict[str, Any], views: Sequence[str]) -> dict[str, Any]:
    """The item with ``planes`` as in a datalist; each view is a key with the path of a DICOM file."""
    planes = {
        view: plane_from_affine(torch.tensor(read_header(str(item[view]))[0].affine, dtype=torch.float64))
        for view in views
    }
    named = {view: {"origin": origin.tolist(), "normal": normal.tolist()} for view, (origin, normal) in planes.items()}
    own = {"affine": item["image"].affine.numpy()} if hasattr(item["image"], "affine") else {}
    return item | {"planes": named} | own


def as_batch(item: dict[str, Any]) -> dict[str, torch.Tensor]:
    """A slice of `LoadSliced` with selected planes, as a batch of one."""
    image = item["image"]
    return {"image": image.as_tensor()[None, ..., 0], "affine": image.affine[None], "planes": item["planes"][None]}
