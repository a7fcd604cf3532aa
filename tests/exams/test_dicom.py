"""Test that a header is converted to frames, or refused with a reason."""

import re

import numpy as np
import pydicom
import pytest
from monai.transforms import LoadImage
from planewise.exams import dicom, refusals
from planewise.exams.dicom_frames import frames_of
from planewise.exams.scan import scan_folder
from planewise.exams.stacks import build_stacks
from planewise.findings import Finding, finding
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

from tests.exams.files import unit, write_enhanced_ct, write_image
from tests.exams.told import flags

ROW, COLUMN = unit([-0.8, 0.3, -0.2]), None
COLUMN = unit(np.cross(ROW, [0.1, -0.5, 0.9]))
PLACE = {"centre": [10, -20, 30], "row": ROW, "column": COLUMN}
#: Direction cosines that are far from orthonormal if rounded to three decimals.
WORST = [-0.356490, -0.630497, -0.689484, -0.313977, -0.614205, 0.723997]


def reason(path, modalities=("MR",)) -> Finding:
    with pytest.raises(refusals.Refused) as refused:
        dicom.read_header(path, modalities)
    return refused.value.args[0]


def test_affine_takes_pixels_to_patient_space(tmp_path):
    (frame,) = dicom.read_header(write_image(tmp_path / "a.dcm", **PLACE, size=(24, 20), spacing=2.5))
    affine = np.array(frame.affine)
    np.testing.assert_allclose(affine[:3, 0], 2.5 * ROW, atol=1e-6)
    np.testing.assert_allclose(affine[:3, 1], 2.5 * COLUMN, atol=1e-6)
    np.testing.assert_allclose(affine @ [11.5, 9.5, 0, 1], [10, -20, 30, 1], atol=1e-5)
    assert (frame.columns, frame.rows, frame.frame) == (24, 20, None)


def test_affines_of_real_files_are_those_of_itk(real_data):
    loader = LoadImage(reader="ITKReader", image_only=True)
    compared = 0
    for path in sorted(real_data.rglob("*")):
        try:
            frames = dicom.read_header(path) if path.is_file() else []
        except refusals.Refused:
            continue
        if len(frames) != 1 or frames[0].frame is not None:
            continue
        image = loader(path)
        ours, theirs = np.array(frames[0].affine), np.asarray(image.affine)
        corners = np.array([[i, j, 0, 1] for i in (0, image.shape[0] - 1) for j in (0, image.shape[1] - 1)])
        assert image.shape[:2] == (frames[0].columns, frames[0].rows)
        np.testing.assert_allclose(corners @ ours.T, corners @ theirs.T, atol=1e-3)
        compared += 1
    assert compared > 100


