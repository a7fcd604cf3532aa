"""Recognise images by their pixel values, so that a copy in another file does not count as another patient."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image

from planewise.exams.exam import Exam
from planewise.exams.mrnet import is_array, open_volume
from planewise.exams.volume import Volume
from planewise.exams.words import count_of, some_of
from planewise.nifti_files import UNREADABLE, is_nifti, open_nifti

#: Errors of Pillow and nibabel about a broken image, which training reports, and of NumPy about voxels that are colours.
UNDECODED = (*UNREADABLE, SyntaxError, TypeError, Image.DecompressionBombError)
#: A slice with fewer different values, or with fewer pixels that differ from its most frequent value, is not compared: two
#: black slices with some noise may have the same histogram.
_LEVELS, _PIXELS = 8, 100
#: Images are in the same place if their centres differ by at most half of this along each axis, mm: some programs round
#: positions.
_CELL = 1.0
#: An image that is found in more patients than this says nothing about a patient: it is a test image, or a page of text.
_MOST_PATIENTS = 3


def is_volume_file(path: str | Path) -> bool:
    """Whether a file is a volume (NIfTI, or an array of MRNet) by its name."""
    return is_nifti(path) or is_array(path)


def volume_shape(path: str | Path) -> tuple[int, ...]:
    """The sides of a volume in ascending order, without its times, from its header; empty if it cannot be read."""
    with suppress(*UNDECODED):
        return tuple(sorted(_voxels(path).shape[:3]))
    return ()


def image_sides(path: str | Path) -> tuple[int, int] | None:
    """The numbers of rows and columns of a DICOM image, from its header; None if it cannot be read."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
        return int(header.Rows), int(header.Columns)
    except Exception:  # a header can be wrong in any way
        return None


def fingerprints(path: str | Path) -> list[str]:
    """A checksum for each image of a DICOM file, or for the middle slices of a volume at each time.

    The slices are those across the volume's shortest side; with an even number of slices, two are in the middle. A checksum
    is computed from the image's histogram, so flips, rotations by 90 degrees, other metadata and another lossless compression
    do not change it. If the histogram's counts are distinct enough, the intensities are left out, so that rescaling them does
    not change the checksum either, unless rounding makes different intensities equal. The checksum changes if the image is
    cropped, resampled or compressed with loss.

    Returns:
        Checksums; none if the file cannot be decoded, or if its slices are almost uniform.
    """
    with suppress(*UNDECODED), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = _middle_slices(path) if is_volume_file(path) else _frames(path)
        return sorted({checksum for image in images if (checksum := _of_histogram(image))})
    return []


def _voxels(path: str | Path):
    if is_array(path):
        return open_volume(path)
    return open_nifti(path).dataobj


