"""Test the package versions that bundles name."""

from __future__ import annotations

from configparser import ConfigParser

from packaging.requirements import Requirement
from planewise.packaging.versions import PINS

from tests.conftest import ROOT


def test_the_list_keeps_to_what_setup_allows():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = {need.name: need for need in map(Requirement, setup["options"]["install_requires"].split())}
    assert set(PINS) <= set(wanted)
    assert all(version in wanted[name].specifier for name, version in PINS.items())
    # the first release of numpy that has no wheel for Python 3.10 is 2.3.0
    assert PINS["numpy"].startswith("2.2.")
