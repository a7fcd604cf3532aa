"""Test that a header is converted to frames, or refused with a reason."""

import gzip
import os
import re
from importlib.metadata import version

import numpy as np
import pydicom
import pytest
from monai.transforms import LoadImage
from planewise.errors import InputError
from planewise.exams import dicom, refusals
from planewise.exams.dicom_frames import frames_of
from planewise.exams.scan import scan_folder
from planewise.exams.stacks import build_stacks
from planewise.findings import Finding, finding
from planewise.preprocessing import LoadSliced
from planewise.words import natural_order
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)

from tests.exams.files import unit, write_enhanced_ct, write_image
from tests.exams.told import flags

ROW, COLUMN = unit([-0.8, 0.3, -0.2]), None
COLUMN = unit(np.cross(ROW, [0.1, -0.5, 0.9]))
CT = {"SOPClassUID": CTImageStorage, "Modality": "CT"}
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


def test_spacing_of_rows_comes_first_in_the_header(tmp_path):
    (frame,) = dicom.read_header(write_image(tmp_path / "a.dcm", **PLACE, PixelSpacing=[3, 2]))
    assert np.linalg.norm(np.array(frame.affine)[:3, :2], axis=0) == pytest.approx([2, 3], rel=1e-6)


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


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Rows", b"\x0a\0"),
        ("Columns", b"\x30\0"),
        ("PixelSpacing", b"3\\3 "),
        ("ImagePositionPatient", b"0\\0\\0 "),
        ("ImageOrientationPatient", b"1\\0\\0\\0\\1\\0 "),
    ],
)
def test_an_element_that_occurs_twice_is_refused(tmp_path, keyword, value):
    """pydicom takes the last of the two, ITK the first, so the pixels would not fit the header."""
    path = write_image(tmp_path / "a.dcm", **PLACE)
    tag = pydicom.datadict.tag_for_keyword(keyword)
    start = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    start += pydicom.datadict.dictionary_VR(tag).encode()
    content = path.read_bytes()
    assert content.count(start) == 1
    another = start + len(value).to_bytes(2, "little") + value
    path.write_bytes(content.replace(start, another + start))
    assert reason(path) == refusals.DAMAGED


@pytest.mark.parametrize("vr", [b"IS", b"LO", b"FD"])
@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImagePositionPatient", "SpacingBetweenSlices"])
def test_an_element_of_the_image_with_another_vr_is_refused(tmp_path, keyword, vr):
    """ITK fails for it; pydicom converts some of the values."""
    path = write_image(tmp_path / "a.dcm", **PLACE, SpacingBetweenSlices=10)
    tag = pydicom.datadict.tag_for_keyword(keyword)
    start = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    replace_once(path, start + b"DS", start + vr)
    assert reason(path) == refusals.DAMAGED


def test_an_unknown_vr_is_refused(tmp_path):
    path = write_image(tmp_path / "a.dcm", **PLACE, PatientComments="x")
    replace_once(path, b"\x10\x00\x00\x40LT", b"\x10\x00\x00\x40XX")
    assert reason(path) == refusals.DAMAGED


@pytest.mark.parametrize("content", [b"junk", b"junk" * 3, b"\xfe\xff\x00\xe0\xf4\x01\x00\x00"])
def test_a_sequence_without_items_is_refused(tmp_path, content):
    path = write_image(tmp_path / "a.dcm", **PLACE, ReferencedStudySequence=Sequence([Dataset()]))
    start = b"\x08\x00\x10\x11SQ\x00\x00"
    own = b"\xfe\xff\x00\xe0" + bytes(4)
    replace_once(path, start + b"\x08\0\0\0" + own, start + len(content).to_bytes(4, "little") + content)
    assert reason(path) == refusals.DAMAGED


def test_sequences_of_items_are_read(tmp_path):
    items = [Dataset(), Dataset()]
    items[0].ReferencedSOPInstanceUID = "1.2.3"
    assert (
        len(dicom.read_header(write_image(tmp_path / "a.dcm", **PLACE, ReferencedStudySequence=Sequence(items)))) == 1
    )


@pytest.mark.parametrize("difference", [-960, -2, -1, 1, 0xFFFFFFFF - 960])
def test_pixels_with_another_length_than_the_image_are_refused(tmp_path, difference):
    path = write_image(tmp_path / "a.dcm", **PLACE)
    start = b"\xe0\x7f\x10\x00OW\x00\x00"
    replace_once(path, start + (960).to_bytes(4, "little"), start + (960 + difference).to_bytes(4, "little"))
    assert reason(path) == refusals.DAMAGED


