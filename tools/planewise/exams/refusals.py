"""Refuse files without a usable slice, judged by name, header and length."""

from __future__ import annotations

import math
import os
import re
import zlib
from collections.abc import Sequence
from typing import BinaryIO, Literal

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword

from planewise.exams.dicom_values import number_of, values_of
from planewise.findings import finding

#: Why a file is left out. People see each reason with a count and one example.
HIDDEN, EMPTY, NOT_DICOM = (
    finding("file-unusable", kind="hidden"),
    finding("file-unusable", kind="empty"),
    finding("file-unusable", kind="not-dicom"),
)
ARCHIVE, OTHER_FORMAT = finding("file-unusable", kind="packed"), finding("file-unusable", kind="other-format")
NOT_A_FILE, LINKED_FOLDER, ODD_PATH = (
    finding("file-unusable", kind="no-file"),
    finding("file-unusable", kind="linked"),
    finding("file-unusable", kind="no-text"),
)
#: The file ends early; or its header is broken, repeats an element, or makes pydicom and ITK read different things.
TRUNCATED, DAMAGED = finding("file-unusable", kind="truncated"), finding("file-unusable", kind="damaged")
NO_IMAGE, NOT_ACQUIRED = finding("dicom-unusable", kind="no-image"), finding("dicom-unusable", kind="not-acquired")
BURNT_IN, COLOUR, MOSAIC = (
    finding("dicom-unusable", kind="burnt-in"),
    finding("dicom-unusable", kind="colour"),
    finding("dicom-unusable", kind="mosaic"),
)
PHASE_IMAGE, TOO_LARGE = finding("dicom-unusable", kind="phase-image"), finding("dicom-unusable", kind="too-large")
NO_POSITION, BAD_GEOMETRY = finding("dicom-unusable", kind="no-position"), finding("dicom-unusable", kind="geometry")
#: The header contradicts the pixels or DICOM, so that readers differ; slope and intercept that corrupt values.
BAD_PIXELS, BAD_SCALE, NOT_HOUNSFIELD = (
    finding("dicom-unusable", kind="pixels"),
    finding("dicom-unusable", kind="scale"),
    finding("dicom-unusable", kind="hounsfield"),
)
#: Why an image is damaged, or its header is wrong: an exam may lack its slices.
BROKEN = {EMPTY, TRUNCATED, DAMAGED, NO_POSITION, BAD_GEOMETRY, BAD_PIXELS, BAD_SCALE}

#: Read by ITK's GDCM: uncompressed, deflated, JPEG, JPEG-LS, JPEG 2000 and RLE; not video or high-throughput JPEG 2000.
_READABLE = {"1.2.840.10008.1.2", *(f"1.2.840.10008.1.2.{tail}" for tail in ("1", "1.99", "2", "5"))} | {
    f"1.2.840.10008.1.2.4.{tail}" for tail in (50, 51, 57, 70, 80, 81, 90, 91)
}
#: UID of the deflated transfer syntax.
DEFLATED = "1.2.840.10008.1.2.1.99"
#: Limits of a file: its frames, the items of all sequences in the frames' headers, and the bytes to which a deflated
#: file may grow. A cine of a whole heart has about 1,200 frames of 20 items; a file beyond these limits takes minutes
#: and gigabytes to read.
MOST_FRAMES, MOST_ITEMS, MOST_INFLATED = 10_000, 200_000, 256 * 2**20
#: Largest rescale slope and intercept. Beyond it, float32 loses most of the differences between pixels.
LARGEST_SCALE = 1e6
#: Maps each modality to the SOP classes of its images: one slice per file, enhanced multi-frame files, and files
#: converted to these.
_IMAGES = {
    "MR": {f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("4", "4.1", "4.4")},
    "CT": {f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("2", "2.1", "2.2")},
}
#: SOP classes of single-frame files among them.
SINGLE_FRAME = {"1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2", ""}
_DIRECTORY = "1.2.840.10008.1.3.10"
_CAPTURES = "1.2.840.10008.5.1.4.1.1.7"
_ITEM, _ITEM_BIG_ENDIAN, _PIXEL_DATA = b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00", b"\xe0\x7f\x10\x00"
#: Value representations whose length takes four bytes, and all others.
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_SHORT = {
    b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS", b"ST",
    b"TM", b"UI", b"UL", b"US",
}  # fmt: skip
_UNDEFINED = 0xFFFFFFFF
#: Group of the tags of a sequence's items.
_ITEMS = 0xFFFE
#: Value representations of elements that need not state their length.
_OPEN = {b"SQ", b"UN"}
#: Elements that ITK reads; it fails if their value representation is not that of DICOM's dictionary.
READ_BY_ITK = {
    tag_for_keyword(keyword): {dictionary_VR(keyword), "UN"}
    for keyword in (
        "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel", "PlanarConfiguration",
        "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
        "RescaleIntercept", "RescaleSlope",
    )
}  # fmt: skip
_PROJECTIONS = {"PROJECTION IMAGE", "MIP", "MINIP", "MPR", "CSA MPR", "CSAPARALLEL"}
_NOT_DICOM_SUFFIXES = {
    ".txt", ".csv", ".tsv", ".json", ".xml", ".html", ".htm", ".pdf", ".md", ".yml", ".yaml", ".cfg", ".ini", ".log", ".py",
    ".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".nii", ".mat", ".npy", ".npz", ".h5", ".hdf5",
    ".raw", ".xls", ".xlsx", ".doc", ".docx", ".mp4", ".avi", ".mov", ".exe", ".dll", ".db", ".pt", ".pth",
}  # fmt: skip
_ARCHIVES = {".zip", ".gz", ".zst", ".tar", ".tgz", ".7z", ".rar", ".bz2", ".xz"}
#: Formats that 3D Slicer and ITK-SNAP write instead of NIfTI.
OTHER_IMAGES = (".nrrd", ".nhdr", ".mha", ".mhd", ".hdr")
_SYSTEM_NAMES = {"dicomdir", "thumbs.db", "desktop.ini"}


