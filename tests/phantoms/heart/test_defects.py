"""Test that every defect writes the flaw that its name and description promise and leaves the rest of the exam correct."""

from collections import Counter, defaultdict
from io import BytesIO

import numpy as np
import pydicom
import pytest
from monai.transforms import LoadImage
from planewise.phantoms.heart.defects import DEFECTS
from planewise.phantoms.heart.study import study_files

from tests.phantoms.effects import IDENTITY, IDENTITY_HEADERS, Effect, effect_of, headers_of, normal, with_defects

#: What each defect changes, according to its line in `--list-defects`; everything else is as in the correct exam.
EFFECTS = {
    "one_series": Effect(headers="InstanceNumber SeriesInstanceUID SeriesNumber", paths="sax"),
    "localizer": Effect(added="localizer"),
    "no_series_uid": Effect(headers="SeriesInstanceUID"),
    "enhanced": Effect(gone="2ch 4ch sax", added="2ch 4ch localizer sax"),
    "repeated_slice": Effect(added="sax", pixels="sax"),
    "missing_phases": Effect(gone="sax"),
    "unequal_phases": Effect(gone="2ch 4ch", headers="CardiacNumberOfImages TriggerTime", pixels="2ch 4ch"),
    "mixed_matrix": Effect(headers="Columns ImagePositionPatient PixelSpacing Rows", pixels="sax"),
    "single_slice": Effect(gone="sax"),
    "no_trigger_time": Effect(headers="TriggerTime"),
    "scrambled_order": Effect(headers="InstanceNumber SeriesNumber", paths="2ch 4ch sax"),
    "copied": Effect(paths="sax"),
    "missing_view": Effect(gone="4ch"),
    "lying_names": Effect(added="3ch rv_2ch", headers="ProtocolName SeriesDescription", paths="2ch 4ch"),
    "parallel_planes": Effect(
        headers="Columns ImageOrientationPatient ImagePositionPatient Rows SliceLocation", pixels="2ch"
    ),
    "dextrocardia": Effect(headers="ImageOrientationPatient ImagePositionPatient", pixels="2ch 4ch sax"),
    "no_frame_of_reference": Effect(headers="FrameOfReferenceUID"),
    "two_frames_of_reference": Effect(headers="FrameOfReferenceUID ImagePositionPatient"),
    "zero_spacing": Effect(headers="PixelSpacing"),
    "no_spacing": Effect(headers="PixelSpacing"),
    "black": Effect(pixels="2ch 4ch sax"),
    "compressed": Effect(pixels="2ch 4ch sax"),
    "compressed_jpeg2000": Effect(headers="BitsStored HighBit", pixels="2ch 4ch sax"),
    "zero_byte": Effect(broken="sax"),
    "truncated": Effect(broken="sax"),
    "mosaic": Effect(added="mosaic"),
    "secondary_capture": Effect(added="screenshot"),
    "burnt_in": Effect(added="4ch annotated"),
    "structured_report": Effect(added="report"),
    "not_dicom": Effect(added="?"),
    "no_extension": Effect(added="?", paths="2ch 4ch sax"),
    "identity": Effect(headers=IDENTITY_HEADERS, paths="2ch 4ch sax"),
}


@pytest.fixture(scope="module")
def sound(exam):
    return [(file, file.encode()) for file in study_files(exam, IDENTITY)]


@pytest.fixture(scope="module")
def flawed(sound, exam):
    return with_defects(sound, DEFECTS, exam)


def _series(headers):
    groups = defaultdict(list)
    for header in headers:
        groups[header.SeriesInstanceUID].append(header)
    return list(groups.values())


def test_every_defect_has_one_line():
    assert EFFECTS.keys() == DEFECTS.keys()
    assert all(defect.what and "\n" not in defect.what for defect in DEFECTS.values())


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_changes_what_its_line_says_and_nothing_else(flawed, name):
    assert effect_of(flawed(), flawed(name)) == EFFECTS[name]


def test_one_series(flawed, exam):
    stack = headers_of(flawed("one_series"), "sax")
    assert len(_series(stack)) == 1
    assert len({tuple(header.ImagePositionPatient) for header in stack}) == len(exam.poses["sax"])
    assert sorted(header.InstanceNumber for header in stack) == list(range(1, len(stack) + 1))


def test_localizer(flawed):
    files = flawed("localizer")
    (series,) = _series(headers_of(files, "localizer"))
    normals = {tuple(np.abs(normal(header)).round(3)) for header in series}
    assert len(series) == 9 and normals == {(0, 0, 1), (0, 1, 0), (1, 0, 0)}


