#!/usr/bin/env bash
# ITK reads an Enhanced MR file with a gap or interleaved frames with a pixel spacing of 1 mm.
# Guess: the pixel spacing is right in any case, since the file states it; only the spacing of slices may be in doubt.
# Seen (SimpleITK 2.5.7, ITK 5.4.7): frames 0 10 20 30 mm or 30 20 10 0 mm: (1.5, 1.5, 10). Frames 0 20 10 30 mm, or 0 10 30 mm
#   (one slice missing), or a cine whose slices descend: (1, 1, 1), no error; SimpleITK prints no warning. Origin and direction are
#   kept, so the image still lies at the right place. A cine of one slice is refused by SimpleITK (a spacing of zero).
# Why it matters: areas are wrong by 2.25, volumes of such a stack by 22.5. It depends on
#   the order of frames in the file, which DICOM leaves free, so one scanner's exams are right and another's are not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.7 itk-io==5.4.7 pydicom==3.0.2 numpy==2.4.6
cd "$work"
venv/bin/python - 2>"$work/log" <<'PYTHON' || { tail -n 20 "$work/log" >&2; exit 1; }
import itk
import SimpleITK as sitk

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


def spacings(frames):
    enhanced("image.dcm", frames)
    try:
        simple = sitk.ReadImage("image.dcm").GetSpacing()
    except RuntimeError:
        return "refused"
    plain = itk.imread("image.dcm", itk.F)
    assert tuple(plain.GetSpacing()) == simple
    return simple


def static(*slices):
    return [(z, 0) for z in slices]


RIGHT, LOST = (1.5, 1.5, 10.0), (1.0, 1.0, 1.0)
cases = {
    "ascending": (static(0, 1, 2, 3), RIGHT),
    "descending": (static(3, 2, 1, 0), RIGHT),
    "interleaved": (static(0, 2, 1, 3), LOST),
    "a slice missing": (static(0, 1, 3), LOST),
    "cine, descending": ([(z, t) for z in (3, 2, 1, 0) for t in range(5)], LOST),
    "cine of one slice": ([(0, t) for t in range(5)], "refused"),
}
seen = {name: spacings(frames) for name, (frames, _) in cases.items()}
for name, spacing in seen.items():
    print(f"{name:18} {spacing}")
raise SystemExit(any(seen[name] != expected for name, (_, expected) in cases.items()))
PYTHON
