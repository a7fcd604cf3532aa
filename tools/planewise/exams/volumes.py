"""Exams that come as NIfTI: ACDC's tree, and people's own images with masks beside them."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import nibabel
import numpy as np

from planewise.exams.volume import Volume

#: Masks and images whose affines differ by more than this (mm) anywhere in the image lie on different grids.
SAME_GRID = 0.1

_IMAGE_STEM = re.compile(r"^(?P<case>.+?)(?:[_-](?P<phase>frame\d+|ed|es))?$", re.IGNORECASE)
_MASK_TAIL = re.compile(r"[_-]?(gt|seg|segmentation|labels?|masks?)$", re.IGNORECASE)
_MASK_WORDS = re.compile(r"(^|[_-])(\w*seg|gt|labels?|masks?)([_-]|$)", re.IGNORECASE)


def stem(path: Path) -> str:
    """The file's name without ``.nii`` or ``.nii.gz``."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def case_and_phase(name: str) -> tuple[str, str | None]:
    """``patient001_frame01`` to ``("patient001", "frame01")``, ``001_SA_ED`` to ``("001_SA", "ED")``."""
    match = _IMAGE_STEM.match(name)
    case, phase = match["case"], match["phase"]
    return case.rstrip("_-"), None if phase is None else (phase.lower() if phase[0] in "fF" else phase.upper())


def read_volumes(paths: Iterable[Path], folder: Path) -> tuple[list[Volume], dict[str, list[str]]]:
    """Volumes with their masks, from NIfTI files.

    A folder with ACDC's ``Info.cfg`` gives its end-diastolic and end-systolic frames; elsewhere every 3D image is a volume,
    and ``case_gt.nii.gz`` (or ``_seg``, ``_label``, ``_mask``) beside ``case.nii.gz`` is its mask.

    Returns:
        Volumes, and what was left out: reason to paths.
    """
    by_folder = defaultdict(list)
    for path in paths:
        by_folder[path.parent].append(path)
    volumes: list[Volume] = []
    skipped: dict[str, list[str]] = defaultdict(list)
    for home, files in by_folder.items():
        info = home / "Info.cfg"
        if info.is_file():
            volumes += _acdc_patient(info, files, skipped)
        else:
            volumes += _own_volumes(files, skipped)
    kept = [volume for volume in volumes if _check(volume, skipped)]
    _name_cases(kept, folder)
    return kept, dict(skipped)


def _name_cases(volumes: list[Volume], folder: Path) -> None:
    """Identifiers: the case and its folder's name, so that they do not depend on where above them indexing began; cases
    that share both get their whole path below ``folder``. What lies in a folder that its name begins with (``001/001_SA``,
    ACDC's ``patient001/patient001``) is one patient."""
    homes = defaultdict(set)
    for volume in volumes:
        homes[volume.folder.name, volume.case].add(volume.folder)
    for volume in volumes:
        home, case = volume.folder, volume.case
        unique = len(homes[home.name, case]) == 1
        place = home.name if unique or not home.is_relative_to(folder) else home.relative_to(folder).as_posix()
        volume.key = f"nifti:{place}/{case}"
        volume.patient_key = f"nifti:{place}" if case.startswith(home.name) else volume.key


def read_info(path: Path) -> dict[str, str]:
    """ACDC's ``Info.cfg``: ``Key: value`` lines, as UTF-8 or else Latin-1; nothing where it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError:
        return {}
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _acdc_patient(info_file: Path, files: list[Path], skipped: dict) -> list[Volume]:
    info = read_info(info_file)
    case = info_file.parent.name
    by_stem = {stem(path).lower(): path for path in files}
    classes: dict[str, object] = {"group": info["Group"]} if info.get("Group") else {}
    for name in ("Height", "Weight"):
        try:
            value = float(info[name])
            if not math.isfinite(value):
                raise ValueError
            classes[name.lower()] = value
        except (KeyError, ValueError):
            skipped[f"ACDC patient whose Info.cfg has no {name}: kept without it"].append(str(info_file))
    volumes = []
    for phase in ("ED", "ES"):
        try:
            name = f"{case}_frame{int(info[phase]):02d}".lower()
        except (KeyError, ValueError):
            skipped[f"ACDC patient whose Info.cfg names no {phase} frame: that phase is left out"].append(
                str(info_file)
            )
            continue
        if name not in by_stem:
            skipped[f"ACDC patient without the {phase} frame that Info.cfg names: that phase is left out"].append(
                str(info_file)
            )
            continue
        volumes.append(Volume(by_stem[name], by_stem.get(f"{name}_gt"), case, phase, classes, info.get("Group", "")))
    return volumes


def _own_volumes(files: list[Path], skipped: dict) -> list[Volume]:
    by_stem = {stem(path): path for path in files}
    masks: dict[str, list[str]] = {}
    for name in sorted(by_stem, key=len):  # an image's name is shorter than its masks'
        owners = [image for image in masks if name.startswith(image) and _MASK_WORDS.search(name[len(image) :])]
        if owners:
            masks[max(owners, key=len)].append(name)
        else:
            masks[name] = []
    volumes = []
    for name, path in by_stem.items():
        if name not in masks:
            continue
        own = masks[name]
        plain = [mask for mask in own if _MASK_TAIL.fullmatch(mask[len(name) :])]
        chosen = plain if len(plain) == 1 else own
        if len(chosen) > 1:
            skipped["several masks match one image: none is used; leave one"] += [str(by_stem[mask]) for mask in chosen]
        case, phase = case_and_phase(name)
        label = by_stem[chosen[0]] if len(chosen) == 1 else None
        volumes.append(Volume(path, label, case, phase))
    return volumes


def _check(volume: Volume, skipped: dict) -> bool:
    """Whether a volume is 3D and readable; a mask on another grid is taken away."""
    try:
        image = nibabel.load(volume.image)
    except Exception:  # nibabel raises many kinds for broken files
        skipped["NIfTI file that cannot be read"].append(str(volume.image))
        return False
    if len(image.shape) != 3:
        skipped[f"NIfTI image with {len(image.shape)} dimensions: 3D volumes are wanted, one per phase"].append(
            str(volume.image)
        )
        return False
    if not np.isfinite(image.affine).all():
        skipped["NIfTI image whose affine is not finite"].append(str(volume.image))
        return False
    if volume.label is not None and (problem := grid_problem(volume.label, image.shape, image.affine)):
        skipped[f"mask left out: {problem}"].append(str(volume.label))
        volume.label = None
    return True


def grid_problem(mask: Path, shape: tuple[int, ...], affine: np.ndarray) -> str:
    """Why a mask does not lie on an image's grid, in words; empty if it does."""
    try:
        header = nibabel.load(mask)
    except Exception:
        return "it cannot be read"
    if header.shape != tuple(shape):
        return f"its shape is {header.shape}, the image's {tuple(shape)}"
    corners = np.array([[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])])
    apart = np.abs(corners @ (header.affine - affine).T).max()
    if not np.isfinite(apart):
        return "its affine is not finite"
    if apart > SAME_GRID:
        return f"its affine puts it up to {apart:.1f} mm from the image"
    return ""
