#!/usr/bin/env bash
# dcm2niix stacks the phases of a Legacy Converted Enhanced MR cine as if they were slices.
# Guess: a 4D file as from the classic images, or a refusal; the trigger times are in the file.
# Seen (dcm2niix 1.0.20260724, input converted by highdicom 0.28.2): a 3D file of 20 slices, 10 mm apart, from 4 slices x 5
#   phases: 200 mm of heart in place of 40, no warning, exit code 0. From the classic images of the same cine: 4D, 4 x 5.
#   highdicom keeps the trigger times (in UnassignedPerFrameConvertedAttributesSequence), and every frame has its position.
# Why it matters: this class is made for converting old exams; a volume of a structure comes out five times too large.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check dcm2niix==1.0.20260724 highdicom==0.28.2 pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6
cd "$work"
venv/bin/python - 2>"$work/log" <<'PYTHON' || { tail -n 20 "$work/log" >&2; exit 1; }
import subprocess
import tempfile
from pathlib import Path

import dcm2niix
import highdicom
import nibabel
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


def converted(source):
    """The NIfTI files that dcm2niix writes, as {name: (shape, values of one pixel: slices, or slices x phases)}."""
    out = Path(tempfile.mkdtemp(dir="."))
    subprocess.run([dcm2niix.bin, "-z", "n", "-b", "n", "-f", "%d", "-o", out, source], check=True, stdout=subprocess.DEVNULL)
    images = {file.name: nibabel.load(file) for file in sorted(out.glob("*.nii"))}
    return {name: (image.shape, np.asarray(image.dataobj)[6, 8].tolist()) for name, image in images.items()}


source, target = Path("classic"), Path("legacy")
classic(source)
target.mkdir()
images = [pydicom.dcmread(file) for file in sorted(source.iterdir())]
legacy = highdicom.legacy.LegacyConvertedEnhancedMRImage(images, generate_uid(), 2, generate_uid(), 1)
legacy.save_as(target / "cine.dcm")
kept = [
    float(frame.UnassignedPerFrameConvertedAttributesSequence[0].TriggerTime)
    for frame in pydicom.dcmread(target / "cine.dcm").PerFrameFunctionalGroupsSequence
]
assert kept == [float(image.TriggerTime) for image in images], kept
shapes = [[shape for shape, _ in converted(folder).values()] for folder in (source, target)]
print("classic:", shapes[0], "legacy converted:", shapes[1])
raise SystemExit(shapes != [[(12, 16, 4, 5)], [(12, 16, 20)]])
PYTHON
