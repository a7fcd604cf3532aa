"""Defects of the folders around the images: other files in them, and unusual names."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import BasicTextSRStorage, SecondaryCaptureImageStorage

from planewise.phantoms.defect import Defect, plant_identity, registering
from planewise.phantoms.heart.defects.files import added, by_series, typical
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.scanner.dicom import DicomFile, Identity

#: Flaws by name, in listing order.
TREE: dict[str, Defect] = {}

_defect = registering(TREE)


@_defect("a Siemens MOSAIC: the slices of one phase as tiles of one image")
def mosaic(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    tiles = [file.pixels[::2, ::2] for file in files if file.view == "sax" and file.phase == 0]
    side = int(np.ceil(np.sqrt(len(tiles))))
    tiles += [np.zeros_like(tiles[0])] * (side**2 - len(tiles))
    picture = np.block([[tiles[side * row + column] for column in range(side)] for row in range(side)])
    extra = added(files, exam, "mosaic", picture)
    extra.dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    return [*files, extra]


@_defect("a secondary capture: a screenshot without geometry")
def secondary_capture(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    extra = added(files, exam, "screenshot", typical(files).pixels)
    dataset = extra.dataset
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.ConversionType = "WSD"
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness"):
        dataset.pop(keyword, None)
    return [*files, extra]


@_defect("a further 4ch image with text in its pixels (BurnedInAnnotation YES)")
def burnt_in(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    picture = typical(files).pixels.copy()
    # a row of strokes instead of letters
    picture[4:12, 4 : picture.shape[1] // 2 : 3] = 4095
    extra = added(files, exam, "4ch annotated", picture)
    extra.dataset.BurnedInAnnotation = "YES"
    return [*files, extra]


@_defect("a structured report: DICOM without pixels")
def structured_report(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    extra = added(files, exam, "report", typical(files).pixels)
    dataset = extra.dataset
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    dataset.Modality = "SR"
    for element in list(dataset):
        if element.tag.group in (0x0018, 0x0028, 0x7FE0) or element.keyword.startswith("Image"):
            del dataset[element.tag]
    dataset.ValueType = "CONTAINER"
    dataset.ContinuityOfContent = "SEPARATE"
    finding = Dataset()
    finding.RelationshipType, finding.ValueType, finding.TextValue = "CONTAINS", "TEXT", f"Report on {identity.name}"
    dataset.ContentSequence = Sequence([finding])
    return [*files, extra]


@_defect("files that are not DICOM: notes, a thumbnail cache, .DS_Store, a picture, a .gitkeep")
def not_dicom(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    contents = {
        "readme.txt": b"exported for the study\n",
        "Thumbs.db": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
        ".DS_Store": b"\x00\x00\x00\x01Bud1" + bytes(120),
        "screenshot.png": b"\x89PNG\r\n\x1a\n" + bytes(64),
        "results.csv": b"id,volume\n1,140\n",
        ".gitkeep": b"",
    }
    folders = sorted({file.path.parent for file in files})
    others = [
        DicomFile(folders[rank % len(folders)] / name, content=content)
        for rank, (name, content) in enumerate(contents.items())
    ]
    return files + others


@_defect("file names lack their extension, in folders of different depths, among files that are not DICOM")
def no_extension(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    for rank, (_, group) in enumerate(by_series(files)):
        depth = PurePosixPath(*["DICOM", "PAT0001", "ST0001", f"SE{rank:04d}", "a", "b"][: 3 + rank % 4])
        for instance, file in enumerate(group):
            file.path = depth / f"IM{rank:03d}{instance:04d}"
    return not_dicom(files, exam, identity)


@_defect("identity everywhere: name, birth date, numbers, addresses, and folders named after the patient")
def identity(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    return plant_identity(files, identity, "Herz")