@pytest.mark.parametrize("digits", [3, 8])
@pytest.mark.parametrize("worst", [False, True])
def test_rounded_direction_cosines_are_taken_as_itk_takes_them(tmp_path, digits, worst):
    """With three decimals, the corner of this image would be 0.3 mm off, and loading would refuse the file. In the worst
    case, a scalar product is wrong by 0.0016, and the plane by less than 0.1 deg."""
    path = write_image(tmp_path / "a.dcm", **PLACE, size=(200, 200), spacing=2.0)
    dataset = pydicom.dcmread(path)
    exact = np.reshape(WORST if worst else dataset.ImageOrientationPatient, (2, 3)).astype(float)
    dataset.ImageOrientationPatient = [f"{value:.{digits}f}" for value in exact.ravel()]
    dataset.save_as(path)
    (frame,) = dicom.read_header(path)
    normal = np.cross(*exact) / np.linalg.norm(np.cross(*exact)) * (-1, -1, 1)
    across = np.array(frame.affine)[:3, 2]
    assert np.degrees(np.linalg.norm(across / np.linalg.norm(across) - normal)) < 0.1
    corner = [199, 199, 0, 1]
    theirs = np.asarray(LoadImage(reader="ITKReader", image_only=True)(path).affine)
    np.testing.assert_allclose(np.array(frame.affine) @ corner, theirs @ corner, atol=1e-3)


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.999])
def test_truncated_files_are_never_frames(tmp_path, keep):
    path = write_image(tmp_path / "a.dcm", **PLACE)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    assert reason(path) in (refusals.TRUNCATED, refusals.NO_POSITION, refusals.BAD_GEOMETRY, refusals.NO_IMAGE)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"SOPClassUID": SecondaryCaptureImageStorage}, refusals.NOT_ACQUIRED),
        (
            {"SOPClassUID": CTImageStorage, "Modality": "CT"},
            finding("dicom-unusable", kind="other-modality", modality="CT", wanted="MR"),
        ),
        (
            {"SOPClassUID": CTImageStorage, "Modality": "DOE^JANE"},
            finding("dicom-unusable", kind="other-modality", modality="?", wanted="MR"),
        ),
        ({"BurnedInAnnotation": "YES"}, refusals.BURNT_IN),
        ({"SamplesPerPixel": 3}, refusals.COLOUR),
        ({"SOPClassUID": EnhancedMRImageStorage}, refusals.NO_POSITION),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, refusals.BAD_SCALE),
        ({"BitsAllocated": 0}, refusals.BAD_PIXELS),
        ({"SpacingBetweenSlices": 0}, refusals.BAD_GEOMETRY),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, refusals.MOSAIC),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, refusals.NOT_ACQUIRED),
        ({"ImagePositionPatient": None}, refusals.NO_POSITION),
        ({"PixelSpacing": None}, refusals.BAD_GEOMETRY),
        ({"ImageOrientationPatient": [1, 0, 0, 0.003, 1, 0]}, refusals.BAD_GEOMETRY),
        ({"ImagePositionPatient": [0, "1e9", 0]}, refusals.BAD_GEOMETRY),
        ({"ImagePositionPatient": [0, "nan", 0]}, refusals.NO_POSITION),
        ({"Rows": None}, refusals.TRUNCATED),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4.2"}, refusals.NO_IMAGE),
        ({"NumberOfFrames": 4, "Rows": 5}, refusals.NO_POSITION),
        (
            {"TransferSyntaxUID": "1.2.840.10008.1.2.4.100"},
            finding("dicom-unusable", kind="compressed", syntax="MPEG2 Main Profile / Main Level"),
        ),
    ],
)
def test_what_is_no_slice_is_refused_with_its_reason(tmp_path, tags, expected):
    assert reason(write_image(tmp_path / "a.dcm", **PLACE, **tags)) == expected


@pytest.mark.parametrize("implicit", [False, True])
def test_a_usual_header_is_read_as_pydicom_reads_it(tmp_path, monkeypatch, implicit):
    """Also with long elements, sequences of undefined length and letters beyond ASCII; and if it is damaged."""
    dataset = pydicom.dcmread(
        write_image(tmp_path / "a.dcm", **PLACE, SpecificCharacterSet="ISO_IR 100", PatientID="Jörg")
    )
    dataset.ReferencedImageSequence = Sequence([Dataset(), Dataset()])
    for item in dataset.ReferencedImageSequence:
        item.ReferencedSOPClassUID, item.PurposeOfReferenceCodeSequence = CTImageStorage, Sequence([Dataset()])
        item["PurposeOfReferenceCodeSequence"].is_undefined_length = True
    dataset.ReferencedImageSequence[1].is_undefined_length_sequence_item = True
    dataset["ReferencedImageSequence"].is_undefined_length = True
    dataset.add_new(0x00291010, "OB", b"x" * 40_000)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.is_implicit_VR = implicit
    dataset.save_as(tmp_path / "0000.dcm")
    whole, rng = (tmp_path / "0000.dcm").read_bytes(), np.random.default_rng(1)
    for number in range(1, 200):
        damaged, at = bytearray(whole), int(rng.integers(132, 900))
        damaged[at : at + int(rng.integers(3))] = rng.bytes(int(rng.integers(3)))
        (tmp_path / f"{number:04}.dcm").write_bytes(damaged)
    paths, usual = sorted(map(str, tmp_path.iterdir())), dicom._usual_header
    read = []
    monkeypatch.setattr(dicom, "_usual_header", lambda *given: read.append(usual(*given)) or read[-1])
    ours = dicom.read_headers(paths)
    assert read[0] and None in read
    assert ours[0][0].patient == "Jörg"
    monkeypatch.setattr(dicom, "_usual_header", lambda *_: None)
    assert ours == dicom.read_headers(paths)


