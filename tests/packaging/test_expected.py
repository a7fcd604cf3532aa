"""Compare what packaging changes in a bundle, and what the check says about it, with stored outputs."""

from __future__ import annotations

import re
from pathlib import Path

from planewise.commands import app
from planewise.packaging.bundle import Bundle
from planewise.packaging.check_bundle import checks_for
from planewise.packaging.checks.candidate import Candidate
from typer.testing import CliRunner

from tests.bundles.conftest import tiny
from tests.expected_text import lines_that_differ, masked
from tests.packaging.conftest import source, write_run


def test_a_packaged_bundle(tmp_path, assert_expected):
    name = "pretext_cardiac_multitask"
    run = write_run(name, tmp_path / "run", tiny(name))
    words = ["package", source(name), "--weights", run, "-o", tmp_path / "dist", "--data", "9 exams"]
    outcome = CliRunner(env={"COLUMNS": "500"}).invoke(app, [str(word) for word in words])
    assert outcome.exit_code == 0, outcome.output
    folder = tmp_path / "dist" / name
    parts = [outcome.output, *_files(folder, source(name))]
    candidate = Candidate(Bundle(folder), tmp_path / "scratch")
    slow = ("TorchScript", "ONNX", "network", "weights", "inference", "MONAI")
    for check in checks_for(candidate):
        if not any(word in check.name for word in slow):
            finding = check(candidate)
            parts.append(f"{finding.status} {finding.name} ({finding.tier}): {finding.detail}")
    text = re.sub(r"\d+ files", "N files", masked("\n".join(parts), TMP=tmp_path))
    # the weights differ between versions of torch
    assert_expected("package.txt", re.sub(r"\b[0-9a-f]{64}\b", "CHECKSUM", text))


def _files(folder: Path, original: Path) -> list[str]:
    """The files of a package. Each document is followed by those of its lines that the bundle's own document lacks."""
    parts = []
    for file in sorted(folder.rglob("*")):
        place = file.relative_to(folder)
        if not file.is_file() or place.parts[0] == "scripts":
            continue
        parts.append(f"=== {place}")
        if place.name in ("README.md", "metadata.json", "data_license.txt"):
            lines = lines_that_differ((original / place).read_text(), file.read_text()).splitlines()
            parts += [line for line in lines if line[0] == "+"]
    return parts
