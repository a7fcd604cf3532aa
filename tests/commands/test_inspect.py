"""Test `planewise inspect` and its picture."""

import json
import resource
from types import SimpleNamespace

import nibabel
import numpy as np
import pydicom
import pytest
import torch
import typer
from matplotlib.colors import to_hex
from matplotlib.image import imread
from planewise.commands.inspect import inspect
from planewise.exams import index_folder, write_datalist
from planewise.files.datalists import SECTIONS
from planewise.geometry import intersection_lines
from planewise.own_exams.exam_figure import _first_slice_up, exam_figure
from planewise.reports.segmentation_figures import STRUCTURE_COLOURS
from planewise.workshop.phantoms import VOLUNTEERS, Recipe, write_exams
from typer.testing import CliRunner

from tests.exams.conftest import flawed, sound_phantom, usual_exam, write_usual_exam  # noqa: F401  (fixtures)
from tests.exams.knees import oblique, write_knee, write_mrnet
from tests.exams.test_labels import stack_affine, write_mask
from tests.exams.test_volumes import write_acdc

app = typer.Typer()
app.command()(inspect)


def run(*arguments):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def datalist(usual_exam, tmp_path):  # noqa: F811
    return write_datalist(index_folder(usual_exam).datalist, tmp_path / "datalist.json")


