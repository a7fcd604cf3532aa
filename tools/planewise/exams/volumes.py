"""NIfTI exams: the trees of ACDC, M&Ms-2 and UK Biobank, and people's own images with masks next to them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import aff2axcodes, inv_ornt_aff, io_orientation, ornt_transform

from planewise.errors import InputError
from planewise.exams.any_organ import MIN_SLICES
from planewise.exams.heart_sets import CINE_OF_FRAMES, read_exam
from planewise.exams.volume import FoundVolumes, Skipped, Volume
from planewise.files.masks import CORRECTED, has_mark, label_values, oldest_first
from planewise.files.names import case_and_channel, stem
from planewise.files.nifti import open_nifti, other_grid, states_orientation
from planewise.findings import Finding, finding

#: Why a file is not an image.
PREDICTED_AS_IMAGE, MASK_AS_IMAGE = (finding("mask-as-image", kind=kind) for kind in ("predicted", "values"))
#: Why a second file of an image, a mask without its image, or several masks are not used.
TWICE, NO_IMAGE = finding("file-not-used", kind="file"), finding("mask-not-used", kind="alone")
SEVERAL_MASKS = finding("mask-not-used", kind="several")

_IMAGE_STEM = re.compile(r"(?P<case>.+?|)(?:[_-](?P<phase>frame\d+|ed|es))?", re.IGNORECASE | re.DOTALL)
_CINE_TAIL = re.compile(r"[_-](4d|cine)$", re.IGNORECASE)
#: The end of a mask's name; a mask that a person corrected (`planewise.files.masks.CORRECTED`) has one more.
_MASK_END = rf"(gt|seg|segmentation|labels?|masks?)({CORRECTED}(_\d+)?)?$"
_MASK_TAIL = re.compile(rf"[_-]?{_MASK_END}", re.IGNORECASE)
#: BIDS names begin with their subject.
_SUBJECT = re.compile(r"sub-[a-z0-9]+(?=_)", re.IGNORECASE)
_MASK_ALONE = re.compile(rf"[_-]{_MASK_END}", re.IGNORECASE)
#: Folders of masks.
_MASK_FOLDER = re.compile(r"(gt|seg|segmentations?|labels?|masks?)(tr|ts)?$", re.IGNORECASE)
#: Folders of images in nnU-Net's layout.
IMAGE_FOLDER = re.compile(r"images(Tr|Ts)")
_MASK_WORDS = re.compile(r"(^|[_-])(\w*seg|gt|labels?|masks?)([_-]|$)", re.IGNORECASE)


def case_and_phase(name: str) -> tuple[str, str | None]:
    """Split a name into case and phase: ``patient001_frame01`` into ``("patient001", "frame01")``, ``001_SA_ED`` into
    ``("001_SA", "ED")``."""
    case, phase = _IMAGE_STEM.fullmatch(name).groups()
    return case.rstrip("_-"), None if phase is None else (phase.lower() if phase[0] in "fF" else phase.upper())


def read_volumes(paths: Iterable[Path], folder: Path, of_one_slice: bool = False) -> FoundVolumes:
    """Volumes with their masks, from NIfTI files below ``folder``.

    Folders of data sets have their own readers (`heart_sets`). In all others, every 3D image is a volume, and every 4D image
    gives one volume for each of its times. The mask of ``case.nii.gz`` is ``case_gt.nii.gz`` (or ``_seg``, ``_label``,
    ``_mask``) next to it, or the file with the image's name in a folder of masks, next to the image's folder (``masks`` for
    ``images``) or inside it. In nnU-Net's layout, the mask of ``imagesTr/case_0000.nii.gz`` (or ``imagesTr/case.nii.gz``) is
    ``labelsTr/case.nii.gz``. A mask without its image is left out. If the frames of a cine also exist as files (``case_4d``,
    ``case_frame01``), the frames are used. Volumes without a known view must be a stack or, if ``of_one_slice``, one
    slice."""
    volumes: list[Volume] = []
    own: list[Volume] = []
    skipped: Skipped = defaultdict(list)
    by_folder, masks = apart_from_masks(paths, folder)
    for home, files in by_folder.items():
        found = read_exam(home, files, skipped)
        volumes += found or []
        own += find_own_volumes(files, skipped) if found is None else []
    for volume in [volume for volume in own if IMAGE_FOLDER.fullmatch(volume.folder.name)]:
        name, channel = case_and_channel(volume.image)
        volume.case, volume.phase = case_and_phase(name)
        if channel:
            skipped[finding("file-not-used", kind="nnunet-channel")].append(str(volume.image))
            own.remove(volume)
    add_parallel_masks(own, masks, skipped)
    volumes += own
    usable = [volume for volume in volumes if is_usable(volume, skipped, of_one_slice=of_one_slice)]
    kept = [phase for volume in usable for phase in _phases(volume, usable, skipped)]
    name_cases(kept, folder)
    return FoundVolumes(kept, {reason: files for reason, files in skipped.items() if files})


def apart_from_masks(paths: Iterable[Path], folder: Path) -> tuple[dict[Path, list[Path]], list[Path]]:
    """The files below ``folder`` by their folder, and those in folders of masks."""
    by_folder, masks = defaultdict(list), []
    for path in paths:
        below = path.parent.relative_to(folder).parts if path.is_relative_to(folder) else ()
        of_masks = any(map(_MASK_FOLDER.match, below))
        (masks if of_masks else by_folder[path.parent]).append(path)
    return by_folder, masks


def add_parallel_masks(volumes: Sequence[Volume], masks: Sequence[Path], skipped: Skipped) -> None:
    """Give images without a mask the one of their name in a folder of masks next to their folder, or inside it. Masks and
    images that do not match one to one are skipped."""
    named = defaultdict(list)
    for path in masks:
        kind = _MASK_FOLDER.match(path.parent.name)
        named[path.parent.parent, ((kind and kind[2]) or "").lower(), _MASK_ALONE.sub("", stem(path))].append(path)
    matches = []
    for volume in (volume for volume in volumes if volume.label is None):
        part = IMAGE_FOLDER.fullmatch(volume.folder.name)
        names = (
            (volume.case,) if volume.channels else (stem(volume.image), *case_and_channel(volume.image)[: bool(part)])
        )
        homes = {volume.folder.parent, volume.folder}
        keys = {(home, part[1].lower() if part else "", name) for home in homes for name in names}
        matches.append((volume, [mask for key in keys for mask in named.get(key, ())]))
    images = Counter(mask for _, own in matches for mask in own)
    for volume, own in matches:
        volume.label = own[0] if len(own) == 1 == images[own[0]] else None
    used = {volume.label for volume, _ in matches}
    for path in (path for path in masks if path not in used):
        skipped[SEVERAL_MASKS if path in images else NO_IMAGE].append(str(path))


def name_cases(volumes: list[Volume], folder: Path) -> None:
    """Give volumes their identifiers: the case and its folder's name, so that they do not depend on where indexing began, or
    its whole path below ``folder`` if they are not unique. Files whose names begin with the name of their folder
    (``001/001_SA``) belong to one patient, and so do the files of one BIDS subject (``sub-01_T1w``)."""
    homes = defaultdict(set)
    for volume in volumes:
        homes[volume.folder.name, volume.case].add(volume.folder)
    for volume in volumes:
        home, case = volume.folder, volume.case
        unique = len(homes[home.name, case]) == 1
        place = home.name if unique or not home.is_relative_to(folder) else home.relative_to(folder).as_posix()
        volume.key = f"nifti:{place}/{case}"
        subject = _SUBJECT.match(case)
        patient = f"nifti:{subject[0]}" if subject else volume.key
        volume.patient_key = f"nifti:{place}" if case.startswith(home.name) else patient


def find_own_volumes(files: list[Path], skipped: Skipped) -> list[Volume]:
    """The images among the NIfTI files of one folder, and the masks whose names begin with the name of an image; for a single
    image, also a mask with a generic name (``Segmentation.nii.gz``). Other files are skipped."""
    by_stem = {stem(path): path for path in files}
    skipped[TWICE] += map(str, set(files) - set(by_stem.values()))
    masks: dict[str, list[str]] = {}
    for name in sorted(by_stem, key=len):  # images first, because their names are shorter than those of their masks
        owners = [image for image in masks if name.startswith(image) and _MASK_WORDS.search(name[len(image) :])]
        if owners:
            masks[max(owners, key=len)].append(name)
        else:
            masks[name] = []
    alone = [name for name in masks if _MASK_TAIL.fullmatch(name) or _MASK_ALONE.search(name)]
    # 3D Slicer exports Segmentation.nii.gz next to a folder's only image
    unnamed, images = [name for name in alone if _MASK_TAIL.fullmatch(name)], masks.keys() - {*alone}
    only = next(iter(images), "")
    if len(unnamed) == len(images) == 1 and not masks[only]:
        masks[only] = unnamed
        alone.remove(unnamed[0])
    skipped[NO_IMAGE] += [str(by_stem[name]) for name in alone]
    volumes = []
    for name in (name for name in by_stem if name in images):
        own = masks[name]
        plain = [mask for mask in own if _MASK_TAIL.fullmatch(mask[len(name) :])]
        corrected = [stem(file) for file in oldest_first(by_stem[mask] for mask in own if CORRECTED in mask)]
        of_one = len({mask.partition(CORRECTED)[0] for mask in corrected}) == 1
        chosen = corrected[-1:] if of_one else plain if len(plain) == 1 else own
        if len(chosen) > 1:
            skipped[SEVERAL_MASKS] += [str(by_stem[mask]) for mask in chosen]
        label = by_stem[chosen[0]] if len(chosen) == 1 else None
        volumes.append(Volume(by_stem[name], label, *case_and_phase(name)))
    return volumes


def is_usable(volume: Volume, skipped: Skipped, whole: bool = False, of_one_slice: bool = False) -> bool:
    """Whether a volume can be read and used: as a case if it stays ``whole``. A mask on another grid is removed."""
    reference, single = None, of_one_slice and not volume.view
    for path in volume.channels or (volume.image,):
        image, problem = _open(path)
        if problem:
            pass
        elif len(image.shape) not in (3, 4):
            problem = finding("nifti-image", kind="dimensions", count=len(image.shape), wanted="three or four")
        elif has_mark(image):
            problem = PREDICTED_AS_IMAGE
        elif whole and image.shape[3:] not in ((), (1,)):
            problem = finding("nifti-image", kind="volumes", count=image.shape[3])
        elif whole and min(image.shape[:3]) < MIN_SLICES:
            problem = finding("nifti-image", kind="flat", least=MIN_SLICES)
        elif reference is not None:
            problem = mask_on_grid(path, reference.shape, reference.affine, turned=False)[0]
        elif not whole and volume.view in ("", "sax") and single != (image.shape[2] == 1):
            problem = finding("nifti-image", kind="slices" if single else "slice")
        if problem := problem or (MASK_AS_IMAGE if label_values(path) else None):
            skipped[problem].append(str(path))
            return False
        reference = image if reference is None else reference
    volume.oriented = states_orientation(reference.header)
    if volume.label is not None:
        problem, volume.label_axes = mask_on_grid(volume.label, reference.shape, reference.affine, turned=whole)
        if problem:
            skipped[problem.about("mask")].append(str(volume.label))
            volume.label = None
    return True


def _open(path: Path) -> tuple[Any, Finding | None]:
    try:
        return open_nifti(path), None
    except OSError as error:
        return None, finding("file-unusable", kind="unreadable", error=error.strerror)
    except InputError as error:
        return None, error.reason


def _phases(volume: Volume, others: Sequence[Volume], skipped: Skipped) -> list[Volume]:
    """A volume for each time of a cine; an empty list if the cine's frames are also volumes of their own."""
    times = open_nifti(volume.image).shape[3:]
    if not times or times == (1,):
        return [volume]
    if not volume.view and has_frames(volume, others):
        skipped[CINE_OF_FRAMES].append(str(volume.image))
        return []
    return [replace(volume, time=time, phase=f"frame{time + 1:02d}") for time in range(times[0])]


