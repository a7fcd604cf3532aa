"""Test the commands of pretext_simclr's page on phantoms, from exams without masks to training on hearts alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest
from planewise.data import load_datalist
from planewise.errors import refusal
from planewise.exams import index_folder, write_datalist

from tests.bundles.conftest import BUNDLES, parser_of, tiny
from tests.bundles.test_documented_commands import SMALLER_TRAINING
from tests.conftest import ROOT
from tests.quick_python import quick_python

SIMCLR = "pretext_simclr"


def commands() -> str:
    """The page's block after the phantom commands, with small training settings appended."""
    text = (ROOT / "bundles" / SIMCLR / "docs/README.md").read_text()
    (block,) = (block for block in re.findall(r"```bash\n(.*?)```", text, re.S) if "planewise segment work" in block)
    known = (ROOT / "bundles" / SIMCLR / "configs/train.yaml").read_text()
    settings = {name: value for name, value in (tiny(SIMCLR) | SMALLER_TRAINING).items() if f"\n{name}:" in known}
    return block.rstrip() + "".join(f" --{name} '{value}'" for name, value in settings.items())


@pytest.fixture(scope="module")
def made(phantoms, tmp_path_factory):
    """Three exams, one with a broken file, after the page's commands ran on them."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(
        ROOT / "bundles" / SIMCLR, folder / "bundles" / SIMCLR, ignore=shutil.ignore_patterns("models", "eval")
    )
    exams = sorted(path.parent for path in phantoms.cardiac.dicom.rglob("study"))[:3]
    for number, exam in enumerate(exams):
        shutil.copytree(exam, folder / "exams" / str(number))
    datalist = index_folder(folder / "exams", split=(1, 0, 0)).datalist
    held_out = datalist["training"][-1]["exam"]
    datalist["validation"] = [item for item in datalist["training"] if item["exam"] == held_out]
    datalist["training"] = [item for item in datalist["training"] if item["exam"] != held_out]
    (folder / "work").mkdir()
    write_datalist(datalist, folder / "work/unlabelled.json")
    broken = datalist["training"][0]
    file = Path(broken["image"])
    file.write_bytes(file.read_bytes()[:-2000])
    path = f"{Path(quick_python()).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "set -e\n" + commands()],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    return folder, broken["exam"], done.stdout


def test_the_pages_commands_train_on_hearts_alone(made):
    folder, broken, text = made
    assert "Traceback" not in text and "trained on phantoms" in text
    assert re.search(rf"{broken} +it cannot be used \(", text)
    assert "2 exams with masks, 1 without." in text
    assert f"{broken}: " in text, "the training also reports this"
    assert (folder / "work/simclr_hearts/models/model.pt").is_file()
    items = [item for item in load_datalist(folder / "work/hearts/datalist.json", "all") if item["exam"] != broken]
    for item in items:
        mask = np.asarray(nibabel.load(item["label"]).dataobj)
        assert item["label_origin"] == "predicted" and item["label_frame"] == item["slice"] < mask.shape[2]
        assert (Path(item["label"]).parent / "segmentation.png").is_file()
    assert {item["exam"] for item in items} == set(
        json.loads((folder / "work/hearts/datalist.json").read_text())["exams"]
    ) - {broken}


@pytest.mark.parametrize("section", ["training", "validation"])
@pytest.mark.parametrize("name", [name for name in BUNDLES if name.endswith("_segmentation")])
def test_no_segmentation_bundle_trains_on_them(name, section, datalists, tmp_path):
    content = json.loads(datalists[name].read_text())
    for item in content[section]:
        item["label_origin"] = "predicted"
    datalist = datalists[name].with_name(f"{name}_{section}_predicted.json")
    datalist.write_text(json.dumps(content))
    parser = parser_of(name, "train.yaml", datalist=str(datalist), output_dir=str(tmp_path))
    part = {"training": "train", "validation": "validate"}
    with pytest.raises(Exception) as caught:
        parser.get_parsed_content(f"{part[section]}#dataset#data")
    assert "its mask was predicted by a network" in str(refusal(caught.value))
    # the other section, whose masks are a person's, is not refused
    del part[section]
    assert parser.get_parsed_content(f"{next(iter(part.values()))}#dataset#data")
