"""Small phantom data sets on which every bundle is run, and functions to run a bundle."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import monai.bundle
import nibabel
import numpy as np
import pytest
from filelock import FileLock
from monai.bundle import ConfigParser
from monai.bundle.config_item import ComponentLocator
from PIL import Image
from planewise.exams import index_folder, write_datalist
from planewise.workshop.phantoms import (
    KNEE_LABELLED,
    KNEE_UNLABELLED,
    LABELLED,
    UNLABELLED,
    VOLUNTEERS,
    Recipe,
    write_exams,
)
from planewise.workshop.phantoms.abdomen import ABDOMENS
from planewise.workshop.phantoms.head import HEADS
from planewise.workshop.phantoms.retina import RETINAS

from tests.conftest import ROOT

BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir() if (path / "configs").is_dir())
PRETEXTS = [name for name in BUNDLES if name.startswith("pretext_")]
TRAINED = [name for name in BUNDLES if (ROOT / "bundles" / name / "configs" / "demo.yaml").exists()]
#: Bundles that ship weights, made by `tools/train_released_weights`.
SHIPS = [name for name in BUNDLES if (ROOT / "bundles" / name / "models/record.json").is_file()]

#: Small enough for tests: a network and a grid that still learn something. Keys that a bundle does not have are skipped.
TINY = {
    "cardiac": {
        "features": [4, 8, 16],
        "stem_stride": 2,
        "image_size": 48,
        "spacing": 5.8,
        "batch_size": 8,
        "projection": [32, 16],
    },
    "knee": {"features": [8, 16, 16, 16, 16], "image_size": 64, "spacing": 2.2, "batch_size": 1},
    "volume": {"features": [4, 8, 8], "image_size": 16, "batch_size": 4, "val_samples": 8},
    "photograph": {"init_features": 8, "growth_rate": 4, "blocks": [1, 1, 1, 1], "image_size": 32, "batch_size": 4},
}
METADATA = {name: json.loads((ROOT / "bundles" / name / "configs/metadata.json").read_text()) for name in BUNDLES}
#: Maps each bundle to the entries under ``planewise`` in its ``metadata.json``.
DECLARED = {name: content.get("planewise", {}) for name, content in METADATA.items()}
#: Released bundles, which the README and the tables in these tests list; bundles of version 0.0.x get their rows when
#: they are released.
RELEASED = [name for name in BUNDLES if not METADATA[name]["version"].startswith("0.0.")]

# the same table of MONAI's classes for every config: MONAI makes one for each, in a hundredth of a second
_table_of_modules = cache(partial(ComponentLocator._find_classes_or_functions, ComponentLocator()))
ComponentLocator._find_classes_or_functions = lambda _, names: _table_of_modules(tuple(names))


def _phantoms(body: str) -> dict[str, str]:
    """Map each bundle that learns from phantoms of a body part to its list of phantoms: ``heads`` if it declares
    ``volume.heads``."""
    lists = {name: declared.get("tests", {}).get("phantoms", "") for name, declared in DECLARED.items()}
    return {name: kind.partition(".")[2] for name, kind in lists.items() if kind.startswith(f"{body}.")}


#: Maps each bundle of whole volumes to the list of phantoms that it learns from.
VOLUMES = _phantoms("volume")
#: Maps each bundle of photographs to the list of phantoms that it learns from.
PHOTOGRAPHS = _phantoms("photograph")
#: Settings of bundles with other networks.
_OWN = {name: declared.get("tests", {}).get("settings", {}) for name, declared in DECLARED.items()}
#: Settings for small puzzles of volumes, with tiles of 4 voxels; used with the pretext's `3d.yaml`.
PUZZLES_OF_VOLUMES = {
    "features": [4, 8],
    "image_size": 16,
    "tile_gap": 0.2,
    "num_permutations": 20,
    "patch_features": 8,
    "head_features": [8],
    "in_channels": 2,
    "batch_size": 4,
    "progress": False,
}
#: The settings in `TINY` and `_OWN` that inference also has.
_SIZE = (
    "features", "stem_stride", "image_size", "spacing", "in_channels", "init_features", "growth_rate", "blocks",
    "code_features",
)  # fmt: skip


def anatomy(name: str) -> str:
    """A bundle's anatomy, such as ``knee`` for ``pretext_knee_location``; if the name contains no body part, it is
    volume, photograph or the default, cardiac."""
    if name in VOLUMES:
        return "volume"
    if name in PHOTOGRAPHS:
        return "photograph"
    return "knee" if "_knee_" in name else "cardiac"


def tiny(name: str) -> dict:
    """Values that make a bundle's training small, for the settings that its `train.yaml` has."""
    known = (ROOT / "bundles" / name / "configs/train.yaml").read_text()
    small = TINY[anatomy(name)] | _OWN[name] | {"progress": False}
    return {key: value for key, value in small.items() if f"\n{key}:" in known}


