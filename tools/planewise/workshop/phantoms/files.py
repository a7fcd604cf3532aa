"""Write phantom images as DICOM and NIfTI files."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from planewise.workshop.phantoms.painting import ImagePose

#: RAS+ to DICOM's LPS and back.
LPS = np.array([-1.0, -1.0, 1.0])
#: What all headers have in common.
COMMON = {
    "SpecificCharacterSet": "ISO_IR 192", "SOPClassUID": MRImageStorage, "StudyTime": "100000.000000", "StudyID": "1",
    "Modality": "MR", "Manufacturer": "planewise", "ManufacturerModelName": "phantom", "PositionReferenceIndicator": "",
    "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 12, "HighBit": 11,
    "PixelRepresentation": 0, "BurnedInAnnotation": "NO", "AcquisitionNumber": 1, "MRAcquisitionType": "2D",
    "SequenceVariant": "SK",
}  # fmt: skip
#: A file to write, below a folder.
DicomFile = tuple[PurePosixPath, FileDataset]


class Scanned:
    """An exam of a heart or a knee. It depends only on its seeds and its population, so tests can sample the exam of a
    written file again to get the ground truth."""

    seeds: tuple[int, ...]
    patient: Any  # has ``sex``, ``height`` (cm) and ``weight`` (kg)
    scanner: Any  # has ``field_strength`` (tesla)

    def rng(self, *names: int) -> np.random.Generator:
        """A stream of random numbers for one purpose, separate from the streams that determine the exam."""
        return np.random.default_rng([*self.seeds, 7919, *names])

    def uid(self, *names: object) -> str:
        """A unique identifier, which is the same each time the exam is made."""
        return generate_uid(entropy_srcs=["planewise phantom", *map(str, self.seeds), *map(str, names)])

    def series(
        self, key: int, images: Sequence, poses: Sequence, spacing: float, seconds: int, brightest: float, **header: Any
    ) -> list[FileDataset]:
        """The data sets of a series, for hearts and knees. Its number is ``key``, which determines its identifiers. The
        images are ``(rows, columns)`` uint16, each with its pose; ``spacing`` is that of the pixels, mm; ``seconds`` is the
        time after 10 o'clock; ``brightest`` is the pixel value at the upper end of the window; ``header`` has further values
        in all headers, by keyword, and None is left out."""
        patient, day = self.patient, self.rng(2).integers(0, 700)
        dates = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
        shared = COMMON | dict.fromkeys(dates, f"{2012 + day // 336}{1 + day % 336 // 28:02d}{1 + day % 28:02d}") | {
            "PatientSex": patient.sex, "PatientSize": number(patient.height / 100), "PatientWeight": number(patient.weight),
            "MagneticFieldStrength": number(self.scanner.field_strength), "StudyInstanceUID": self.uid("study"),
            "FrameOfReferenceUID": self.uid("frame of reference"), "SeriesInstanceUID": self.uid("series", key),
            "SeriesNumber": key, "WindowCenter": number(round(brightest / 2)), "WindowWidth": number(round(brightest) + 1),
        }  # fmt: skip
        common = Dataset()
        for keyword, value in (shared | header).items():
            if value is not None:
                setattr(common, keyword, value)
        datasets = []
        for rank, (pixels, pose) in enumerate(zip(images, poses, strict=True)):
            dataset = _file(self.uid("image", key, rank))
            for element in common:
                # the elements are copied, because the files differ in their values, which have already been checked
                dataset.add(DataElement(element.tag, element.VR, element.value, already_converted=True))
            time = seconds + rank
            dataset.AcquisitionTime = f"{10 + time // 3600:02d}{time // 60 % 60:02d}{time % 60:02d}.000000"
            dataset.InstanceNumber = rank + 1
            _set_geometry(dataset, pose, spacing, pixels.shape)
            dataset.PixelData = pixels.astype("<u2").tobytes()
            datasets.append(dataset)
        return datasets


def _set_geometry(header: Dataset, pose: ImagePose, spacing: float, shape: tuple[int, ...]) -> None:
    """Write an image's position into its header, in place; spacing in mm, shape as rows and columns. This is the only step
    from RAS+ to LPS."""
    corner = pose.affine((spacing, spacing), (shape[1], shape[0]), 1.0)[:3, 3]
    header.ImagePositionPatient = [number(value) for value in LPS * corner]
    header.ImageOrientationPatient = [number(value) for value in [*(LPS * pose.row), *(LPS * pose.column)]]
    header.SliceLocation = number(corner @ pose.normal)
    header.Rows, header.Columns = shape
    header.PixelSpacing = [number(spacing), number(spacing)]


def number(value: float) -> str:
    """Format a number as a decimal string of at most 16 characters, with the greatest possible precision."""
    return format_number_as_ds(float(value))


def _file(name: str) -> FileDataset:
    """An empty data set with the meta header of a file; ``name`` is its SOP instance UID."""
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = name
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    # pydicom 2 and 3 both take the encoding from these arguments; the constructor would deep-copy the meta header
    dataset = FileDataset("", Dataset(), preamble=b"\x00" * 128, is_implicit_VR=False, is_little_endian=True)
    dataset.file_meta = meta
    dataset.SOPInstanceUID = name
    return dataset


def write_files(files: Iterable[DicomFile], folder: Path) -> None:
    """Write files below a folder."""
    for path, dataset in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        pydicom.dcmwrite(folder / path, dataset)


@dataclass
class NiftiFile:
    """A volume of an exam before it is written."""

    name: str  # of the file, with its ending
    volume: np.ndarray  # (columns, rows, slices), or (columns, rows, slices, phases) for a cine
    affine: np.ndarray  # (4, 4), voxel indices to patient space, RAS+, mm
    step: float | None = None  # seconds between the phases of a cine

    def write(self, folder: Path) -> None:
        """Write the file with compression; the folder is created if it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        image = nib.Nifti1Image(self.volume, self.affine)
        sizes = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        image.header.set_zooms(sizes if self.step is None else [*sizes, self.step])
        image.header.set_xyzt_units("mm", "sec")
        # there is no time stamp, so that the same exam always gives the same file
        (folder / self.name).write_bytes(gzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
