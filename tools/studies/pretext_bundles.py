"""Find the bundle of a study's pretext, the configs of the bundle that the study's anatomy needs, and real patients."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planewise.exams.anatomies import ANATOMIES

#: Names of configs that differ from the name of their anatomy.
_CONFIGS = {"volume": "3d"}


def bundle_of(pretext: str, pattern: str, bundles: Path, given: Mapping[str, str] | None = None) -> str:
    """The bundle of a pretext.

    The first of these bundles that exists is used: the bundle that the study names, the anatomy's own (``pattern`` with
    the pretext's name), a bundle for all anatomies, and another anatomy's bundle that has a config for this one.

    Args:
        pretext: name, ``location`` or ``simclr``.
        pattern: the study's ``pretext_bundle``, ``pretext_knee_{pretext}``.
        bundles: folder of the bundles.
        given: the study's ``pretext_bundles``, which maps pretexts to bundles; the bundle may also be a task with
            labels.

    Returns:
        Name of the bundle. For a knee: ``pretext_knee_location``; ``pretext_simclr``, which is for all anatomies; and
        ``pretext_cardiac_sax_position``, which has ``configs/knee.yaml``. For a pretext without a bundle (see
        `pretexts_of`), the name that the anatomy's own bundle would have.
    """
    if pretext in (given or {}):
        return given[pretext]
    own, anatomy = pattern.format(pretext=pretext), pattern.removeprefix("pretext_").partition("_{pretext}")[0]
    found = sorted(path.parents[1].name for path in bundles.glob(f"pretext_*_{pretext}/configs/{anatomy}.yaml"))
    turned = [name for name in found if "_" not in name.removeprefix("pretext_").removesuffix(f"_{pretext}")]
    return next((name for name in (own, f"pretext_{pretext}", *turned) if (bundles / name).is_dir()), own)


def pretexts_of(pattern: str, bundles: Path) -> list[str]:
    """Names of the pretexts for which an anatomy has bundles.

    Args:
        pattern, bundles: see `bundle_of`.
    """
    found: dict[str, str] = {}
    for folder in bundles.glob("pretext_*"):
        words = folder.name.split("_")[1:]
        names = ("_".join(words[first:]) for first in range(len(words)) if words[first] not in ANATOMIES)
        if name := next((name for name in names if bundle_of(name, pattern, bundles) == folder.name), None):
            found[folder.name] = name
    return sorted(found.values())


def overlays_of(bundle: str, anatomy: str, overlay: str | None, bundles: Path) -> list[str]:
    """The configs to add to a bundle's own, in order: the anatomy's config, if the bundle has one, then the study's overlay.

    Args:
        bundle: name of the bundle.
        anatomy: the study's anatomy; ``knee`` needs ``configs/knee.yaml``, ``volume`` needs ``configs/3d.yaml``.
        overlay: the study's overlay, ``demo.yaml`` or a path. If the bundle has a version of the overlay for the
            anatomy, such as ``knee_demo.yaml``, this version is used instead.
        bundles: folder of the bundles.
    """
    configs, anatomy = bundles / bundle / "configs", _CONFIGS.get(anatomy, anatomy)
    found = [f"{anatomy}.yaml"] if (configs / f"{anatomy}.yaml").is_file() else []
    if overlay:
        found.append(f"{anatomy}_{overlay}" if (configs / f"{anatomy}_{overlay}").is_file() else overlay)
    return found


def patients_folder(name: str) -> Path:
    """The folder of a data set of patients, which may be absent: that of ``tools/demo --data``, or the one of this name in
    ``$PLANEWISE_REAL_DATA`` or ``../shared/data``."""
    real = Path(os.environ.get("PLANEWISE_REAL_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    return Path(os.environ.get("PLANEWISE_STUDY_DATA") or real / name).expanduser().resolve()


def settings_for_steps(settings: Mapping[str, Any], steps: int, processes: int = 1) -> dict[str, int]:
    """The settings with which a training takes about a number of steps. Its validations and its learning rate's schedule
    shrink with the number of epochs, which becomes smaller only if necessary.

    Args:
        settings: the training's settings.
        steps: number of steps, at least 1.
        processes: number of processes, each with a batch of its own.
    """
    before = int(settings["max_epochs"])
    each = math.ceil(steps / before)
    epochs = steps // each
    found = {
        "max_epochs": epochs,
        "samples_per_epoch": each * int(settings["batch_size"]) * processes,
        # the last epoch is validated, too; otherwise its steps could never count
        "val_interval": next(n for n in range(min(int(settings["val_interval"]), epochs), 0, -1) if epochs % n == 0),
    }
    if "lr_step" in settings:
        found["lr_step"] = max(1, round(int(settings["lr_step"]) * epochs / before))
    return found
