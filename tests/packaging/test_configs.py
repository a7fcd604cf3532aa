"""Test that editing a config by key changes values and names and nothing else."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml
from monai.bundle import ConfigWorkflow
from planewise.workshop.packaging.configs import as_json, for_a_bundle

from tests.bundles.conftest import BUNDLES
from tests.conftest import ROOT


@pytest.mark.parametrize("name", BUNDLES)
def test_every_config_keeps_its_meaning(name):
    paths = list((ROOT / "bundles" / name / "configs").glob("*.yaml"))
    assert len(paths) >= 3
    for path in paths:
        text = path.read_text()
        before, after = yaml.safe_load(text), yaml.safe_load(for_a_bundle(text, "own_code"))
        assert "planewise." not in re.sub(r"#.*", "", for_a_bundle(text, "own_code"))
        for key in before.keys() - {"imports", "initialize", "bundle_root"}:
            assert str(after[key]) == str(before[key]).replace("planewise.", "own_code."), (path.name, key)
        lines = [line.replace("planewise", "own_code") for line in before.get("initialize", [])]
        assert after.get("initialize", [])[-len(lines) :] == lines or not lines


SELF = """imports:
- $import planewise
bundle_root: .
found: $@bundle_root
initialize:
- $planewise.there
run:
- $@found
"""


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_packaged_config_finds_its_own_folder(suffix, tmp_path, monkeypatch):
    """The config's path may be absolute or relative."""
    bundle = tmp_path / "some where" / "bundle"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "own_code").mkdir()
    (bundle / "own_code" / "__init__.py").write_text("there = 'found'")
    text = for_a_bundle(SELF, "own_code")
    (bundle / "configs" / f"run.{suffix}").write_text(as_json(text) if suffix == "json" else text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    options = {"meta_file": [], "logging_file": False, "workflow_type": None}
    for config in (bundle / "configs" / f"run.{suffix}", Path("some where/bundle/configs") / f"run.{suffix}"):
        workflow = ConfigWorkflow(str(config), **options)
        workflow.initialize()
        assert workflow.run() == [str(bundle)]
        monkeypatch.delitem(sys.modules, "own_code")
    elsewhere = ConfigWorkflow(str(config), **options, bundle_root=str(tmp_path))
    with pytest.raises(SystemExit, match="there is no own_code/ in .*; name the bundle with --bundle_root"):
        elsewhere.initialize()