def drawn(folder, tmp_path, **options):
    """The picture of the exam in a folder, saved once, and its panels by their titles."""
    path = write_datalist(index_folder(folder, **options).datalist, tmp_path / "datalist.json")
    figure, _ = exam_figure(path)
    figure.savefig(tmp_path / "exam.png")
    return figure, {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def items_of(path):
    content = json.loads(path.read_text())
    return [item for section in SECTIONS for item in content[section]]


def test_it_writes_a_picture(datalist, tmp_path):
    outcome = run(datalist, "-o", tmp_path / "exam.png")
    assert outcome.exit_code == 0, outcome.output
    picture = imread(tmp_path / "exam.png")
    assert picture.shape[0] > 600
    assert picture[..., :3].std() > 0.05


def test_a_stack_of_any_organ_is_drawn_whole(tmp_path):
    """Without views there are no heatmaps: the picture has a row of slices with their locations, and the stack in space."""
    for slices in (5, 9):
        values = np.random.default_rng(slices).integers(0, 400, (30, 20, slices)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(values, np.diag([9.0, 9, 10, 1])), tmp_path / f"{slices}.nii.gz")
    path = write_datalist(index_folder(tmp_path, anatomy="any").datalist, tmp_path / "datalist.json")
    name = next(
        name for name, entry in json.loads(path.read_text())["exams"].items() if entry["stacks"]["stack"]["slices"] == 5
    )
    figure, _ = exam_figure(path, name)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["first 0.00", "0.25", "0.50", "0.75", "last 1.00", ""]
    assert figure.axes[0].get_xlim() == (-0.5, 29.5) and sorted(figure.axes[0].get_ylim()) == [-0.5, 19.5]
    lines = np.array([line.get_data_3d() for line in figure.axes[-1].lines])
    assert np.ptp(lines, axis=(0, 2)).max() < 2 * max(figure.axes[-1].get_xlim()) * 1.2, (
        "the drawn lines stay within the axes"
    )
    caption = " ".join(text.get_text() for text in figure.texts)
    assert "5 parallel slices, 10.0 mm apart" in caption and "0 first, 1 last" in caption
    assert "Heatmaps" not in caption and "no " not in caption


def test_an_exam_is_chosen_by_the_beginning_of_its_hash(datalist, tmp_path):
    (name,) = json.loads(datalist.read_text())["exams"]
    assert exam_figure(datalist, name[:4])[1] == name
    outcome = run(datalist, "--exam", "zz", "-o", tmp_path / "exam.png")
    assert outcome.exit_code == 1
    assert f"zz is not an exam of this datalist; choose one of {name}" in outcome.output


def test_lines_in_the_picture_are_the_planes(datalist):
    """The first panel's coloured lines lie where 2ch and 4ch cut the basal slice."""
    base = next(item for item in items_of(datalist) if item["slice"] == 0 and item["phase"] == 0)
    figure, _ = exam_figure(datalist)
    drawn = [line.get_xydata() for line in figure.axes[0].lines]
    assert len(drawn) == 2
    affine = torch.tensor(base["affine"])
    for view, ends in zip(base["planes"], drawn, strict=True):
        plane = base["planes"][view]
        a, b, c = intersection_lines(affine, torch.tensor(plane["origin"]), torch.tensor(plane["normal"])).numpy()
        np.testing.assert_allclose(ends @ [a, b] + c, 0, atol=1e-4)


def test_locations_stand_in_the_picture(datalist):
    figure, _ = exam_figure(datalist)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[:5] == ["base 0.00", "0.25", "0.50", "0.75", "apex 1.00"]
    assert titles[5:] == ["2ch", "4ch"]


def test_slices_are_drawn_at_their_first_phase(tmp_path):
    """Images of zeros and ones, mirrored from phase to phase."""
    exam, half = write_usual_exam(tmp_path / "exam"), np.repeat([0, 1], 12).astype("<u2")
    for file in exam.rglob("*.dcm"):
        dataset = pydicom.dcmread(file)
        dataset.PixelData = np.tile(half if dataset.TriggerTime else half[::-1], (dataset.Rows, 1)).tobytes()
        dataset.save_as(file)
    figure, _ = exam_figure(write_datalist(index_folder(exam).datalist, tmp_path / "datalist.json"))
    drawn = [axes.images[0].get_array() for axes in figure.axes[:10:2]]
    assert all(picture[:, 0].min() == 1 and picture[:, -1].max() == 0 for picture in drawn)
    content = json.loads((tmp_path / "datalist.json").read_text())
    for item in (item for section in SECTIONS for item in content[section]):
        del item["location"]
    (tmp_path / "datalist.json").write_text(json.dumps(content))
    figure, _ = exam_figure(tmp_path / "datalist.json")
    assert [axes.get_title() for axes in figure.axes[:10:2]] == [f"slice {number}" for number in range(1, 6)]
    # in the other views, the lines of these slices have their numbers
    named = {axes.get_title(): [text.get_text() for text in axes.texts] for axes in figure.axes}
    assert named["2ch"] == named["4ch"] == ["1", "2", "3", "4", "5"]


@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_the_viewer_of_a_knee_is_in_front_of_the_patient_between_its_views(signs):
    """Sagittal slices from right to left: the first one is on top, and normals may point either way."""
    images = [SimpleNamespace(affine=torch.eye(4)) for _ in range(2)]
    images[0].affine = images[0].affine.clone()
    images[0].affine[0, 3] = 50.0
    axial, coronal = signs[0] * np.array([0, 0.6, 0.8]), signs[1] * np.array([0, 0.8, -0.6])
    for normal in (np.array([1.0, 0, 0]), np.array([-1.0, 0, 0])):
        up, front = _first_slice_up(images, [normal, axial, coronal])
        assert up.tolist() == [1, 0, 0]
        assert front[1] > 0 and np.linalg.norm(front) == pytest.approx(1) and front @ up == pytest.approx(0)


def test_the_picture_names_nobody(flawed, tmp_path):  # noqa: F811
    root = flawed("identity")
    figure, name = exam_figure(write_datalist(index_folder(root).datalist, tmp_path / "datalist.json"))
    texts = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    assert any(name in text for text in texts)
    for part in {part for path in root.rglob("*") for part in path.relative_to(root).parts if len(part) > 3}:
        assert not any(part in text for text in texts)


@pytest.mark.parametrize(
    "harm", ["enhanced", "missing_view", "two_frames_of_reference", "black", "compressed_jpeg2000"]
)
def test_unusual_exams_are_drawn(flawed, tmp_path, harm):  # noqa: F811
    figure, panels = drawn(flawed(harm), tmp_path)
    # every view cuts each of the first five slices, unless it is missing or in another frame of reference
    cuts = {"missing_view": 1, "two_frames_of_reference": 0}.get(harm, 2)
    assert [len(axes.lines) for axes in list(panels.values())[:5]] == [cuts] * 5
    assert any("no 4ch plane" in text.get_text() for text in figure.texts) == (cuts < 2)


def test_a_real_exam_is_drawn(real_data, tmp_path):
    figure, panels = drawn(real_data / "cardiac_cine_exam", tmp_path)
    assert list(panels) == ["base 0.00", "0.20", "0.40", "0.80", "apex 1.00", "2ch", "4ch", "3ch"]
    # two planes cut each slice, and six slices cut each view
    assert [len(axes.lines) for axes in panels.values()] == [2] * 5 + [6] * 3
    assert any(", 6 short-axis slices, 17.7 mm apart" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize(
    ("folder", "titles"),
    [
        ("cardiac_cine_nifti", [f"frame0{frame} slice {rank}" for frame in (1, 2) for rank in (1, 2, 3, 5, 6)]),
        ("spine_nifti", [f" slice {rank}" for rank in (1, 20, 39, 58, 77)]),
    ],
)
def test_real_volumes_are_drawn_with_their_outlines(folder, titles, real_data, tmp_path):
    figure, _ = drawn(real_data / folder, tmp_path)
    assert [axes.get_title() for axes in figure.axes] == titles
    assert all(np.ptp(axes.images[0].get_array()) > 0 for axes in figure.axes)
    # one outline for each structure; the apical slices contain no heart
    outlines = [len(axes.collections) for axes in figure.axes]
    assert outlines == ([3, 3, 3, 3, 0, 3, 3, 3, 0, 0] if folder == "cardiac_cine_nifti" else [1] * 5)


def test_volumes_are_drawn_with_their_masks(tmp_path):
    write_acdc(tmp_path / "data", 1)
    figure, name = exam_figure(write_datalist(index_folder(tmp_path / "data").datalist, tmp_path / "datalist.json"))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[0] == "ED slice 1"
    assert sum(title.startswith("ES") for title in titles) == 4
    assert name in figure._suptitle.get_text()


def test_a_knee_is_drawn_in_its_own_words(tmp_path):
    write_knee(tmp_path / "knee", turn=oblique(12))
    figure, panels = drawn(tmp_path / "knee", tmp_path, anatomy="knee")
    assert list(panels) == ["right 0.00", "0.29", "0.50", "0.71", "left 1.00", "axial", "coronal"]
    words = " ".join(text.get_text() for text in figure.texts)
    assert "15 sagittal slices, 4.0 mm apart" in words
    assert "0 right, 1 left" in words
    assert not any(heart in words for heart in ("axis", "base", "apex", "2ch", "4ch"))
    # the lines of the first slice are the planes of the central axial and coronal images
    first = next(item for item in items_of(tmp_path / "datalist.json") if item["slice"] == 0)
    for view, line in zip(("axial", "coronal"), figure.axes[0].lines, strict=True):
        points = np.array(first["affine"]) @ np.c_[line.get_xydata(), [0, 0], [1, 1]].T
        plane = first["planes"][view]
        np.testing.assert_allclose(np.array(plane["normal"]) @ (points[:3].T - plane["origin"]).T, 0, atol=1e-3)


@pytest.mark.parametrize("folder", ["AX_T2_FS", "COR_PD_FS"])
def test_a_knee_without_one_of_its_views_is_drawn(tmp_path, folder):
    write_knee(tmp_path / "knee")
    for path in (tmp_path / "knee" / folder).iterdir():
        path.unlink()
    figure, _ = drawn(tmp_path / "knee", tmp_path, anatomy="knee")
    assert any(
        f"no {'axial' if folder.startswith('AX') else 'coronal'} plane in this exam" in t.get_text()
        for t in figure.texts
    )


def test_real_localizers_are_drawn(real_localizers, tmp_path):
    figure, panels = drawn(real_localizers, tmp_path, anatomy="knee")
    assert list(panels) == ["right 0.00", "0.33", "0.50", "0.67", "left 1.00", "axial", "coronal"]
    assert [len(axes.lines) for axes in panels.values()] == [2] * 5 + [7] * 2
    assert any(", 7 sagittal slices, 15.0 mm apart" in text.get_text() for text in figure.texts)


def test_volumes_without_geometry_are_drawn_with_their_labels(tmp_path):
    write_mrnet(tmp_path / "data")
    path = write_datalist(index_folder(tmp_path / "data", anatomy="knee").datalist, tmp_path / "datalist.json")
    item = next(item for item in items_of(path) if item["image"].endswith("train/sagittal/0003.npy"))
    figure, name = exam_figure(path, item["exam"], slices=4)
    figure.savefig(tmp_path / "exam.png")
    assert [axes.get_title() for axes in figure.axes] == [f"slice {rank} of 6" for rank in (1, 3, 4, 6)]
    assert figure._suptitle.get_text() == f"exam {name}    abnormal: yes, acl: no, meniscus: yes"
    volume = np.load(tmp_path / item["image"])
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array(), volume[2])


@pytest.mark.parametrize(
    ("content", "words"), [("", "cannot be read as JSON"), ("[]", "contains a list"), ('{"training": []}', "no items")]
)
def test_what_is_no_datalist(tmp_path, content, words):
    (tmp_path / "d.json").write_text(content)
    outcome = run(tmp_path / "d.json", "-o", tmp_path / "exam.png")
    assert outcome.exit_code == 1
    assert words in outcome.output
    assert "Traceback" not in outcome.output
    assert "there is no datalist" in run(tmp_path / "nowhere.json").output


def test_an_exam_without_images_says_why(tmp_path):
    write_usual_exam(tmp_path / "data" / "heart")
    other = {"StudyInstanceUID": "1.2.9", "FrameOfReferenceUID": "1.2.9.1"}
    write_usual_exam(tmp_path / "data" / "single", slices=1, **other)
    path = write_datalist(index_folder(tmp_path / "data").datalist, tmp_path / "datalist.json")
    exams = json.loads(path.read_text())["exams"]
    (name,) = [name for name, exam in exams.items() if "sax" not in exam["stacks"]]
    outcome = run(path, "--exam", name, "-o", tmp_path / "exam.png")
    assert outcome.exit_code == 1
    assert "no stack of 3 or more parallel slices" in outcome.output


def test_a_picture_that_cannot_be_written(datalist, tmp_path):
    made = tmp_path / "new" / "folder" / "exam.png"
    assert "Wrote" in run(datalist, "-o", made).output and made.is_file(), "the folder is created"
    assert "cannot be written" in run(datalist, "-o", tmp_path / "exam.docx").output


def test_an_exam_whose_name_leads_out_of_the_folder(datalist, tmp_path, monkeypatch):
    content = json.loads(datalist.read_text())
    (name,) = content["exams"]
    (tmp_path / "here").mkdir()
    datalist.write_text(datalist.read_text().replace(name, "../x"))
    monkeypatch.chdir(tmp_path / "here")
    outcome = run(datalist)
    assert outcome.exit_code == 1
    assert "'../x', which cannot be a file name" in outcome.output
    assert not (tmp_path / "x.png").exists()
    assert run(datalist, "-o", "exam.png").exit_code == 0


@pytest.mark.parametrize("channels", [("t1", "flair"), ()])
def test_a_case_is_drawn_channel_by_channel_through_its_mask(tmp_path, channels):
    values = np.random.default_rng(0).integers(0, 400, (20, 16, 12)).astype(np.int16)
    for ending in [f"_{channel}" for channel in channels] or [""]:
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / f"p1{ending}.nii.gz")
    mask = np.zeros(values.shape, np.uint8)
    mask[5:9, 5:9, 7:9] = 2
    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), tmp_path / "p1_seg.nii.gz")
    result = index_folder(tmp_path, anatomy="volume", channels=",".join(channels) or None)
    figure, _ = exam_figure(write_datalist(result.datalist, tmp_path / "list.json"))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [f"{name} slice {rank}".lstrip() for name in channels or [""] for rank in (8, 9)]
    outlined = [axes for axes in figure.axes if axes.collections]
    assert len(outlined) == len(titles)


