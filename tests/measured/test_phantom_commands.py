"""Test the records of the scores in bundles' READMEs, and how they are made."""

from __future__ import annotations

import json
import re

import pytest

from tools.measured import phantom_commands as measured

README = """
```bash
echo planewise phantom \\
  work/exams
cd bundles/some
mkdir -p ../../work/run/test && cp run.json ../../work/run
echo '{"a": {"x": 0.12345678, "all": [1]}, "n": 3, "own": '${PLANEWISE_SALT_FILE:-0}'}' > ../../work/run/test/metrics.json
: --output_dir ../../work/run
false configs/inference.yaml
```
"""


def test_the_scores_of_a_readmes_commands_are_recorded(tmp_path, monkeypatch):
    (tmp_path / "bundles/some/docs").mkdir(parents=True)
    (tmp_path / "bundles/some/docs/README.md").write_text(README)
    (tmp_path / "bundles/some/run.json").write_text('{"commit": "abc", "precision": "bfloat16", "seed": 0}')
    monkeypatch.setattr(measured, "ROOT", tmp_path)
    for _ in range(2):  # a run is made again
        record = measured.measure("some", tmp_path / "out")
        assert record["made_by"] | {"date": ""} == {"date": "", "commit": "abc", "precision": "bfloat16"}
        assert record["runs"] == {"run": {"a": {"x": 0.123457}, "n": 3, "own": 0}}
    assert json.loads(measured.as_text(record)) == record


@pytest.mark.parametrize(
    "file", sorted(measured.ROOT.glob("tools/measured/readmes/*.json")), ids=lambda file: file.stem
)
def test_a_record_is_of_the_commands_on_the_page(file):
    """Whoever changes the commands runs them again: tools/measured/write.py --run BUNDLE."""
    record, page = json.loads(file.read_text()), measured.ROOT / "bundles" / file.stem / "docs/README.md"
    commands = " ".join(line for block in measured.phantom_commands(file.stem) for line in block if "evaluate" in line)
    assert list(record["runs"]) == re.findall(r"--output_dir \.\./\.\./work/(\S+)", commands)
    made_by = record["made_by"]
    assert f"({made_by['devices'][0]}, {made_by['precision']};" in " ".join(page.read_text().split())
    assert not made_by["commit"].endswith("-dirty")
