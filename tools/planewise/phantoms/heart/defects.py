"""Flaws of real heart exams, each written on demand, so that every trap has a file that springs it."""

from __future__ import annotations

import io
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    BasicTextSRStorage,
    EnhancedMRImageStorage,
    JPEG2000Lossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from planewise.phantoms.defect import Defect, plant_identity, registering
from planewise.phantoms.heart.cine_series import Series, series_files
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.heart import Heart
from planewise.phantoms.layouts.dsbcc import STUDY, localizer_files, study_files
from planewise.phantoms.scanner.dicom import DicomFile, Identity, number, uid
from planewise.phantoms.scanner.pose import ImagePose

#: Series numbers of what defects add, clear of those of a sound exam.
ADDED = 60


#: Name to flaw, in the order in which they are listed.
DEFECTS: dict[str, Defect] = {}

_defect = registering(DEFECTS)


# --- how series are cut ------------------------------------------------------------------------------------------------


@_defect("the whole short-axis stack is one series, slices and phases numbered through")
def one_series(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    stack = [file for file in files if file.view == "sax"]
    first = stack[0].dataset
    for rank, file in enumerate(stack):
        file.dataset.SeriesInstanceUID = uid(exam, "one series")
        file.dataset.SeriesNumber = first.SeriesNumber
        file.dataset.InstanceNumber = rank + 1
        file.path = STUDY / "sax_1" / f"IM-{first.SeriesNumber:04d}-{rank + 1:04d}.dcm"
    return files


@_defect("a localizer: axial, coronal and sagittal images inside one series")
def localizer(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    return localizer_files(exam, identity) + files


@_defect("SeriesInstanceUID is missing, as in the real DSBCC")
def no_series_uid(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    return _without(files, "SeriesInstanceUID")


@_defect("multi-frame Enhanced MR: one file for the stack, one per long-axis view, a localizer of three orientations")
def enhanced(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    files = localizer(files, exam, identity)
    views = sorted({file.view for file in files})
    return [_enhanced_file([file for file in files if file.view == view], exam, view) for view in views]


# --- slices and phases -------------------------------------------------------------------------------------------------


@_defect("a middle slice was acquired twice: the first time with motion ghosts, at the end of the exam again, well")
def repeated_slice(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    stack = [file for file in files if file.view == "sax"]
    middle = len(exam.poses["sax"]) // 2
    good = [file for file in stack if file.slice == middle]
    pose = exam.poses["sax"][middle]
    again = _acquire(exam, identity, "sax", "sax", ADDED, pose, slice=middle)
    for file in good:
        pixels = _pixels(file)
        ghost = np.roll(pixels, pixels.shape[0] // 5, axis=0) // 3 + np.roll(pixels, -pixels.shape[0] // 7, axis=0) // 3
        _set_pixels(file, pixels // 2 + ghost)
    return files + again


@_defect("files are missing: the last phase of one slice, a middle phase of the next")
def missing_phases(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    gone = {(1, exam.scanner.phases - 1), (2, exam.scanner.phases // 2)}
    return [file for file in files if file.view != "sax" or (file.slice, file.phase) not in gone]


@_defect("long-axis views have fewer phases than the short axis (DSBCC 416: 30 and 21)")
def unequal_phases(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    count = max(2, round(0.7 * exam.scanner.phases))
    phases = np.arange(count) / count
    return _again(files, exam, identity, lambda file: file.view in ("2ch", "4ch"), phases=phases)


@_defect("three basal slices have another matrix and pixel spacing than the rest of the stack")
def mixed_matrix(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    columns, rows = exam.scanner.matrix
    return _again(
        files,
        exam,
        identity,
        lambda file: file.view == "sax" and file.slice < 3,
        matrix=(4 * round(columns / 5), 4 * round(rows / 5)),
        spacing=round(exam.scanner.spacing * 1.25, 4),
    )


@_defect("the short-axis stack has only one slice")
def single_slice(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    middle = len(exam.poses["sax"]) // 2
    return [file for file in files if file.view != "sax" or file.slice == middle]


@_defect("TriggerTime is missing; only InstanceNumber tells the order of the phases")
def no_trigger_time(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    return _without(files, "TriggerTime")


@_defect("series numbers, instance numbers and file names are in random order; TriggerTime and positions are right")
def scrambled_order(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    rng = exam.rng(11)
    images = _images(files)
    series = sorted({file.dataset.SeriesNumber for file in images})
    renumbered = dict(zip(series, rng.permutation(series), strict=True))
    for _, group in _by_series(images):
        numbers = rng.permutation(len(group)) + 1
        for file, instance in zip(group, numbers, strict=True):
            file.dataset.InstanceNumber = int(instance)
            file.path = file.path.with_name(f"{rng.integers(16**8):08x}.dcm")
    for file in images:
        file.dataset.SeriesNumber = int(renumbered[file.dataset.SeriesNumber])
    rng.shuffle(files)
    return files


@_defect("one series lies in the tree twice, as exports do")
def copied(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    double = [file for file in files if file.view == "sax" and file.slice == 1]
    return files + [replace(file, path=PurePosixPath("copy") / file.path) for file in double]


# --- views and planes --------------------------------------------------------------------------------------------------


@_defect("there is no 4ch view")
def missing_view(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    return [file for file in files if file.view != "4ch"]


@_defect("names lie: 2ch and 4ch are swapped, a 3ch is called 4CH, a right ventricular view 2CH")
def lying_names(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    swapped = {"2ch": "4ch", "4ch": "2ch"}
    for file in _images(files):
        if file.view in swapped:
            folder = file.path.parent.name.replace(file.view, swapped[file.view])
            file.path = STUDY / folder / file.path.name
            file.dataset.SeriesDescription = file.dataset.ProtocolName = f"cine {swapped[file.view].upper()}"
    for rank, (view, name) in enumerate((("3ch", "4CH"), ("rv_2ch", "2CH"))):
        pose = exam.poses[view][0]
        files += _acquire(exam, identity, view, f"cine {name}", ADDED + rank, pose, matrix=exam.scanner.matrix[::-1])
    return files


@_defect("the view called 2ch is parallel to the short axis, so the two have no line of intersection")
def parallel_planes(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    middle = exam.poses["sax"][len(exam.poses["sax"]) // 2]
    return _again(files, exam, identity, lambda file: file.view == "2ch", pose=middle, matrix=exam.scanner.matrix)


@_defect("dextrocardia: the heart lies in the right chest, a mirror image of the usual one")
def dextrocardia(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    mirror = np.diag([-1.0, 1.0, 1.0])
    heart = exam.heart
    mirrored = Heart(heart.patient, heart.shape, mirror @ heart.centre, heart.axes @ mirror)
    # a technologist turns the planes with the heart, but never mirrors an image
    poses = {
        view: [ImagePose(mirror @ pose.centre, -(mirror @ pose.row), mirror @ pose.column) for pose in stack]
        for view, stack in exam.poses.items()
    }
    return study_files(replace(exam, heart=mirrored, poses=poses), identity)


# --- frames of reference and geometry ----------------------------------------------------------------------------------


@_defect("FrameOfReferenceUID is missing")
def no_frame_of_reference(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    return _without(files, "FrameOfReferenceUID")


@_defect("the patient was taken out in between: long-axis views have another frame of reference and other positions")
def two_frames_of_reference(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    for file in _images(files):
        if file.view != "sax":
            file.dataset.FrameOfReferenceUID = uid(exam, "second frame of reference")
            position = zip(file.dataset.ImagePositionPatient, (14.0, -9.0, 31.0), strict=True)
            file.dataset.ImagePositionPatient = [number(float(value) + move) for value, move in position]
    return files


@_defect("PixelSpacing of the short-axis images is 0")
def zero_spacing(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    for file in _images(files):
        if file.view == "sax":
            file.dataset.PixelSpacing = ["0", "0"]
    return files


@_defect("PixelSpacing of the 4ch view is missing")
def no_spacing(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    _without([file for file in files if file.view == "4ch"], "PixelSpacing")
    return files


# --- what is in a file -------------------------------------------------------------------------------------------------


@_defect("every pixel of the exam is 0 (DSBCC 761)")
def black(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    for file in _images(files):
        _set_pixels(file, np.zeros_like(_pixels(file)))
    return files


@_defect("pixels are compressed, RLE lossless")
def compressed(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    for file in _images(files):
        name = file.dataset.SOPInstanceUID
        file.dataset.compress(RLELossless, encoding_plugin="pydicom")
        # pydicom 3 gives compressed images a new random identifier
        file.dataset.SOPInstanceUID = file.dataset.file_meta.MediaStorageSOPInstanceUID = name
    return files


@_defect("pixels are compressed, JPEG 2000 lossless")
def compressed_jpeg2000(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    from PIL import Image

    for file in _images(files):
        stream = io.BytesIO()
        Image.fromarray(_pixels(file)).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
        file.dataset.PixelData = encapsulate([stream.getvalue()])
        file.dataset["PixelData"].VR = "OB"
        file.dataset["PixelData"].is_undefined_length = True
        # the encoder writes all 16 bits
        file.dataset.BitsStored, file.dataset.HighBit = 16, 15
        file.dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    return files


@_defect("a file of one slice has no bytes")
def zero_byte(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    victim = _one(files, "sax", 1, 0)
    victim.dataset, victim.content = None, b""
    return files


@_defect("one file is cut off in its pixels, another in its header")
def truncated(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    for rank, keep in ((1, 0.6), (2, 0.0)):
        victim = _one(files, "sax", rank, 0)
        content = victim.encode()
        victim.dataset, victim.content = None, content[: max(int(keep * len(content)), 700)]
    return files


# --- what else lies in the tree ----------------------------------------------------------------------------------------


@_defect("a Siemens MOSAIC: the slices of one phase as tiles of one image")
def mosaic(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    tiles = [_pixels(file)[::2, ::2] for file in files if file.view == "sax" and file.phase == 0]
    side = int(np.ceil(np.sqrt(len(tiles))))
    tiles += [np.zeros_like(tiles[0])] * (side**2 - len(tiles))
    picture = np.block([[tiles[side * row + column] for column in range(side)] for row in range(side)])
    added = _added(files, exam, "mosaic", picture)
    added.dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    return [*files, added]


@_defect("a secondary capture: a screenshot without geometry")
def secondary_capture(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    added = _added(files, exam, "screenshot", _pixels(_typical(files)))
    dataset = added.dataset
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.ConversionType = "WSD"
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness"):
        dataset.pop(keyword, None)
    return [*files, added]


@_defect("a further 4ch image with writing in its pixels (BurnedInAnnotation YES)")
def burnt_in(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    picture = _pixels(_typical(files)).copy()
    # a row of strokes in the place of letters
    picture[4:12, 4 : picture.shape[1] // 2 : 3] = 4095
    added = _added(files, exam, "4ch annotated", picture)
    added.dataset.BurnedInAnnotation = "YES"
    return [*files, added]


@_defect("a structured report: DICOM without pixels")
def structured_report(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    added = _added(files, exam, "report", _pixels(_typical(files)))
    dataset = added.dataset
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
    return [*files, added]


@_defect("files that are not DICOM: notes, a thumbnail cache, .DS_Store, a picture, an empty folder's mark")
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
    added = [
        DicomFile(folders[rank % len(folders)] / name, content=content)
        for rank, (name, content) in enumerate(contents.items())
    ]
    return files + added


@_defect("file names have no extension, in folders of odd depth, mixed with other things")
def no_extension(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    for rank, (_, group) in enumerate(_by_series(files)):
        depth = PurePosixPath(*["DICOM", "PAT0001", "ST0001", f"SE{rank:04d}", "a", "b"][: 3 + rank % 4])
        for instance, file in enumerate(group):
            file.path = depth / f"IM{rank:03d}{instance:04d}"
    return not_dicom(files, exam, identity)


@_defect("identity everywhere: name, birth date, numbers, addresses, and folders named after the patient")
def identity(files: list[DicomFile], exam: Exam, identity: Identity) -> list[DicomFile]:
    return plant_identity(files, identity, "Herz")


# --- tools ---------------------------------------------------------------------------------------------------------------


def _acquire(
    exam: Exam, identity: Identity, view: str, description: str, number: int, pose: ImagePose, **values: object
) -> list[DicomFile]:
    """A further series; its number is also the name of its noise."""
    folder = f"{description.replace(' ', '_')}_{number}"
    return series_files(exam, Series(view, folder, description, number, pose, stream=number, **values), identity, STUDY)


def _again(
    files: list[DicomFile], exam: Exam, identity: Identity, which: Callable[[DicomFile], bool], **values: object
) -> list[DicomFile]:
    """The files with some series acquired in another way, under the same names."""
    result = []
    for _, group in _by_series(files):
        first = group[0]
        if first.dataset is not None and which(first):
            columns, rows = int(first.dataset.Columns), int(first.dataset.Rows)
            number = int(first.dataset.SeriesNumber)
            series = Series(
                view=first.view,
                folder=first.path.parent.name,
                description=str(first.dataset.SeriesDescription),
                number=number,
                pose=exam.poses[first.view][first.slice],
                slice=first.slice,
                stream=number,
                matrix=(columns, rows),
            )
            group = series_files(exam, series.changed(**values), identity, STUDY)
        result += group
    return result


def _images(files: list[DicomFile]) -> list[DicomFile]:
    """The files that are still DICOM: another defect may have emptied or cut some."""
    return [file for file in files if file.dataset is not None]


def _by_series(files: list[DicomFile]) -> list[tuple[PurePosixPath, list[DicomFile]]]:
    """Files grouped by their folder, in the order in which the folders come."""
    groups: dict[PurePosixPath, list[DicomFile]] = {}
    for file in files:
        groups.setdefault(file.path.parent, []).append(file)
    return list(groups.items())


def _one(files: list[DicomFile], view: str, slice: int, phase: int) -> DicomFile:
    """The file of a view, slice and phase."""
    return next(file for file in files if (file.view, file.slice, file.phase) == (view, slice, phase))


def _typical(files: list[DicomFile]) -> DicomFile:
    """A 4ch image, or any where another defect has taken that view away."""
    return max(_images(files), key=lambda file: (file.view == "4ch", -file.phase))


def _without(files: list[DicomFile], keyword: str) -> list[DicomFile]:
    """The files with a header entry removed."""
    for file in _images(files):
        file.dataset.pop(keyword, None)
    return files


def _pixels(file: DicomFile) -> np.ndarray:
    """Pixels ``(rows, columns)`` of an uncompressed file, uint16."""
    dataset = file.dataset
    return np.frombuffer(dataset.PixelData, dtype="<u2").reshape(dataset.Rows, dataset.Columns)


def _set_pixels(file: DicomFile, pixels: np.ndarray) -> None:
    """Changes an uncompressed file's picture."""
    file.dataset.Rows, file.dataset.Columns = pixels.shape
    file.dataset.PixelData = np.ascontiguousarray(pixels, dtype="<u2").tobytes()


def _added(files: list[DicomFile], exam: Exam, name: str, pixels: np.ndarray) -> DicomFile:
    """One more file, a series of its own, with the header of one that is there."""
    dataset = deepcopy(_typical(files).dataset)
    dataset.SeriesInstanceUID = uid(exam, "series", name)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid(exam, "image", name)
    dataset.SeriesNumber = ADDED + 20
    dataset.SeriesDescription = dataset.ProtocolName = name
    file = DicomFile(STUDY / f"{name.replace(' ', '_')}_{ADDED + 20}" / "IM-0080-0001.dcm", dataset, view=name)
    _set_pixels(file, pixels)
    return file


def _enhanced_file(files: list[DicomFile], exam: Exam, view: str) -> DicomFile:
    """All images of a view as the frames of one Enhanced MR image."""
    first = files[0].dataset
    dataset = deepcopy(first)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid(exam, "enhanced", view)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "CINE", "NONE"]
    for keyword in (
        "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
        "SliceLocation", "TriggerTime", "NominalInterval", "WindowCenter", "WindowWidth", "InstanceNumber",
    ):  # fmt: skip
        dataset.pop(keyword, None)
    dataset.InstanceNumber = 1
    dataset.NumberOfFrames = len(files)
    measures = Dataset()
    measures.PixelSpacing = first.PixelSpacing
    measures.SliceThickness = first.SliceThickness
    measures.SpacingBetweenSlices = first.SpacingBetweenSlices
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    dataset.SharedFunctionalGroupsSequence = Sequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([_frame(file) for file in files])
    dataset.PixelData = b"".join(file.dataset.PixelData for file in files)
    return DicomFile(STUDY / f"{view}_enhanced" / "IM-0001-0001.dcm", dataset, view=view)


def _frame(file: DicomFile) -> Dataset:
    """The functional groups of one frame."""
    source = file.dataset
    content, position, orientation, frame = Dataset(), Dataset(), Dataset(), Dataset()
    content.StackID = file.view
    content.InStackPositionNumber = file.slice + 1
    content.TemporalPositionIndex = file.phase + 1
    content.DimensionIndexValues = [1, file.slice + 1, file.phase + 1]
    position.ImagePositionPatient = source.ImagePositionPatient
    orientation.ImageOrientationPatient = source.ImageOrientationPatient
    frame.FrameContentSequence = Sequence([content])
    frame.PlanePositionSequence = Sequence([position])
    frame.PlaneOrientationSequence = Sequence([orientation])
    if "TriggerTime" in source:
        trigger = Dataset()
        trigger.NominalCardiacTriggerDelayTime = float(source.TriggerTime)
        frame.CardiacSynchronizationSequence = Sequence([trigger])
    return frame
