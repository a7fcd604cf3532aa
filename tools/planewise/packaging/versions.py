"""Versions of a packaged bundle's requirements."""

from __future__ import annotations

from collections.abc import Mapping

#: Everything that a packaged bundle needs, with the version in its metadata.json: the newest that pip finds as a wheel for
#: Python 3.10 to 3.13. The Model Zoo's CI installs exactly these versions. tools/docs/packaging.md says how they were tested.
PINS: Mapping[str, str] = {
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
    "scikit-image": "0.25.2",
    "scikit-learn": "1.7.2",
    "scipy": "1.15.3",
    "tensorboard": "2.21.0",
    "torch": "2.13.0",
    "tqdm": "4.70.1",
}
