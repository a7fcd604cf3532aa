"""Test that the files of a release agree about it."""

import re

import planewise
import yaml

from tests.conftest import ROOT


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    latest = re.search(r"^## (\S+)", (ROOT / ".github/CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert planewise.__version__ == str(citation["version"]) == latest
