"""A packaged bundle as a folder for the Hugging Face Hub."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import save_file

import planewise
from planewise.engines.run_record import defining_settings, holds_code
from planewise.errors import InputError
from planewise.networks import read_weights
from planewise.own_exams.bundles import HUB_WEIGHTS
from planewise.workshop.packaging.bundle import Bundle
from planewise.workshop.packaging.package_bundle import put_in_place, refuse_foreign, write_sums

#: The hub's name of a task, by a word in the bundle's name; pretexts give features.
_TASKS = {
    "segmentation": "image-segmentation",
    "classification": "image-classification",
    "grading": "image-classification",
}
_PRETEXT = "image-feature-extraction"
_LOAD = """
## Load it from the hub

```python
import planewise

bundle = planewise.load_bundle("YOU/{name}", revision="main")  # the repository's name; its code runs
print(bundle.network)
```
"""


def write_hub_folder(package: Path) -> Path:
    """Write ``DIST/hub/NAME/`` next to a package ``DIST/NAME/``, and return it: the package with ``model.safetensors``,
    ``config.json`` and a model card, as `huggingface_hub.upload_folder` and `planewise.load_bundle` take it.

    Raises:
        InputError: the package has no ``models/model.pt``, or the folder was not written by this function.
    """
    bundle, place = Bundle(package), package.parent / "hub" / package.name
    if not bundle.weights.is_file():
        raise InputError(f"{package} has no models/model.pt; package without --zoo for the hub")
    refuse_foreign(place)
    with tempfile.TemporaryDirectory(prefix=".packaging-", dir=package.parent) as room:
        built = Path(room) / bundle.name
        shutil.copytree(package, built)
        save_file(read_weights(bundle.weights), built / HUB_WEIGHTS, {"format": "pt"})
        (built / HUB_WEIGHTS).chmod(0o644)  # others may read the other files, too
        (built / "config.json").write_text(json.dumps(_config(bundle), indent=2) + "\n")
        card, load = yaml.safe_dump(_card(bundle), sort_keys=False), _LOAD.format(name=bundle.name)
        (built / "README.md").write_text(f"---\n{card}---\n\n{bundle.readme.rstrip()}\n{load}")
        write_sums(built)
        place.parent.mkdir(exist_ok=True)
        put_in_place(built, place)
    return place


def _config(bundle: Bundle) -> dict[str, Any]:
    """The content of ``config.json``, by which the hub counts downloads: the network and its settings."""
    inference = bundle.config("inference.yaml")
    settings = {key: inference[key] for key in sorted(defining_settings(inference)) if not holds_code(inference[key])}
    return {
        "bundle": bundle.name,
        "version": bundle.metadata["version"],
        "planewise_version": planewise.__version__,
        "network_def": inference["network_def"],
        "settings": settings,
    }


def _card(bundle: Bundle) -> dict[str, Any]:
    """The fields of the model card that the hub reads."""
    metadata = bundle.metadata
    scores = dict(metadata["eval_metrics"])
    measured_on = str(scores.pop("measured_on"))
    task = next((hub for word, hub in _TASKS.items() if word in bundle.name), _PRETEXT)
    # terms of the data from which the weights learned may apply to them (docs/data_license.txt)
    ours = "not weights" not in metadata["copyright"]
    # numbers of exams and slices are no scores
    known = {name: score for name, score in scores.items() if isinstance(score, float) and not name.endswith("_sd")}
    result = {
        "task": {"type": task, "name": metadata["name"]},
        "dataset": {"type": "planewise", "name": measured_on},
        "metrics": [{"type": name, "value": score} for name, score in known.items()],
    }
    terms = {"license_name": "see-data-license", "license_link": "docs/data_license.txt"}
    return {
        "license": "apache-2.0" if ours else "other",
        **({} if ours else terms),
        "library_name": "monai",
        "pipeline_tag": task,
        "tags": ["monai", "medical", "planewise", *bundle.name.split("_")],
        "model-index": [{"name": bundle.name, "results": [result]}],
    }
