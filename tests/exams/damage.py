"""Faults of real exams: each function alters the written files of a phantom exam below a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, generate_uid

Damage = Callable[[Path], None]


# --- DICOM files ---------------------------------------------------------------------------------------------------------


def images(folder: Path, view: str = "") -> list[Path]:
    """The images of a heart's view, or of all views: slice by slice along the normal, and phase by phase."""

    def place(path: Path) -> tuple[float, int]:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        row, column = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        return float(np.round(np.cross(row, column) @ header.ImagePositionPatient, 2)), int(header.InstanceNumber)

    return sorted((path for path in folder.rglob("*.dcm") if path.parent.name.startswith(view)), key=place)


def change(paths: list[Path], alter: Callable[[Dataset], object]) -> None:
    """Alter each file's dataset."""
    for path in paths:
        dataset = pydicom.dcmread(path)
        alter(dataset)
        dataset.save_as(path)


def without(keyword: str, view: str = "") -> Damage:
    """An element is missing in all files, or in those of one view."""
    return lambda folder: change(images(folder, view), lambda dataset: dataset.pop(keyword, None))


def enhanced(folder: Path) -> None:
    """Each view is one multi-frame file."""
    for view in ("sax", "2ch", "4ch"):
        files = images(folder, view)
        frames = [pydicom.dcmread(path) for path in files]
        whole, first = pydicom.dcmread(files[0]), frames[0]
        whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
        whole.ImageType = ["ORIGINAL", "PRIMARY", "CINE", "NONE"]
        for keyword in (
            "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
            "SliceLocation", "TriggerTime", "NominalInterval", "WindowCenter", "WindowWidth",
        ):  # fmt: skip
            whole.pop(keyword, None)
        whole.NumberOfFrames, whole.InstanceNumber = len(files), 1
        measures = _item(first, "PixelSpacing", "SliceThickness", "SpacingBetweenSlices")
        whole.SharedFunctionalGroupsSequence = Sequence([Dataset()])
        whole.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence = Sequence([measures])
        whole.PerFrameFunctionalGroupsSequence = Sequence([])
        phases = max(int(frame.InstanceNumber) for frame in frames)
        for number, frame in enumerate(frames):
            content, cardiac, groups = Dataset(), Dataset(), Dataset()
            content.StackID, content.InStackPositionNumber = view, number // phases + 1
            content.TemporalPositionIndex = int(frame.InstanceNumber)
            content.DimensionIndexValues = [1, content.InStackPositionNumber, content.TemporalPositionIndex]
            cardiac.NominalCardiacTriggerDelayTime = float(frame.TriggerTime)
            groups.FrameContentSequence = Sequence([content])
            groups.PlanePositionSequence = Sequence([_item(frame, "ImagePositionPatient")])
            groups.PlaneOrientationSequence = Sequence([_item(frame, "ImageOrientationPatient")])
            groups.CardiacSynchronizationSequence = Sequence([cardiac])
            whole.PerFrameFunctionalGroupsSequence.append(groups)
        whole.PixelData = b"".join(frame.PixelData for frame in frames)
        for path in files:
            path.unlink()
        whole.save_as(files[0])


def _item(dataset: Dataset, *keywords: str) -> Dataset:
    item = Dataset()
    for keyword in keywords:
        setattr(item, keyword, dataset[keyword].value)
    return item


def missing_view(folder: Path) -> None:
    """The 4ch view is missing."""
    for path in images(folder, "4ch"):
        path.unlink()


def swapped_names(folder: Path) -> None:
    """The series of 2ch and 4ch have each other's names."""
    for view, other in (("2ch", "4ch"), ("4ch", "2ch")):

        def rename(dataset: Dataset, name: str = other) -> None:
            dataset.SeriesDescription = dataset.ProtocolName = f"cine {name.upper()}"

        change(images(folder, view), rename)
    for home in [path for path in folder.rglob("?ch_*") if path.is_dir()]:
        home.rename(home.with_name(f"other_{home.name[4:]}"))


def two_frames_of_reference(folder: Path) -> None:
    """The patient left the scanner before the long-axis views."""
    frame = generate_uid()

    def moved(dataset: Dataset) -> None:
        dataset.FrameOfReferenceUID = frame
        dataset.ImagePositionPatient = [float(value) + 14 for value in dataset.ImagePositionPatient]

    change(images(folder, "2ch") + images(folder, "4ch"), moved)


def black(folder: Path) -> None:
    """Every pixel is 0."""
    change(images(folder), lambda dataset: setattr(dataset, "PixelData", bytes(len(dataset.PixelData))))


def identity(folder: Path, name: str = "Mustermann^Erika", birth_date: str = "19540317") -> None:
    """A person's name and numbers stand in all headers that may hold them, and in a folder's name."""

    def plant(dataset: Dataset) -> None:
        dataset.PatientName, dataset.PatientBirthDate = name, birth_date
        dataset.PatientID, dataset.AccessionNumber = "MRN-0047110815", "ACC20130077"
        dataset.OtherPatientNames, dataset.ReferringPhysicianName = "Gabler^Erika", "Sauerbruch^Ferdinand"
        dataset.PatientAddress, dataset.InstitutionName = "Heidestrasse 17, Koeln", "Klinikum am Rosengarten"
        dataset.StudyDescription, dataset.PatientComments = f"Scan {name}", f"{name} geb. {birth_date}"

    change(sorted(folder.rglob("*.dcm")), plant)
    for home in sorted(folder.iterdir()):
        moved = folder / f"{name.replace('^', '_')}_{birth_date}" / home.name
        moved.parent.mkdir(exist_ok=True)
        home.rename(moved)


# --- NIfTI files ---------------------------------------------------------------------------------------------------------


def gone(pattern: str) -> Damage:
    """Files are missing."""

    def damage(folder: Path) -> None:
        for path in sorted(folder.rglob(pattern)):
            path.unlink()

    return damage


def rewritten(pattern: str, alter: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]) -> Damage:
    """Files have other voxels, or another affine."""

    def damage(folder: Path) -> None:
        for path in sorted(folder.rglob(pattern)):
            image = nibabel.load(path)
            nibabel.save(nibabel.Nifti1Image(*alter(np.asarray(image.dataobj), image.affine), image.header), path)

    return damage


def no_orientation(folder: Path) -> None:
    """The codes of sform and qform are 0."""
    for path in sorted(folder.rglob("*.nii.gz")):
        image = nibabel.load(path)
        image = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
        image.set_sform(None, 0)
        image.set_qform(None, 0)
        nibabel.save(image, path)
