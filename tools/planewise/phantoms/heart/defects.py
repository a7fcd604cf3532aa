"""Flaws of real heart exams, each of which can be written on demand, so that readers can be tested on all of them."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import BasicTextSRStorage, JPEG2000Lossless, RLELossless, SecondaryCaptureImageStorage

from planewise.phantoms.defect import Defect, keeping, plant_identity, registering, with_ghosts
from planewise.phantoms.heart.altering import (
    ADDED,
    acquire,
    added,
    again,
    by_series,
    enhanced_file,
    find,
    images,
    typical,
    without,
)
from planewise.phantoms.heart.exam import Exam
from planewise.phantoms.heart.heart import Heart
from planewise.phantoms.heart.study import STUDY, localizer_files, study_files
from planewise.phantoms.scanner.dicom import DicomFile, Identity, number, uid
from planewise.phantoms.scanner.pose import ImagePose

Files = list[DicomFile]

#: Flaws by name, in listing order.
DEFECTS: dict[str, Defect] = {}

_defect = registering(DEFECTS)


@_defect("the whole short-axis stack is one series whose instance numbers run through all slices and phases")
def one_series(files: Files, exam: Exam, identity: Identity) -> Files:
    stack = [file for file in files if file.view == "sax"]
    first = stack[0].dataset
    for rank, file in enumerate(stack):
        file.dataset.SeriesInstanceUID = uid(exam, "one series")
        file.dataset.SeriesNumber = first.SeriesNumber
        file.dataset.InstanceNumber = rank + 1
        file.path = STUDY / "sax_1" / f"IM-{first.SeriesNumber:04d}-{rank + 1:04d}.dcm"
    return files


@_defect("a localizer: axial, coronal and sagittal images inside one series")
def localizer(files: Files, exam: Exam, identity: Identity) -> Files:
    return localizer_files(exam, identity) + files


DEFECTS["no_series_uid"] = Defect("SeriesInstanceUID is missing, as in the real DSBCC", without("SeriesInstanceUID"))


@_defect("multi-frame Enhanced MR: one file for the stack, one per long-axis view, a localizer of three orientations")
def enhanced(files: Files, exam: Exam, identity: Identity) -> Files:
    files = localizer(files, exam, identity)
    views = sorted({file.view for file in files})
    return [enhanced_file([file for file in files if file.view == view], exam, view) for view in views]


@_defect("a middle slice was acquired twice: first with motion ghosts, then without at the end of the exam")
def repeated_slice(files: Files, exam: Exam, identity: Identity) -> Files:
    stack = [file for file in files if file.view == "sax"]
    middle = len(exam.poses["sax"]) // 2
    good = [file for file in stack if file.slice == middle]
    pose = exam.poses["sax"][middle]
    second = acquire(exam, identity, "sax", "sax", ADDED, pose, slice=middle)
    for file in good:
        file.pixels = with_ghosts(file.pixels)
    return files + second


@_defect("files are missing: the last phase of one slice, a middle phase of the next")
def missing_phases(files: Files, exam: Exam, identity: Identity) -> Files:
    gone = {(1, exam.scanner.phases - 1), (2, exam.scanner.phases // 2)}
    return [file for file in files if file.view != "sax" or (file.slice, file.phase) not in gone]


@_defect("long-axis views have fewer phases than the short axis (DSBCC 416: 30 and 21)")
def unequal_phases(files: Files, exam: Exam, identity: Identity) -> Files:
    count = max(2, round(0.7 * exam.scanner.phases))
    phases = np.arange(count) / count
    return again(files, exam, identity, lambda file: file.view in ("2ch", "4ch"), phases=phases)


@_defect("three basal slices have another matrix and pixel spacing than the rest of the stack")
def mixed_matrix(files: Files, exam: Exam, identity: Identity) -> Files:
    columns, rows = exam.scanner.matrix
    return again(
        files,
        exam,
        identity,
        lambda file: file.view == "sax" and file.slice < 3,
        matrix=(4 * round(columns / 5), 4 * round(rows / 5)),
        spacing=round(exam.scanner.spacing * 1.25, 4),
    )


@_defect("the short-axis stack has only one slice")
def single_slice(files: Files, exam: Exam, identity: Identity) -> Files:
    middle = len(exam.poses["sax"]) // 2
    return [file for file in files if file.view != "sax" or file.slice == middle]


DEFECTS["no_trigger_time"] = Defect(
    "TriggerTime is missing; only InstanceNumber gives the order of the phases", without("TriggerTime")
)


@_defect("series numbers, instance numbers and file names are in random order; TriggerTime and positions are right")
def scrambled_order(files: Files, exam: Exam, identity: Identity) -> Files:
    rng = exam.rng(11)
    pictures = images(files)
    series = sorted({file.dataset.SeriesNumber for file in pictures})
    renumbered = dict(zip(series, rng.permutation(series), strict=True))
    for _, group in by_series(pictures):
        numbers = rng.permutation(len(group)) + 1
        for file, instance in zip(group, numbers, strict=True):
            file.dataset.InstanceNumber = int(instance)
            file.path = file.path.with_name(f"{rng.integers(16**8):08x}.dcm")
    for file in pictures:
        file.dataset.SeriesNumber = int(renumbered[file.dataset.SeriesNumber])
    rng.shuffle(files)
    return files


@_defect("one series appears twice in the tree, as in some exports")
def copied(files: Files, exam: Exam, identity: Identity) -> Files:
    double = [file for file in files if file.view == "sax" and file.slice == 1]
    return files + [replace(file, path=PurePosixPath("copy") / file.path) for file in double]


DEFECTS["missing_view"] = Defect("the 4ch view is missing", keeping(lambda file: file.view != "4ch"))


@_defect("series have wrong names: 2ch and 4ch are swapped, a 3ch is called 4CH, a right ventricular view 2CH")
def lying_names(files: Files, exam: Exam, identity: Identity) -> Files:
    swapped = {"2ch": "4ch", "4ch": "2ch"}
    for file in images(files):
        if file.view in swapped:
            folder = file.path.parent.name.replace(file.view, swapped[file.view])
            file.path = STUDY / folder / file.path.name
            file.dataset.SeriesDescription = file.dataset.ProtocolName = f"cine {swapped[file.view].upper()}"
    for rank, (view, name) in enumerate((("3ch", "4CH"), ("rv_2ch", "2CH"))):
        pose = exam.poses[view][0]
        files += acquire(exam, identity, view, f"cine {name}", ADDED + rank, pose, matrix=exam.scanner.matrix[::-1])
    return files


@_defect("the view called 2ch is parallel to the short axis, so the two have no line of intersection")
def parallel_planes(files: Files, exam: Exam, identity: Identity) -> Files:
    middle = exam.poses["sax"][len(exam.poses["sax"]) // 2]
    return again(files, exam, identity, lambda file: file.view == "2ch", pose=middle, matrix=exam.scanner.matrix)


@_defect("dextrocardia: the heart is in the right chest, a mirror image of the usual one")
def dextrocardia(files: Files, exam: Exam, identity: Identity) -> Files:
    mirror = np.diag([-1.0, 1.0, 1.0])
    heart = exam.heart
    mirrored = Heart(heart.patient, heart.shape, mirror @ heart.centre, heart.axes @ mirror)
    # a technologist rotates the planes with the heart, but never mirrors an image
    poses = {
        view: [ImagePose(mirror @ pose.centre, -(mirror @ pose.row), mirror @ pose.column) for pose in stack]
        for view, stack in exam.poses.items()
    }
    return study_files(replace(exam, heart=mirrored, poses=poses), identity)


DEFECTS["no_frame_of_reference"] = Defect("FrameOfReferenceUID is missing", without("FrameOfReferenceUID"))


@_defect(
    "the patient left the scanner between series: long-axis views have another frame of reference and other positions"
)
def two_frames_of_reference(files: Files, exam: Exam, identity: Identity) -> Files:
    for file in images(files):
        if file.view != "sax":
            file.dataset.FrameOfReferenceUID = uid(exam, "second frame of reference")
            position = zip(file.dataset.ImagePositionPatient, (14.0, -9.0, 31.0), strict=True)
            file.dataset.ImagePositionPatient = [number(float(value) + move) for value, move in position]
    return files


@_defect("PixelSpacing of the short-axis images is 0")
def zero_spacing(files: Files, exam: Exam, identity: Identity) -> Files:
    for file in images(files):
        if file.view == "sax":
            file.dataset.PixelSpacing = ["0", "0"]
    return files


DEFECTS["no_spacing"] = Defect("PixelSpacing of the 4ch view is missing", without("PixelSpacing", view="4ch"))


@_defect("every pixel of the exam is 0 (DSBCC 761)")
def black(files: Files, exam: Exam, identity: Identity) -> Files:
    for file in images(files):
        file.pixels = np.zeros_like(file.pixels)
    return files


@_defect("pixels are compressed, RLE lossless")
def compressed(files: Files, exam: Exam, identity: Identity) -> Files:
    for file in images(files):
        name = file.dataset.SOPInstanceUID
        file.dataset.compress(RLELossless, encoding_plugin="pydicom")
        # pydicom 3 gives compressed images a new random identifier
        file.dataset.SOPInstanceUID = file.dataset.file_meta.MediaStorageSOPInstanceUID = name
    return files


@_defect("pixels are compressed, JPEG 2000 lossless")
def compressed_jpeg2000(files: Files, exam: Exam, identity: Identity) -> Files:
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
def zero_byte(files: Files, exam: Exam, identity: Identity) -> Files:
    victim = find(files, "sax", 1, 0)
    victim.dataset, victim.content = None, b""
    return files


@_defect("one file is truncated in its pixels, another in its header")
def truncated(files: Files, exam: Exam, identity: Identity) -> Files:
    for rank, keep in ((1, 0.6), (2, 0.0)):
        victim = find(files, "sax", rank, 0)
        content = victim.encode()
        victim.dataset, victim.content = None, content[: max(int(keep * len(content)), 700)]
    return files


@_defect("a Siemens MOSAIC: the slices of one phase as tiles of one image")
def mosaic(files: Files, exam: Exam, identity: Identity) -> Files:
    tiles = [file.pixels[::2, ::2] for file in files if file.view == "sax" and file.phase == 0]
    side = int(np.ceil(np.sqrt(len(tiles))))
    tiles += [np.zeros_like(tiles[0])] * (side**2 - len(tiles))
    picture = np.block([[tiles[side * row + column] for column in range(side)] for row in range(side)])
    extra = added(files, exam, "mosaic", picture)
    extra.dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    return [*files, extra]


@_defect("a secondary capture: a screenshot without geometry")
def secondary_capture(files: Files, exam: Exam, identity: Identity) -> Files:
    extra = added(files, exam, "screenshot", typical(files).pixels)
    dataset = extra.dataset
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.ConversionType = "WSD"
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness"):
        dataset.pop(keyword, None)
    return [*files, extra]


@_defect("a further 4ch image with text in its pixels (BurnedInAnnotation YES)")
def burnt_in(files: Files, exam: Exam, identity: Identity) -> Files:
    picture = typical(files).pixels.copy()
    # a row of strokes instead of letters
    picture[4:12, 4 : picture.shape[1] // 2 : 3] = 4095
    extra = added(files, exam, "4ch annotated", picture)
    extra.dataset.BurnedInAnnotation = "YES"
    return [*files, extra]


@_defect("a structured report: DICOM without pixels")
def structured_report(files: Files, exam: Exam, identity: Identity) -> Files:
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
def not_dicom(files: Files, exam: Exam, identity: Identity) -> Files:
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
def no_extension(files: Files, exam: Exam, identity: Identity) -> Files:
    for rank, (_, group) in enumerate(by_series(files)):
        depth = PurePosixPath(*["DICOM", "PAT0001", "ST0001", f"SE{rank:04d}", "a", "b"][: 3 + rank % 4])
        for instance, file in enumerate(group):
            file.path = depth / f"IM{rank:03d}{instance:04d}"
    return not_dicom(files, exam, identity)


@_defect("identity everywhere: name, birth date, numbers, addresses, and folders named after the patient")
def identity(files: Files, exam: Exam, identity: Identity) -> Files:
    return plant_identity(files, identity, "Herz")
