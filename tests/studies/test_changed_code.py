"""Test the warning about configs and code that changed after a study's trainings."""

from __future__ import annotations

import json

from planewise.checksum import code_sha256, sha256

from tools.studies.changed_code import changed_code


def test_a_config_or_code_that_changed_after_a_training_is_named(tmp_path):
    config, code = tmp_path / "bundles/pretext_a/configs/train.yaml", tmp_path / "package/losses/own.py"
    for file in (config, code):
        file.parent.mkdir(parents=True)
        file.write_text("1")
    record = {"train.yaml": sha256(config), "code": code_sha256(tmp_path / "package")}
    runs = {"pretrain/a": record, "pretrain/earlier": {}, "finetune/none/1/0": {"code": "of an unfinished run"}}
    for name, content in runs.items():
        (tmp_path / "out" / name / "test").mkdir(parents=True)
        (tmp_path / "out" / name / "run.json").write_text(json.dumps(content))
        if name.startswith("pretrain"):
            (tmp_path / "out" / name / "test/metrics.json").touch()
    (tmp_path / "out/finetune/a").mkdir()
    trainings = {"pretrain/a": "pretext_a", "pretrain/earlier": "pretext_a", "finetune/none/1/0": "downstream"}

    def said():
        return changed_code(
            tmp_path / "out", trainings, {"none": None, "a": "a"}, tmp_path / "bundles", tmp_path / "package"
        )

    assert said() == ""
    config.write_text("2")
    first, *_, last = said().splitlines()
    assert first == "pretext_a/configs/train.yaml changed after 1 finished training (pretrain/a)"
    assert last.endswith("/out && rm -r pretrain/a finetune/a") and "the code of" not in said()
    code.write_text("2")
    assert "the code of planewise changed after 1 finished training (pretrain/a)\nThese" in said()
