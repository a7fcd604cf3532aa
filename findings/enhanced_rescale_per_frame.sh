#!/usr/bin/env bash
# Three readers give three answers where the frames of an Enhanced MR file have rescale slopes of their own.
# Guess: all apply each frame's PixelValueTransformationSequence, or say that they do not.
# Seen: stored 100, 200, 300, 400 with slopes .5, 1, 1.5, 2. dcm2niix 1.0.20260724: 50, 200, 450, 800 (right). SimpleITK 2.5.7:
#   50, 100, 150, 200, the first frame's slope for all. pydicom 3.0.2, apply_modality_lut: 100, 200, 300, 400, none. No warning.
# Why it matters: DICOM lets each slice or phase be scaled to the full range of integers; the heart's brightness then jumps from slice to slice, depending on the library that prepared the training set.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check dcm2niix==1.0.20260724 SimpleITK==2.5.7 pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6
cd "$work"
venv/bin/python - 2>"$work/log" <<'PYTHON' || { tail -n 20 "$work/log" >&2; exit 1; }
import subprocess
import tempfile
from pathlib import Path

import dcm2niix
import nibabel
import pydicom
import SimpleITK as sitk
from pydicom.pixels import apply_modality_lut

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

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


def item(**values):
    ds = Dataset()
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    return ds


def enhanced(path, frames, maker="", slope=lambda z: 1):
    """One Enhanced MR file; frames: (slice, phase) in the file's order; slices are 10 mm apart, pixels 1.5 mm; pixel values
    are 100 * (slice + 1) + phase."""
    pixels = np.stack([np.full((16, 12), 100 * (z + 1) + t) for z, t in frames])
    ds = header(EnhancedMRImageStorage, generate_uid(), maker, pixels)
    cine = len({t for _, t in frames}) > 1
    kind = {"PixelPresentation": "MONOCHROME", "VolumetricProperties": "VOLUME", "VolumeBasedCalculationTechnique": "NONE",
            "ComplexImageComponent": "MAGNITUDE", "AcquisitionContrast": "UNKNOWN"}
    for keyword, value in kind.items():
        setattr(ds, keyword, value)
    ds.NumberOfFrames, ds.ImageType = len(frames), ["DERIVED", "PRIMARY", "CARDIAC", "NONE"]
    ds.ContentQualification, ds.BurnedInAnnotation, ds.LossyImageCompression = "RESEARCH", "NO", "00"
    ds.AcquisitionDateTime, ds.AcquisitionDuration, ds.AcquisitionContextSequence = "20200101100000", 10.0, []
    ds.ManufacturerModelName = ds.DeviceSerialNumber = ds.SoftwareVersions = "1"
    ds.PresentationLUTShape, ds.ResonantNucleus, ds.KSpaceFiltering = "IDENTITY", "1H", "NONE"
    organization = generate_uid()
    ds.DimensionOrganizationSequence = [item(DimensionOrganizationUID=organization)]
    pointers = [(0x00209056, 0x00209111), (0x00209057, 0x00209111)] + [(0x00209153, 0x00189118)] * cine
    ds.DimensionIndexSequence = [
        item(DimensionOrganizationUID=organization, DimensionIndexPointer=of, FunctionalGroupPointer=group)
        for of, group in pointers
    ]  # stack, position in the stack and, for a cine, the cardiac trigger delay
    if cine:
        ds.CardiacSynchronizationTechnique, ds.CardiacSignalSource = "RETROSPECTIVE", "ECG"
    ds.SharedFunctionalGroupsSequence = [item(
        PixelMeasuresSequence=[item(PixelSpacing=[1.5, 1.5], SliceThickness=8, SpacingBetweenSlices=10)],
        PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
        FrameVOILUTSequence=[item(WindowCenter=300, WindowWidth=600)],
        MRImageFrameTypeSequence=[item(FrameType=ds.ImageType, **kind)],
        FrameAnatomySequence=[item(FrameLaterality="U", AnatomicRegionSequence=[
            item(CodeValue="80891009", CodingSchemeDesignator="SCT", CodeMeaning="Heart")])],
    )]
    ds.PerFrameFunctionalGroupsSequence = []
    for z, t in frames:
        group = item(
            FrameContentSequence=[item(
                FrameAcquisitionDateTime="20200101100000", FrameReferenceDateTime="20200101100000",
                FrameAcquisitionDuration=40.0, StackID="1", InStackPositionNumber=z + 1, TemporalPositionIndex=t + 1,
                DimensionIndexValues=[1, z + 1] + [t + 1] * cine)],
            PlanePositionSequence=[item(ImagePositionPatient=[0, 0, 10 * z])],
            PixelValueTransformationSequence=[item(RescaleSlope=slope(z), RescaleIntercept=0, RescaleType="US")],
        )
        if cine:
            group.CardiacSynchronizationSequence = [item(NominalCardiacTriggerDelayTime=160.0 * t)]
        ds.PerFrameFunctionalGroupsSequence.append(group)
    ds.save_as(path, enforce_file_format=True)


def converted(source):
    """The NIfTI files that dcm2niix writes, as {name: (shape, values of one pixel: slices, or slices x phases)}."""
    out = Path(tempfile.mkdtemp(dir="."))
    subprocess.run([dcm2niix.bin, "-z", "n", "-b", "n", "-f", "%d", "-o", out, source], check=True, stdout=subprocess.DEVNULL)
    images = {file.name: nibabel.load(file) for file in sorted(out.glob("*.nii"))}
    return {name: (image.shape, np.asarray(image.dataobj)[6, 8].tolist()) for name, image in images.items()}


folder = Path("input")
folder.mkdir()
file = folder / "image.dcm"
enhanced(file, [(z, 0) for z in range(4)], slope=lambda z: 0.5 * (z + 1))
dataset = pydicom.dcmread(file)
((_, niix),) = converted(folder).values()
seen = {
    "dcm2niix": niix,
    "SimpleITK": sitk.GetArrayFromImage(sitk.ReadImage(file))[:, 8, 6].tolist(),
    "pydicom": apply_modality_lut(dataset.pixel_array, dataset)[:, 8, 6].tolist(),
}
print(seen)
expected = {"dcm2niix": [50, 200, 450, 800], "SimpleITK": [50, 100, 150, 200], "pydicom": [100, 200, 300, 400]}
raise SystemExit(seen != expected)
PYTHON