@pytest.mark.parametrize(
    ("tags", "component"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]}, "magnitude"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "RETRO"]}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "VELOCITY MAP"]}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "R_IR"]}, "real"),
        ({"ComplexImageComponent": "PHASE"}, "phase"),
    ],
)
def test_phase_images_are_of_another_kind(tmp_path, tags, component):
    """The first two values of ImageType never name the component."""
    file = write_image(tmp_path / "a.dcm", **PLACE, **tags)
    (frame,) = dicom.read_header(file)
    assert re.match(r"[a-z]+", frame.kind)[0] == component
    scan = scan_folder(tmp_path)
    left_out = component == "phase"
    assert scan.frames == ([] if left_out else [frame])
    assert scan.skipped == ({refusals.PHASE_IMAGE: [str(file)]} if left_out else {})


def test_an_enhanced_file_may_contain_magnitude_and_velocity(tmp_path):
    """The types of the frames are those of Philips (FrameType) and of Siemens (ComplexImageComponent)."""
    file = write_enhanced_ct(
        tmp_path / "a.dcm", np.zeros((24, 20, 4)), (1, 0), Modality="MR", SOPClassUID=EnhancedMRImageStorage,
        ImageType=["ORIGINAL", "PRIMARY", "VELOCITY", "MIXED"],
    )  # fmt: skip
    dataset = pydicom.dcmread(file)
    types = ("M_PCA\\M\\PCA", "MAGNITUDE"), ("VELOCITY MAP\\P\\PCA", ""), ("NONE", "MAGNITUDE"), ("VELOCITY", "PHASE")
    for group, (of_frame, component) in zip(dataset.PerFrameFunctionalGroupsSequence, types, strict=True):
        group.MRImageFrameTypeSequence = [Dataset()]
        group.MRImageFrameTypeSequence[0].FrameType = f"ORIGINAL\\PRIMARY\\{of_frame}".split("\\")
        group.MRImageFrameTypeSequence[0].ComplexImageComponent = component
    dataset.save_as(file)
    scan = scan_folder(tmp_path)
    assert [frame.frame for frame in scan.frames] == [0, 2]
    assert scan.skipped == {refusals.PHASE_IMAGE: [str(file)]}


