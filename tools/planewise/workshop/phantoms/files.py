"""Write phantom images as DICOM and NIfTI files."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

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


@dataclass(frozen=True)
class Identity:
    """The patient's identity in the header; the birth date is YYYYMMDD, or empty."""

    name: str
    patient_id: str
    birth_date: str = ""


class Scanned:
    """An exam of a heart or a knee. It depends only on its seeds and its population, so tests can sample the exam of a
    written file again to get the ground truth."""

    seeds: tuple[int, ...]
    patient: object  # has ``sex``, ``height`` (cm) and ``weight`` (kg)
    scanner: object  # has ``field_strength`` (tesla)

    def rng(self, *names: int) -> np.random.Generator:
        """A stream of random numbers for one purpose, separate from the streams that determine the exam."""
        return np.random.default_rng([*self.seeds, 7919, *names])

    def uid(self, *names: object) -> str:
        """A unique identifier, which is the same each time the exam is made."""
        return generate_uid(entropy_srcs=["planewise phantom", *map(str, self.seeds), *map(str, names)])

    def series_header(
        self, identity: Identity, key: int, series: int, description: str | None, brightest: float
    ) -> Dataset:
        """The part of a header that all images of a series share, for hearts and knees: ``key`` determines the series'
        identifier, and ``brightest`` is the pixel value at the upper end of the window."""
        header, patient = Dataset(), self.patient
        for name, value in COMMON.items():
            setattr(header, name, value)
        day = self.rng(2).integers(0, 700)
        header.StudyDate = f"{2012 + day // 336}{1 + day % 336 // 28:02d}{1 + day % 28:02d}"
        header.SeriesDate = header.AcquisitionDate = header.ContentDate = header.StudyDate
        header.PatientName = identity.name
        header.PatientID = identity.patient_id
        header.PatientBirthDate = identity.birth_date
        header.PatientSex = patient.sex
        header.PatientSize = number(patient.height / 100)
        header.PatientWeight = number(patient.weight)
        header.MagneticFieldStrength = number(self.scanner.field_strength)
        header.StudyInstanceUID = self.uid("study")
        header.FrameOfReferenceUID = self.uid("frame of reference")
        header.SeriesInstanceUID = self.uid("series", key)
        if description is not None:
            header.SeriesDescription = header.ProtocolName = description
        header.SeriesNumber = series
        header.WindowCenter = number(round(brightest / 2))
        header.WindowWidth = number(round(brightest) + 1)
        return header


def set_geometry(header: Dataset, pose: ImagePose, spacing: float, shape: tuple[int, int]) -> None:
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


def image_dataset(header: Dataset, name: str, rank: int, seconds: int, pixels: np.ndarray) -> FileDataset:
    """Make a file's dataset with a copy of a series' header: ``name`` is the SOP instance UID, ``rank`` the image's rank in
    its series, ``seconds`` the time after 10 o'clock; pixels are ``(rows, columns)`` uint16."""
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
    for element in header:
        # the elements are copied, because the files differ in their values, which have already been checked
        dataset.add(DataElement(element.tag, element.VR, element.value, already_converted=True))
    dataset.SOPInstanceUID = name
    dataset.InstanceNumber = rank + 1
    dataset.AcquisitionTime = f"{10 + seconds // 3600:02d}{seconds // 60 % 60:02d}{seconds % 60:02d}.000000"
    dataset.PixelData = pixels.astype("<u2").tobytes()
    return dataset


def write_files(files: Sequence[DicomFile], folder: Path) -> None:
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