@pytest.mark.parametrize("rest", [b"\0" * 7, b"junk", b" " * 64, b"\xff" * 64, b"\xfc\xff\xfc\xffOB\0\0\x10\0\0\0\0"])
def test_bytes_after_the_image_are_refused_unless_they_are_elements(tmp_path, rest):
    path = write_image(tmp_path / "a.dcm", **PLACE)
    content = path.read_bytes()
    path.write_bytes(content + rest)
    assert reason(path) == refusals.DAMAGED
    # up to three bytes, zeros and complete elements do no harm
    for harmless in (b"\r\n", bytes(512), b"\xfc\xff\xfc\xffOB\0\0\x02\0\0\0\0\0"):
        path.write_bytes(content + harmless)
        assert len(dicom.read_header(path)) == 1
        assert LoadImage(reader="ITKReader", image_only=True)(path).shape[:2] == (24, 20)


def test_pixels_that_occur_twice_are_refused(tmp_path):
    path = write_image(tmp_path / "a.dcm", **PLACE)
    content = path.read_bytes()
    path.write_bytes(content + content[content.index(b"\xe0\x7f\x10\x00OW") :])
    assert reason(path) == refusals.DAMAGED


def test_elements_in_another_syntax_than_the_file_names_are_refused(tmp_path):
    path = write_image(tmp_path / "a.dcm", **PLACE)
    explicit, content = b"UI\x14\x001.2.840.10008.1.2.1\0", path.read_bytes()
    # UIDs may be padded with zeros
    replace_once(path, explicit, b"UI\x14\x001.2.840.10008.1.2\0\0\0")
    assert reason(path) == refusals.DAMAGED
    path.write_bytes(content.replace(explicit, b"UI\x14\x00" + bytes(20)))
    assert reason(path) == refusals.DAMAGED


def test_a_file_without_preamble_must_not_begin_with_its_own_header(tmp_path):
    path = write_image(tmp_path / "a.dcm", **PLACE)
    path.write_bytes(path.read_bytes()[132:])
    assert reason(path) == refusals.DAMAGED


@pytest.mark.parametrize("keyword", ["SOPClassUID", "PhotometricInterpretation", "SpacingBetweenSlices"])
def test_a_text_of_zero_bytes_is_refused(tmp_path, keyword):
    """ITK inverts an image whose PhotometricInterpretation is a zero byte, and takes no geometry without an SOP class."""
    path = write_image(tmp_path / "a.dcm", **PLACE, SpacingBetweenSlices=10)
    dataset = pydicom.dcmread(path)
    dataset[keyword]._value = "\0\0"
    dataset.save_as(path)
    assert reason(path) == refusals.DAMAGED


@pytest.mark.parametrize("number", [b"1_0 ", b"1_0.5 ", "\uff11 ".encode()])
@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
def test_numbers_that_only_python_reads_are_refused(tmp_path, keyword, number):
    placeholder = "+" + "7" * (len(number) - 1)  # which is in no identifier
    path = write_image(
        tmp_path / "a.dcm", **PLACE, **{"RescaleSlope": 1, "RescaleIntercept": 0} | {keyword: placeholder}
    )
    replace_once(path, placeholder.encode(), number)
    assert reason(path) == refusals.DAMAGED


@pytest.mark.parametrize("number", [b"inf ", b"nan ", b"one ", b"1e999 ", b"\xfe\xff", b"7_0 "])
@pytest.mark.parametrize(
    ("keyword", "name", "absent"),
    [
        ("SeriesNumber", "series_number", 0),
        ("InstanceNumber", "instance", 0),
        ("AcquisitionNumber", "acquisition", 0),
        ("CardiacNumberOfImages", "cycle", 0),
        ("TriggerTime", "trigger", None),
        ("EchoTime", "echo_time", None),
    ],
)
def test_a_broken_number_that_nobody_needs_is_as_good_as_absent(tmp_path, keyword, name, absent, number):
    placeholder = "+" + "7" * (len(number) - 1)  # which is in no identifier
    path = write_image(tmp_path / "a.dcm", **PLACE | {keyword: placeholder})
    replace_once(path, placeholder.encode(), number)
    (frame,) = dicom.read_header(path)
    assert getattr(frame, name) == absent


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


@pytest.mark.parametrize(
    ("vr", "content"), [(b"OB", b"junk"), (b"UT", b""), (b"OW", b"\xfe\xff\x00\xe0\x04\0\0\0junk")]
)
def test_an_element_without_a_length_is_refused(tmp_path, vr, content):
    """Only sequences and the pixels need not state it. GE and Siemens write their own elements in odd groups."""
    path = write_image(tmp_path / "a.dcm", **PLACE, PatientName="x")
    endless = b"\x09\0\x01\x10" + vr + b"\0\0\xff\xff\xff\xff" + content + b"\xfe\xff\xdd\xe0" + bytes(4)
    replace_once(path, b"\x10\0\x10\0PN", endless + b"\x10\0\x10\0PN")
    assert reason(path) == refusals.DAMAGED
    if vr == b"OB" or version("itk") != "5.4.0":  # which reads the other two
        with pytest.raises(InputError, match="Could not create IO object"):
            LoadSliced("image")({"image": str(path)})


