"""Test the headers of the images that results refer to: patient, file and frame."""

import numpy as np
import pydicom
import pytest
from planewise.exams import find_inputs
from planewise.exams.dicom_report import ReportGroup, dicom_report
from planewise.exams.source_images import source_images, true_references
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code


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
    ("sets", "name"),
    [(["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"), ("ISO_IR 100", "Buc^Jérôme")],
)
def test_names_in_every_character_set_are_kept(sets, name, usual_exam, tmp_path):
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
