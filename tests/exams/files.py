"""Small DICOM files with a geometry of the test's choosing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

#: One study and one frame of reference for all files of a test, unless it says otherwise.
STUDY, FRAME_OF_REFERENCE = generate_uid(), generate_uid()


def unit(vector) -> np.ndarray:
    return np.asarray(vector, dtype=float) / np.linalg.norm(vector)


def write_image(path: Path, centre, row, column, *, size=(24, 20), spacing=10.0, keep_preamble=True, **tags) -> Path:
    """Write one MR image.

    Args:
        path: to write.
        centre: of the image, RAS+, mm.
        row, column: directions in which the column index and the row index rise, RAS+.
        size: columns and rows.
        spacing: pixel spacing, mm.
        keep_preamble: whether the file starts with DICOM's 128 bytes and prefix.
        tags: header entries by keyword; None takes one away.
    """
    to_lps = np.array([-1, -1, 1])
    row, column = unit(row), unit(column)
    corner = np.asarray(centre, float) - spacing * ((size[0] - 1) / 2 * row + (size[1] - 1) / 2 * column)
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Modality, dataset.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M"]
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = "P-1", "Doe^Jane", "19610203"
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = STUDY, FRAME_OF_REFERENCE
    dataset.SeriesInstanceUID = f"1.2.3.{abs(hash(str(path.parent))) % 10**9}"
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.SliceThickness = 8
    dataset.PixelSpacing = [spacing, spacing]
    dataset.ImagePositionPatient = [f"{value:.6f}" for value in corner * to_lps]
    dataset.ImageOrientationPatient = [f"{value:.8f}" for value in (*row * to_lps, *column * to_lps)]
    dataset.Columns, dataset.Rows = size
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.PixelData = np.arange(size[0] * size[1], dtype="<u2").tobytes()
    for keyword, value in tags.items():
        if value is None:
            dataset.pop(keyword, None)
        elif keyword == "TransferSyntaxUID":
            dataset.file_meta.TransferSyntaxUID = value
            dataset.PixelData = encapsulate([b"not really compressed"])
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True
        else:
            setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False  # pydicom 2.4 wants to be told
    if keep_preamble:
        dataset.save_as(path, write_like_original=False)
    else:
        del dataset.file_meta
        dataset.save_as(path)
    return path


def write_cine(folder: Path, centre, normal, *, phases=6, slices=1, gap=10.0, number=1, turn=0.0, **tags) -> list[Path]:
    """Write a series: ``slices`` parallel cines of ``phases`` phases, along ``normal`` from ``centre`` on."""
    normal = unit(normal)
    row = unit(np.cross([0, 0, 1.0] if abs(normal[2]) < 0.9 else [1.0, 0, 0], normal))
    column = np.cross(normal, row)
    row, column = (
        np.cos(np.radians(turn)) * row + np.sin(np.radians(turn)) * column,
        np.cos(np.radians(turn)) * column - np.sin(np.radians(turn)) * row,
    )
    paths = []
    for rank in range(slices):
        for phase in range(phases):
            path = folder / f"IM-{number:04d}-{rank * phases + phase + 1:04d}.dcm"
            values = {"TriggerTime": 40.0 * phase, "InstanceNumber": rank * phases + phase + 1, "SeriesNumber": number}
            values |= {"AcquisitionTime": f"{100000 + 100 * number}", "SeriesDescription": folder.name}
            place = np.asarray(centre, float) + rank * gap * normal
            paths.append(write_image(path, place, row, column, **(values | tags)))
    return paths