def test_enhanced(flawed, sound, exam):
    files = {file.view: header for file, header in flawed("enhanced")}
    assert set(files) == {"sax", "2ch", "4ch", "localizer"}
    stack = files["sax"]
    assert stack.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4.1"
    slices = len(exam.poses["sax"])
    assert stack.NumberOfFrames == 3 * slices and stack.pixel_array.shape[0] == 3 * slices
    frames = stack.PerFrameFunctionalGroupsSequence
    assert len({tuple(f.PlanePositionSequence[0].ImagePositionPatient) for f in frames}) == slices
    assert "ImagePositionPatient" not in stack
    assert len({tuple(f.PlaneOrientationSequence[0].ImageOrientationPatient) for f in frames}) == 1
    orientations = {
        tuple(f.PlaneOrientationSequence[0].ImageOrientationPatient)
        for f in files["localizer"].PerFrameFunctionalGroupsSequence
    }
    assert len(orientations) == 3
    single = {
        tuple(header.ImagePositionPatient): header.pixel_array
        for header in (pydicom.dcmread(BytesIO(content)) for file, content in sound if file.view == "sax")
        if header.InstanceNumber == 1
    }
    for frame, pixels in zip(frames, stack.pixel_array, strict=True):
        if frame.FrameContentSequence[0].TemporalPositionIndex == 1:
            np.testing.assert_array_equal(pixels, single[tuple(frame.PlanePositionSequence[0].ImagePositionPatient)])


def test_repeated_slice(flawed, exam):
    stack = headers_of(flawed("repeated_slice"), "sax")
    series = _series(stack)
    places = Counter(tuple(some[0].ImagePositionPatient) for some in series)
    assert sorted(places.values()) == [1] * (len(exam.poses["sax"]) - 1) + [2]
    twice = max(places, key=places.get)
    first, again = sorted(
        (some for some in series if tuple(some[0].ImagePositionPatient) == twice),
        key=lambda some: some[0].AcquisitionTime,
    )
    assert again[0].SeriesNumber == max(header.SeriesNumber for header in stack)
    # ghosts brighten the dark background of the first acquisition
    dark = [np.percentile(some[0].pixel_array, 10) for some in (first, again)]
    assert dark[0] > 1.3 * dark[1]


def test_missing_phases(flawed, exam):
    counts = Counter(tuple(header.ImagePositionPatient) for header in headers_of(flawed("missing_phases"), "sax"))
    assert sorted(counts.values()) == [2, 2] + [3] * (len(exam.poses["sax"]) - 2)


def test_unequal_phases(flawed):
    files = flawed("unequal_phases")
    assert {len(some) for view in ("2ch", "4ch") for some in _series(headers_of(files, view))} == {2}
    assert {len(some) for some in _series(headers_of(files, "sax"))} == {3}


def test_mixed_matrix(flawed, exam):
    stack = headers_of(flawed("mixed_matrix"), "sax")
    grids = Counter((header.Rows, header.Columns, float(header.PixelSpacing[0])) for header in stack)
    assert sorted(grids.values()) == [9, 3 * (len(exam.poses["sax"]) - 3)]
    other = min(grids, key=grids.get)
    assert other[2] == pytest.approx(1.25 * exam.scanner.spacing, rel=1e-3)
    # the field of view is the same, so the position is the same
    middles = {np.round(np.array(h.ImagePositionPatient, float) @ normal(h), 1) for h in stack if h.Rows == other[0]}
    assert len(middles) == 3


def test_single_slice(flawed):
    assert len({tuple(header.ImagePositionPatient) for header in headers_of(flawed("single_slice"), "sax")}) == 1


def test_no_trigger_time(flawed):
    files = flawed("no_trigger_time")
    assert all("TriggerTime" not in header and header.InstanceNumber in (1, 2, 3) for _, header in files)


def test_scrambled_order(flawed):
    files = flawed("scrambled_order")
    instances = [[h.InstanceNumber for h in sorted(some, key=lambda h: h.TriggerTime)] for some in
                 _series(header for _, header in files)]  # fmt: skip
    assert all(sorted(some) == [1, 2, 3] for some in instances)
    assert sum(some == [1, 2, 3] for some in instances) < len(instances) / 2
    numbers = [
        some[0].SeriesNumber
        for some in sorted(_series(headers_of(files, "sax")), key=lambda some: some[0].SliceLocation)
    ]
    assert numbers != sorted(numbers) and numbers != sorted(numbers, reverse=True)


def test_copied(flawed):
    counts = Counter(header.SOPInstanceUID for _, header in flawed("copied"))
    assert sorted(counts.values())[-3:] == [2, 2, 2] and sorted(counts.values())[-4] == 1


def test_lying_names(flawed):
    files = flawed("lying_names")
    descriptions = {file.view: header.SeriesDescription for file, header in files if file.view != "sax"}
    assert descriptions == {"2ch": "cine 4CH", "4ch": "cine 2CH", "3ch": "cine 4CH", "rv_2ch": "cine 2CH"}
    assert all("4ch" in file.path.parent.name for file, _ in files if file.view == "2ch")


def test_parallel_planes(flawed):
    files = flawed("parallel_planes")
    cosine = abs(normal(headers_of(files, "2ch")[0]) @ normal(headers_of(files, "sax")[0]))
    assert cosine > np.cos(np.radians(1))