def tiny_size(name: str) -> dict:
    """The subset of these settings that defines the network and its input."""
    small = TINY[anatomy(name)] | _OWN[name]
    return {key: value for key, value in small.items() if key in _SIZE}


def run_bundle(name: str, *configs: str, **overrides) -> None:
    """Run `python -m monai.bundle run` in this process (a new process would spend seconds on imports).

    This process prepares the images, because starting other processes takes longer for so few images. Commands in tests
    do start other processes.
    """
    folder = ROOT / "bundles" / name
    options = {key: overrides.pop(key) for key in ("run_id", "init_id") if key in overrides}
    known = (folder / "configs" / configs[0]).read_text()
    small = {key: value for key, value in (tiny(name) | {"num_workers": 0}).items() if f"\n{key}:" in known}
    monai.bundle.run(
        config_file=[str(folder / "configs" / config) for config in configs],
        logging_file=False,
        bundle_root=str(folder),
        **options,
        **small | {key: str(value) if isinstance(value, Path) else value for key, value in overrides.items()},
    )


def train(name: str, datalist: Path, output_dir: Path, *overlays: str, **settings: Any) -> None:
    """Train a bundle."""
    run_bundle(name, "train.yaml", *overlays, datalist=datalist, output_dir=output_dir, **settings)


def train_and_evaluate(name: str, datalist: Path, output_dir: Path, *overlays: str, **settings: Any) -> None:
    """Train a bundle, and evaluate it."""
    train(name, datalist, output_dir, "evaluate.yaml", *overlays, run_id="train_and_evaluate", **settings)


def infer(name: str, images: Path, weights: Path, output_dir: Path, *overlays: str, **settings: Any) -> None:
    """Run a bundle's inference."""
    run_bundle(name, "inference.yaml", *overlays, input=images, weights=weights, output_dir=output_dir, **settings)