def test_a_4ch_slice_is_drawn_phase_by_phase_with_the_planes_that_cut_it(usual_exam, tmp_path):  # noqa: F811
    path = write_datalist(index_folder(usual_exam, view="4ch", split=(1, 0, 0)).datalist, tmp_path / "datalist.json")
    items = json.loads(path.read_text())["training"]
    figure, _ = exam_figure(path, slices=3)
    chosen = [items[round(rank)] for rank in np.linspace(0, len(items) - 1, 3)]
    panels = figure.axes[:6:2]  # every second panel shows heatmaps
    assert [axes.get_title() for axes in panels] == [f"phase {item['phase']:.2f}" for item in chosen]
    assert [axes.get_title() for axes in figure.axes[6:]] == ["2ch", "sax", ""]
    affine = torch.tensor(items[0]["affine"])
    for panel in panels:
        for view, line in zip(("2ch", "sax"), panel.lines, strict=True):
            plane = items[0]["planes"][view]
            a, b, c = intersection_lines(affine, torch.tensor(plane["origin"]), torch.tensor(plane["normal"])).tolist()
            ends = line.get_xydata()
            assert np.abs(ends @ [a, b] + c).max() < 1e-3 and np.ptp(ends, axis=0).max() > 10
    # the 4ch plane in the other views, without a label
    assert all(len(axes.lines) == 1 and not axes.texts for axes in figure.axes[6:8])
    caption = " ".join(text.get_text() for text in figure.texts)
    assert f"4-chamber slice, {len(items)} phases" in caption and "relative location" not in caption