def _middle_slices(path: str | Path) -> Iterator[np.ndarray]:
    voxels = _voxels(path)
    sides = voxels.shape[:3]
    for axis in (axis for axis, side in enumerate(sides) if side == min(sides)):
        middle = [slice(None)] * len(voxels.shape)
        middle[axis] = slice((sides[axis] - 1) // 2, sides[axis] // 2 + 1)
        found = np.moveaxis(np.asarray(voxels[tuple(middle)]), axis, 0)
        for of_slice in found:
            times = of_slice.reshape(*of_slice.shape[:2], -1)
            yield from (times[..., time] for time in range(times.shape[-1]))


def _frames(path: str | Path) -> Sequence[np.ndarray]:
    try:
        dataset = pydicom.dcmread(path)
        pixels, count = dataset.pixel_array, int(dataset.get("NumberOfFrames") or 1)
    except Exception:  # pydicom lacks some compressions, and a header can be wrong in any way
        import itk  # late, because it is needed for few files

        pixels = itk.array_from_image(itk.imread(str(path)))
        count = len(pixels) if pixels.ndim > 2 else 1
    return pixels if count > 1 else [pixels]


def _of_histogram(image: np.ndarray) -> str:
    """The checksum of an image, empty if it is almost uniform."""
    values, counts = np.unique(image, return_counts=True)
    if len(counts) < _LEVELS or image.size - counts.max() < _PIXELS:
        return ""
    # an image and its negative get the same checksum
    known = min(counts.tobytes(), counts[::-1].tobytes())
    if len(np.unique(counts)) < _LEVELS:  # few pixels share a value, as after a bias correction
        known += values.astype(np.float32).tobytes()
    return hashlib.sha256(known).hexdigest()[:16]


def join_copies(places: Sequence[Exam | Volume]) -> list[str]:
    """Count exams that share an image as exams of one patient; the other patients' names become aliases.

    DICOM images are read only if two patients have images in the same place, and volumes only if they have the same shape.

    Args:
        places: exams and volumes whose raw identifiers are not hashed yet; the identifiers of copies are changed.

    Returns:
        A warning, if there are such exams.
    """
    candidates: dict[Hashable, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for place in places:
        for where, path in _places_of(place):
            candidates[where][path].add(place.patient_key)
    compared: dict[str, set[str]] = defaultdict(set)
    for paths in candidates.values():
        if len(set().union(*paths.values())) > 1:
            for path, keys in paths.items():
                compared[path] |= keys
    patients: dict[str, set[str]] = defaultdict(set)
    for path, keys in compared.items():
        for checksum in fingerprints(path):
            patients[checksum] |= keys
    shared = [keys for keys in patients.values() if 1 < len(keys) <= _MOST_PATIENTS]
    if not shared:
        return []
    from scipy.cluster.hierarchy import DisjointSet  # late, because few folders have copies

    same = DisjointSet(place.patient_key for place in places)
    for keys in shared:
        for one, other in pairwise(keys):
            same.merge(one, other)
    first = {key: min(keys) for keys in same.subsets() if len(keys) > 1 for key in keys}
    named: dict[str, dict[str, None]] = defaultdict(dict)
    for place in places:
        if key := first.get(place.patient_key):
            named[key][place.case or "/".join(place.folder.parts[-2:])] = None
            if key != place.patient_key:
                place.aliases.append(place.patient_key)
                place.patient_key = key
    return [
        f"{count_of(len(named), 'patient')} known by several names, because images have the same pixels: "
        f"{some_of([' = '.join(names) for names in named.values()])}. Each counts as one patient, in one section, but each "
        "copy counts as an exam: remove the copies from the folder"
    ]


def _places_of(place: Exam | Volume) -> Iterator[tuple[Hashable, str]]:
    """Files of an exam that may be copies, each with a key that it shares with its copies."""
    if isinstance(place, Volume):
        if is_volume_file(place.image) and (shape := volume_shape(place.image)):
            yield shape, str(place.image)
        return
    # an exam of NIfTI files is also in the volumes
    for stack in () if place.case else place.stacks:
        frame = stack.slices[len(stack.slices) // 2].phases[0]
        for where in keys_of_place((frame.rows, frame.columns), frame.affine):
            yield where, frame.path


def keys_of_place(sides: tuple[int, int], affine: Sequence[Sequence[float]]) -> list[tuple]:
    """Keys of the place of a DICOM image. Two images have at least one key in common if they have the same sides and are in
    the same place (see `_CELL`).

    Args:
        sides: numbers of rows and columns.
        affine: ``(4, 4)``, voxel ``(i, j, 0)`` to patient space.
    """
    rows, columns = sides
    centre = np.asarray(affine)[:3] @ [(columns - 1) / 2, (rows - 1) / 2, 0, 1]
    # if a border between two cells separates two close centres, both lie in one of the cells that are shifted by half
    shifts = product((0, 0.5), repeat=3)
    return [(*sorted(sides), *shift, *np.floor(centre / _CELL + shift).tolist()) for shift in shifts]
