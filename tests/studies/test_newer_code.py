"""Test the warning about configs and code that changed after a study's trainings."""

from __future__ import annotations

import os

from tools.studies.newer_code import newer_code


def test_a_config_or_code_that_changed_after_a_training_is_named(tmp_path):
    files = {
        "out/pretrain/a/run.json": 10,
        "out/pretrain/a/test/metrics.json": 20,
        "out/finetune/none/1/0/run.json": 30,  # not finished
        "out/finetune/a/1/0/run.json": 30,
        "bundles/pretext_a/configs/train.yaml": 5,
        "package/losses/own.py": 5,
    }
    for name, time in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    trainings = {"pretrain/a": "pretext_a", "finetune/none/1/0": "downstream"}

    def said():
        return newer_code(
            tmp_path / "out", trainings, {"none": None, "a": "a"}, tmp_path / "bundles", tmp_path / "package"
        )

    assert said() == ""
    os.utime(tmp_path / "bundles/pretext_a/configs/train.yaml", (15, 15))
    first, *_, last = said().splitlines()
    assert first == "pretext_a/configs/train.yaml is newer than 1 finished training (pretrain/a)"
    assert last.endswith("/out && rm -r pretrain/a finetune/a") and "the code of" not in said()
    os.utime(tmp_path / "package/losses/own.py", (40, 40))
    assert "the code of planewise is newer than 1 finished training (pretrain/a)\nThese" in said()