@pytest.mark.parametrize("tag", [b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"])
def test_an_item_outside_a_sequence_is_refused(tmp_path, tag):
    path = write_image(tmp_path / "a.dcm", **PLACE, PatientName="x")
    replace_once(path, b"\x10\0\x10\0PN", tag + bytes(4) + b"\x10\0\x10\0PN")
    assert reason(path) == refusals.DAMAGED


def test_a_private_element_without_a_length_after_the_image_is_refused(tmp_path):
    path = write_image(tmp_path / "a.dcm", **PLACE)
    with path.open("ab") as file:
        file.write(b"\xe1\x7f\x01\x10OB\0\0\xff\xff\xff\xffjunk\xfe\xff\xdd\xe0" + bytes(4))
    assert reason(path) == refusals.DAMAGED


def replace_once(path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


def test_headers_without_preamble_are_read(tmp_path):
    path = write_image(tmp_path / "old", **PLACE, keep_preamble=False)
    assert path.read_bytes()[128:132] != b"DICM"
    assert len(dicom.read_header(path)) == 1


@pytest.mark.parametrize("name", ["._IM-0001.dcm", ".DS_Store", "DICOMDIR", "Thumbs.db"])
def test_system_files_are_told_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x00" * 500)
    assert reason(tmp_path / name) == refusals.HIDDEN


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (
            "a.txt a.csv a.json a.xml a.pdf a.py a.PNG a.jpg a.tif a.nii a.mat a.npy a.h5 a.xlsx a.docx a.mp4",
            "NOT_DICOM",
        ),
        ("a.zip a.gz a.zst a.tar a.tgz a.7z a.rar a.bz2 a.xz a.ZIP", "ARCHIVE"),
        ("a.nrrd a.nhdr a.mha a.mhd a.hdr a.seg.nrrd a.SEG.NRRD", "OTHER_FORMAT"),
        ("._a .a.dcm DICOMDIR dicomdir desktop.ini", "HIDDEN"),
    ],
)
def test_files_are_refused_by_their_names(names, why):
    for name in names.split():
        with pytest.raises(refusals.Refused) as refused:
            refusals.refuse_by_name(name)
        assert refused.value.args[0] == getattr(refusals, why), name
    for name in ("IM-0001", "1.2.840.10008", "a.dcm", "a.IMA"):
        refusals.refuse_by_name(name)


@pytest.mark.parametrize(
    ("tags", "gated"),
    [
        ({}, False),
        ({"CardiacNumberOfImages": 1}, False),
        ({"CardiacNumberOfImages": 2}, True),
        ({"NominalInterval": 0}, False),
        ({"NominalInterval": 900}, True),
        ({"TriggerTime": 0}, False),
        ({"TriggerTime": 12.5}, True),
    ],
)
def test_an_image_is_gated_if_a_value_of_its_header_says_so(tags, gated, tmp_path):
    (frame,) = dicom.read_header(write_image(tmp_path / "a.dcm", **PLACE, **tags))
    assert frame.gated is gated


@pytest.mark.parametrize(("time", "trigger"), [("-320.5", -320.5), ("90000", 90_000.0), ("7.23e75", None)])
def test_a_trigger_time_of_hours_is_unknown(time, trigger, tmp_path):
    (frame,) = dicom.read_header(write_image(tmp_path / "a.dcm", **PLACE, TriggerTime=time))
    assert frame.trigger == trigger


def test_files_that_are_not_dicom(tmp_path):
    (tmp_path / "notes").write_text("Jane, see ward 3. " * 30)
    (tmp_path / "short").write_bytes(b"\x08\x00")
    (tmp_path / "a.zip").write_bytes(b"PK" * 100)
    (tmp_path / "empty.dcm").touch()
    with gzip.open(tmp_path / "a.nii.gz", "wb") as file:
        file.write(b"0" * 500)
    assert reason(tmp_path / "notes") == refusals.NOT_DICOM
    assert reason(tmp_path / "short") == refusals.NOT_DICOM
    assert reason(tmp_path / "a.nii.gz") == refusals.NOT_DICOM
    assert reason(tmp_path / "a.zip") == refusals.ARCHIVE
    with gzip.open(tmp_path / "a.dcm.gz", "wb") as file:
        file.write(b"0" * 500)
    assert reason(tmp_path / "a.dcm.gz") == refusals.ARCHIVE
    assert reason(tmp_path / "empty.dcm") == refusals.EMPTY


@pytest.mark.parametrize("keep", [0.2, 0.4, 0.6, 0.8, 0.95, 0.999])
def test_truncated_files_are_never_frames(tmp_path, keep):
    path = write_image(tmp_path / "a.dcm", **PLACE)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    assert reason(path) in (refusals.TRUNCATED, refusals.NO_POSITION, refusals.BAD_GEOMETRY, refusals.NO_IMAGE)


def test_truncated_compressed_file(tmp_path):
    path = write_image(tmp_path / "a.dcm", **PLACE)
    dataset = pydicom.dcmread(path)
    dataset.compress(pydicom.uid.RLELossless, encoding_plugin="pydicom")
    dataset.save_as(path)
    assert len(dicom.read_header(path)) == 1
    content = path.read_bytes()
    path.write_bytes(content[:-60])
    assert reason(path) == refusals.TRUNCATED


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"SOPClassUID": SecondaryCaptureImageStorage}, refusals.NOT_ACQUIRED),
        ({"Modality": "SC"}, refusals.NOT_ACQUIRED),
        ({"Modality": "OT"}, refusals.NOT_ACQUIRED),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, refusals.NOT_ACQUIRED),
        (
            {"SOPClassUID": CTImageStorage, "Modality": "CT"},
            finding("dicom-unusable", kind="other-modality", modality="CT", wanted="MR"),
        ),
        (
            {"SOPClassUID": CTImageStorage, "Modality": "DOE^JANE"},
            finding("dicom-unusable", kind="other-modality", modality="?", wanted="MR"),
        ),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1\x1b[2J"},
            refusals.NO_IMAGE,
        ),
        ({"PixelSpacing": [100, 100]}, refusals.BAD_GEOMETRY),
        ({"BurnedInAnnotation": "YES"}, refusals.BURNT_IN),
        ({"SamplesPerPixel": 3}, refusals.COLOUR),
        ({"PhotometricInterpretation": "RGB"}, refusals.COLOUR),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, refusals.COLOUR),
        ({"PhotometricInterpretation": "MONOCHROME"}, refusals.BAD_PIXELS),
        ({"PhotometricInterpretation": "monochrome1"}, refusals.BAD_PIXELS),
        ({"SpacingBetweenSlices": ["", ""]}, refusals.BAD_GEOMETRY),
        ({"SOPClassUID": EnhancedMRImageStorage}, refusals.NO_POSITION),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, refusals.BAD_SCALE),
        ({"RescaleSlope": "1e300"}, refusals.BAD_SCALE),
        ({"RescaleSlope": 1, "RescaleIntercept": [1, 2]}, refusals.BAD_SCALE),
        ({"BitsAllocated": 0}, refusals.BAD_PIXELS),
        ({"SamplesPerPixel": 0}, refusals.BAD_PIXELS),
        ({"SpacingBetweenSlices": 0}, refusals.BAD_GEOMETRY),
        ({"SpacingBetweenSlices": "nan"}, refusals.BAD_GEOMETRY),
        ({"BitsStored": 12}, refusals.BAD_PIXELS),
        ({"HighBit": 0}, refusals.BAD_PIXELS),
        ({"BitsStored": 32, "HighBit": 31}, refusals.BAD_PIXELS),
        ({"BitsStored": 0, "HighBit": 0}, refusals.BAD_PIXELS),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, refusals.MOSAIC),
        *(
            ({"ImageType": ["DERIVED", "SECONDARY", word]}, refusals.NOT_ACQUIRED)
            for word in ("MPR", "MIP", "MinIP", "PROJECTION IMAGE", "CSA MPR", "CSAPARALLEL")
        ),
        ({"ImagePositionPatient": None}, refusals.NO_POSITION),
        ({"ImageOrientationPatient": None}, refusals.NO_POSITION),
        ({"PixelSpacing": None}, refusals.BAD_GEOMETRY),
        ({"PixelSpacing": [0, 0]}, refusals.BAD_GEOMETRY),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, refusals.BAD_GEOMETRY),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, refusals.BAD_GEOMETRY),
        ({"ImageOrientationPatient": [1, 0, 0, 0.003, 1, 0]}, refusals.BAD_GEOMETRY),
        ({"PixelSpacing": ["1e308", "1e308"]}, refusals.BAD_GEOMETRY),
        ({"PixelSpacing": ["1e-300", "1e-300"]}, refusals.BAD_GEOMETRY),
        ({"PixelSpacing": ["1.25", "0.001"]}, refusals.BAD_GEOMETRY),
        ({"ImagePositionPatient": [0, "1e9", 0]}, refusals.BAD_GEOMETRY),
        ({"SliceThickness": 5000}, refusals.BAD_GEOMETRY),
        ({"SliceThickness": "1e-9"}, refusals.BAD_GEOMETRY),
        ({"PixelSpacing": [1, 10]}, refusals.BAD_GEOMETRY),
        ({"PixelSpacing": [10, 1]}, refusals.BAD_GEOMETRY),
        # images of 1 mm, and of 4.8 m
        ({"PixelSpacing": ["0.05", "0.05"]}, refusals.BAD_GEOMETRY),
        ({"PixelSpacing": [49, 49], "Rows": 100, "PixelData": bytes(100 * 24 * 2)}, refusals.BAD_GEOMETRY),
        ({"ImagePositionPatient": [0, "nan", 0]}, refusals.NO_POSITION),
        ({"ImagePositionPatient": [0, 0, "inf"]}, refusals.NO_POSITION),
        ({"ImageOrientationPatient": ["nan", 0, 0, 0, 1, 0]}, refusals.NO_POSITION),
        ({"PixelSpacing": ["nan", 1]}, refusals.BAD_GEOMETRY),
        ({"Rows": 0}, refusals.BAD_PIXELS),
        ({"Rows": None}, refusals.TRUNCATED),
        ({"Columns": None}, refusals.TRUNCATED),
        ({"Rows": 12}, refusals.BAD_PIXELS),
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


