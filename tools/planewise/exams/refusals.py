"""Refuse files without a usable slice, judged by name, header and length, and give the reason."""

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

#: Why a file is left out. People see each reason with a count and one example.
HIDDEN = "hidden or system file (._*, DICOMDIR, Thumbs.db, ...)"
EMPTY = "empty file (0 bytes)"
NOT_DICOM = "not a DICOM file"
ARCHIVE = "an archive or compressed file (.zip, .gz, ...): unpack it first"
OTHER_IMAGE = (
    "NRRD, MetaImage or Analyze file (.nrrd, .mha, .hdr): save it as NIfTI (.nii.gz); in 3D Slicer, export a segmentation to "
    "a label map first"
)
SLICER_SEGMENTATION = (
    "3D Slicer segmentation (.seg.nrrd): save it as NIfTI; in 3D Slicer's Segment Editor, choose Export to files in the menu "
    "of the button Segmentations, then the file format NIFTI and the image as reference volume, and click Export; the "
    "segments get the values 1, 2, ... in the order of their list"
)
TRUNCATED = "truncated: the file ends before its image does"
DAMAGED = "damaged: the header cannot be read"
REPEATED = "damaged: the header contains an element twice (such as Rows or PixelSpacing), and readers disagree on it"
WRONG_VR = "damaged: ITK cannot read an element of the header, because its value representation (VR) is wrong"
BAD_SEQUENCE = "damaged: a sequence in the header does not consist of items, so ITK cannot read the file"
NO_LENGTH = "damaged: an element of the header does not state its length, so ITK cannot read the file"
WRONG_LENGTH = "damaged: the length of the pixel data does not fit the size of the image"
TRAILING = "damaged: the bytes after the image are not DICOM elements, so ITK cannot read the file"
OTHER_SYNTAX = "damaged: the elements are not written in the file's transfer syntax, so ITK cannot read them"
NO_PREAMBLE = "damaged: the file lacks the 132 bytes with which DICOM files begin, so ITK cannot read it"
NULL_VALUE = "damaged: a text in the header consists of zero bytes, and readers disagree on it"
NO_IMAGE = "DICOM without an image (report, presentation state, raw data, ...)"
DIRECTORY = "a DICOMDIR under another name: a list of files, not an image"
NOT_A_FILE = "not an ordinary file (pipe, socket or device)"
LINKED_FOLDER = "link to a folder that contains the indexed one: not followed"
UNREADABLE_FOLDER = "folder that cannot be read"
ODD_PATH = "path with bytes that are not text in this locale (it must be UTF-8): rename the folder or the file"
CAPTURE = "secondary capture or screen save"
BURNT_IN = "burnt-in annotation: text in the pixels may name the patient"
COLOUR = "colour image"
MOSAIC = "mosaic: many slices tiled into one image, without a position for each"
PHASE_IMAGE = "velocity or phase image (flow, field map): its pixels do not show anatomy"
PROJECTION = "projection or reformat (MIP, MPR): not an acquired plane"
NO_POSITION = "no usable position or orientation in the header"
BAD_GEOMETRY = "broken geometry: the pixel spacing is zero or the orientation is not a rotation"
IMPOSSIBLE_GEOMETRY = (
    "impossible geometry: a pixel spacing, image size, slice thickness or position beyond what a scanner can have"
)
NO_PIXELS = "no rows or no columns: the header says that the image has no pixels"
SMALL_MATRIX = "more pixel data than the header's rows and columns describe: its matrix is wrong"
BAD_BITS = "contradictory bits of the pixels: the high bit must be the bits stored minus one"
NO_BITS = "no bits allocated per pixel, or no samples per pixel: ITK cannot read the image"
NO_GAP = "distance between slices (SpacingBetweenSlices) that is zero or not a number: ITK cannot read the image"
OTHER_GREY = "PhotometricInterpretation that DICOM does not define: readers disagree on whether to invert the image"
NO_FRAME_POSITIONS = "multi-frame file without a position for each frame"
FRAMES_RESCALED = "CT whose frames have different rescale slopes or intercepts: ITK applies the first to all"
INVERTED = "CT with inverted grey values (MONOCHROME1): ITK does not read them as Hounsfield units"
UNSCALED = "CT without a finite rescale slope and intercept: its values are not Hounsfield units"
BAD_SCALE = "rescale slope or intercept that is zero, infinite or not a number"
TRANSFER_SYNTAX = "compressed in a way that ITK cannot read"

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
TOO_MANY_FRAMES = f"more than {MOST_FRAMES:,} frames, or {MOST_ITEMS:,} items in their headers"
TOO_LARGE = f"deflated file that grows to more than {MOST_INFLATED // 2**20} MB"
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

