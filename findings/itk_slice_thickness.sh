#!/usr/bin/env bash
# ITK gives a single MR or CT slice a thickness of 1 mm, whatever SliceThickness says.
# Guess: the third spacing of one slice is its SliceThickness, as pydicom shows it and as dcm2niix writes it.
# Seen (ITK 5.4.7, SimpleITK 2.5.7, dcm2niix 1.0.20260724): SliceThickness 8 mm without SpacingBetweenSlices: ITK (1.5, 1.5, 1), no
#   warning; dcm2niix 8 mm. With SpacingBetweenSlices 10 mm: 10 mm by all three. It is the same for MR and CT.
# Why it matters: long axes, localizers and each slice of a cine stored as a series of its own are single slices. A volume in ml from such a
#   slice is 8 times too small, and slices of one stack differ by the scanner that wrote the optional attribute.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 itk-io==5.4.7 pydicom==3.0.2 numpy==2.4.6 \
    dcm2niix==1.0.20260724 nibabel==5.4.2
cd "$work"
export PATH="$work/venv/bin:$PATH"
venv/bin/python - 2>"$work/log" <<'PYTHON' || { tail -n 20 "$work/log" >&2; exit 1; }
import subprocess

import itk
import nibabel
import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid


def spacings(kind, between):
    """The third spacing of one slice of 8 mm by ITK, SimpleITK and dcm2niix."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = {"MR": MRImageStorage, "CT": CTImageStorage}[kind]
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Phantom", "1", "", "O"
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = generate_uid(), generate_uid(), generate_uid()
    ds.StudyDate, ds.StudyTime, ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "20200101", "100000", kind, 1, 1
    ds.ImageType, ds.SliceThickness, ds.PixelSpacing = ["ORIGINAL", "PRIMARY"], 8, [1.5, 1.5]
    if between:
        ds.SpacingBetweenSlices = between
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    ds.RescaleSlope, ds.RescaleIntercept = 1, 0
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.Rows, ds.Columns = 16, 16, 15, 64, 48
    ds.PixelData = np.arange(64 * 48, dtype="<u2").tobytes()
    ds.save_as("slice.dcm", enforce_file_format=True)
    subprocess.run(["dcm2niix", "-w", "1", "-b", "n", "-f", "slice", "-s", "y", "slice.dcm"], check=True, capture_output=True)
    readings = itk.imread("slice.dcm", itk.F).GetSpacing()[2], sitk.ReadImage("slice.dcm").GetSpacing()[2]
    return *readings, float(nibabel.load("slice.nii").header.get_zooms()[2])


expected = {("MR", None): (1, 1, 8), ("MR", 10): (10, 10, 10), ("CT", None): (1, 1, 8), ("CT", 10): (10, 10, 10)}
seen = {case: spacings(*case) for case in expected}
for (kind, between), (plain, simple, converted) in seen.items():
    print(f"{kind}, SpacingBetweenSlices {between}: ITK {plain}, SimpleITK {simple}, dcm2niix {converted} mm")
raise SystemExit(seen != expected)
PYTHON