@pytest.mark.parametrize(
    ("tags", "component"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"]}, "magnitude"),
        ({"ImageType": ["ORIGINAL", "PRIMARY"]}, "magnitude"),
        ({"ImageType": ["P", "R"]}, "magnitude"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "P", "RETRO"]}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "VELOCITY MAP"]}, "phase"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "R_IR"]}, "real"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "I"]}, "imaginary"),
        ({"ComplexImageComponent": "PHASE"}, "phase"),
        ({"ComplexImageComponent": "REAL"}, "real"),
        ({"ComplexImageComponent": "IMAGINARY"}, "imaginary"),
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


def test_phase_sensitive_inversion_recovery_shows_anatomy(tmp_path):
    tags = {"ImageType": ["ORIGINAL", "PRIMARY", "P"], "ScanningSequence": ["GR", "IR"]}
    write_image(tmp_path / "a.dcm", **PLACE, **tags)
    assert len(scan_folder(tmp_path).frames) == 1


@pytest.mark.parametrize(
    ("tags", "flow"),
    [
        ({"SequenceName": "*fl3d1_v150in"}, True),
        ({"SeriesDescription": "4Dflow_venc150"}, True),
        ({"SeriesDescription": "2D Flow aorta"}, True),
        ({"ProtocolName": "Phase contrast"}, True),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M_PCA", "M", "PCA"]}, True),
        ({"AcquisitionContrast": "FLOW_ENCODED"}, True),
        ({"SequenceName": "*tfi2d1_17", "SeriesDescription": "SAX_v2 outflow tract"}, False),
    ],
)
def test_a_series_may_be_named_like_a_flow_measurement(tmp_path, tags, flow):
    (frame,) = dicom.read_header(write_image(tmp_path / "a.dcm", **PLACE, **tags))
    assert frame.flow is flow