#: Reasons of damaged images, and of images whose header is wrong: an exam may lack their slices.
_BROKEN = {
    EMPTY, TRUNCATED, NO_POSITION, BAD_GEOMETRY, IMPOSSIBLE_GEOMETRY, NO_PIXELS, SMALL_MATRIX, BAD_BITS, NO_BITS, NO_GAP,
    OTHER_GREY, BAD_SCALE,
}  # fmt: skip


def is_broken(reason: str) -> bool:
    """Whether a reason is that of a damaged image, or of an image with a wrong header."""
    return reason in _BROKEN or reason.startswith("damaged: ")


class Refused(Exception):  # noqa: N818
    """Raised for a file without usable frames; the text is the reason."""


def refuse_by_name(name: str) -> None:
    """Raises `Refused` for a file whose name shows that it is not an image.

    Args:
        name: name of the file, without its folder.
    """
    suffix = os.path.splitext(name)[1].lower()
    if name.lower().endswith(".seg.nrrd"):
        raise Refused(SLICER_SEGMENTATION)
    if suffix in OTHER_IMAGES:
        raise Refused(OTHER_IMAGE)
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
        raise Refused(DIRECTORY)
    sop_class = str(header.get("SOPClassUID") or "")
    modality = str(header.get("Modality") or "")
    image_type = {str(value).upper() for value in values_of(header.get("ImageType"))}
    if not sop_class and not modality and "Rows" not in header:
        raise Refused(TRUNCATED if syntax else NOT_DICOM)
    if sop_class.startswith(_CAPTURES) or modality in ("SC", "OT") or "SCREEN SAVE" in image_type:
        raise Refused(CAPTURE)
    images, wanted = set().union(*(_IMAGES[name] for name in modalities)), " or ".join(modalities)
    if "Rows" not in header or "Columns" not in header:
        raise Refused(TRUNCATED if images & {sop_class, media_class} else NO_IMAGE)
    if modality not in (*modalities, "") or (sop_class and sop_class not in images):
        if modality in (*modalities, "") and sop_class:
            raise Refused(f"{wanted} file without a usable image ({_uid_name(sop_class)})")
        # only two to eight capitals are repeated, as in DICOM's modalities; any other text may be somebody's name
        raise Refused(f"not {wanted} ({modality if re.fullmatch('[A-Z]{2,8}', modality) else 'another modality'})")
    if int(header["Rows"] or 0) < 1 or int(header["Columns"] or 0) < 1:
        raise Refused(NO_PIXELS)
    if str(header.get("BurnedInAnnotation") or "").upper() == "YES":
        raise Refused(BURNT_IN)
    photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2").upper()
    if int(header.get("SamplesPerPixel") or 1) > 1 or not photometric.startswith("MONOCHROME"):
        raise Refused(COLOUR)
    if (
        photometric not in ("MONOCHROME1", "MONOCHROME2")
        or str(header.get("PhotometricInterpretation")) == "monochrome1"
    ):
        raise Refused(OTHER_GREY)
    if modality == "CT" and photometric == "MONOCHROME1":
        raise Refused(INVERTED)
    refuse_scale(header, modality == "CT" and "PerFrameFunctionalGroupsSequence" not in header)
    refuse_bits(header)
    if "MOSAIC" in image_type:
        raise Refused(MOSAIC)
    if image_type & _PROJECTIONS:
        raise Refused(PROJECTION)
    if syntax and syntax not in _READABLE:
        raise Refused(f"{TRANSFER_SYNTAX} ({_uid_name(syntax)})")


