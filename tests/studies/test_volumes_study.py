"""Test the jobs and their settings in the studies of Taleb 2020, at the paper's size and at demo size."""

from __future__ import annotations

import html
import json
import re
from collections import Counter

import pytest
import yaml
from planewise.exams.split import split_stratified
from planewise.workshop.study.paper_tables import CHALLENGE, TUMOUR_DICE

from tests.conftest import ROOT
from tests.studies.runs import STUDIES, commands, config_of, jobs, option, page_of, paper_study, planned

TUMOURS, PANCREAS = "downstream_brain_tumour_segmentation", "downstream_pancreas_segmentation"
STUDIES_OF = {
    "volumes": TUMOURS,
    "volumes_pancreas": PANCREAS,
    "taleb2020_table1": TUMOURS,
    "taleb2020_pancreas": PANCREAS,
}


@pytest.mark.parametrize("name", STUDIES_OF)
def test_its_jobs(name, tmp_path):
    """Each pretext is pretrained in 3D and in 2D and fine-tuned in the same number of dimensions; the tumour bundle is also
    pretrained on masks of tissues (`supervised`). The tumour demo is only in 3D, with two learning rates.
    """
    demo, target, flat = "time" in config_of(name), STUDIES_OF[name], name != "volumes"
    config = config_of(name) if demo else paper_study(f"{name}.yaml", tmp_path)
    text, out = planned(config, tmp_path, "--printshellcmds"), f"{tmp_path}/out"
    supervised = target == TUMOURS
    starts = {"none": None} | ({"supervised": "supervised"} if supervised else {})
    starts |= {"none_2d": None} if flat else {"none_slow": None, "supervised_slow": "supervised"}
    for pretext in config["pretexts"]:
        starts |= {pretext: pretext} | ({f"{pretext}_2d": f"{pretext}_2d"} if flat else {})
    assert set(starts) == set(config["methods"])
    runs = len(starts) * len(config["label_counts"]) * len(config["draws"])
    expected = {"pretrain": (1 + flat) * len(config["pretexts"]) + supervised, "finetune": runs, "report": 1}
    if demo:
        kinds = 2 if supervised else 1
        expected |= {"phantom": kinds, "index": kinds} | ({"inspect": 1} if supervised else {})
    assert jobs(text) == expected | {"all": 1, "total": sum(expected.values()) + 1}
    for command in commands(text, "pretrain"):
        folder = re.search(r"/pretrain/(\w+) ", command)[1]
        files = yaml.safe_load(option(command, "config_file"))
        if folder == "supervised":
            assert f"cd {ROOT}/bundles/{TUMOURS} && " in command and files[-1] == "configs/tissues.yaml"
        else:
            assert f"cd {ROOT}/bundles/pretext_{folder.removesuffix('_2d')} && " in command
            assert (files[-1] == "configs/2d.yaml") == folder.endswith("_2d")
        # the puzzles' own config is for stacks of slices, so the one for volumes goes on top
        volumes = "3d_" if "jigsaw" in folder else ""
        assert ("configs/3d.yaml" in files) == bool(volumes)
        assert [file for file in files if "demo" in file] == ([f"configs/{volumes}demo.yaml"] if demo else [])
        assert option(command, "in_channels") == ("2" if supervised else None)
    for command in commands(text, "finetune"):
        method = re.search(r"/finetune/(\w+)/\d+/\d ", command)[1]
        files = yaml.safe_load(option(command, "config_file"))
        rate = "0.001" if method.endswith("_slow") else "0.003" if name == "volumes" else None
        assert rate is None or option(command, "learning_rate") == rate
        assert (files[-1] == "configs/2d.yaml") == method.endswith("_2d") and f"bundles/{target} && " in command
        start = starts[method]
        assert option(command, "pretrained") == (f"{out}/pretrain/{start}" if start else None)
        assert option(command, "in_channels") is None, "the target keeps its own setting"


@pytest.mark.slow
def test_a_study_of_volumes_ends_in_its_report(tmp_path):
    """The demo's own config with few small phantoms, small networks, and one number of cases."""
    small = {
        "image_size": 16,
        "features": [4, 8, 8],
        "samples_per_epoch": 8,
        "batch_size": 4,
        "max_epochs": 2,
        "val_interval": 1,
    }
    config = config_of("volumes") | {"label_counts": [2], "draws": [0], "overlay": None, "out": str(tmp_path / "out")}
    config["overrides"] = {"pretrain": small | {"in_channels": 2}, "finetune": small | {"learning_rate": 0.003}}
    config["methods"] = {name: given or {} for name, given in config["methods"].items()}
    config["phantom"] = {
        "unlabelled": "--layout brats --workers 1 --exams 6 --seed 1 --side 16 --set tumour=0 --set tissues=1",
        "labelled": "--layout brats --workers 1 --exams 8 --seed 2 --side 16 --set radius=25,30",
    }
    config["index"] = {"unlabelled": "--channels t1,flair --split 0.5 0.2 0.3", "labelled": "--split 0.5 0.2 0.3"}
    page = page_of(config, tmp_path)
    for method in config["methods"]:
        scores = json.loads((tmp_path / f"out/finetune/{method}/2/0/test/metrics.json").read_text())
        assert f"<td>{scores['structures']['WT']['dice']['mean']:.3f}</td>" in page, method
    for heading in (
        "Segmentation from few labels",
        "Volumes (Taleb 2020)",
        "2 of 4 labelled cases, and all of the paper's (Table 1)",
    ):
        assert html.escape(heading) in page
    assert page.count("Taleb 2020, ") >= 16 and "Speed of convergence (Fig. 5)" in page


@pytest.mark.parametrize("name", STUDIES_OF)
def test_shares_of_the_labelled_cases(name):
    """The demo of the tumours has 40 cases, and uses two of the paper's shares of them."""
    counts = config_of(name)["label_counts"]
    shares = [round(100 * count / (40 if name == "volumes" else counts[-1])) for count in counts]
    assert shares == ([5, 25] if name == "volumes" else pytest.approx([5, 10, 25, 50, 100], abs=1.5))


@pytest.mark.parametrize(("name", "cases"), [("taleb2020_table1", 285), ("taleb2020_pancreas", 281)])
def test_as_many_cases_as_the_division_gives(name, cases):
    """BraTS is divided by grade, the decathlon's cases with masks as one group: both exactly."""
    text = (STUDIES / "configs" / f"{name}.yaml").read_text()
    command = next(
        line for line in text.splitlines() if "--split" in line and config_of(name)["datalists"]["labelled"] in line
    )
    assert ("--stratify label" in command) == (name == "taleb2020_pancreas")
    shares = [float(share) for share in command.partition("--split ")[2].split()[:3]]
    sections = Counter(split_stratified(dict.fromkeys(map(str, range(cases)), "masks"), shares, 0).values())
    assert config_of(name)["label_counts"][-1] == sections["training"]


def test_every_method_is_a_row_of_the_paper_but_the_controls():
    controls = {"none_2d", "none_slow", "supervised_slow"}
    for name in ("volumes", "taleb2020_table1"):
        assert set(config_of(name)["methods"]) - controls <= set(TUMOUR_DICE.values) - set(CHALLENGE)
    paper = set(config_of("taleb2020_table1")["methods"])
    assert set(config_of("volumes")["methods"]) - controls == {name for name in paper if not name.endswith("_2d")}
    assert list(config_of("volumes_pancreas")["methods"]) == list(config_of("taleb2020_pancreas")["methods"])
    assert config_of("volumes")["then"] == "volumes_pancreas.yaml"
