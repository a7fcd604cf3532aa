#!/usr/bin/env bash
# MONAI's readers make one volume of a DICOM series, whether its images are slices, phases of a slice, or slices in three directions.
# Guess: LoadImage of a series' folder makes a volume of parallel slices, and refuses or splits a series that is no volume, as dcm2niix
#   (a fourth axis, or several files) and highdicom (no volume positions) do.
# Seen (MONAI 1.6.1, ITK 5.4.7, pydicom 3.0.2): five phases of one slice become five slices; with ITKReader 1 mm apart, with PydicomReader
#   with a singular affine. A cine of three slices with five phases becomes 15 slices of 1.43 mm in place of 3 of 10 mm. A localizer with
#   three slices in each of three directions becomes one volume of nine slices that all have the direction of the first; with
#   PydicomReader its third axis lies in the plane of the slices. No exception; ITK prints a warning where the steps differ.
# Why it matters: cines and localizers are most of what a heart exam's export holds. A network for volumes gets time as a third axis, and
#   volumes in ml follow from a spacing that nobody measured.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check monai==1.6.1 torch==2.13.0 numpy==2.4.6 pydicom==3.0.2 itk-io==5.4.7
cd "$work"
venv/bin/python - 2>"$work/log" <<'PYTHON' || { tail -n 20 "$work/log" >&2; exit 1; }
import contextlib
import sys
from pathlib import Path

import numpy as np
from monai.transforms import LoadImage
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

STUDY, FRAME_OF_REFERENCE = generate_uid(), generate_uid()
AXIAL, CORONAL, SAGITTAL = (1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)


def series(folder, images):
    """Classic MR images of one series; images: (orientation, position, trigger time in ms)."""
    Path(folder).mkdir()
    uid = generate_uid()
    for number, (orientation, position, trigger) in enumerate(images, 1):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom", "1", "", "O"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY, uid, FRAME_OF_REFERENCE
        ds.StudyDate, ds.StudyTime, ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "20200101", "100000", "MR", 1, number
        ds.ImageType, ds.TriggerTime, ds.SliceThickness, ds.PixelSpacing = ["ORIGINAL", "PRIMARY"], trigger, 8, [1.5, 1.5]
        ds.ImageOrientationPatient, ds.ImagePositionPatient = list(orientation), list(position)
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.Rows, ds.Columns = 16, 16, 15, 16, 12
        ds.PixelData = np.full((16, 12), number, "<u2").tobytes()
        ds.save_as(f"{folder}/{number:02}.dcm", enforce_file_format=True)


series("one slice, 5 phases", [(AXIAL, (0, 0, 0), 40 * t) for t in range(5)])
series("3 slices, 5 phases", [(AXIAL, (0, 0, 10 * z), 40 * t) for z in range(3) for t in range(5)])
planes = {AXIAL: (0, 0, 10), CORONAL: (0, 10, 0), SAGITTAL: (10, 0, 0)}
series("localizer", [(plane, [z * x for x in step], 0) for plane, step in planes.items() for z in range(3)])

expected = {
    ("one slice, 5 phases", "ITKReader"): (5, [0, 0, 1]),
    ("one slice, 5 phases", "PydicomReader"): (5, [0, 0, 0]),
    ("3 slices, 5 phases", "ITKReader"): (15, [0, 0, 1.43]),
    ("3 slices, 5 phases", "PydicomReader"): (15, [0, 0, 1.43]),
    ("localizer", "ITKReader"): (9, [0, 0, 2.5]),
    ("localizer", "PydicomReader"): (9, [-2.5, 0, 0]),
}
seen = {}
for folder, reader in expected:
    with contextlib.redirect_stdout(sys.stderr):
        image = LoadImage(reader=reader, image_only=True)(folder)
    seen[folder, reader] = image.shape[2], [round(x, 2) + 0 for x in image.affine[:3, 2].tolist()]
for (folder, reader), (slices, step) in seen.items():
    print(f"{folder:20} {reader:13} {slices:2} slices, step {step} mm")
raise SystemExit(seen != expected)
PYTHON