def test_dextrocardia(flawed, sound):
    before = normal(pydicom.dcmread(BytesIO(next(content for file, content in sound if file.view == "sax"))))
    after = normal(headers_of(flawed("dextrocardia"), "sax")[0])
    np.testing.assert_allclose(np.abs(after @ (before * [-1, 1, 1])), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "keyword"), [("no_frame_of_reference", "FrameOfReferenceUID"), ("no_series_uid", "SeriesInstanceUID")]
)
def test_headers_without_an_identifier(flawed, name, keyword):
    assert all(keyword not in header for _, header in flawed(name))


def test_two_frames_of_reference(flawed):
    files = flawed("two_frames_of_reference")
    frames = {view: {h.FrameOfReferenceUID for h in headers_of(files, view)} for view in ("sax", "2ch", "4ch")}
    assert frames["2ch"] == frames["4ch"] and not frames["sax"] & frames["2ch"]


def test_zero_spacing(flawed):
    assert {tuple(header.PixelSpacing) for header in headers_of(flawed("zero_spacing"), "sax")} == {(0, 0)}


def test_no_spacing(flawed):
    files = flawed("no_spacing")
    found = {view: {"PixelSpacing" in header for header in headers_of(files, view)} for view in ("4ch", "sax")}
    assert found == {"4ch": {False}, "sax": {True}}


def test_black(flawed):
    assert all(header.pixel_array.max() == 0 for _, header in flawed("black"))


def _same_pixels(files, sound) -> bool:
    before = {(f.view, f.slice, f.phase): pydicom.dcmread(BytesIO(content)).pixel_array for f, content in sound}
    return all((header.pixel_array == before[f.view, f.slice, f.phase]).all() for f, header in files)


def test_compressed(flawed, sound):
    files = flawed("compressed")
    assert {header.file_meta.TransferSyntaxUID for _, header in files} == {"1.2.840.10008.1.2.5"}
    assert _same_pixels(files, sound)
    names = {file.dataset.SOPInstanceUID for file, _ in files}
    assert names == {pydicom.dcmread(BytesIO(content)).SOPInstanceUID for _, content in sound}


@pytest.mark.parametrize("name", ["compressed", "compressed_jpeg2000"])
def test_compressed_jpeg2000(flawed, sound, tmp_path, name):
    file, header = flawed(name)[0]
    if name == "compressed_jpeg2000":
        assert header.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.90"
    # ITK has its own decoders
    path = tmp_path / "image.dcm"
    path.write_bytes(file.encode())
    image = np.asarray(LoadImage(reader="ITKReader")(path)).squeeze()
    np.testing.assert_array_equal(image.T, pydicom.dcmread(BytesIO(sound[0][1])).pixel_array)


def test_zero_byte(flawed, sound):
    files = flawed("zero_byte")
    assert [len(file.encode()) for file, _ in files].count(0) == 1
    assert len(files) == len(sound)


def test_truncated(flawed, sound):
    files = flawed("truncated")
    whole = {file.path: content for file, content in sound}
    cut = [(file, header) for file, header in files if file.encode() != whole[file.path]]
    assert len(cut) == 2
    for file, _ in cut:
        assert whole[file.path].startswith(file.encode()) and len(file.encode()) > 132
    assert sum("PixelData" in header for _, header in cut) == 1
    for _, header in cut:
        with pytest.raises(Exception, match=r".+"):
            _ = header.pixel_array


def test_mosaic(flawed):
    files = flawed("mosaic")
    (header,) = headers_of(files, "mosaic")
    assert "MOSAIC" in header.ImageType and header.pixel_array.max() > 0


def test_secondary_capture(flawed):
    files = flawed("secondary_capture")
    (header,) = headers_of(files, "screenshot")
    assert header.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7" and "ImagePositionPatient" not in header


def test_burnt_in(flawed):
    files = flawed("burnt_in")
    (header,) = headers_of(files, "4ch annotated")
    assert header.BurnedInAnnotation == "YES" and (header.pixel_array == 4095).sum() > 50


def test_structured_report(flawed):
    files = flawed("structured_report")
    (header,) = headers_of(files, "report")
    assert header.Modality == "SR" and "PixelData" not in header and "Rows" not in header


def test_not_dicom(flawed):
    files = flawed("not_dicom")
    others = {file.path.name for file, header in files if header is None}
    assert others == {"readme.txt", "Thumbs.db", ".DS_Store", "screenshot.png", "results.csv", ".gitkeep"}


def test_no_extension(flawed, sound):
    images = [file for file, header in flawed("no_extension") if header is not None]
    assert len(images) == len(sound) and all(file.path.suffix == "" for file in images)
    assert len({len(file.path.parts) for file in images}) > 2


def test_identity(flawed):
    for file, header in flawed("identity"):
        assert header.PatientName == "Mustermann^Erika" and header.PatientBirthDate == "19540317"
        assert "Mustermann" in file.path.parts[0]


def test_defects_go_together(flawed):
    files = flawed("no_extension", "zero_byte", "truncated", "no_series_uid", "scrambled_order", "identity")
    headers = [header for _, header in files if header is not None]
    assert len(headers) > 20 and all("Mustermann" in file.path.parts[0] for file, _ in files)
