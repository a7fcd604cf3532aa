"""Make a copy of a bundle that works without an installed planewise."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from planewise.engines.run_record import own_code, plain
from planewise.errors import InputError
from planewise.files.text import read_plain_text
from planewise.networks import read_weights, weights_path
from planewise.workshop.packaging import archive
from planewise.workshop.packaging.bundle import Bundle, check_weights, save_weights
from planewise.workshop.packaging.code import copy_code
from planewise.workshop.packaging.configs import (
    TWINS,
    as_json,
    asked_of_overlay,
    for_a_bundle,
    merged,
    overlay_of,
    settings_of,
    with_overlay,
    with_values,
)
from planewise.workshop.packaging.data_format import adapt_format
from planewise.workshop.packaging.model_card import model_card, with_training, with_training_data
from planewise.workshop.packaging.run import Provenance, Run, find_provenance

#: The config of a pretext's network on photographs.
_PHOTOGRAPHS = "photograph.yaml"
_NETWORK = "network_def"


@dataclass(frozen=True)
class Packaged:
    """The output of `package_bundle`; ``large`` is the folder of the files to upload, None if there are none."""

    folder: Path
    zip: Path
    large: Path | None


def package_bundle(
    bundle: str | Path,
    weights: str | Path | None = None,
    dist: str | Path = "dist",
    *,
    data: str | None = None,
    zoo_url: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Packaged:
    """Write ``DIST/NAME/`` and ``DIST/NAME.zip``: configs, code, weights, model card and checksums.

    If any step fails, nothing is left behind. The same input gives identical bytes.

    Args:
        bundle: folder of the bundle.
        weights: a checkpoint, or a run's or bundle's folder; by default the bundle's own ``models/model.pt``. If they
            are in a run's folder, the run's settings go into the configs and its scores and origin into the model card.
        dist: folder to write to.
        data: description of the training and test data, instead of the run's own.
        zoo_url: web address for files larger than `archive.LARGEST`. These files are moved out of the bundle, to be uploaded
            there, and are listed in ``large_files.yml``.
        say: called with a message for each step.

    Raises:
        InputError: there are no weights, they do not fit the network, come from another bundle's run or have no scores, or
            the scores are of other weights; the metadata fails its schema or describes another
            network; a folder is not writable or is in use; or a symbolic link points outside the bundle.
    """
    source = Bundle(bundle)
    place = _place(source, Path(dist).expanduser())
    file = Path(weights_path(source.folder if weights is None else weights))
    run = Run.of_weights(file)
    run = run and replace(run, bundle=source.folder)
    provenance = find_provenance(file, run, data)
    overlay = _take_network(source, run)
    changed = settings_of(run, source.config("train.yaml"), source.config("inference.yaml"))
    ours = changed["inference.yaml"]
    with tempfile.TemporaryDirectory(prefix="planewise-package-") as name:
        room = Path(name)
        built = room / source.name
        _copy_files(source, built, provenance)
        code = copy_code(built)
        _write_configs(source, built, changed, code)
        packaged = Bundle(built)
        with packaged.importable():
            network = packaged.network()
        state = read_weights(file)
        check_weights(state, network, str(file))
        save_weights(state, network, packaged.weights)
        _write_metadata(packaged, provenance, ours, overlay == _PHOTOGRAPHS)
        card = model_card(source.readme, provenance, source.config("train.yaml"), packaged, code)
        (built / "docs" / "README.md").write_text(card)
        packaged.verify()
        large = bool(zoo_url and archive.set_large_files_apart(built, zoo_url, room / "large"))
        archive.write_sums(built)
        archive.write_zip(built, room / "bundle.zip")
        result = Packaged(
            place, place.with_name(f"{place.name}.zip"), place.with_name(f"{place.name}_large") if large else None
        )
        archive.put_in_place(built, result.folder)
        archive.put_in_place(room / "bundle.zip", result.zip)
        if result.large:
            archive.put_in_place(room / "large", result.large)
    if overlay:
        say(f"as trained: configs/{overlay}, now in the package's train and inference configs")
    for key, value in ours.items():
        say(f"as trained: {key} {value if not isinstance(value, dict) else '(another)'}")
    say(f"model card: {len(provenance.eval_metrics()) - 1} scores, {provenance.measured_on}")
    if missed := provenance.scores.get("never_predicted"):
        say(f"warning: these weights never predicted {', '.join(map(str, missed))} in the exams of their scores")
    return result


def _place(source: Bundle, dist: Path) -> Path:
    """The folder of the package, after a check of both folders."""
    if own_code(source.folder):
        raise InputError(f"{source.folder} is already packaged; name the bundle in the repository")
    for path in (source.folder / "LICENSE", *source.folder.glob("configs/**/*"), *source.folder.glob("docs/**/*")):
        if not path.resolve().is_relative_to(source.folder):
            raise InputError(
                f"{path} points outside the bundle, to {path.resolve()}, so the package would contain a copy of that "
                "file; replace the link with the file, or remove it"
            )
    place = dist.resolve() / source.name
    if place.exists() and not (place / archive.SUMS).is_file():
        raise InputError(f"{place} exists and was not packaged; remove it, or name another folder with -o")
    return place


def _take_network(source: Bundle, run: Run) -> str | None:
    """If the run used one of the bundle's configs for another network (``vit.yaml``), write this network into the texts of
    the training and inference configs, drop all such configs, and return the config's name. Nothing is taken from the run
    itself. None if the run used the bundle's own network, or one that no config defines."""
    train, inference = source.config("train.yaml"), source.config("inference.yaml")
    others = {name: source.config(name) or {} for name in source.texts if name not in TWINS}
    overlays = {
        name: content for name, content in others.items() if any(key.partition("#")[0] == _NETWORK for key in content)
    }
    if plain(train).get(_NETWORK) == run.config.get(_NETWORK):
        return None
    fitting = overlay_of(overlays, train, run.config)
    if fitting is None:
        return None
    overlay = overlays[fitting]
    # the overlay also has settings for training, such as a pretext's weights; inference gets only those that it has or needs
    wanted = {
        "train.yaml": {key.partition("#")[0] for key in overlay},
        "inference.yaml": asked_of_overlay(inference, overlay) - {"network"},
    }
    for file, config in (("train.yaml", train), ("inference.yaml", inference)):
        values = {key: value for key, value in merged(config, overlay).items() if key in wanted[file]}
        source.texts[file] = with_overlay(source.texts[file], values)
    for name in overlays:
        del source.texts[name]
    return fitting


