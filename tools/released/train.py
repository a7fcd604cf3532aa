"""Train the weights that ship with bundles from scratch, and write them into the bundles with a record of their training.

A recipe (``heart.yaml``, ``heart_tasks.yaml`` and ``knee.yaml`` in this folder) names trees of phantom exams, and the
settings for each bundle. Finished steps are kept, so the command resumes. In ``bundles/NAME`` it writes

- ``models/model.pt``: the best epoch's weights, with convolutions in float16;
- ``models/record.json``: the SHA-256 of that file; the run's configuration, seed, versions and commit; the settings of the
  phantoms; the scores of exactly these weights on phantoms that were not used for any choice; and the error bounds of their
  planes, measured on a further set of phantoms; and the scores on the recipe's patients, if their images are here;
- the settings of these weights in ``configs/inference.yaml``, and their scores in ``configs/metadata.json`` and, between two
  marks, in ``docs/README.md``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from planewise.data import read_datalist
from planewise.engines.run_record import MEASURED, PATIENTS, WEIGHTS_SUM, plain, read_table
from planewise.errors import InputError
from planewise.files.atomic_write import atomic_write
from planewise.files.checksum import sha256
from planewise.files.datalists import SECTIONS
from planewise.workshop.packaging.configs import settings_of, with_values
from planewise.workshop.packaging.run import Run

from tools.released.card import (
    card_rows,
    card_scores,
    kept_bounds,
    measured_on,
    record_of_release,
    save_in_half,
    with_release,
)
from tools.studies.pretext_bundles import patients_folder

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
#: Licence and citation of data sets of patients.
SOURCES = {
    "acdc": "ACDC (O. Bernard et al., IEEE Transactions on Medical Imaging 37(11), 2018), CC BY-NC-SA 4.0. No weights have "
    "learned from its images."
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status."""
    # tools/train_released_weights prints the help
    parser = argparse.ArgumentParser(prog="tools/train_released_weights", add_help=False)
    parser.add_argument("recipe")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--bundles", type=Path, default=ROOT / "bundles")
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--score", action="store_true")
    parser.add_argument("--device")
    parser.add_argument("--workers", type=int, default=0)
    given = parser.parse_args(arguments)
    file = HERE / f"{given.recipe}.yaml" if not given.recipe.endswith(".yaml") else Path(given.recipe)
    try:
        if not file.is_file():
            raise InputError(
                f"there is no recipe {file}; name heart, heart_tasks or knee, or a file that ends in .yaml"
            )
        recipe = yaml.safe_load(file.read_text())
        if given.device:
            recipe["device"] = given.device
        out = (given.out or ROOT / "work" / "released" / file.stem).absolute() / ("scored" * given.score)
        shipped = bool(given.only) or given.score
        made = Maker(recipe, out, given.bundles.absolute(), given.workers, shipped, given.score)
        for bundle in given.only or recipe["weights"]:
            made.weights(bundle)
        made.release(f"tools/train_released_weights {file.stem}")
    except (InputError, subprocess.CalledProcessError) as error:
        # finished steps are kept
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