def test_pixels_may_be_padded_to_an_even_length(tmp_path):
    """35 pixels of 8 bits take 36 bytes; if there are more, the size in the header is wrong."""
    tags = PLACE | {"size": (7, 5), "BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    (frame,) = dicom.read_header(write_image(tmp_path / "a.dcm", **tags, PixelData=bytes(36)))
    assert (frame.columns, frame.rows) == (7, 5)
    assert reason(write_image(tmp_path / "b.dcm", **tags, PixelData=bytes(38))) == refusals.BAD_PIXELS


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (
            {"Modality": "PT", "SOPClassUID": PositronEmissionTomographyImageStorage},
            finding("dicom-unusable", kind="other-modality", wanted="MR or CT", modality="PT"),
        ),
        (
            {"Modality": "CT", "SOPClassUID": PositronEmissionTomographyImageStorage},
            refusals.NO_IMAGE,
        ),
        (CT, refusals.NOT_HOUNSFIELD),
        (CT | {"RescaleSlope": 1}, refusals.NOT_HOUNSFIELD),
        (CT | {"RescaleSlope": 1, "RescaleIntercept": "1e30"}, refusals.NOT_HOUNSFIELD),
        (
            CT | {"RescaleSlope": 1, "RescaleIntercept": -1024, "PhotometricInterpretation": "MONOCHROME1"},
            refusals.NOT_HOUNSFIELD,
        ),
    ],
)
def test_of_mr_and_ct_nothing_else_is_taken(tmp_path, tags, expected):
    path = write_image(tmp_path / "a.dcm", **PLACE, **CT, RescaleSlope=1, RescaleIntercept=-1024)
    assert len(dicom.read_header(path, ("MR", "CT"))) == 1
    assert reason(write_image(tmp_path / "b.dcm", **PLACE, **tags), ("MR", "CT")) == expected