def _copy_files(source: Bundle, built: Path, provenance: Provenance) -> None:
    """Copy the licence, the documents, and the files that a config reads, such as permutations."""
    configs = [*source.folder.glob("configs/*.json"), source.folder / "configs/logging.conf"]
    for path in (*source.folder.glob("docs/*"), *configs, source.folder / "LICENSE"):
        if path.is_file():
            target = built / path.relative_to(source.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    licence = built / "docs" / "data_license.txt"
    if licence.is_file():
        licence.write_text(with_training_data(read_plain_text(licence), provenance))


def _write_configs(source: Bundle, built: Path, changed: Mapping[str, dict], code: str) -> None:
    """Write the configs with the run's settings, without those for demos, whose network is another."""
    for name, text in source.texts.items():
        if not name.endswith("demo.yaml"):
            own = for_a_bundle(with_values(text, changed.get(name, {})), code)
            (built / "configs" / name).write_text(own)
            if name in TWINS:
                (built / "configs" / name).with_suffix(".json").write_text(as_json(own))


def _write_metadata(packaged: Bundle, provenance: Provenance, changed: Mapping[str, Any], of_photographs: bool) -> None:
    metadata = packaged.metadata
    metadata |= with_training(metadata, provenance)
    form = metadata["network_data_format"]
    _check_names(form["outputs"]["pred"].get("channel_def", {}), changed)
    with packaged.importable():
        adapt_format(form, packaged.config("inference.yaml"), changed, packaged.network().eval(), of_photographs)
    Path(packaged.metadata_file).write_text(json.dumps(metadata, indent=4, ensure_ascii=False) + "\n")


def _check_names(channels: Mapping[str, str], changed: Mapping[str, Any]) -> None:
    """Check that metadata.json names the views of the run, which are the channels of the network's output."""
    absent = [view for view in changed.get("views", ()) if not any(view in name for name in channels.values())]
    if absent:
        raise InputError(
            f"the run has views {changed['views']}, but channel_def in configs/metadata.json does not name "
            f"{', '.join(absent)}; MONAI Label would show the wrong names. Add the names to channel_def"
        )
