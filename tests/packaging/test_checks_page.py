"""Test that the checks write the page of bundles x checks, and that it covers every released bundle."""

from __future__ import annotations

import re
from importlib.util import find_spec

import planewise.packaging
import pytest
import typer
from planewise.commands.check import check
from planewise.packaging import Finding, check_bundle, checks_page
from planewise.packaging.checks_page import CHECKS, cells
from typer.testing import CliRunner

from tests.bundles.conftest import RELEASED
from tests.conftest import ROOT

PAGE = ROOT / "tools/docs/checks.md"
HEAD = ["bundle", "zoo", "unit", "label", "ours", *CHECKS]
FINDINGS = [
    Finding("ok", "files", tier="zoo"),
    Finding("warning", "weights", "none here", "zoo"),
    Finding("ok", "metadata", tier="zoo"),
    Finding("FAIL", "names in train.yaml", "missing: device", "unit"),
    Finding("warning", "names in inference.yaml", "late", "unit"),
    Finding("ok", "TorchScript", tier="zoo"),
    Finding("warning", "ONNX", "not tried", "ours"),
]


def table(text: str) -> dict[str, list[str]]:
    """First cell to the others, of every row."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_the_page_is_of_every_released_bundle_and_every_check():
    rows = table(PAGE.read_text())
    assert rows.pop("bundle") == HEAD[1:] and rows.pop("---")
    assert sorted(rows) == RELEASED
    assert not [name for name, row in rows.items() if "FAIL" in row or "not checked" in row]


@pytest.mark.parametrize("name", ["pretext_cardiac_location", "downstream_cardiac_disease_classification"])
def test_the_pages_rows_are_what_a_check_of_the_packaged_bundle_finds(name, packaged):
    findings = list(check_bundle(packaged(name, data="phantoms").folder))
    listed, found = table(PAGE.read_text())[name], cells(findings)
    if (
        find_spec("onnx") is None or find_spec("onnxruntime") is None
    ):  # one warning more, in the last column and in that of its tier
        listed, found = listed[:3] + listed[4:-1], found[:3] + found[4:-1]
    assert found == listed
    remarks = re.findall(r"^- (?:warning|FAIL), (.*?): ", checks_page({name: findings}, "x"), re.M)
    assert remarks == [finding.name for finding in findings if finding.status != "ok"]


def test_cells_and_reasons():
    text = checks_page({"b": FINDINGS, "a": FINDINGS[:1]}, "the command")
    rows = table(text)
    assert rows["bundle"] == HEAD[1:]
    assert rows["b"] == ["1 warning", "FAIL", "not checked", "1 warning", "ok", "not checked", "ok", "1 warning"]
    assert rows["a"] == ["ok"] + ["not checked"] * 7
    assert "- FAIL, names in train.yaml: missing: device (`b`)" in text and "by `the command`" in text
    assert "Every check of every bundle is `ok`." in checks_page({"a": FINDINGS[:1]}, "x")


def test_the_command_checks_several_and_writes_the_page(tmp_path, monkeypatch):
    asked = []

    def fake(folder, weights, overrides):
        asked.append((folder.name, list(overrides)))
        return iter(FINDINGS if folder.name == "b" else FINDINGS[:1])

    monkeypatch.setattr(planewise.packaging, "check_bundle", fake)
    app = typer.Typer()
    app.command()(check)

    def run(*arguments: str):
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments))

    page = tmp_path / "docs/page.md"
    done = run("dist/a", "dist/a.zip", "dist/b", "--page", str(page))
    assert done.exit_code == 1 and asked == [("a", []), ("b", [])], done.output
    assert page.read_text() == checks_page({"a": FINDINGS[:1], "b": FINDINGS}, "planewise check BUNDLE... --page FILE")
    assert "FAIL    names in train.yaml: missing: device" in done.output
    done = run("dist/a", "--", "--config_file", "x", "--sigmaa", "3")
    assert done.exit_code == 0 and asked[-1] == ("a", ["--config_file", "x", "--sigmaa", "3"])
    for wrong in (["dist/a", "dist/b", "--", "--sigma"], ["dist/a", "dist/b", "--weights", "x"]):
        assert run(*wrong).exit_code == 1