class Refused(Exception):  # noqa: N818
    """Raised for a file without usable frames; its argument is the `Finding` that says why."""


def refuse_by_name(name: str) -> None:
    """Raises `Refused` for a file whose name shows that it is not an image.

    Args:
        name: name of the file, without its folder.
    """
    suffix = os.path.splitext(name)[1].lower()
    if suffix in OTHER_IMAGES:
        raise Refused(OTHER_FORMAT)
    if name.startswith(".") or name.lower() in _SYSTEM_NAMES:
        raise Refused(HIDDEN)
    if suffix in _NOT_DICOM_SUFFIXES or name.lower().endswith(".nii.gz"):
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
    if media_class == _DIRECTORY:
        raise Refused(NO_IMAGE)
    sop_class = str(header.get("SOPClassUID") or "")
    modality = str(header.get("Modality") or "")
    image_type = {str(value).upper() for value in values_of(header.get("ImageType"))}
    if not sop_class and not modality and "Rows" not in header:
        raise Refused(TRUNCATED if syntax else NOT_DICOM)
    if sop_class.startswith(_CAPTURES) or modality in ("SC", "OT") or "SCREEN SAVE" in image_type:
        raise Refused(NOT_ACQUIRED)
    images, wanted = set().union(*(_IMAGES[name] for name in modalities)), " or ".join(modalities)
    if "Rows" not in header or "Columns" not in header:
        raise Refused(TRUNCATED if images & {sop_class, media_class} else NO_IMAGE)
    if modality not in (*modalities, "") or (sop_class and sop_class not in images):
        if modality in (*modalities, "") and sop_class:
            raise Refused(NO_IMAGE)
        # only two to eight capitals are repeated, as in DICOM's modalities; any other text may be somebody's name
        found = modality if re.fullmatch("[A-Z]{2,8}", modality) else "?"
        raise Refused(finding("dicom-unusable", kind="other-modality", modality=found, wanted=wanted))
    if int(header["Rows"] or 0) < 1 or int(header["Columns"] or 0) < 1:
        raise Refused(BAD_PIXELS)
    if str(header.get("BurnedInAnnotation") or "").upper() == "YES":
        raise Refused(BURNT_IN)
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2").upper()
    if int(header.get("SamplesPerPixel") or 1) > 1 or not photometric.startswith("MONOCHROME"):
        raise Refused(COLOUR)
    # readers disagree on whether to invert an image whose interpretation DICOM does not define
    if photometric not in ("MONOCHROME1", "MONOCHROME2") or header.get("PhotometricInterpretation") == "monochrome1":
        raise Refused(BAD_PIXELS)
    if modality == "CT" and photometric == "MONOCHROME1":
        raise Refused(NOT_HOUNSFIELD)
    refuse_scale(header, modality == "CT" and "PerFrameFunctionalGroupsSequence" not in header)
    refuse_bits(header)
    if "MOSAIC" in image_type:
        raise Refused(MOSAIC)
    if image_type & _PROJECTIONS:
        raise Refused(NOT_ACQUIRED)
    if syntax and syntax not in _READABLE:
        raise Refused(finding("dicom-unusable", kind="compressed", syntax=pydicom.uid.UID(syntax).name))