def test_a_report_has_no_image(tmp_path):
    path = write_image(tmp_path / "a.dcm", **PLACE, Rows=None, Columns=None, PixelData=None, Modality="SR",
                       SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")  # fmt: skip
    assert reason(path) == refusals.NO_IMAGE


def test_pixels_are_not_read(tmp_path, monkeypatch):
    path = write_image(tmp_path / "a.dcm", **PLACE)
    whole = pydicom.dcmread
    monkeypatch.setattr(dicom.pydicom, "dcmread", lambda *a, **k: _without_pixels(whole(*a, **k)))
    assert len(dicom.read_header(path)) == 1


def _without_pixels(dataset):
    assert "PixelData" not in dataset
    return dataset


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


def test_frames_of_an_enhanced_file_go_by_their_time_first(tmp_path):
    """All frames of the first time point, even the twelfth, come before those of the second."""
    groups = [{"FrameContent": {"TemporalPositionIndex": 2 if index == 0 else 1}} for index in range(12)]
    found = sorted(dicom.read_header(enhanced(tmp_path, groups)), key=lambda frame: frame.instance)
    assert [frame.frame for frame in found] == [*range(1, 12), 0]


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
        (lambda rank: {"FrameContent": {"TemporalPositionIndex": rank + 1}}, True),
        (lambda rank: {"FrameContent": {"DimensionIndexValues": [1, 4, rank + 1]}}, True),
        (lambda rank: {"FrameContent": {"TemporalPositionIndex": 1, "DimensionIndexValues": [1, rank + 1, 4]}}, True),
        (lambda rank: {"CardiacSynchronization": {"NominalPercentageOfCardiacPhase": rank / 0.12}}, True),
        (lambda rank: {"CardiacSynchronization": {"ActualCardiacTriggerDelayTime": 40.0 * rank}}, True),
        (lambda rank: {"UnassignedPerFrameConvertedAttributes": {"TriggerTime": 9 * rank, "InstanceNumber": -rank}}, True),
        (lambda rank: {"UnassignedPerFrameConvertedAttributes": {"TemporalPositionIdentifier": rank + 1}}, True),
        (lambda rank: {"UnassignedPerFrameConvertedAttributes": {"InstanceNumber": rank + 1}}, True),
        (lambda rank: {"UnassignedPerFrameConvertedAttributes": {"ContentTime": f"1011{rank:02}.5"}}, True),
        (lambda rank: {"FrameContent": {"FrameAcquisitionDateTime": f"2012071110{rank:02}00.5"}}, True),
        (lambda rank: {"FrameContent": {"FrameReferenceDateTime": f"20120711101000.{rank:02}"}}, True),
        (lambda rank: {"FrameContent": {"DimensionIndexValues": [1, 4]}}, False),
        (lambda rank: {"UnassignedPerFrameConvertedAttributes": {"TriggerTime": 0}}, False),
        (lambda rank: {}, False),
    ],
)  # fmt: skip
def test_frames_of_an_enhanced_file_are_phases_in_the_order_that_it_gives(tmp_path, said, known):
    """If it gives none, they stay in the file's order, with a doubt."""
    (stack,) = build_stacks(dicom.read_header(enhanced(tmp_path, [said(rank) for rank in RANKS])))
    assert [frame.frame for frame in stack.slices[0].phases] == (np.argsort(RANKS).tolist() if known else [*range(12)])
    assert bool(flags(stack)) is not known


def test_the_heartbeat_of_an_enhanced_file_shows_that_it_was_cut_off(tmp_path):
    groups = [
        {"CardiacSynchronization": {"NominalCardiacTriggerDelayTime": 30.0 * rank, "RRIntervalTimeNominal": 900.0}}
        for rank in range(12)
    ]
    (stack,) = build_stacks(dicom.read_header(enhanced(tmp_path, groups)))
    assert len(flags(stack)) == 1


@pytest.mark.parametrize("frames", [1, 3])
def test_an_enhanced_file_with_another_number_of_headers_than_frames_is_refused(tmp_path, frames):
    path = write_enhanced_ct(tmp_path / "a.dcm", np.zeros((8, 8, 2)), (1, 0))
    dataset = pydicom.dcmread(path)
    dataset.NumberOfFrames, dataset.PixelData = frames, bytes(8 * 8 * 2 * frames)
    dataset.save_as(path)
    assert reason(path, ("CT",)) == refusals.NO_POSITION


