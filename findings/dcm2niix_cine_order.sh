#!/usr/bin/env bash
# Whether dcm2niix keeps slices and phases of a cine apart depends on the manufacturer's name.
# Guess: the positions and trigger times decide, so the same cine gives the same 4D file whatever the maker.
# Seen (dcm2niix 1.0.20260724): one series, 4 slices x 5 phases, instance numbers that run through the phases of each slice.
#   No maker, GE: 4D, right. Philips: one 3D file per phase. Siemens: 4D of the right shape, exit code 0, in which each "phase"
#   mixes slices and each "slice" mixes phases (100, 104, 203, 302, 401 for slice 1, phases 0 4 3 2 1 of slices 1 1 2 3 4).
#   An Enhanced MR file with dimension indices and trigger delays: Siemens and GE mixed, no maker right, Philips one file per
#   phase. The log of the classic conversion warns of slice timing and slice direction; that of Siemens' Enhanced MR warns of neither.
# Why it matters: this is the usual first step from a PACS to a segmentation network, and shape, spacing and affine look right;
#   volumes and ejection fractions are then computed from hearts that are put together from different slices.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check dcm2niix==1.0.20260724 pydicom==3.0.2 nibabel==5.4.2 numpy==2.4.6
cd "$work"
venv/bin/python - 2>"$work/log" <<'PYTHON' || { tail -n 20 "$work/log" >&2; exit 1; }
import subprocess
import tempfile
from pathlib import Path

import dcm2niix
import nibabel

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

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


RIGHT = [[100 * z + t for t in range(5)] for z in range(1, 5)]
seen = {}
for form in ("classic", "enhanced"):
    for maker in ("", "GE MEDICAL SYSTEMS", "SIEMENS", "Philips"):
        source = Path(f"{form}{maker[:2]}")
        if form == "classic":
            classic(source, maker)
        else:
            source.mkdir()
            enhanced(source / "cine.dcm", [(z, t) for z in range(4) for t in range(5)], maker)
        found = list(converted(source).values())
        if len(found) > 1:
            seen[form, maker] = f"{len(found)} files"
        else:
            assert found[0][0] == (12, 16, 4, 5), found[0][0]
            seen[form, maker] = "right" if found[0][1] == RIGHT else "mixed"
        print(f"{form:8} {maker or 'no maker':18} {seen[form, maker]:8} {found[0][1]}")
expected = ["right", "right", "mixed", "5 files", "right", "mixed", "mixed", "5 files"]
raise SystemExit(list(seen.values()) != expected)
PYTHON