@dataclass
class Maker:
    """Carries out a recipe in a folder.

    Args:
        recipe: content of the recipe's file.
        out: folder for phantoms, datalists, runs and the cache.
        bundles: folder of the bundles that receive the weights.
        workers: number of processes that write phantoms; 0 means one per core.
        shipped: start from the weights that ship with a bundle instead of training those again.
        score: train nothing, and score the shipped weights again.
    """

    recipe: Mapping[str, Any]
    out: Path
    bundles: Path
    workers: int = 0
    shipped: bool = False
    score: bool = False

    def __post_init__(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "salt").write_text(self.recipe["salt"])
        own = {"PLANEWISE_SALT_FILE": str(self.out / "salt"), "OMP_NUM_THREADS": str(self.recipe.get("threads", 1))}
        self.environment = {"PLANEWISE_CACHE": str(self.out / "cache")} | os.environ | own
        self.made: dict[str, Path] = {}
        self.patients: dict[str, dict[str, Any]] = {}

    def release(self, command: str) -> None:
        """Write all weights that were made into their bundles. This must come last: it changes files of the repository, and
        a run that starts afterwards would record its commit as modified."""
        for bundle, ships in self.made.items():
            self._release(bundle, self.out / bundle, ships, command)

    def weights(self, name: str) -> None:
        """Train and score one bundle's weights; first those from which they start, if they do not exist yet. Weights that
        only serve as a start for others name their ``bundle`` in the recipe and are not released.

        Raises:
            InputError: the recipe has no such weights.
        """
        if name not in self.recipe["weights"]:
            raise InputError(f"the recipe has no weights for {name}; choose from {', '.join(self.recipe['weights'])}")
        asked = self.recipe["weights"][name]
        if self.score and "bundle" in asked:
            return
        bundle = asked.get("bundle", name)
        datalist = self.datalist(asked["phantoms"])
        run, ships = self.out / name, self.out / name / "ships" / "model.pt"
        settings = dict(asked.get("settings", {}))
        if origin := asked.get("pretrained"):
            settings["pretrained"] = self._origin(origin)
            if not settings["pretrained"].is_file():
                self.weights(origin)
        overlays = [str(ROOT / name) if "/" in name else f"configs/{name}" for name in asked["overlays"]]
        configs = ["configs/train.yaml", *overlays]
        options = {"datalist": datalist, "output_dir": run} | {key: self.recipe[key] for key in ("seed", "device")}
        if self.score:
            ships = self.bundles / bundle / "models" / "model.pt"
        else:
            self._bundle_run(bundle, configs, **options, **settings)
            if "bundle" in asked:
                return
            save_in_half(run / "models" / "model.pt", ships)
        configs.insert(1, "configs/evaluate.yaml")
        options |= {"weights": ships, "section": "test"}
        settings.pop("pretrained", None)
        self._bundle_run(bundle, configs, **options, **settings)
        for part in ("anatomy", "bounds"):
            if part in asked:
                options |= {"datalist": self.datalist(asked[part]), "report_dir": run / part}
                self._bundle_run(bundle, configs, **options, **settings)
        if (study := asked.get(PATIENTS)) and (patients := self._patients(study)):
            folder = run / PATIENTS
            self._bundle_run(bundle, configs, **options | {"datalist": patients, "report_dir": folder}, **settings)
            scores = read_table(folder / "metrics.json")
            data = f"{scores['exams']} patients of {study.upper()}"
            self.patients[bundle] = {"data": data, "source": SOURCES[study], "scores": scores}
        self.made[bundle] = ships

    def datalist(self, kind: str) -> Path:
        """Write and index the phantoms under one key of the recipe's ``phantoms``, which either gives settings for each
        section of the datalist, or a ``split`` that divides the exams into sections; return the datalist."""
        path = self.out / f"{kind}.json"
        if path.is_file():
            return path
        asked = self.recipe["phantoms"][kind]
        folder = self.out / "phantoms" / kind
        if "trees" in asked:
            self._write_trees(asked, folder, path, *shlex.split(asked["split"]))
            return path
        merged: dict[str, Any] = {"exams": {}, **{section: [] for section in SECTIONS}}
        for section, trees in {"test": asked["test"]}.items() if self.score else asked.items():
            indexed = self.out / f"{kind}_{section}.json"
            self._write_trees(trees, folder / section, indexed, 1, 0, 0)
            found = read_datalist(indexed)
            # all datalists are in one folder, so their relative paths stay valid
            merged |= {"planewise": found["planewise"], section: found["training"]}
            merged["exams"] |= found["exams"]
        with atomic_write(path) as part:
            part.write_text(json.dumps(merged))
        return path

    def _patients(self, name: str) -> Path | None:
        """Index the patients of a study, with the study's own sections; None if their images are not here."""
        folder = patients_folder(name)
        if not folder.is_dir():
            print(
                f"not scored on the patients of {name.upper()}: there is no folder {folder}; set PLANEWISE_REAL_DATA to the "
                "folder above it. Earlier scores on patients stay only if the weights are the same"
            )
            return None
        study = yaml.safe_load((ROOT / "tools" / "studies" / "configs" / f"{name}.yaml").read_text())
        path = self.out / f"{name}.json"
        sections = shlex.split(study["index"]["labelled"])
        self._planewise("index", folder, "-o", path, "--anatomy", self.recipe["anatomy"], *sections)
        return path

    def _write_trees(self, trees: Mapping[str, Any], folder: Path, path: Path, *split: Any) -> None:
        """Write trees of phantoms into a folder, and index them into a datalist."""
        for tree, asked in trees["trees"].items():
            asked = {"options": asked} if isinstance(asked, str) else asked
            settings = asked.get("settings", trees.get("settings", {}))
            own = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
            words = [*shlex.split(trees.get("options", "")), *own, *shlex.split(asked["options"])]
            self._planewise("phantom", self.recipe["anatomy"], folder / tree, *words, "--workers", self.workers)
        own = shlex.split(trees.get("index", ""))
        self._planewise("index", folder, "-o", path, "--anatomy", self.recipe["anatomy"], *own, "--split", *split)

    def _release(self, bundle: str, run: Path, ships: Path, command: str) -> None:
        folder = self.bundles / bundle
        train, inference = (
            plain(yaml.safe_load((folder / "configs" / f"{name}.yaml").read_text())) for name in ("train", "inference")
        )
        asked = self.recipe["weights"][bundle]
        about: dict[str, Any] = {"made_by": command, "phantoms": self.recipe["phantoms"][asked["phantoms"]]}
        if (origin := asked.get("pretrained")) and not self.score:
            digest = sha256(self._origin(origin))
            about["started_from"] = {"weights": origin, "sha256": digest, **self.recipe["weights"][origin]}
        if kind := asked.get("anatomy"):
            about["anatomy"] = {
                "phantoms": self.recipe["phantoms"][kind],
                "scores": read_table(run / "anatomy" / "metrics.json"),
            }
        if kind := asked.get("bounds"):
            about |= self._bounds(run, kind, inference)
        if "trained_on" in inference:
            about[MEASURED] = about.get(MEASURED, {}) | {"trained_on": "phantoms"}
        models, scores = folder / "models", read_table(run / "test" / "metrics.json")
        earlier = read_table(models / "record.json") if (models / "record.json").is_file() else {}
        if bundle in self.patients:
            about[PATIENTS] = self.patients[bundle]
        elif PATIENTS in earlier and earlier[WEIGHTS_SUM] == sha256(ships):
            about[PATIENTS] = earlier[PATIENTS]
        if self.score:
            record = earlier | about | {"scores": scores}
        else:
            record = record_of_release(Run.of_weights(run / "models" / "model.pt"), ships, train, scores, about)
            with atomic_write(models / "model.pt") as part:
                part.write_bytes(ships.read_bytes())
        with atomic_write(models / "record.json") as part:
            part.write_text(json.dumps(record, indent=1) + "\n")
        released = Run.of_weights(models / "model.pt")
        changes = settings_of(released, train, inference)["inference.yaml"]
        _rewrite(folder / "configs" / "inference.yaml", lambda text: with_values(text, changes))
        metadata = read_table(folder / "configs" / "metadata.json")
        metadata["eval_metrics"] = {"measured_on": measured_on(released), **card_scores(released)}
        _rewrite(
            folder / "configs" / "metadata.json", lambda _: json.dumps(metadata, indent=4, ensure_ascii=False) + "\n"
        )
        _rewrite(folder / "docs" / "README.md", lambda text: with_release(text, card_rows(released)))
        print(f"{models / 'model.pt'}: {ships.stat().st_size / 1e6:.2f} MB; {record['data']}")

    def _origin(self, name: str) -> Path:
        """Weights that others start from: those made here or, if there are none and ``shipped`` is set, those that ship."""
        made, ships = (folder / name / "models" / "model.pt" for folder in (self.out, self.bundles))
        return ships if self.shipped and ships.is_file() and not made.is_file() else made

    def _bounds(self, run: Path, kind: str, inference: Mapping[str, Any]) -> dict[str, Any]:
        """The error bounds of planes for the record: the setting for inference with the data that it was measured on, and
        the share of planes of the test exams that are within the bounds of those that the anatomy defines."""
        scores = read_table(run / "bounds" / "metrics.json")
        views = {view: entry["bounds"] for view, entry in scores["orientation"]["views"].items()}
        if any(bounds is None for bounds in views.values()):
            print(f"planes of the phantoms {kind} were found in too few exams to measure error bounds")
            return {}
        limits = {name: inference[name] for name in ("min_peak", "min_agreement", "max_residual", "max_spread")}
        with (run / "anatomy" / "planes.csv").open(newline="") as file:
            planes = [{name: cell or "nan" for name, cell in row.items()} for row in csv.DictReader(file)]
        return {
            MEASURED: {"plane_bounds": {"measured_on": f"{scores['exams']} phantom exams", **views}},
            "bounds": {
                "phantoms": self.recipe["phantoms"][kind],
                "kept_by_test_exams": kept_bounds(planes, views, **limits),
            },
        }

    def _planewise(self, *words: Any) -> None:
        self._call([sys.executable, "-m", "planewise", *map(str, words)], ROOT)

    def _bundle_run(self, bundle: str, configs: Sequence[str], **settings: Any) -> None:
        named = "[" + ",".join(f"'{config}'" for config in configs) + "]"
        words = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        self._call([sys.executable, "-m", "monai.bundle", "run", "--config_file", named, *words], self.bundles / bundle)

    def _call(self, command: list[str], folder: Path) -> None:
        print(f"$ {shlex.join(command)}", flush=True)
        subprocess.run(command, cwd=folder, env=self.environment, check=True)


def _rewrite(path: Path, change: Any) -> None:
    text = change(path.read_text())
    with atomic_write(path) as part:
        part.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