def test_a_frame_with_a_slope_that_is_no_number_is_refused(tmp_path):
    path = write_enhanced_ct(tmp_path / "a.dcm", np.zeros((8, 8, 2)), (1, 0))
    dataset = pydicom.dcmread(path)
    (shared,) = dataset.SharedFunctionalGroupsSequence
    shared.PixelValueTransformationSequence[0].RescaleSlope = "nan"
    dataset.save_as(path)
    assert reason(path, ("CT",)) == refusals.BAD_SCALE


def test_natural_order_counts():
    names = ["sax_23", "sax_5", "2ch_1", "sax_", "10"]
    assert sorted(names, key=natural_order) == ["2ch_1", "10", "sax_", "sax_5", "sax_23"]
    assert sorted(["scan 5²", "scan 5"], key=natural_order) == ["scan 5", "scan 5²"], "a digit that is not decimal"


def test_reading_headers_does_not_import_torch():
    import subprocess
    import sys

    code = "import sys, planewise.exams.dicom, planewise.exams.scan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("options", "suppressed"),
    [(["PFP", "SFS"], True), ("FS", True), ("FATSAT", True), (["SAT_GEMS", "PFP"], False), (None, None), ("", None)],
)
def test_fat_suppression_by_scan_options(tmp_path, options, suppressed):
    tags = {"ScanOptions": options, "EchoTime": 62.5, "RepetitionTime": 4100, "ScanningSequence": ["SE", "IR"]}
    (frame,) = dicom.read_header(write_image(tmp_path / "a.dcm", **PLACE, **tags))
    assert frame.fat_suppressed is suppressed
    assert (frame.echo_time, frame.repetition_time, frame.sequence) == (62.5, 4100, "IR/SE")


