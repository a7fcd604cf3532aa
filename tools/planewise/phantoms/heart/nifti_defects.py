"""Flaws of heart exams in NIfTI files, written on demand to test readers."""

from __future__ import annotations

import re

import numpy as np

from planewise.phantoms.defect import Defect, displaced, keeping, registering, unchanged
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.heart import ATRIA
from planewise.phantoms.scanner.dicom import Identity
from planewise.phantoms.scanner.nifti import NiftiFile

Files = list[NiftiFile]

#: Flaws of the M&Ms-2 layout and of the UK Biobank layout by name, in listing order.
MNMS2_DEFECTS: dict[str, Defect] = {}
UKBB_DEFECTS: dict[str, Defect] = {}

_in_mnms2, _in_ukbb = registering(MNMS2_DEFECTS), registering(UKBB_DEFECTS)

#: Names of masks, in both layouts.
_MASK = re.compile(r"_gt\.|^label_")
#: Names of 4ch images and masks.
_FOUR_CHAMBER = re.compile(r"_LA_|la_4ch")


MNMS2_DEFECTS["plain_codes"] = Defect("the table's codes are numbers, 7 for folder 007, as in the real set", unchanged)
MNMS2_DEFECTS["padding_rows"] = Defect("the table ends in empty rows (,,,,), as in the real set", unchanged)
MNMS2_DEFECTS["no_table"] = Defect("no table", unchanged)
MNMS2_DEFECTS["no_long_axis"] = Defect("no long-axis images", keeping(lambda file: "_LA_" not in file.name))
UKBB_DEFECTS["no_2ch"] = Defect("no 2ch cine", keeping(lambda file: "la_2ch" not in file.name))
UKBB_DEFECTS["no_4ch"] = Defect("no 4ch cine, frames or labels", keeping(lambda file: "la_4ch" not in file.name))
UKBB_DEFECTS["no_short_axis"] = Defect(
    "no short-axis cine, frames or labels", keeping(lambda file: not re.match(r"(label_)?sa[_.]", file.name))
)


@_in_ukbb("only cines, and the names of la_2ch and la_4ch are swapped")
def swapped_names(files: Files, exam: Exam, identity: Identity) -> Files:
    other = {"la_2ch.nii.gz": "la_4ch.nii.gz", "la_4ch.nii.gz": "la_2ch.nii.gz"}
    files = unlabelled(files, exam, identity)
    for file in files:
        file.name = other.get(file.name, file.name)
    return files


@_in_ukbb("labels of whole cines (label_la_4ch), drawn at ED and ES, as the pipeline's converter writes them")
def cine_labels(files: Files, exam: Exam, identity: Identity) -> Files:
    return [*files, *(drawn for view in ("sa", "la_4ch") for drawn in _over_time(files, exam, view))]


def _over_time(files: list[NiftiFile], exam: Exam, view: str) -> list[NiftiFile]:
    """Make a volume of a view's labels over the cycle, with labels in two phases only. If another flaw has removed the
    labels, the list is empty."""
    labels = [file for file in files if file.name in (f"label_{view}_ED.nii.gz", f"label_{view}_ES.nii.gz")]
    if len(labels) < 2:
        return []
    first, last = labels
    volume = np.zeros((*first.volume.shape, len(exam.phases)), dtype=np.uint8)
    volume[..., 0], volume[..., exam.end_systole] = first.volume, last.volume
    return [NiftiFile(f"label_{view}.nii.gz", volume, first.affine, exam.step)]


@_in_ukbb("in 4ch only the atria are drawn, as 1 and 2, like the pipeline's own files")
def only_atria(files: Files, exam: Exam, identity: Identity) -> Files:
    for file in files:
        if file.name.startswith("label_la_4ch"):
            drawn = file.volume
            file.volume = np.where(drawn == ATRIA["la"], 1, np.where(drawn == ATRIA["ra"], 2, 0)).astype(drawn.dtype)
    return files


@_in_ukbb("masks that the pipeline's networks predicted are in the folder too: seg_sa_ED, seg4_la_4ch")
def predictions(files: Files, exam: Exam, identity: Identity) -> Files:
    by_name = {file.name: file for file in files}
    names = {"label_sa_ED": "seg_sa_ED", "label_la_4ch_ED": "seg4_la_4ch_ED", "label_la_4ch_ES": "seg4_la_4ch_ES"}
    drawn = [
        NiftiFile(f"{seg}.nii.gz", by_name[f"{label}.nii.gz"].volume, by_name[f"{label}.nii.gz"].affine)
        for label, seg in names.items()
        if f"{label}.nii.gz" in by_name
    ]
    cine = by_name.get("la_4ch.nii.gz")
    if cine is not None:
        drawn.append(NiftiFile("seg4_la_4ch.nii.gz", np.zeros_like(cine.volume), cine.affine, cine.step))
    return [*files, *drawn]


@_in_mnms2("no orientation in the headers: the codes of sform and qform are 0")
@_in_ukbb("no orientation in the headers: the codes of sform and qform are 0")
def no_orientation(files: Files, exam: Exam, identity: Identity) -> Files:
    for file in files:
        file.oriented = False
    return files


@_in_mnms2("no labels")
@_in_ukbb("only cines, without labels or their frames")
def unlabelled(files: Files, exam: Exam, identity: Identity) -> Files:
    kept = [file for file in files if not _MASK.search(file.name)]
    in_ukbb = any(file.name == "sa.nii.gz" for file in files)
    return [file for file in kept if not (in_ukbb and re.search(r"_E[DS]\.", file.name))]


@_in_mnms2("the labels of 4ch images are displaced by 20 mm")
@_in_ukbb("the labels of 4ch images are displaced by 20 mm")
def mask_elsewhere(files: Files, exam: Exam, identity: Identity) -> Files:
    return [displaced(file) if _MASK.search(file.name) and _FOUR_CHAMBER.search(file.name) else file for file in files]