def test_labels_of_4ch_images_are_outlined(tmp_path):
    recipe = Recipe("ukbb", seed=5, population=VOLUNTEERS.with_values(phases=5, spacing=(4.0, 4.0)))
    list(write_exams(recipe, tmp_path / "tree", 1))
    result = index_folder(tmp_path / "tree", view="4ch", split=(1, 0, 0))
    figure, _ = exam_figure(write_datalist(result.datalist, tmp_path / "datalist.json"))
    panels = figure.axes[:4:2]  # every second panel shows heatmaps
    assert [axes.get_title() for axes in panels] == ["ED", "ES"]
    for axes in panels:
        drawn = {to_hex(colour) for outline in axes.collections for colour in outline.get_edgecolor()}
        assert drawn == set(STRUCTURE_COLOURS.values())


@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_leaves_the_picture_that_was_there(there, datalist, tmp_path):
    """If a file may not exceed 1000 bytes, as on a full disk, only its first part is written."""
    picture = tmp_path / "exam.png"
    if there:
        picture.write_bytes(b"the old picture")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        outcome = run(datalist, "-o", picture)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert outcome.exit_code == 1 and "exam.png cannot be written (File too large" in outcome.output
    assert (picture.read_bytes() == b"the old picture") if there else not picture.exists()
    assert not list(tmp_path.glob("*.tmp"))


