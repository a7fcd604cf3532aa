"""Make a copy of a bundle that works without an installed planewise, as a folder with checksums and as a zip; the same input
gives identical bytes."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from planewise.engines.run_record import own_code
from planewise.errors import InputError
from planewise.files.atomic_write import unwritable
from planewise.files.checksum import sha256
from planewise.files.text import read_plain_text
from planewise.networks import read_weights, weights_path
from planewise.workshop.packaging.bundle import Bundle, check_weights, save_weights
from planewise.workshop.packaging.code import copy_code
from planewise.workshop.packaging.configs import TWINS, as_json, for_a_bundle, settings_of, with_values
from planewise.workshop.packaging.data_format import adapt_format
from planewise.workshop.packaging.model_card import model_card, with_training, with_training_data
from planewise.workshop.packaging.run import Provenance, Run, find_provenance

SUMS = "SHA256SUMS"
LARGE = "large_files.yml"
#: Largest file in a bundle of the Model Zoo, bytes; the zoo stores larger files elsewhere.
LARGEST = 25_000_000
#: Date of every zip entry: the earliest that the format allows, so that the same content gives the same file.
STAMP = (1980, 1, 1, 0, 0, 0)


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
        zoo_url: web address for files larger than `LARGEST`. These files are moved out of the bundle, to be uploaded
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
    others = [source.config(name) or {} for name in source.texts if name not in TWINS]
    changed = settings_of(run, source.config("train.yaml"), source.config("inference.yaml"), *others)
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
        # the only images with three colours and no names of channels
        photographs = "photograph.yaml" in source.texts and run.config.get("in_channels") == 3 and not run.channels
        _write_metadata(packaged, provenance, ours, photographs)
        card = model_card(source.readme, provenance, source.config("train.yaml"), packaged, code)
        (built / "docs" / "README.md").write_text(card)
        packaged.verify()
        large = bool(zoo_url and set_large_files_apart(built, zoo_url, room / "large"))
        write_sums(built)
        write_zip(built, room / "bundle.zip")
        result = Packaged(
            place, place.with_name(f"{place.name}.zip"), place.with_name(f"{place.name}_large") if large else None
        )
        put_in_place(built, result.folder)
        put_in_place(room / "bundle.zip", result.zip)
        if result.large:
            put_in_place(room / "large", result.large)
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
    refuse_foreign(place)
    return place


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
    named = form["outputs"]["pred"].get("channel_def", {}).values()
    if absent := [view for view in changed.get("views", ()) if not any(view in name for name in named)]:
        raise InputError(
            f"the run has views {changed['views']}, but channel_def in configs/metadata.json does not name "
            f"{', '.join(absent)}; MONAI Label would show the wrong names. Add the names to channel_def"
        )
    with packaged.importable():
        adapt_format(form, packaged.config("inference.yaml"), changed, packaged.network().eval(), of_photographs)
    Path(packaged.metadata_file).write_text(json.dumps(metadata, indent=4, ensure_ascii=False) + "\n")


def write_sums(folder: Path) -> None:
    """Write ``SHA256SUMS`` for all files in a folder, for ``sha256sum --check``."""
    lines = [f"{sha256(folder / name)}  {name}" for name in files_of(folder) if name != SUMS]
    (folder / SUMS).write_text("\n".join(lines) + "\n")


def set_large_files_apart(folder: Path, url: str, apart: Path) -> list[str]:
    """Move files larger than `LARGEST` to the same path below ``apart``, and write ``large_files.yml``; return their names.
    They will be uploaded to the folder ``url`` on the web, under their own names."""
    large = [name for name in files_of(folder) if (folder / name).stat().st_size > LARGEST]
    entries = []
    for name in large:
        at = f"{url.rstrip('/')}/{Path(name).name}"
        entries.append({"path": name, "url": at, "hash_val": sha256(folder / name), "hash_type": "sha256"})
        (apart / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / name, apart / name)
    if entries:
        (folder / LARGE).write_text(yaml.safe_dump({"large_files": entries}, sort_keys=False, width=1000))
    return large


def write_zip(folder: Path, path: Path) -> None:
    """Write a folder as a zip with the folder at its top. Entries are sorted, have one date and mode, and are uncompressed,
    so that the result does not depend on the version of zlib."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in files_of(folder):
            entry = zipfile.ZipInfo(f"{folder.name}/{name}", STAMP)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3  # Unix, so that programs use the mode
            archive.writestr(entry, (folder / name).read_bytes())


def files_of(folder: Path) -> list[str]:
    """Paths of the files below a folder, relative, with ``/``, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def refuse_foreign(place: Path) -> None:
    """Raise an `InputError` if a folder exists that no packaging has written."""
    if place.exists() and not (place / SUMS).is_file():
        raise InputError(f"{place} exists and was not packaged; remove it, or name another folder with -o")


def put_in_place(built: Path, place: Path) -> None:
    """Move a file or a folder to its destination; an earlier file or folder there is replaced.

    Raises:
        InputError: the destination's folder cannot be written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir():
            shutil.rmtree(place)
        shutil.move(built, place)
    except OSError as error:
        raise unwritable(place.parent, error) from error