def refuse_scale(header: dict, needed: bool) -> None:
    """Raises `Refused` for a rescale slope or intercept that corrupts the values; ITK would read some of them as 1 or
    0.

    Args:
        header: maps keywords to values.
        needed: whether pixel values are meaningless without slope and intercept.
    """
    given = [header.get(keyword) for keyword in ("RescaleSlope", "RescaleIntercept")]
    if needed and None in given:
        raise Refused(NOT_HOUNSFIELD)
    slope, intercept = (
        usual if value is None else number_of(value) for value, usual in zip(given, (1.0, 0.0), strict=True)
    )
    if not slope or intercept is None or max(abs(slope), abs(intercept)) > LARGEST_SCALE:
        raise Refused(NOT_HOUNSFIELD if needed else BAD_SCALE)


def refuse_bits(header: dict) -> None:
    """Raises `Refused` if pixels have no bits, or if their bits are not where DICOM requires them (PS3.5, 8.1.1), because
    readers shift such bits differently, or not at all.

    Args:
        header: maps keywords to values.
    """
    allocated, stored, high = (header.get(keyword) for keyword in ("BitsAllocated", "BitsStored", "HighBit"))
    if not allocated or header.get("SamplesPerPixel") == 0:
        raise Refused(BAD_PIXELS)
    if stored is None or high is None:
        return
    values = [number_of(value) for value in (allocated, stored, high)]
    if None in values or not 1 <= values[1] <= values[0] or values[2] != values[1] - 1:
        raise Refused(BAD_PIXELS)


def refuse_element(tag: int, vr: str | None, length: int, file: BinaryIO | None) -> None:
    """Raises `Refused` for an element with which ITK cannot read the file: an element that ITK needs, if its value
    representation is not DICOM's; an element that does not state its length, unless it is a sequence; a sequence that does
    not consist of items; and an item outside a sequence.

    Args:
        tag: its tag.
        vr: its value representation; None if the file does not state it.
        length: length of its value, bytes.
        file: open file, positioned at the value; None if the file is deflated.
    """
    if tag >> 16 == _ITEMS:
        raise Refused(DAMAGED)
    if vr is None:
        return
    if vr not in READ_BY_ITK.get(tag, (vr,)) or not (vr.encode() in _SHORT or vr.encode() in _LONG):
        raise Refused(DAMAGED)
    if length == _UNDEFINED and vr.encode() not in _OPEN:
        raise Refused(DAMAGED)
    if vr != "SQ" or file is None or length == _UNDEFINED:
        return
    start = file.tell()
    end = start + length
    while (place := file.tell()) < end:
        item = file.read(8)
        order = "little" if item[:4] == _ITEM else "big"
        size = int.from_bytes(item[4:], order)
        if item[:4] not in (_ITEM, _ITEM_BIG_ENDIAN) or (size != _UNDEFINED and place + 8 + size > end):
            raise Refused(DAMAGED)
        if size == _UNDEFINED:
            break
        file.seek(size, os.SEEK_CUR)
    file.seek(start)


