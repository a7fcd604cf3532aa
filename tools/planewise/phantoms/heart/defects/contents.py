"""Defects in the contents of a file: its pixels, their compression, missing bytes."""

from __future__ import annotations

import io

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, RLELossless

from planewise.phantoms.defect import Defect, registering
from planewise.phantoms.heart.defects.files import find, images
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.scanner.dicom import DicomFile, Identity

#: Flaws by name, in listing order.
CONTENTS: dict[str, Defect] = {}

_defect = registering(CONTENTS)


@_defect("every pixel of the exam is 0 (DSBCC 761)")
def black(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    for file in images(files):
        file.pixels = np.zeros_like(file.pixels)
    return files


@_defect("pixels are compressed, RLE lossless")
def compressed(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    for file in images(files):
        name = file.dataset.SOPInstanceUID
        file.dataset.compress(RLELossless, encoding_plugin="pydicom")
        # pydicom 3 gives compressed images a new random identifier
        file.dataset.SOPInstanceUID = file.dataset.file_meta.MediaStorageSOPInstanceUID = name
    return files


@_defect("pixels are compressed, JPEG 2000 lossless")
def compressed_jpeg2000(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    from PIL import Image

    for file in images(files):
        stream = io.BytesIO()
        Image.fromarray(file.pixels).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
        file.dataset.PixelData = encapsulate([stream.getvalue()])
        file.dataset["PixelData"].VR = "OB"
        file.dataset["PixelData"].is_undefined_length = True
        # the encoder writes all 16 bits
        file.dataset.BitsStored, file.dataset.HighBit = 16, 15
        file.dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    return files


@_defect("one file of a slice is empty (0 bytes)")
def zero_byte(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    victim = find(files, "sax", 1, 0)
    victim.dataset, victim.content = None, b""
    return files


@_defect("one file is truncated in its pixels, another in its header")
def truncated(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    for rank, keep in ((1, 0.6), (2, 0.0)):
        victim = find(files, "sax", rank, 0)
        content = victim.encode()
        victim.dataset, victim.content = None, content[: max(int(keep * len(content)), 700)]
    return files