@pytest.fixture(autouse=True)
def shared_cache(own_caches: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepare each image once for all tests of a worker; the cache's key depends on the image's files and on the code."""
    monkeypatch.setenv("PLANEWISE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay pictures out, but write empty files: drawing takes a third of an evaluation, and `tests/reports` looks at it."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda _, file, **__: Path(file).touch())


class Phantoms:
    """Datalists of phantom exams, written and indexed when a test first asks for them: ``.cardiac.unlabelled`` is that of
    ``["cardiac"]["unlabelled"]``; ``.cardiac.dicom`` is the folder of its exams, ``.cardiac.folder`` that of all.

    Args:
        folder: folder to write to; pytest workers that name the same folder share what one of them writes.
        recipes: recipes and numbers of exams, by body and kind.
        split: shares of training, validation and test.
        changed: function that changes each datalist before it is written.
    """

    def __init__(
        self,
        folder: Path,
        recipes: dict[str, dict[str, tuple[Recipe, int]]],
        split: tuple[float, float, float],
        changed: Callable[[dict], dict] = lambda datalist: datalist,
    ) -> None:
        self._folder, self._split, self._changed = folder, split, changed
        for body, kinds in recipes.items():
            setattr(self, body, _Body(self, body, kinds))

    def written(self, body: str, kind: str, recipe: Recipe, count: int) -> Path:
        folder = self._folder / body / kind
        folder.parent.mkdir(exist_ok=True, parents=True)
        datalist = folder.with_suffix(".json")
        with FileLock(folder.with_suffix(".lock")), pytest.MonkeyPatch.context() as patch:
            if not datalist.exists():
                # the exams' hashes determine their order, and so what is learned
                folder.with_suffix(".salt").write_text("salt of these phantoms")
                patch.setenv("PLANEWISE_SALT_FILE", str(folder.with_suffix(".salt")))
                list(write_exams(recipe, folder, count))
                view = "4ch" if kind == "four_chamber" else None
                channels = "t1,flair" if kind in ("heads", "tissues") else None
                result = index_folder(folder, anatomy=body, split=self._split, view=view, channels=channels)
                write_datalist(self._changed(result.datalist), datalist)
        return datalist


class _Body:
    def __init__(self, phantoms: Phantoms, body: str, kinds: dict[str, tuple[Recipe, int]]) -> None:
        self._phantoms, self._body, self._kinds = phantoms, body, kinds
        self.folder = phantoms._folder / body

    def __getattr__(self, kind: str) -> Path:
        if kind == "dicom":
            return self.unlabelled.with_suffix("")
        if kind not in self.__dict__.get("_kinds", {}):
            raise AttributeError(kind)
        return self._phantoms.written(self._body, kind, *self._kinds[kind])


def shared_folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder that all pytest workers of this test run find by its name."""
    own = factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory) -> Phantoms:
    """Datalists of phantom exams, ``cardiac.unlabelled`` and so on; ``cardiac.dicom``: the folder of the unlabelled ones."""
    coarse = {"phases": 2, "spacing": (3.6, 4.2)}
    recipes = {
        "cardiac": {
            "unlabelled": (Recipe("dsbcc", 31, UNLABELLED.at_size("demo").with_values(**coarse)), 10),
            "labelled": (Recipe("acdc", 32, LABELLED.at_size("demo").with_values(**coarse)), 10),
            # only their 4-chamber images, with masks and planes
            "four_chamber": (Recipe("ukbb", 35, VOLUNTEERS.at_size("demo").with_values(**coarse)), 10),
        },
        "knee": {
            "unlabelled": (Recipe("fastmri", 33, KNEE_UNLABELLED.at_size("demo").with_values(spacing=(2.2, 2.6))), 10),
            "labelled": (Recipe("mrnet", 34, KNEE_LABELLED.at_size("demo").with_values(matrix=64)), 24),
        },
        "photograph": {"graded": (Recipe("aptos", 37, RETINAS.with_values(side=96)), 24)},
        "volume": {
            "heads": (Recipe("brats", 36, HEADS.with_values(side=16, tumour=0.0)), 10),
            "tissues": (Recipe("brats", 39, HEADS.with_values(side=16, tumour=0.0, tissues=1)), 6),
            "tumours": (Recipe("brats", 37, HEADS.with_values(side=16, radius=(25.0, 30.0))), 10),
            "abdomens": (Recipe("msd", 38, ABDOMENS.with_values(side=16)), 15),
        },
    }
    return Phantoms(shared_folder(tmp_path_factory, "bundles_phantoms"), recipes, (0.5, 0.2, 0.3))


def datalist_for(name: str, phantoms: Phantoms) -> Path:
    lists = getattr(phantoms, anatomy(name))
    if name in VOLUMES | PHOTOGRAPHS:
        return getattr(lists, (VOLUMES | PHOTOGRAPHS)[name])
    if "_lax_" in name:
        return lists.four_chamber
    return lists.unlabelled if name.startswith("pretext_") else lists.labelled


#: Exams of `datalists`.
SECTIONS = {"training": 6, "validation": 2, "test": 2}


