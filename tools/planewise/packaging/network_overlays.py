"""Find the configs of a bundle that replace its network (``vit.yaml``, ``knee.yaml``), and copy a bundle with the network
that a run used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from planewise.engines.weights_settings import asked_of_overlay, merged, overlay_of, plain
from planewise.packaging.bundle import Bundle
from planewise.packaging.configs import with_overlay
from planewise.packaging.run import Run

#: The config of a pretext's network on photographs.
PHOTOGRAPHS = "photograph.yaml"
_NETWORK = "network_def"
#: Files that stay in the repository: weights, results and logs of the bundle's own folder.
_LEFT_OUT = shutil.ignore_patterns("models", "eval", "runs", "logs")


def bundle_of_run(bundle: Bundle, run: Run | None, folder: Path) -> tuple[Bundle, str | None]:
    """A copy of the bundle with the network of a run, if the run used one of the bundle's network configs.

    The copy contains only text of the bundle itself and none from the run.

    Args:
        bundle: the bundle in the repository.
        run: the run; None if there is none.
        folder: an empty folder for the copy.

    Returns:
        A copy of the bundle and the name of the network config. The copy's training and inference configs include that
        config, and all network configs are removed. If the run used the bundle's own network, or a network that no
        config defines, the function returns the bundle itself and None.
    """
    if run is None or bundle.is_packaged:
        return bundle, None
    train, inference = bundle.config("train.yaml"), bundle.config("inference.yaml")
    overlays = network_overlays(bundle)
    fitting = overlay_of(overlays, train, run.config)
    if plain(train).get(_NETWORK) == run.config.get(_NETWORK) or fitting is None:
        return bundle, None
    overlay = overlays[fitting]
    trained = merged(train, overlay)
    inferring = merged(inference, overlay)
    changed = {key.partition("#")[0] for key in overlay}
    # the overlay also has settings for training, such as a pretext's weights; inference gets only those that it has or needs
    wanted = asked_of_overlay(inference, overlay) - {"network"}
    place = folder / bundle.name
    shutil.copytree(bundle.folder, place, ignore=_LEFT_OUT)
    for name in overlays:
        (place / "configs" / name).unlink()
    for file, content, keys in (("train.yaml", trained, changed), ("inference.yaml", inferring, wanted)):
        values = {key: value for key, value in content.items() if key in keys}
        (place / "configs" / file).write_text(with_overlay(bundle.texts[file], values))
    return Bundle(place), fitting


def network_overlays(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """The content, by name, of all configs that replace the training config's network or a part of it."""
    contents = {name: bundle.config(name) for name in bundle.texts if name not in ("train.yaml", "inference.yaml")}
    return {
        name: content
        for name, content in contents.items()
        if any(key.partition("#")[0] == _NETWORK for key in content or {})
    }