def refuse_truncated(header: dict, syntax: str, file: BinaryIO, size: int) -> None:
    """Raises `Refused` unless the rest of the file contains the pixels that its header promises, and no more.

    Args:
        header: maps keywords to values.
        syntax: UID of the transfer syntax.
        file: open file, positioned at the pixel data, where pydicom stopped.
        size: size of the whole file, bytes.
    """
    if syntax == DEFLATED:
        return  # a deflated file was read from a buffer, so the file's own position is meaningless
    start = file.tell()
    head = file.read(12)
    big_endian = syntax == "1.2.840.10008.1.2.2"
    if head[:4] != (b"\x7f\xe0\x00\x10" if big_endian else b"\xe0\x7f\x10\x00"):
        raise Refused(TRUNCATED if start >= size else NO_IMAGE)
    explicit = head[4:6] in (b"OW", b"OB")
    length = int.from_bytes(head[8:12] if explicit else head[4:8], "big" if big_endian else "little")
    start += 12 if explicit else 8
    if syntax.startswith("1.2.840.10008.1.2.4") or syntax == "1.2.840.10008.1.2.5":
        # encapsulated pixels are items that state their length, and end with a delimiter
        file.seek(start)
        while (item := file.read(8))[:4] == b"\xfe\xff\x00\xe0":
            file.seek(int.from_bytes(item[4:], "little"), os.SEEK_CUR)
        if item[:4] != b"\xfe\xff\xdd\xe0":
            raise Refused(TRUNCATED)
        return
    bits = int(header["BitsAllocated"])
    frames = int(header.get("NumberOfFrames") or 1)
    wanted = math.ceil(int(header["Rows"]) * int(header["Columns"]) * frames * bits / 8)
    if size - start < wanted:
        raise Refused(TRUNCATED)
    if wanted + 1 < length < _UNDEFINED:
        raise Refused(BAD_PIXELS)
    if length not in (wanted, wanted + wanted % 2):  # the stored length is rounded up to an even number
        raise Refused(DAMAGED)
    file.seek(start + length)
    _refuse_trailing(file, size, explicit, "big" if big_endian else "little")


def _refuse_trailing(file: BinaryIO, size: int, explicit: bool, order: Literal["little", "big"]) -> None:
    """Raises `Refused` if what follows the pixels is neither complete elements nor padding with zeros, or if it contains the
    pixels again, because pydicom would take the last of them, ITK the first.

    Args:
        file: open file, positioned after the pixels.
        size: size of the whole file, bytes.
        explicit: whether elements state their value representation.
        order: order of bytes.
    """
    while size - file.tell() >= 4:  # ITK ignores up to three bytes
        element = file.read(8)
        if element[:4] in (_PIXEL_DATA, b"\x7f\xe0\x00\x10"):
            raise Refused(DAMAGED)
        if element == bytes(8):
            continue
        vr, length = element[4:6], element[4:] if not explicit else element[6:]
        if explicit and vr in _LONG:
            length = file.read(4)
        count = int.from_bytes(length, order)
        if count == _UNDEFINED and (not explicit or vr in _OPEN):
            return
        if len(element) < 8 or (explicit and vr not in _LONG | _SHORT) or count > size - file.tell():
            raise Refused(DAMAGED)
        file.seek(count, os.SEEK_CUR)


def refuse_many_frames(header: dict, file: BinaryIO, size: int) -> None:
    """Raises `Refused` for more frames, or more items in their headers, than can be read in reasonable time.

    Args:
        header: maps keywords to values, without the frames' own headers.
        file: open file, positioned at the first sequence that contains headers of frames.
        size: size of the whole file, bytes.
    """
    if int(header.get("NumberOfFrames") or 1) > MOST_FRAMES:
        raise Refused(TOO_LARGE)
    start, items, tail = file.tell(), 0, b""
    while start < size and (chunk := file.read(2**20)):
        text = tail + chunk
        items += text.count(_ITEM)
        if items > MOST_ITEMS:
            raise Refused(TOO_LARGE)
        if _PIXEL_DATA in text:
            return
        # a tag may cross the border of two chunks; three bytes are less than a tag, so no tag is counted twice
        tail = text[-3:]


def refuse_inflated(content: bytes) -> None:
    """Raises `Refused` for a deflated data set that would grow beyond `MOST_INFLATED`; nothing is stored.

    Args:
        content: content of the file, deflated after its first group (PS3.10).
    """
    # 128 bytes and "DICM" come first, then FileMetaInformationGroupLength: 8 bytes of tag, VR and length, 4 of the value
    start = 144 + int.from_bytes(content[140:144], "little")
    inflater, grown, rest = zlib.decompressobj(-zlib.MAX_WBITS), 0, content[start:]
    while rest and not inflater.eof:
        grown += len(inflater.decompress(rest, 2**20))
        if grown > MOST_INFLATED:
            raise Refused(TOO_LARGE)
        rest = inflater.unconsumed_tail