def test_frames_of_an_enhanced_file_have_their_own_planes(tmp_path):
    frames = []
    for index, place in enumerate(([0, 0, 5], [0, 0, 15])):
        position, orientation, measures, content, trigger, group = (Dataset() for _ in range(6))
        position.ImagePositionPatient, orientation.ImageOrientationPatient = place, [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing, measures.SliceThickness = [2, 2], 6
        content.TemporalPositionIndex, trigger.NominalCardiacTriggerDelayTime = 1, 30.0 * index
        group.PlanePositionSequence, group.PlaneOrientationSequence = Sequence([position]), Sequence([orientation])
        group.FrameContentSequence = Sequence([content])
        group.CardiacSynchronizationSequence = Sequence([trigger])
        # a private sequence with its own position, as in Philips files: it must be ignored
        private = Dataset()
        private.ImagePositionPatient = [99, 99, 99]
        group.add_new(0x20050010, "LO", "Philips MR Imaging DD 001")
        group.add_new(0x2005140F, "SQ", Sequence([private]))
        frames.append(group)
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([measures])
    path = write_image(
        tmp_path / "a.dcm", **PLACE, SOPClassUID=EnhancedMRImageStorage, NumberOfFrames=2, ImagePositionPatient=None,
        ImageOrientationPatient=None, PixelSpacing=None, PixelData=bytes(2 * 24 * 20 * 2),
        SharedFunctionalGroupsSequence=Sequence([shared]), PerFrameFunctionalGroupsSequence=Sequence(frames),
    )  # fmt: skip
    first, second = dicom.read_header(path)
    assert (first.frame, second.frame) == (0, 1)
    assert np.array(first.affine)[:3, 3] == pytest.approx([0, 0, 5])
    assert np.array(second.affine)[:3, 3] == pytest.approx([0, 0, 15])
    assert (second.trigger, second.thickness) == (30.0, 6.0)
    # scanners write a delay of zero if nothing triggers the acquisition
    assert (first.gated, second.gated) == (False, True)


def enhanced(folder, groups):
    """An enhanced file with one slice, whose frames have these functional groups."""
    frames, shared = [], Dataset()
    for group in groups:
        frames.append(Dataset())
        for name, tags in group.items():
            part = Dataset()
            part.update(tags)
            setattr(frames[-1], f"{name}Sequence", Sequence([part]))
    for name, tags in {
        "PlanePosition": {"ImagePositionPatient": [0, 0, 5]},
        "PlaneOrientation": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        "PixelMeasures": {"PixelSpacing": [2, 2], "SliceThickness": 6},
    }.items():
        part = Dataset()
        part.update(tags)
        setattr(shared, f"{name}Sequence", Sequence([part]))
    return write_image(
        folder / "a.dcm", **PLACE, SOPClassUID=EnhancedMRImageStorage, NumberOfFrames=12, ImagePositionPatient=None,
        ImageOrientationPatient=None, PixelSpacing=None, PixelData=bytes(12 * 24 * 20 * 2),
        SharedFunctionalGroupsSequence=Sequence([shared]), PerFrameFunctionalGroupsSequence=Sequence(frames),
    )  # fmt: skip


#: The phases of an enhanced file's frames.
RANKS = [3, 0, 7, 11, 1, 5, 2, 10, 4, 9, 6, 8]


@pytest.mark.parametrize(
    ("said", "known"),
    [
        (lambda rank: {"FrameContent": {"DimensionIndexValues": [1, 4, rank + 1]}}, True),
        (lambda rank: {"FrameContent": {"TemporalPositionIndex": 1, "DimensionIndexValues": [1, rank + 1, 4]}}, True),
        (lambda rank: {"CardiacSynchronization": {"NominalPercentageOfCardiacPhase": rank / 0.12}}, True),
        (lambda rank: {"CardiacSynchronization": {"ActualCardiacTriggerDelayTime": 40.0 * rank}}, True),
        (lambda rank: {"FrameContent": {"FrameAcquisitionDateTime": f"2012071110{rank:02}00.5"}}, True),
        (lambda rank: {}, False),
    ],
)  # fmt: skip
def test_frames_of_an_enhanced_file_are_phases_in_the_order_that_it_gives(tmp_path, said, known):
    """If it gives none, they stay in the file's order, with a doubt."""
    (stack,) = build_stacks(dicom.read_header(enhanced(tmp_path, [said(rank) for rank in RANKS])))
    assert [frame.frame for frame in stack.slices[0].phases] == (np.argsort(RANKS).tolist() if known else [*range(12)])
    assert bool(flags(stack)) is not known


def test_reading_headers_does_not_import_torch():
    import subprocess
    import sys

    code = "import sys, planewise.exams.dicom, planewise.exams.scan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_group_of_one_frame_counts_before_the_shared_one():
    def spacing(own, common):
        group, shared = Dataset(), Dataset()
        for dataset, values in ((group, own), (shared, common)):
            measures = Dataset()
            measures.PixelSpacing, measures.SliceThickness = values
            dataset.PixelMeasuresSequence = Sequence([measures])
        position, orientation = Dataset(), Dataset()
        position.ImagePositionPatient, orientation.ImageOrientationPatient = [0, 0, 5], [1, 0, 0, 0, 1, 0]
        group.PlanePositionSequence, shared.PlaneOrientationSequence = Sequence([position]), Sequence([orientation])
        header = {"SOPClassUID": EnhancedMRImageStorage, "Rows": 4, "Columns": 5}
        groups = {"PerFrameFunctionalGroupsSequence": [group], "SharedFunctionalGroupsSequence": [shared]}
        (frame,) = frames_of(header | groups, "/data/a.dcm")
        return np.linalg.norm(np.array(frame.affine)[:3, :2], axis=0).tolist(), frame.thickness

    assert spacing(([2, 1], 6), ([9, 9], 9)) == ([1, 2], 6)