@pytest.mark.parametrize(
    ("word", "suppressed"),
    [("FAT", True), ("FAT_AND_WATER", True), ("NONE", False), ("WATER", None), ("SILICON_GEL", None)],
)
def test_contrast_of_an_enhanced_file(tmp_path, word, suppressed):
    echo, timing, modifier, position, orientation, measures, diffusion, group, shared = (Dataset() for _ in range(9))
    diffusion.DiffusionBValue = 800.0
    group.MRDiffusionSequence = Sequence([diffusion])
    echo.EffectiveEchoTime, timing.RepetitionTime, modifier.SpectrallySelectedSuppression = 70.0, 3900.0, word
    position.ImagePositionPatient, orientation.ImageOrientationPatient = [0, 0, 5], [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing = [2, 2]
    shared.MRTimingAndRelatedParametersSequence = Sequence([timing])
    shared.MRModifierSequence, shared.PixelMeasuresSequence = Sequence([modifier]), Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([orientation])
    group.MREchoSequence, group.PlanePositionSequence = Sequence([echo]), Sequence([position])
    path = write_image(
        tmp_path / "a.dcm", **PLACE, SOPClassUID=EnhancedMRImageStorage, NumberOfFrames=1, EchoPulseSequence="SPIN",
        SharedFunctionalGroupsSequence=Sequence([shared]), PerFrameFunctionalGroupsSequence=Sequence([group]),
    )  # fmt: skip
    (frame,) = dicom.read_header(path)
    assert (frame.echo_time, frame.repetition_time, frame.sequence) == (70, 3900, "SE")
    assert (frame.fat_suppressed, frame.b_value) == (suppressed, 800)


def test_diffusion_weighting_and_acquisition_are_read_where_they_stand(tmp_path):
    (frame,) = dicom.read_header(write_image(tmp_path / "a.dcm", **PLACE, DiffusionBValue=50.0, AcquisitionNumber=3))
    assert (frame.b_value, frame.acquisition) == (50, 3)
    (frame,) = dicom.read_header(write_image(tmp_path / "b.dcm", **PLACE))
    assert (frame.b_value, frame.acquisition) == (None, 0)


@pytest.mark.parametrize(
    ("times", "acquired"),
    [
        ({"AcquisitionTime": "101500", "ContentTime": "103000", "SeriesTime": "100000"}, "101500"),
        ({"ContentTime": "103000", "SeriesTime": "100000"}, "103000"),
        ({"SeriesTime": "100000"}, "100000"),
        ({"AcquisitionDateTime": "20240102101500", "AcquisitionTime": "110000"}, "20240102101500"),
        ({"AcquisitionDateTime": "2024010210"}, "20240102100000"),
        ({"ContentDate": "20240102", "ContentTime": "103000", "SeriesDate": "20230101"}, "20240102103000"),
        ({}, ""),
    ],
)
def test_when_an_image_was_acquired_is_its_own_time_before_the_series(tmp_path, times, acquired):
    (frame,) = dicom.read_header(write_image(tmp_path / "a.dcm", **PLACE, **times))
    assert frame.acquired[0] == acquired


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


def test_a_single_frame_file_may_end_with_an_empty_per_frame_sequence(tmp_path):
    empty = {"PerFrameFunctionalGroupsSequence": Sequence([Dataset()])}
    plain, ended = (dicom.read_header(write_image(tmp_path / "a.dcm", **PLACE, **tags)) for tags in ({}, empty))
    assert ended[0].frame is None and [frame.affine for frame in ended] == [frame.affine for frame in plain]
    enhanced = write_image(tmp_path / "b.dcm", **PLACE, SOPClassUID=EnhancedMRImageStorage, **empty)
    assert reason(enhanced) == refusals.NO_POSITION


@pytest.mark.parametrize("given", [None, 0, -5, "nan", "1_0"])
def test_a_thickness_that_is_not_given_is_one(tmp_path, given):
    (frame,) = dicom.read_header(write_image(tmp_path / "a.dcm", **PLACE, SliceThickness=given))
    assert frame.thickness is None
    assert np.linalg.norm(np.array(frame.affine)[:3, 2]) == pytest.approx(1)


def test_a_dicomdir_under_another_name(tmp_path):
    path = write_image(tmp_path / "index.dcm", **PLACE)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.1.3.10"
    for keyword in ("SOPClassUID", "Modality", "Rows", "Columns", "PixelData"):
        delattr(dataset, keyword)
    dataset.save_as(path)
    assert reason(path) == refusals.NO_IMAGE


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert reason(tmp_path / "pipe") == refusals.NOT_A_FILE


def deflated(path, zeros: int):
    """An image whose compressed data set has a private element with this many zeros."""
    write_image(path, **PLACE)
    dataset = pydicom.dcmread(path)
    dataset.add_new(0x00091001, "OB", bytes(zeros))
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    return path


def test_a_deflated_file_may_grow_to_the_limit_and_no_further(tmp_path, monkeypatch):
    monkeypatch.setattr(refusals, "MOST_INFLATED", 4 * 2**20)
    assert len(dicom.read_header(deflated(tmp_path / "small.dcm", 3 * 2**20))) == 1
    path = deflated(tmp_path / "large.dcm", 6 * 2**20)
    assert path.stat().st_size < 20_000
    assert reason(path) == refusals.TOO_LARGE


def many_frames(path, frames: int, said: int):
    """Write an image whose header lists ``frames`` empty frames, while its NumberOfFrames is ``said``."""
    write_image(path, **PLACE, NumberOfFrames=said)
    content = path.read_bytes()
    start = content.rindex(b"\xe0\x7f\x10\x00OW")
    items = b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * frames
    groups = b"\x00\x52\x30\x92SQ\x00\x00" + len(items).to_bytes(4, "little") + items
    path.write_bytes(content[:start] + groups + content[start:])
    return path


@pytest.mark.parametrize(("frames", "said"), [(300_000, 1), (300_000, 300_000), (2, 300_000)])
def test_a_file_of_too_many_frames_is_not_read(tmp_path, monkeypatch, frames, said):
    monkeypatch.setattr(dicom, "frames_of", lambda *_: pytest.fail("its frames were read"))
    assert reason(many_frames(tmp_path / "a.dcm", frames, said)) == refusals.TOO_LARGE


def test_items_are_counted_across_the_chunks_they_are_read_in(tmp_path, monkeypatch):
    monkeypatch.setattr(refusals, "MOST_ITEMS", 200_000)
    path = many_frames(tmp_path / "a.dcm", 200_000, 2)
    assert reason(path) != refusals.TOO_LARGE
    monkeypatch.setattr(refusals, "MOST_ITEMS", 199_999)
    assert reason(path) == refusals.TOO_LARGE


@pytest.mark.parametrize(
    ("image_type", "derived"),
    [
        (["ORIGINAL", "PRIMARY", "M"], False),
        (["DERIVED", "PRIMARY", "M"], True),
        (["derived"], True),
        (["ORIGINAL", "SECONDARY"], True),
        (["ORIGINAL", "PRIMARY", "DERIVED"], False),
        (None, False),
    ],
)
def test_images_computed_from_others_are_known_by_their_type(image_type, derived, tmp_path):
    (frame,) = dicom.read_header(write_image(tmp_path / "a.dcm", **PLACE, ImageType=image_type))
    assert frame.derived == derived
