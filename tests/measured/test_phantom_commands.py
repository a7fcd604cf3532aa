"""Test the records of the scores in bundles' READMEs, and how they are made."""

from __future__ import annotations

import json
import re

import pytest

from tests.bundles.conftest import RELEASED
from tools.measured import write as measured

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


PAGES = [measured.ROOT / "bundles" / name / "docs/README.md" for name in RELEASED]


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "phantom commands below" in page.read_text()],
    ids=lambda page: page.parents[1].name,
)
def test_a_table_measured_on_phantoms_has_a_record_of_the_commands_on_its_page(page):
    """If you change the commands, run them again: tools/measured/write.py --run BUNDLE."""
    bundle = page.parents[1].name
    record = json.loads((measured.ROOT / f"tools/measured/readmes/{bundle}.json").read_text())
    commands = " ".join(line for block in measured.phantom_commands(bundle) for line in block if "evaluate" in line)
    assert list(record["runs"]) == re.findall(r"--output_dir \.\./\.\./work/(\S+)", commands)
    made_by = record["made_by"]
    assert f"({made_by['devices'][0]}, {made_by['precision']}, `OMP_NUM_THREADS=1`;" in " ".join(
        page.read_text().split()
    )
    assert not made_by["commit"].endswith("-dirty")