def test_a_picture_has_the_format_of_its_name(datalist, tmp_path):
    for name, start in (("exam.pdf", b"%PDF"), ("exam.svg", b"<?xml")):
        assert run(datalist, "-o", tmp_path / name).exit_code == 0
        assert (tmp_path / name).read_bytes().startswith(start)


def _with_masks(exam, tmp_path, *frames):
    """A datalist of the exam with masks of these frames, counted from 1."""
    affine, shape = stack_affine(index_folder(exam))
    for frame in frames:
        write_mask(tmp_path / f"masks/exam_frame{frame:02d}.nii.gz", affine, shape, [(slice(5, 12), slice(5, 12))])
    result = index_folder(exam.parent, labels_dir=tmp_path / "masks")
    return write_datalist(result.datalist, tmp_path / "masked.json")


def test_the_phases_with_masks_are_drawn_and_the_structures_named(tmp_path):
    exam = write_usual_exam(tmp_path / "in/exam")
    figure, _ = exam_figure(_with_masks(exam, tmp_path, 3))
    assert [axes.texts[0].get_text() for axes in figure.axes[:1]] == ["phase 0.33"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["RV"]
    two, _ = exam_figure(_with_masks(exam, tmp_path, 1, 3))
    grids = two.axes[0].get_subplotspec().get_topmost_subplotspec().get_gridspec()
    assert grids.nrows == 4 and sum(bool(_structures(axes)) for axes in two.axes) == 10
    four, _ = exam_figure(_with_masks(exam, tmp_path, 1, 3, 4, 6))
    caption = " ".join(text.get_text() for text in four.texts)
    assert "2 phases with masks not drawn: phase 0.50, phase 0.83." in caption


def _structures(axes):
    return [outline for outline in axes.collections if to_hex(outline.get_edgecolor()[0]) == STRUCTURE_COLOURS[1]]


def test_volumes_with_masks_come_first_and_the_others_are_named(tmp_path):
    """Of the five phases of a cine, the last has a mask."""
    values = np.random.default_rng(0).integers(0, 400, (30, 20, 5, 5)).astype(np.int16)
    affine = np.diag([9.0, 9, 10, 1])
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "in/heart.nii.gz")
    write_mask(tmp_path / "masks/heart_frame05.nii.gz", affine, (30, 20, 5), [(slice(5, 12), slice(5, 12))])
    result = index_folder(tmp_path / "in", labels_dir=tmp_path / "masks")
    figure, name = exam_figure(write_datalist(result.datalist, tmp_path / "list.json"))
    assert figure.axes[15].get_title() == "frame05 slice 1"
    assert figure.get_suptitle() == f"exam {name}    not drawn: frame04"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["RV"]
