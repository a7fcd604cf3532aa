"""Test the headers of the images that results refer to: patient, file and frame."""

import numpy as np
import pydicom
import pytest
from planewise.exams import find_inputs
from planewise.exams.dicom_report import ReportGroup, dicom_report
from planewise.exams.dicom_segmentation import Structure, dicom_segmentation
from planewise.exams.source_images import body_size, is_dicom, source_images, true_references
from planewise.findings import finding
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid


def slices_of(folder, phases="ed"):
    return find_inputs(folder, phases)[0]["image"]


def test_images_in_order_with_their_patient(usual_exam):
    slices = slices_of(usual_exam)
    images = source_images(slices)
    for image, entry in zip(images, slices, strict=True):
        header = pydicom.dcmread(entry["image"], stop_before_pixels=True)
        assert image.file == (header.SOPClassUID, header.SOPInstanceUID) and image.frame is None
        assert image.uid == header.SOPInstanceUID
        assert image.header.PatientName == "Doe^Jane" and image.header.PatientBirthDate == "19610203"
        assert image.header.StudyDate == "", "DICOM requires this entry, even if it is empty"


def test_hidden_patients_leave_uids_and_geometry(usual_exam):
    for file in usual_exam.rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        dataset.OtherPatientNames, dataset.InstitutionName, dataset.StudyDate = "Doe", "St. Doe", "20200101"
        dataset.PatientComments, dataset.PatientAge, dataset.AccessionNumber = "Doe", "099Y", "Doe"
        dataset.save_as(file)
    slices = slices_of(usual_exam)
    for image, open_image in zip(source_images(slices, "abcdef"), source_images(slices), strict=True):
        # the digits of a UID, which stays and is drawn at random, may look like a year
        text = "\n".join(line for line in str(image.header).splitlines() if " UI: " not in line)
        for personal in ("Doe", "1961", "2020", "099Y", "P-1"):
            assert personal not in text and personal in str(open_image.header)
        assert image.header.PatientID == image.header.PatientName == "abcdef"
        assert image.header.PatientIdentityRemoved == "YES"
        for keyword in ("StudyInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "ImagePositionPatient"):
            assert image.header[keyword].value == open_image.header[keyword].value


@pytest.mark.parametrize(
    ("sets", "name", "kept"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", False),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", False),
        (["ISO 2022 IR 6", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎", True),
        ("ISO-IR 100", "Buc^Jérôme", False),
        ("ISO_IR 100", "Buc^Jérôme", True),
        (None, "Doe^Jane", False),
    ],
)
def test_names_in_every_character_set_are_kept(sets, name, kept, usual_exam, tmp_path):
    slices = slices_of(usual_exam)
    for entry in slices:
        dataset = pydicom.dcmread(entry["image"])
        dataset.SpecificCharacterSet, dataset.PatientName = sets, name
        dataset.save_as(entry["image"])
    for hide in (None, "abcdef"):
        findings = [ReportGroup("heart", Code("80891009", "SCT", "Heart"))]
        made = dicom_report(source_images(slices, hide), findings, "a bundle", "1.2", "weights 1f", "numbers", 9001)
        pydicom.dcmwrite(tmp_path / "made.dcm", made)
        written = pydicom.dcmread(tmp_path / "made.dcm")
        assert str(written.PatientName) == (hide or name)
        assert written.get("SpecificCharacterSet") == (sets if kept else "ISO_IR 192")


def test_frames_of_one_file_are_images_with_their_own_position(flawed):
    slices = slices_of(flawed("enhanced"))
    images = source_images(slices)
    file = pydicom.dcmread(slices[0]["image"], stop_before_pixels=True)
    assert len({image.uid for image in images}) == len(images) > 3
    for image, entry in zip(images, slices, strict=True):
        assert image.file == (file.SOPClassUID, file.SOPInstanceUID) and image.frame == entry["frame"] + 1
        group = file.PerFrameFunctionalGroupsSequence[entry["frame"]]
        position = group.PlanePositionSequence[0].ImagePositionPatient
        assert np.allclose(image.header.ImagePositionPatient, position, atol=1e-3)
        groups = [group, file.SharedFunctionalGroupsSequence[0]]
        (orientation,) = (one.PlaneOrientationSequence[0] for one in groups if "PlaneOrientationSequence" in one)
        assert np.allclose(image.header.ImageOrientationPatient, orientation.ImageOrientationPatient, atol=1e-5)
    referring = Dataset()
    referring.SourceImageSequence = [Dataset(), Dataset()]
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = "1.2.3", [Dataset(), Dataset()]
    referring.ReferencedSeriesSequence = [series]
    for number in (0, 1):
        for item in (referring.SourceImageSequence[number], series.ReferencedInstanceSequence[number]):
            item.ReferencedSOPInstanceUID, item.ReferencedSOPClassUID = images[number].uid, "1.2"
    true_references(referring, images)
    assert [item.ReferencedFrameNumber for item in referring.SourceImageSequence] == [
        image.frame for image in images[:2]
    ]
    (once,) = series.ReferencedInstanceSequence
    assert once.ReferencedSOPInstanceUID == file.SOPInstanceUID and "ReferencedFrameNumber" not in once


def test_results_have_one_study_and_no_impossible_dates(usual_exam):
    for file in usual_exam.rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        dataset.FrameOfReferenceUID, dataset.StudyInstanceUID = generate_uid(), generate_uid()
        dataset.PatientBirthDate, dataset.StudyDate = "00000000", "20120000"
        dataset.save_as(file)
    images = source_images(slices_of(usual_exam))
    labels = np.ones((24, 20, len(images)), np.uint8)
    heart = Structure(1, "heart", Code("80891009", "SCT", "Heart"), (1, 0, 0))
    made = dicom_segmentation(images, labels, [heart], "bundle", "", "", "", 1)
    assert (made.PatientBirthDate, made.StudyDate) == ("", "")
    references = made.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {item.ReferencedSOPInstanceUID for item in references} <= {image.uid for image in images}


@pytest.mark.parametrize(
    ("size", "weight", "found"),
    [
        ("1.78", "76", (178, 76)),
        ("178", "76", finding("body-size-implausible", cm=17800.0, kg=76.0)),
        ("0.3", "76", finding("body-size-implausible", cm=30.0, kg=76.0)),
        ("1.78", "0", None),
        ("1.78", None, None),
        ("", "76", None),
        (None, None, None),
    ],
)
def test_the_size_of_a_body(size, weight, found, usual_exam):
    (item,) = find_inputs(usual_exam, "ed")
    dataset = pydicom.dcmread(item["image"][0]["image"])
    dataset.PatientSize, dataset.PatientWeight = size, weight
    dataset.save_as(item["image"][0]["image"])
    read, why = body_size(item)
    if isinstance(found, tuple):
        assert why == [] and read == pytest.approx(found)
    else:
        assert read is None and why == ([found] if found else [])


def test_a_volume_is_not_dicom_and_has_the_size_of_its_datalist():
    volume = {"image": "heart.nii.gz", "height": 170.0, "weight": 60.0}
    assert not is_dicom(volume) and body_size(volume) == ((170, 60), [])
    assert body_size({"image": "heart.nii.gz"}) == (None, [])
