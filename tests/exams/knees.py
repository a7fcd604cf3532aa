"""A normal knee in small DICOM files, and folders in MRNet's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from planewise.exams import index_folder

from tests.exams.files import unit, write_image
from tests.exams.hearts import rotation

#: Directions of the rows and columns in each plane, RAS+, as on scanners.
PLANES = {
    "sagittal": ((0, -1, 0), (0, 0, -1)),
    "coronal": ((-1, 0, 0), (0, 0, -1)),
    "axial": ((-1, 0, 0), (0, -1, 0)),
}
#: Header entries of the usual series of a knee protocol.
T2_FS = {"EchoTime": 62, "RepetitionTime": 4200, "ScanningSequence": "SE", "ScanOptions": ["PFP", "SFS"]}
PD = {"EchoTime": 28, "RepetitionTime": 2900, "ScanningSequence": "SE", "ScanOptions": "PFP"}
T1 = {"EchoTime": 11, "RepetitionTime": 620, "ScanningSequence": "SE", "ScanOptions": "PFP"}


def write_series(
    folder: Path, plane: str, *, number=1, slices=11, gap=4.0, centre=(60.0, 5.0, -20.0), turn=None, first=1, **tags
) -> Path:
    """Write a stack as one series of single-frame images.

    Args:
        folder: the series' folder; its name is also the description, unless ``tags`` say otherwise.
        plane: name of the plane in `PLANES`.
        centre: centre of the stack, RAS+, mm; the default is a right knee's.
        turn: rotation matrix of the whole stack about its centre.
        first: instance number of the first image.
        tags: header entries; those of a T2-weighted fat-suppressed series unless given.
    """
    row, column = np.array(PLANES[plane], dtype=float) @ (np.eye(3) if turn is None else turn).T
    normal = np.cross(row, column)
    values = {"SeriesDescription": folder.name.replace("_", " "), "SeriesNumber": number} | T2_FS | tags
    values.setdefault("AcquisitionTime", f"{100000 + 100 * number}")
    for rank in range(slices):
        place = np.asarray(centre, float) + (rank - (slices - 1) / 2) * gap * unit(normal)
        path = folder / f"IM-{number:04d}-{rank + 1:04d}.dcm"
        numbered = {"InstanceNumber": rank + first, "SliceThickness": 3.5} | values
        write_image(path, place, row, column, spacing=7.0, **numbered)
    return folder


def write_knee(folder: Path, *, turn=None, centre=(60.0, 5.0, -20.0), name="SAG_T2_FS", sagittal=None, **tags) -> Path:
    """Write an exam: ``SAG_T2_FS`` (``name``, 15 slices), ``COR_PD_FS`` (11) and ``AX_T2_FS`` (13).

    Args:
        turn: rotation matrix of the whole knee.
        sagittal: header entries of the sagittal series alone.
        tags: header entries of every file.
    """
    common = {"turn": turn, "centre": centre}
    sagittal = tags | (sagittal or {})
    write_series(folder / name, "sagittal", number=4, slices=15, **common, **sagittal)
    write_series(folder / "COR_PD_FS", "coronal", number=5, **common, **(PD | {"ScanOptions": "FS"} | tags))
    write_series(folder / "AX_T2_FS", "axial", number=6, slices=13, **common, **tags)
    return folder


def oblique(degrees: float, axis=(0.2, 0.3, 1.0)) -> np.ndarray:
    """The rotation of a knee about an axis close to the leg's length."""
    return rotation(axis, degrees)


def write_mrnet(folder: Path, sections=None, *, slices=6, seed=0) -> Path:
    """Write MRNet's tree.

    Args:
        sections: for ``train`` and ``valid``, maps exam numbers to (abnormal, acl, meniscus); by default 12 and 4 exams.
    """
    combinations = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 0, 1)]
    sections = sections or {
        "train": {number: combinations[number % 4] for number in range(12)},
        "valid": {number: combinations[number % 4] for number in range(1130, 1134)},
    }
    rng = np.random.default_rng(seed)
    for section, exams in sections.items():
        for plane in ("axial", "coronal", "sagittal"):
            (folder / section / plane).mkdir(parents=True)
            for number in exams:
                volume = rng.integers(0, 256, size=(slices, 16, 16), dtype=np.uint8)
                np.save(folder / section / plane / f"{number:04d}.npy", volume)
        for index, label in enumerate(("abnormal", "acl", "meniscus")):
            lines = [f"{number:04d},{labels[index]}\n" for number, labels in exams.items()]
            (folder / f"{section}-{label}.csv").write_text("".join(lines))
    return folder


SECTIONS = ("training", "validation", "test")


def index(folder, **options):
    """`index_folder` for knees."""
    return index_folder(folder, anatomy="knee", **options)


def items_of(result) -> list[dict]:
    """All items, sorted by exam and slice."""
    items = [item for section in SECTIONS for item in result.datalist[section]]
    return sorted(items, key=lambda item: (item["exam"], item["slice"]))


def only_exam(result) -> dict:
    """The entry of the only exam that was found."""
    (exam,) = result.datalist["exams"].values()
    return exam
