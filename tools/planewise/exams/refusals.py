"""Refuse files without a usable slice, judged by name and header."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pydicom

from planewise.findings import Finding, finding


def values_of(value: Any) -> list:
    """A value as a list of zero, one or several values."""
    if value is None:
        return []
    return list(value) if not isinstance(value, str) and hasattr(value, "__iter__") else [value]


def number_of(value: Any) -> float | None:
    """A value as a finite number; None if it is not a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _each(code: str, kinds: str) -> Iterator[Finding]:
    return (finding(code, kind=kind) for kind in kinds.split())


#: Why a file is left out. People see each reason with a count and one example.
HIDDEN, EMPTY, NOT_DICOM, ARCHIVE, OTHER_FORMAT, ODD_PATH, TRUNCATED, DAMAGED = _each(
    "file-unusable", "hidden empty not-dicom packed other-format no-text truncated damaged"
)
NO_IMAGE, NOT_ACQUIRED, BURNT_IN, COLOUR, MOSAIC, PHASE_IMAGE, NO_POSITION, BAD_GEOMETRY, BAD_PIXELS, BAD_SCALE = _each(
    "dicom-unusable", "no-image not-acquired burnt-in colour mosaic phase-image no-position geometry pixels scale"
)
#: Why an image is damaged, or its header is wrong: an exam may lack its slices.
BROKEN = {EMPTY, TRUNCATED, DAMAGED, NO_POSITION, BAD_GEOMETRY, BAD_PIXELS, BAD_SCALE}

#: Read by ITK's GDCM: uncompressed, deflated, JPEG, JPEG-LS, JPEG 2000 and RLE; not video or high-throughput JPEG 2000.
READABLE = {"1.2.840.10008.1.2", *(f"1.2.840.10008.1.2.{tail}" for tail in ("1", "1.99", "2", "5"))} | {
    f"1.2.840.10008.1.2.4.{tail}" for tail in (50, 51, 57, 70, 80, 81, 90, 91)
}
#: UID of the deflated transfer syntax.
DEFLATED = "1.2.840.10008.1.2.1.99"
#: Maps each modality to the SOP classes of its images: one slice per file, and enhanced multi-frame files.
_IMAGES = {
    "MR": {f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("4", "4.1")},
    "CT": {f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2", "2.1")},
}
#: SOP classes of single-frame files among them.
SINGLE_FRAME = {"1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2", ""}
_DIRECTORY = "1.2.840.10008.1.3.10"
_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"
_PROJECTIONS = {"PROJECTION IMAGE", "MIP", "MINIP", "MPR", "CSA MPR", "CSAPARALLEL"}
_ARCHIVES = {".zip", ".gz", ".zst", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz"}
#: Formats that 3D Slicer and ITK-SNAP write instead of NIfTI.
OTHER_IMAGES = (".nrrd", ".nhdr", ".mha", ".mhd", ".hdr")
_SYSTEM_NAMES = {"dicomdir", "thumbs.db", "desktop.ini"}


class Refused(Exception):  # noqa: N818
    """Raised for a file without usable frames; its argument is the `Finding` that says why."""


def refuse_by_name(name: str) -> None:
    """Raises `Refused` for a file whose name, without its folder, shows that it is not an image."""
    suffix = os.path.splitext(name)[1].lower()
    if suffix in OTHER_IMAGES:
        raise Refused(OTHER_FORMAT)
    if name.startswith(".") or name.lower() in _SYSTEM_NAMES:
        raise Refused(HIDDEN)
    if name.lower().endswith(
        (".nii", ".nii.gz", ".txt", ".csv", ".json", ".xml", ".pdf", ".md", ".png", ".jpg", ".npy")
    ):
        raise Refused(NOT_DICOM)
    if suffix in _ARCHIVES:
        raise Refused(ARCHIVE)


def refuse_what_is_no_slice(
    header: dict, syntax: str, media_class: str = "", modalities: Sequence[str] = ("MR",)
) -> None:
    """Raises `Refused` for a header that does not describe an acquired slice, or describes one that cannot be shown.

    Args:
        header: maps keywords to values.
        syntax: UID of the transfer syntax; empty if the file has none.
        media_class: MediaStorageSOPClassUID of the file's own header; empty if the file has none.
        modalities: accepted modalities, ``"MR"`` or ``"CT"``.
    """
    sop_class, modality = (str(header.get(keyword) or "") for keyword in ("SOPClassUID", "Modality"))
    image_type = {str(value).upper() for value in values_of(header.get("ImageType"))}
    images, wanted = set().union(*(_IMAGES[name] for name in modalities)), " or ".join(modalities)
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
    if not sop_class and not modality and "Rows" not in header:
        raise Refused(NO_IMAGE if media_class == _DIRECTORY else TRUNCATED if syntax else NOT_DICOM)
    if sop_class.startswith(_CAPTURES) or modality in ("SC", "OT") or "SCREEN SAVE" in image_type:
        raise Refused(NOT_ACQUIRED)
    if "Rows" not in header or "Columns" not in header:
        raise Refused(TRUNCATED if images & {sop_class, media_class} else NO_IMAGE)
    if modality not in (*modalities, ""):
        # only two to eight capitals are repeated, as in DICOM's modalities; any other text may be somebody's name
        found = modality if re.fullmatch("[A-Z]{2,8}", modality) else "?"
        raise Refused(finding("dicom-unusable", kind="other-modality", modality=found, wanted=wanted))
    if sop_class and sop_class not in images:
        raise Refused(NO_IMAGE)
    if int(header["Rows"] or 0) < 1 or int(header["Columns"] or 0) < 1 or not header.get("BitsAllocated"):
        raise Refused(BAD_PIXELS)
    if str(header.get("BurnedInAnnotation") or "").upper() == "YES":
        raise Refused(BURNT_IN)
    if int(header.get("SamplesPerPixel") or 1) > 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise Refused(COLOUR)
    if modality == "CT" and photometric == "MONOCHROME1":
        raise Refused(BAD_SCALE)
    of_ct = modality == "CT" and "PerFrameFunctionalGroupsSequence" not in header
    refuse_scale(header.get("RescaleSlope"), header.get("RescaleIntercept"), needed=of_ct)
    if "MOSAIC" in image_type:
        raise Refused(MOSAIC)
    if image_type & _PROJECTIONS:
        raise Refused(NOT_ACQUIRED)
    if syntax and syntax not in READABLE:
        raise Refused(finding("dicom-unusable", kind="compressed", syntax=pydicom.uid.UID(syntax).name))


def refuse_scale(slope: object, intercept: object, needed: bool = False) -> None:
    """Raises `Refused` for a rescale slope or intercept (None if the header has none) with which ITK would read other values;
    ``needed`` if pixel values are meaningless without them, as in CT."""
    given = [number_of(value) for value in (slope, intercept) if value is not None]
    if None in given or (slope is not None and not number_of(slope)) or (needed and len(given) < 2):
        raise Refused(BAD_SCALE)