@pytest.fixture(scope="session")
def datalists(tmp_path_factory) -> dict[str, Path]:
    """Handwritten datalists, by bundle. Each has ten exams with four slices of noise. An exam's name begins with its
    section (``training0``, ...).
    """
    folder, draw = tmp_path_factory.mktemp("exams"), np.random.default_rng(0)
    affine = np.diag([-6.0, -6.0, 8.0, 1.0])
    normals = {
        "2ch": (1, 0.2, 0.1),
        "4ch": (0.2, 1, 0.1),
        "sax": (0.2, 1, 0.1),
        "axial": (0.1, 1, 0.2),
        "coronal": (1, 0.1, 0.2),
    }
    slices: dict[str, list[dict]] = {}
    photographs: dict[str, list[dict]] = {}
    volumes: dict[str, list[dict]] = {}
    for section, count in SECTIONS.items():
        slices[section], volumes[section], photographs[section] = [], [], []
        for exam in (f"{section}{number}" for number in range(count)):
            image, mask = draw.normal(size=(24, 24, 4)), draw.integers(0, 4, (24, 24, 4))
            nibabel.save(nibabel.Nifti1Image(image.astype("f4"), affine), folder / f"{exam}.nii.gz")
            # i runs to the back and j to the feet, as in the sagittal series of a knee
            nibabel.save(
                nibabel.Nifti1Image(image.astype("f4"), affine[[2, 0, 1, 3]]), folder / f"{exam}_sagittal.nii.gz"
            )
            nibabel.save(nibabel.Nifti1Image(mask.astype("u1"), affine), folder / f"{exam}_mask.nii.gz")
            nibabel.save(nibabel.Nifti1Image(mask.clip(max=2).astype("u1"), affine), folder / f"{exam}_two.nii.gz")
            origin = [float(value) for value in affine[:3, :3] @ draw.uniform(8, 16, 3)]
            planes = {view: {"origin": origin, "normal": list(normal)} for view, normal in normals.items()}
            common = {"image": f"{exam}.nii.gz", "exam": exam, "patient": exam}
            for k in range(4):
                own = affine.copy()
                own[:3, 3] = k * affine[:3, 2]
                place = {"frame": k, "slice": k, "stack": "stack", "phase": 0, "location": k / 3}
                place |= {"label": f"{exam}_mask.nii.gz", "label_frame": k}
                slices[section].append(common | place | {"affine": own.tolist(), "planes": planes})
            Image.fromarray(draw.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(folder / f"{exam}.png")
            photographs[section].append(common | {"image": f"{exam}.png", "grade": int(draw.integers(5))})
            labels = {"label": f"{exam}_mask.nii.gz", "group": "NOR", "height": 170, "weight": 70}
            findings = {task: int(draw.integers(2)) for task in ("abnormal", "acl", "meniscus")}
            volumes[section] += [common | labels | findings | {"phase": phase} for phase in ("ED", "ES")]
    single = {section: items[::2] for section, items in volumes.items()}
    masked = {section: [{**item, "phase": "ED"} for item in items] for section, items in single.items()}
    no_mask = {section: [{k: v for k, v in item.items() if k not in ("label", "phase")}
                         | {"image": f"{item['exam']}_sagittal.nii.gz"} for item in items]
               for section, items in single.items()}  # fmt: skip
    found = {}
    for name in BUNDLES:
        if anatomy(name) == "photograph":
            content = photographs
        elif anatomy(name) == "volume":
            channels = tiny(name).get("in_channels", 1)
            content = {section: [_case(item, channels) for item in items] for section, items in single.items()}
        elif name.startswith("pretext_"):
            content = slices
        elif name.endswith("_segmentation"):
            content = masked
        else:
            content = no_mask if anatomy(name) == "knee" else volumes
        found[name] = folder / f"{name}.json"
        found[name].write_text(json.dumps({"planewise": {"version": 1}} | content))
    return found


def _case(item: dict, channels: int) -> dict:
    """A case with this number of channels, all from the same file, and with a mask of two structures."""
    kept = {key: item[key] for key in ("exam", "patient")}
    return kept | {"image": [item["image"]] * channels, "label": item["label"].replace("_mask", "_two")}


def plain_parser(name: str, *files: str) -> ConfigParser:
    """A bundle's config as it is."""
    configs = [str(ROOT / "bundles" / name / "configs" / file) for file in files]
    return ConfigParser(ConfigParser.load_config_files(configs))


def parser_of(name: str, *files: str, **settings: Any) -> ConfigParser:
    """A bundle's config, with small sizes and these settings."""
    parser, folder = plain_parser(name, *files), str(ROOT / "bundles" / name)
    small = tiny(name) | {"spacing": 6.0, "bundle_root": folder, "device": "cpu", "num_workers": 0}
    parser.update({key: value for key, value in small.items() if key in parser} | settings)
    return parser
