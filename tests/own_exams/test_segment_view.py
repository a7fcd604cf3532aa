"""Test that the masks of 4-chamber views become areas, also without a short axis."""

import csv
import shutil
from functools import partial

import nibabel
import numpy as np
import pytest
from planewise.commands import app
from planewise.own_exams import label_maps as module
from planewise.preprocessing.exam_name import volume_name
from typer.testing import CliRunner

from tests.exams.conftest import write_usual_exam


@pytest.mark.usefixtures("own_caches", "any_weights")
@pytest.mark.parametrize(("views", "anyway"), [("sax and 4ch", False), ("4ch", True), ("4ch", False)])
def test_a_4ch_view_gets_areas_without_a_short_axis_only_if_asked(views, anyway, tmp_path, monkeypatch):
    write_usual_exam(tmp_path / "in/Doe", ("4ch",), 5, phases=2, size=(40, 36), spacing=4.0)
    for folder in (tmp_path / "in/Doe").glob("sax*") if views == "4ch" else ():
        shutil.rmtree(folder)

    def segmented(bundle, settings):
        assert (bundle.name, settings["view"]) == ("downstream_cardiac_lax_segmentation", "4ch")
        return partial(write, settings)

    def write(settings, items):
        for item in items:
            (folder := settings["output_dir"] / volume_name(item)).mkdir(parents=True)
            labels = np.zeros((40, 36, 1), np.uint8)
            labels[:10, :10], labels[20:25, :10] = 4, 5
            nibabel.save(nibabel.Nifti1Image(labels, np.diag([4, 4, 8, 1])), folder / f"{folder.name}_mask.nii.gz")
        return {}

    monkeypatch.setattr(module, "Inference", segmented)
    arguments = ["segment", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--view", "4ch"]
    outcome = CliRunner().invoke(app, [*arguments, *["--min_obliquity", "0"] * anyway])
    used = anyway or views != "4ch"
    assert outcome.exit_code == (not used) and "Doe" not in outcome.stdout.replace(str(tmp_path), "")
    if used:
        with open(tmp_path / "out/areas.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        areas = [[float(row[f"{name}_cm2"]) for name in ("LV", "LA", "RA")] for row in rows]
        assert [row["phase"] for row in rows] == ["phase00", "phase50"] and areas == [[0, 16, 8]] * 2
