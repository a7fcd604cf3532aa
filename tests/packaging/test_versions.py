"""Test the package versions that bundles name, with a fixed list of installable wheels and without a network connection."""

from __future__ import annotations

import json
import shutil
from configparser import ConfigParser

import pytest
from packaging.requirements import Requirement
from planewise.packaging.bundle import Bundle
from planewise.packaging.checks.candidate import Candidate
from planewise.packaging.checks.finding import Remark
from planewise.packaging.checks.zoo import versions
from planewise.packaging.versions import PINS, canonical, untried

from tests.bundles.conftest import BUNDLES
from tests.conftest import ROOT
from tests.packaging.conftest import source
from tests.packaging.fresh_environment import required_by


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_names_versions_that_every_supported_python_can_install(name):
    assert untried(required_by(source(name))) == []


def test_the_list_keeps_to_what_setup_allows():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = {canonical(need.name): need for need in map(Requirement, setup["options"]["install_requires"].split())}
    assert set(PINS) <= set(wanted)
    assert all(version in wanted[name].specifier for name, version in PINS.items())
    # the first release of numpy that has no wheel for Python 3.10 is 2.3.0
    assert PINS["numpy"].startswith("2.2.")


def test_what_the_code_imports_is_found_with_its_version():
    """A package would name these without the bundle's metadata; MONAI alone uses the other two, and itk-core is ITK's."""
    bundle = Bundle(source("pretext_cardiac_multitask"))
    named = bundle.metadata.pop("required_packages_version")
    only_monais = ("itk", "scikit-image", "tensorboard")
    found = {canonical(name): version for name, version in bundle.requirements().items()}
    assert found.pop("itk-core") == named["itk"]
    assert found == {name: version for name, version in named.items() if name not in only_monais}


@pytest.mark.parametrize("name", ["PyYAML", "pyyaml", "py.yaml", "Py__YAML"])
def test_names_are_compared_as_package_indices_do(name):
    assert canonical(name).replace("-", "") == "pyyaml" and canonical("pytorch_ignite") == "pytorch-ignite"


def test_another_version_is_said(tmp_path):
    folder = shutil.copytree(source(BUNDLES[0]) / "configs", tmp_path / "bundle" / "configs").parent
    file = folder / "configs" / "metadata.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"numpy_version": "2.4.6"}))
    with pytest.raises(Remark, match=r"Python 3.10 to 3.13 can install numpy 2.4.6$"):
        versions(Candidate(Bundle(folder), tmp_path))
