"""Run the phantom commands of every bundle's README with fewer and smaller images."""

from __future__ import annotations

import os
import re
import shlex
import shutil

import pytest

from tests.bundles.conftest import BUNDLES, RELEASED, anatomy, tiny
from tests.conftest import ROOT
from tests.documented import printed, unknown_settings
from tests.kinds import others_slow
from tools.measured.write import phantom_commands

#: Settings that make a documented command fast: fewer and coarser exams, a smaller network, one epoch.
SMALLER_PHANTOM = {
    "cardiac": " --workers 1 --exams 10 --set phases=2 --set spacing=3.6,4.2",
    "knee": " --workers 1 --exams 10 --set spacing=2.2,2.6",
    "photograph": " --workers 1 --exams 24 --set side=96",
    "volume": " --workers 1 --exams 10 --set side=16",
}
SMALLER_TRAINING = {"samples_per_epoch": 16, "max_epochs": 1, "val_interval": 1, "lr_step": 1}


def smaller(command: str, name: str) -> str:
    """The same command, made fast by settings that are appended to it."""
    if "planewise phantom" in command:
        return re.sub(r" --exams \d+", SMALLER_PHANTOM[anatomy(name)], command)
    if "planewise index" in command and "--split" not in command:
        return command + " --split 0.5 0.2 0.3"
    if "monai.bundle run" in command:
        known = (ROOT / "bundles" / name / "configs/train.yaml").read_text()
        # inference takes the network's size from the run that made the weights
        settings = {} if "inference.yaml" in command else tiny(name) | SMALLER_TRAINING
        settings = {key: value for key, value in settings.items() if re.search(rf"^{key}:", known, re.M)}
        command = re.sub(r"--num_subjects \d+", "--num_subjects 4", command)
        return command + "".join(f" --{key} '{value}'" for key, value in settings.items())
    return command


@pytest.mark.parametrize("name", BUNDLES)
def test_settings_of_the_commands_are_known(name):
    first, *others = phantom_commands(name)
    commands = [shlex.split(command) for command in first if "monai.bundle run" in command]
    assert ["configs/inference.yaml" in words for words in commands] == [False] * (len(commands) - 1) + [True]
    for words in [*commands, *(shlex.split(line) for block in others for line in block if "monai.bundle run" in line)]:
        assert unknown_settings(words, ROOT / "bundles" / name) == {}


# a test above checks the options of every page
@pytest.mark.parametrize("name", others_slow(BUNDLES, ()))
def test_phantom_commands_of_the_readme(name, tmp_path):
    shutil.copytree(ROOT / "bundles", tmp_path / "bundles", ignore=shutil.ignore_patterns("models", "eval", "runs"))
    printed("\n".join(smaller(command, name) for command in phantom_commands(name)[0]), tmp_path)
    written = {path.name for path in (tmp_path / "work").rglob("*") if path.is_file()}
    assert "metrics.json" in written and "model.pt" in written
    assert {
        "plan.json",
        "locations.json",
        "predictions.csv",
        "findings.json",
        "features.npy",
        "positions.json",
    } & written or [file for file in written if file.endswith("_mask.nii.gz")]


def test_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    for script in re.findall(r"^(tools/\w+)", text, re.M):
        assert os.access(ROOT / script, os.X_OK), script
    for link in re.findall(r"\]\((?!https:)([^)]+)\)", text):
        assert (ROOT / link.partition("#")[0]).exists(), link
    for study in re.findall(r"tools/studies/configs/\w+\.yaml", text):
        assert (ROOT / study).exists(), study
    assert sorted(re.findall(r"\[`(\w+)`\]\(bundles/\1/docs/README.md\)", text)) == RELEASED
    assert len(text.splitlines()) <= 90
