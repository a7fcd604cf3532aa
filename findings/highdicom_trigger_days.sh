#!/usr/bin/env bash
# highdicom's conversion to Legacy Converted Enhanced MR adds the trigger time to a frame's date as days, not milliseconds.
# Guess: a frame that was acquired 160 ms after the R wave keeps its date and gets a time 0.16 s later, or the time it had.
# Seen (highdicom 0.28.2): AcquisitionDate 2020-01-01, TriggerTime 0, 160, 320, 480, 640 ms; FrameAcquisitionDateTime is
#   2020-01-01, 2020-06-09, 2020-11-16, 2021-04-25 and 2021-10-02, each at 10:00:00. No warning.
# Why it matters: a cine seems to last 21 months. Readers that order frames or match exams by acquisition date are misled, and
#   whoever takes differences of these times for the interval between phases is wrong by a factor of 86 million.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
cd "$work"
venv/bin/python - 2>"$work/log" <<'PYTHON' || { tail -n 20 "$work/log" >&2; exit 1; }
from pathlib import Path

import highdicom
import pydicom

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

STUDY, FRAME_OF_REFERENCE = generate_uid(), generate_uid()


def header(sop_class, series, maker, pixels):
    """The attributes that classic and Enhanced MR share; pixels: (rows, columns) or (frames, rows, columns)."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom", "1", "", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = STUDY, series, FRAME_OF_REFERENCE
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20200101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "100000"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName, ds.PositionReferenceIndicator = "1", "", "", ""
    ds.Modality, ds.Manufacturer, ds.SeriesNumber, ds.SeriesDescription = "MR", maker, 1, "cine"
    ds.PatientPosition, ds.MagneticFieldStrength, ds.InstanceNumber = "HFS", 1.5, 1
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.PixelData = np.ascontiguousarray(pixels, "<u2").tobytes()
    return ds


def classic(folder, maker="", phases=5, slices=4):
    """One series of a cine, 10 mm between slices; pixel values are 100 * (slice + 1) + phase."""
    folder.mkdir()
    series = generate_uid()
    for z in range(slices):
        for t in range(phases):
            ds = header(MRImageStorage, series, maker, np.full((16, 12), 100 * (z + 1) + t))
            ds.ImageType, ds.InstanceNumber = ["ORIGINAL", "PRIMARY", "M", "NONE"], z * phases + t + 1
            ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "GR", "SK", "", "2D"
            ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength, ds.FlipAngle = 40, 1.4, 1, 50
            ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, 10 * z], [1, 0, 0, 0, 1, 0]
            ds.PixelSpacing, ds.SliceThickness, ds.SpacingBetweenSlices = [1.5, 1.5], 8, 10
            if phases > 1:
                ds.TriggerTime, ds.NominalInterval, ds.CardiacNumberOfImages = 160 * t, 800, phases
            ds.save_as(folder / f"{ds.InstanceNumber:03d}.dcm", enforce_file_format=True)


source = Path("classic")
classic(source, slices=1)
images = [pydicom.dcmread(file) for file in sorted(source.iterdir())]
legacy = highdicom.legacy.LegacyConvertedEnhancedMRImage(images, generate_uid(), 2, generate_uid(), 1)
legacy.save_as("legacy.dcm")
frames = pydicom.dcmread("legacy.dcm").PerFrameFunctionalGroupsSequence
dates = [str(frame.FrameContentSequence[0].FrameAcquisitionDateTime)[:8] for frame in frames]
print("trigger times, ms:", [int(image.TriggerTime) for image in images], "dates:", dates)
raise SystemExit(dates != ["20200101", "20200609", "20201116", "20210425", "20211002"])
PYTHON
