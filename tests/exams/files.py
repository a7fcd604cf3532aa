"""Small DICOM files with a geometry that the test chooses."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

#: All files of a test have one study and one frame of reference, unless it says otherwise.
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
        tags: header entries by keyword; None removes one.
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
    # different studies get different images
    whose = tags.get("PatientID"), tags.get("StudyInstanceUID")
    first = zlib.crc32(repr(whose).encode()) % 10_000 if any(whose) else 0
    dataset.PixelData = np.arange(first, first + size[0] * size[1], dtype="<u2").tobytes()
    for keyword, value in tags.items():
        if value is None:
            dataset.pop(keyword, None)
        elif keyword == "SOPClassUID":
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = value
        elif keyword == "TransferSyntaxUID":
            dataset.file_meta.TransferSyntaxUID = value
            dataset.PixelData = encapsulate([b"not really compressed"])
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True
        else:
            setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False  # pydicom 2.4 needs both attributes
    if keep_preamble:
        dataset.save_as(path, write_like_original=False)
    else:
        del dataset.file_meta
        dataset.save_as(path)
    return path


def write_cine(folder: Path, centre, normal, *, phases=6, slices=1, gap=10.0, number=1, turn=0.0, **tags) -> list[Path]:
    """Write a series: ``slices`` parallel cines of ``phases`` phases, starting at ``centre`` and continuing along
    ``normal``.
    """
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


def write_ct(
    folder: Path, values: np.ndarray, *, slope=1.0, intercept=-1024.0, spacing=2.0, gap=3.0, **tags
) -> np.ndarray:
    """Write an axial series of Hounsfield units.

    Args:
        folder: to write into.
        values: ``(columns, rows, slices)``, slices from feet to head; the files are numbered from the head.
        slope, intercept: of the stored values.
        spacing, gap: mm in a slice and between slices.
        tags: see `write_image`.

    Returns:
        The affine of the values, RAS+.
    """
    count = values.shape[2]
    for rank in range(count):
        stored = np.round((values[..., rank].T - intercept) / slope).astype("<i2")
        own = {"SOPClassUID": CTImageStorage, "Modality": "CT", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]}
        own |= {"PixelRepresentation": 1, "PixelData": stored.tobytes(), "SliceThickness": gap}
        own |= {"RescaleSlope": slope, "RescaleIntercept": intercept, "InstanceNumber": count - rank}
        place, size = (0, 0, gap * rank), values.shape[:2]
        path = folder / f"{count - rank:03d}.dcm"
        write_image(path, place, (-1, 0, 0), (0, -1, 0), size=size, spacing=spacing, **(own | tags))
    affine = np.diag([-spacing, -spacing, gap, 1.0])
    affine[:2, 3] = spacing * (np.array(values.shape[:2]) - 1) / 2
    return affine


def write_enhanced_ct(path: Path, values: np.ndarray, rescale, gap=3.0, **tags) -> Path:
    """Write an axial series as one file.

    Args:
        path: to write.
        values: Hounsfield units, ``(columns, rows, slices)``, slices from feet to head.
        rescale: slope and intercept of all frames, or a list with one pair for each frame.
        gap: mm between slices; 0 for images of one slice.
        tags: further tags, as for MR.
    """

    def holding(**entries) -> Dataset:
        dataset = Dataset()
        for keyword, value in entries.items():
            setattr(dataset, keyword, Sequence([value]) if isinstance(value, Dataset) else value)
        return dataset

    def scaling(slope, intercept) -> dict:
        return {"PixelValueTransformationSequence": holding(RescaleSlope=slope, RescaleIntercept=intercept)}

    columns, rows, count = values.shape
    apart = isinstance(rescale, list)
    scales = rescale if apart else [rescale] * count
    stored = [np.round((values[..., k].T - scales[k][1]) / scales[k][0]).astype("<i2") for k in range(count)]
    frames = [
        holding(
            PlanePositionSequence=holding(ImagePositionPatient=[0, 0, gap * k]),
            **(scaling(*scales[k]) if apart else {}),
        )
        for k in range(count)
    ]
    shared = holding(
        PlaneOrientationSequence=holding(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelMeasuresSequence=holding(PixelSpacing=[2, 2], SliceThickness=3),
        **({} if apart else scaling(*rescale)),
    )
    own = {"Modality": "CT", "SOPClassUID": EnhancedCTImageStorage} | tags
    return write_image(
        path, (0, 0, 0), (-1, 0, 0), (0, -1, 0), size=(columns, rows), PixelRepresentation=1, NumberOfFrames=count,
        PixelData=b"".join(frame.tobytes() for frame in stored),
        ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None, SliceThickness=None,
        SharedFunctionalGroupsSequence=Sequence([shared]), PerFrameFunctionalGroupsSequence=Sequence(frames), **own,
    )  # fmt: skip