def has_frames(cine: Volume, others: Iterable[Volume]) -> bool:
    """Whether frames of a cine are also volumes of their own (``case_frame01`` next to ``case_4d``)."""
    case = _CINE_TAIL.sub("", cine.case)
    return any(other.folder == cine.folder and other.case == case and other.phase for other in others)


def mask_on_grid(
    mask: Path, shape: tuple[int, ...], affine: np.ndarray, turned: bool = True
) -> tuple[Finding | None, list[list[int]]]:
    """Whether a mask is on an image's grid; if ``turned``, its axes may have any order and direction.

    Returns:
        Why it is not, None if it is; and the argument of `nibabel.orientations.apply_orientation` that gives the mask the
        image's axes, empty if it has these axes.
    """
    header, problem = _open(mask)
    if problem:
        return problem, []
    # a fourth axis of length 1 does not count
    own, wanted = (tuple(sizes[:3] if sizes[3:] == (1,) else sizes) for sizes in (header.shape, tuple(shape)))
    problem = other_grid(own, header.affine, wanted, affine)
    directions = np.array([io_orientation(each) for each in (header.affine, affine)])
    if problem and len(own) == 3 and states_orientation(header.header) and np.isfinite(directions).all():
        turn = ornt_transform(*directions).astype(int)
        sizes = tuple(own[axis] for axis in turn[:, 0].argsort())
        if not other_grid(sizes, header.affine @ inv_ornt_aff(turn, own), wanted, affine):
            if turned:
                return None, turn.tolist()
            own_axes, axes = ("".join(aff2axcodes(each)) for each in (header.affine, affine))
            problem = finding("grid-differs", kind="axes", own=own_axes, wanted=axes)
    return problem, []
