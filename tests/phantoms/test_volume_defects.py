"""Test that every flaw of volumes is counted, explained and left out, by the index or when the volumes are read."""

from __future__ import annotations

import pytest
from monai.transforms import Compose, Resized
from planewise.commands.phantom import app
from planewise.data import VolumeDataset, load_datalist
from planewise.errors import InputError
from planewise.exams import index_folder, write_datalist
from planewise.phantoms import LAYOUTS, Recipe, write_exams
from planewise.phantoms.abdomen.population import ABDOMENS
from planewise.phantoms.head.population import HEADS
from planewise.preprocessing import CropToForegroundd, LoadVolumed, ScaleToUnitd
from typer.testing import CliRunner

POPULATIONS = {
    "brats": HEADS.with_values(side=16, low_grade=0.0, radius=(25.0, 30.0)),
    "msd": ABDOMENS.with_values(side=16),
}
VALUES = {"brats": (0, 1, 2, 4), "msd": (0, 1, 2)}

#: The indexer's message, how many of the two broken cases remain, and how many of their masks.
INDEXED = {
    ("brats", "channel_shape"): ("channels lie on different grids: its shape is (16, 16, 17), the first", 0, 0),
    ("brats", "channel_elsewhere"): ("different grids: its affine puts it up to 20.0 mm from the first channel", 0, 0),
    ("brats", "no_channel"): ("case without its t1ce image", 0, 0),
    ("brats", "no_mask"): ("", 2, 0),
    ("brats", "mask_shape"): ("mask left out: its shape is (16, 16, 17), the image's (16, 16, 16)", 2, 0),
    ("brats", "mask_elsewhere"): ("mask left out: its affine puts it up to 20.0 mm from the image", 2, 0),
    ("brats", "four_dimensions"): ("NIfTI image of four dimensions (4 volumes in one file)", 0, 0),
    ("msd", "no_mask"): ("image whose mask, named in dataset.json, does not exist: kept without its mask", 2, 0),
    ("msd", "mask_shape"): ("mask left out: its shape is (16, 16, 17)", 2, 0),
    ("msd", "mask_elsewhere"): ("mask left out: its affine puts it up to 20.0 mm from the image", 2, 0),
    ("msd", "four_dimensions"): ("NIfTI image of four dimensions (2 volumes in one file)", 0, 0),
}
#: The message when voxels are read, which the indexer does not do.
READ = {
    ("brats", "labels_of_later_sets"): "its values must be 0, 1, 2, 4, got 3",
    ("brats", "empty"): "channel 1 has the value 0 everywhere",
    ("msd", "empty"): "everywhere",
}


def tree(folder, layout, defect, seed=0, count=2):
    list(write_exams(Recipe(layout, seed, POPULATIONS[layout], (defect,) if defect else ()), folder, count))
    return folder


def test_every_flaw_is_here():
    there = {(layout, name) for layout in POPULATIONS for name in LAYOUTS[layout].defects}
    assert there == INDEXED.keys() | READ.keys()


@pytest.mark.parametrize(("layout", "defect"), INDEXED)
def test_the_index_counts_and_explains(layout, defect, tmp_path):
    reason, cases, masks = INDEXED[layout, defect]
    tree(tmp_path / "bad", layout, defect)
    # together with good volumes, so that there is something to learn from
    tree(tmp_path / "good", layout, None, seed=1)
    result = index_folder(tmp_path, anatomy="volume", split=(1, 0, 0))
    items = [item for item in result.datalist["training"] if "/bad/" in str(item["image"])]
    assert len(items) == cases and sum("label" in item for item in items) == masks
    assert sum("/good/" in str(item["image"]) for item in result.datalist["training"]) == 2
    if reason:
        (found,) = (found for found in result.skipped if reason in found)
        assert result.skipped[found][0] == 2


def test_a_set_of_files_of_four_dimensions_alone_says_so(tmp_path):
    tree(tmp_path, "brats", "four_dimensions")
    with pytest.raises(InputError, match=r"four dimensions \(4 volumes in one file\)(.|\n)*four_to_three"):
        index_folder(tmp_path, anatomy="volume")


@pytest.mark.parametrize(("layout", "defect"), READ)
def test_volumes_that_cannot_be_learned_from_are_left_out(layout, defect, tmp_path, caplog):
    tree(tmp_path / "bad", layout, defect)
    tree(tmp_path / "good", layout, None, seed=1)
    result = index_folder(tmp_path, anatomy="volume", split=(1, 0, 0))
    datalist = write_datalist(result.datalist, tmp_path / "list.json")
    transform = Compose(
        [
            LoadVolumed(["image", "label"], label_values=VALUES[layout]),
            ScaleToUnitd("image"),
            CropToForegroundd(["image", "label"]),
            Resized(["image", "label"], [16] * 3, mode=["trilinear", "nearest"]),
        ]
    )
    dataset = VolumeDataset(
        load_datalist(datalist, "training"), transform, cache_dir=tmp_path / "cache", num_workers=0, progress=False
    )
    assert {("/good/" in str(item["image"])) for item in dataset.items} == {True} and len(dataset) == 2
    assert "2 of 4 volumes left out" in caplog.text and READ[layout, defect] in caplog.text


def test_the_command_takes_and_lists_them(tmp_path):
    listed = CliRunner().invoke(app, ["volume", "--layout", "brats", "--list-defects"]).output
    assert all(name in listed for name in LAYOUTS["brats"].defects)
    options = ["--layout", "brats", "--exams", "1", "--side", "16", "--workers", "1", "--defect", "no_channel,no_mask"]
    assert CliRunner().invoke(app, ["volume", str(tmp_path), *options]).exit_code == 0
    assert sorted(path.name[-11:-7] for path in tmp_path.rglob("*.nii.gz")) == ["1_t1", "1_t2", "lair"]
    refused = CliRunner().invoke(app, ["volume", str(tmp_path / "out"), "--layout", "msd", "--defect", "no_channel"])
    assert refused.exit_code == 1 and "unknown defect 'no_channel'" in refused.output