def refuse_scale(header: dict, needed: bool) -> None:
    """Raises `Refused` for a rescale slope or intercept that corrupts the values; ITK would read some of them as 1 or
    0.

    Args:
        header: maps keywords to values.
        needed: whether pixel values are meaningless without slope and intercept.
    """
    given = [header.get(keyword) for keyword in ("RescaleSlope", "RescaleIntercept")]
    if needed and None in given:
        raise Refused(UNSCALED)
    slope, intercept = (
        usual if value is None else number_of(value) for value, usual in zip(given, (1.0, 0.0), strict=True)
    )
    if not slope or intercept is None or max(abs(slope), abs(intercept)) > LARGEST_SCALE:
        raise Refused(UNSCALED if needed else BAD_SCALE)


def refuse_bits(header: dict) -> None:
    """Raises `Refused` if pixels have no bits, or if their bits are not where DICOM requires them (PS3.5, 8.1.1), because
    readers shift such bits differently, or not at all.

    Args:
        header: maps keywords to values.
    """
    allocated, stored, high = (header.get(keyword) for keyword in ("BitsAllocated", "BitsStored", "HighBit"))
    if not allocated or header.get("SamplesPerPixel") == 0:
        raise Refused(NO_BITS)
    if stored is None or high is None:
        return
    values = [number_of(value) for value in (allocated, stored, high)]
    if None in values or not 1 <= values[1] <= values[0] or values[2] != values[1] - 1:
        raise Refused(BAD_BITS)


def _uid_name(value: str) -> str:
    """DICOM's name of a UID; an unknown value is not repeated, because it may be anything."""
    name = pydicom.uid.UID(value).name
    return "a UID that DICOM does not define" if name == value else name


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
        raise Refused(BAD_SEQUENCE)
    if vr is None:
        return
    if vr not in READ_BY_ITK.get(tag, (vr,)) or not (vr.encode() in _SHORT or vr.encode() in _LONG):
        raise Refused(WRONG_VR)
    if length == _UNDEFINED and vr.encode() not in _OPEN:
        raise Refused(NO_LENGTH)
    if vr != "SQ" or file is None or length == _UNDEFINED:
        return
    start = file.tell()
    end = start + length
    while (place := file.tell()) < end:
        item = file.read(8)
        order = "little" if item[:4] == _ITEM else "big"
        size = int.from_bytes(item[4:], order)
        if item[:4] not in (_ITEM, _ITEM_BIG_ENDIAN) or (size != _UNDEFINED and place + 8 + size > end):
            raise Refused(BAD_SEQUENCE)
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
        raise Refused(SMALL_MATRIX)
    if length not in (wanted, wanted + wanted % 2):  # the stored length is rounded up to an even number
        raise Refused(WRONG_LENGTH)
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
            raise Refused(REPEATED)
        if element == bytes(8):
            continue
        vr, length = element[4:6], element[4:] if not explicit else element[6:]
        if explicit and vr in _LONG:
            length = file.read(4)
        count = int.from_bytes(length, order)
        if count == _UNDEFINED and (not explicit or vr in _OPEN):
            return
        if len(element) < 8 or (explicit and vr not in _LONG | _SHORT) or count > size - file.tell():
            raise Refused(TRAILING)
        file.seek(count, os.SEEK_CUR)


def refuse_many_frames(header: dict, file: BinaryIO, size: int) -> None:
    """Raises `Refused` for more frames, or more items in their headers, than can be read in reasonable time.

    Args:
        header: maps keywords to values, without the frames' own headers.
        file: open file, positioned at the first sequence that contains headers of frames.
        size: size of the whole file, bytes.
    """
    if int(header.get("NumberOfFrames") or 1) > MOST_FRAMES:
        raise Refused(TOO_MANY_FRAMES)
    start, items, tail = file.tell(), 0, b""
    while start < size and (chunk := file.read(2**20)):
        text = tail + chunk
        items += text.count(_ITEM)
        if items > MOST_ITEMS:
            raise Refused(TOO_MANY_FRAMES)
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
