"""Test the package versions that bundles name."""

from __future__ import annotations

from configparser import ConfigParser

from packaging.requirements import Requirement

from tests.conftest import ROOT

#: Everything that a packaged bundle needs, with the version in its metadata.json: the newest that pip finds as a wheel for
#: Python 3.10 to 3.13. The Model Zoo's CI installs exactly these versions. tools/docs/packaging.md says how they were tested.
PINS = {
    "einops": "0.8.2",
    "fire": "0.7.1",
    "itk": "5.4.7",
    "matplotlib": "3.10.8",
    "monai": "1.6.1",
    "nibabel": "5.4.2",
    "numpy": "2.2.6",
    "pillow": "12.3.0",
    "pydicom": "3.0.2",
    "pytorch-ignite": "0.5.5",
    "pyyaml": "6.0.3",
    "safetensors": "0.8.0",
    "scikit-image": "0.25.2",
    "scikit-learn": "1.7.2",
    "scipy": "1.15.3",
    "tensorboard": "2.21.0",
    "torch": "2.13.0",
    "tqdm": "4.70.1",
}


def test_the_list_keeps_to_what_setup_allows():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = {need.name: need for need in map(Requirement, setup["options"]["install_requires"].split())}
    assert set(PINS) <= set(wanted)
    assert all(version in wanted[name].specifier for name, version in PINS.items())
    # the first release of numpy that has no wheel for Python 3.10 is 2.3.0
    assert PINS["numpy"].startswith("2.2.")
