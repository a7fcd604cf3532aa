"""Small phantom studies to run every bundle on, and how a bundle is run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import monai.bundle
import pytest
from planewise.exams import index_folder, write_datalist
from planewise.phantoms import LABELLED, UNLABELLED, Recipe, write_exams

from tests.conftest import ROOT

BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if (path / "configs").is_dir())
PRETEXTS = [name for name in BUNDLES if name.startswith("pretext_")]
TRAINED = [name for name in BUNDLES if (ROOT / "bundles" / name / "configs" / "demo.yaml").exists()]

#: Small enough for tests: a network and a grid that still learn something.
TINY = {"features": [4, 8, 16], "stem_stride": 2, "image_size": 48, "spacing": 5.8, "batch_size": 8, "progress": False}


def run_bundle(name: str, *configs: str, **overrides) -> None:
    """`python -m monai.bundle run`, in this process (a process of its own pays seconds of imports)."""
    folder = ROOT / "bundles" / name
    options = {key: overrides.pop(key) for key in ("run_id", "init_id") if key in overrides}
    known = (folder / "configs" / configs[0]).read_text()
    # settings that a bundle does not have are not asked of it
    settings = {key: value for key, value in (TINY | overrides).items() if key not in TINY or f"\n{key}:" in known}
    monai.bundle.run(
        config_file=[str(folder / "configs" / config) for config in configs],
        logging_file=False,
        bundle_root=str(folder),
        **options,
        **settings,
    )


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> SimpleNamespace:
    """`unlabelled` and `labelled`: datalists of phantom exams; `dicom`: the folder of the unlabelled ones."""
    folder = tmp_path_factory.mktemp("phantoms")
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("PLANEWISE_SALT_FILE", str(folder / "salt"))
    lists = {}
    recipes = {
        "unlabelled": (Recipe("dsbcc", 31, UNLABELLED.at_size("demo").with_values(phases=2, spacing=(3.6, 4.2))), 10),
        "labelled": (Recipe("acdc", 32, LABELLED.at_size("demo").with_values(phases=2, spacing=(3.6, 4.2))), 10),
    }
    for kind, (recipe, count) in recipes.items():
        list(write_exams(recipe, folder / kind, count))
        result = index_folder(folder / kind, split=(0.5, 0.2, 0.3))
        lists[kind] = folder / f"{kind}.json"
        write_datalist(result.datalist, lists[kind])
    monkeypatch.undo()
    return SimpleNamespace(**lists, dicom=folder / "unlabelled", folder=folder)


def datalist_for(name: str, phantoms: SimpleNamespace) -> Path:
    return phantoms.unlabelled if name.startswith("pretext_") else phantoms.labelled
