"""Test `planewise inspect` and its picture."""

import json

import nibabel
import numpy as np
import pytest
import torch
import typer
from matplotlib.colors import to_hex
from planewise.commands.datalists import inspect
from planewise.exams import index_folder, write_datalist
from planewise.files.datalists import SECTIONS
from planewise.geometry import intersection_lines
from planewise.own_exams.exam_figure import exam_figure
from planewise.reports.slices import STRUCTURE_COLOURS
from typer.testing import CliRunner

from tests.exams.conftest import flawed, sound_phantom, usual_exam, write_usual_exam  # noqa: F401  (fixtures)
from tests.exams.test_labels import stack_affine, write_mask

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


def test_the_picture_names_nobody(flawed, tmp_path):  # noqa: F811
    root = flawed("identity")
    figure, name = exam_figure(write_datalist(index_folder(root).datalist, tmp_path / "datalist.json"))
    texts = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    assert any(name in text for text in texts)
    for part in {part for path in root.rglob("*") for part in path.relative_to(root).parts if len(part) > 3}:
        assert not any(part in text for text in texts)


def test_a_real_exam_is_drawn(real_data, tmp_path):
    figure, panels = drawn(real_data / "cardiac_cine_exam", tmp_path)
    assert list(panels) == ["base 0.00", "0.20", "0.40", "0.80", "apex 1.00", "2ch", "4ch", "3ch"]
    # two planes cut each slice, and six slices cut each view
    assert [len(axes.lines) for axes in panels.values()] == [2] * 5 + [6] * 3
    assert "6 short-axis slices" in figure.get_suptitle()


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
    panels = figure.axes[:3]
    assert [axes.get_title() for axes in panels] == [f"phase {item['phase']:.2f}" for item in chosen]
    assert [axes.get_title() for axes in figure.axes[3:]] == ["2ch", "sax"]
    affine = torch.tensor(items[0]["affine"])
    for panel in panels:
        for view, line in zip(("2ch", "sax"), panel.lines, strict=True):
            plane = items[0]["planes"][view]
            a, b, c = intersection_lines(affine, torch.tensor(plane["origin"]), torch.tensor(plane["normal"])).tolist()
            ends = line.get_xydata()
            assert np.abs(ends @ [a, b] + c).max() < 1e-3 and np.ptp(ends, axis=0).max() > 10
    assert all(len(axes.lines) == 1 for axes in figure.axes[3:]), "the 4ch plane in the other views"
    caption = figure.get_suptitle()
    assert f"4-chamber slice, {len(items)} phases" in caption and "relative location" not in caption


def _with_masks(exam, tmp_path, *frames):
    """A datalist of the exam with masks of these frames, counted from 1."""
    affine, shape = stack_affine(index_folder(exam))
    for frame in frames:
        write_mask(tmp_path / f"masks/exam_frame{frame:02d}.nii.gz", affine, shape, [(slice(5, 12), slice(5, 12))])
    result = index_folder(exam.parent, labels_dir=tmp_path / "masks")
    return write_datalist(result.datalist, tmp_path / "masked.json")


def _structures(axes):
    return [outline for outline in axes.collections if to_hex(outline.get_edgecolor()[0]) == STRUCTURE_COLOURS[1]]
