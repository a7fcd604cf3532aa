"""Make a copy of a bundle that works without an installed planewise."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from monai.bundle import verify_net_in_out
from torch import nn

from planewise.checksum import sha256
from planewise.engines.check_settings import check_plain_settings
from planewise.engines.run_record import PATIENTS
from planewise.engines.weights_settings import defining_settings, settings_of
from planewise.errors import InputError
from planewise.networks import read_weights, weights_path
from planewise.own_names import OURS
from planewise.packaging import archive
from planewise.packaging.bundle import Bundle, check_metadata, without_noise
from planewise.packaging.configs import TWINS, as_json, for_a_bundle, with_values
from planewise.packaging.model_card import Provenance, model_card, with_training, with_training_data
from planewise.packaging.network_overlays import PHOTOGRAPHS, bundle_of_run
from planewise.packaging.run import MEASURED_ON, Run, read_scores
from planewise.packaging.shapes import check_shapes, size_of
from planewise.packaging.weights import check_weights, save_weights, strip_script
from planewise.scored import read_scored
from planewise.text_files import read_plain_text

#: Imports of `planewise` are blocked, so that the export proves that the bundle's own code is enough.
_EXPORT = f"""
import sys
sys.modules["{OURS}"] = None
sys.dont_write_bytecode = True
sys.path.insert(0, ".")
from monai.bundle import ckpt_export
ckpt_export("network_def", filepath="models/model.ts", ckpt_file="models/model.pt", meta_file="configs/metadata.json",
            config_file="configs/inference.yaml")
"""


@dataclass(frozen=True)
class Packaged:
    """The output of `package_bundle`."""

    folder: Path
    zip: Path
    large: Path | None
    """Folder of the files to upload; None if there are none"""


def package_bundle(
    bundle: str | Path,
    weights: str | Path | None = None,
    dist: str | Path = "dist",
    *,
    scores: str | Path | None = None,
    data: str | None = None,
    torchscript: bool = False,
    zoo_url: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Packaged:
    """Write ``DIST/NAME/`` and ``DIST/NAME.zip``: configs, the code that they need, weights, model card and checksums.

    If any step fails, nothing is left behind. The same input gives identical bytes.

    Args:
        bundle: folder of the bundle.
        weights: a checkpoint, or a run's or bundle's folder; by default the bundle's own ``models/model.pt``. If they
            are in a run's folder, the run's settings go into the configs and its scores and origin into the model card.
        dist: folder to write to.
        scores: JSON file of scores, instead of the run's.
        data: description of the training and test data, instead of the run's own.
        torchscript: write ``models/model.ts`` too.
        zoo_url: web address for files larger than `archive.LARGEST`. These files are moved out of the bundle, to be uploaded
            there, and are listed in ``large_files.yml``.
        say: called with a message for each step.

    Raises:
        InputError: there are no weights, they do not fit the network, come from another bundle's run or have no scores, or
            the scores are of other weights or of the training exams; inference refuses a setting of the run; the metadata
            fails its schema or describes another network; a folder is not writable or is in use; or a symbolic link points
            outside the bundle.
    """
    source = Bundle(bundle)
    if source.is_packaged:
        raise InputError(f"{source.folder} is already packaged; name the bundle in the repository")
    _check_links(source.folder)
    place = _place(source, Path(dist).expanduser())
    file = Path(weights_path(source.folder if weights is None else weights))
    run = Run.of_weights(file)
    run = run and replace(run, bundle=source.folder)
    provenance = _provenance(file, run, scores, data)
    with archive.built_beside(place.parent) as room:
        source, overlay = bundle_of_run(source, run, room / "source")
        if overlay:
            say(f"as trained: configs/{overlay}, now in the package's train and inference configs")
        changed = settings_of(run, source.config("train.yaml"), source.config("inference.yaml")) if run else {}
        _check_names(source, changed.get("inference.yaml", {}))
        _check_values(source.config("inference.yaml") | changed.get("inference.yaml", {}))
        built = room / source.name
        _write_files(source, built, changed, provenance, say)
        packaged = Bundle(built)
        _write_weights(packaged, file, say)
        check_metadata(source)
        check_shapes(packaged.metadata)
        _write_format(packaged, say, changed.get("inference.yaml", {}), overlay == PHOTOGRAPHS)
        card = model_card(source.readme, provenance, source.config("train.yaml"), packaged)
        (built / "docs" / "README.md").write_text(card)
        _verify_network(packaged)
        if torchscript:
            _export(packaged, say)
        apart = archive.set_large_files_apart(built, zoo_url, room / "large") if zoo_url else []
        archive.write_sums(built)
        archive.write_zip(built, room / "bundle.zip")
        result = Packaged(
            place, place.with_name(f"{place.name}.zip"), place.with_name(f"{place.name}_large") if apart else None
        )
        archive.put_in_place(built, result.folder)
        archive.put_in_place(room / "bundle.zip", result.zip)
        if result.large:
            archive.put_in_place(room / "large", result.large)
        if zoo_url:
            say(f"to upload to {zoo_url}: {', '.join(apart) or 'nothing, no file is over 25 MB'}")
    return result


def _check_links(folder: Path) -> None:
    """Refuse links to files outside the bundle, because the package would contain copies of these files."""
    for path in (folder / "LICENSE", *(path for name in ("configs", "docs") for path in (folder / name).rglob("*"))):
        if not path.resolve().is_relative_to(folder):
            raise InputError(
                f"{path} points outside the bundle, to {path.resolve()}, so the package would contain a copy of that "
                "file; replace the link with the file, or remove it"
            )


def _place(source: Bundle, dist: Path) -> Path:
    place = dist.resolve() / source.name
    if place == source.folder:
        raise InputError(f"{dist} holds the bundle itself; name another folder with -o")
    if place.exists() and not (place / archive.SUMS).is_file():
        raise InputError(f"{place} exists and was not packaged; remove it, or name another folder with -o")
    return place


def _check_names(source: Bundle, changed: Mapping[str, Any]) -> None:
    """Check that metadata.json names the channels of the run, if a setting such as ``views`` lists their names."""
    channels = source.metadata["network_data_format"]["outputs"]["pred"].get("channel_def", {})
    words = " ".join(map(str, channels.values()))
    before = source.config("inference.yaml")
    for key, value in changed.items():
        if not isinstance(value, list) or not isinstance(before[key], list):
            continue
        named = before[key] and all(isinstance(name, str) and name in words for name in before[key])
        absent = [str(name) for name in value if str(name) not in words]
        if named and absent:
            raise InputError(
                f"the run has {key} {value}, but channel_def in configs/metadata.json does not name {', '.join(absent)}; "
                "MONAI Label would show the wrong names. Add the names to channel_def"
            )


def _check_values(inference: Mapping[str, Any]) -> None:
    """Refuse settings of an earlier version's run that inference refuses."""
    try:
        check_plain_settings(inference)
    except InputError as error:
        raise InputError(f"{error}; inference refuses this setting, so train again with another value") from None


def _provenance(weights: Path, run: Run | None, scores: str | Path | None, data: str | None) -> Provenance:
    scored = section = None
    if scores is not None:
        file = Path(scores).expanduser()
        measured, scored = read_scores(file), read_scored(file)
    elif run is not None and run.scores is not None:
        section, measured = run.scores
        file = run.folder / section / "metrics.json"
        scored = None if run.ships else read_scored(file)
        if run.ships and PATIENTS in run.record:
            measured = {PATIENTS: run.record[PATIENTS]["scores"]} | measured
    else:
        at = f"no metrics.json in {run.folder}/test or /validation" if run else f"no run next to {weights}"
        if run and any((run.folder / other / "metrics.json").is_file() for other in ("all", "training")):
            at += " (the scores of --section all or training include training exams)"
        raise InputError(
            f"these weights have no scores: there is {at}. Evaluate them (configs/train.yaml with "
            "configs/evaluate.yaml on top), or name a scores file with --scores"
        )
    text = data or (run.data if run else None)
    if not text:
        raise InputError(
            f"the training and test data of {weights} is not known; describe it, for example with --data '100 "
            "exams of ...'"
        )
    if data and run is not None and run.on_phantoms:
        text = f"phantoms: {data}"
    if scored is not None:
        _check_scored(scored, file, weights, run)
        where = _measured_on(scored, run, text, data)
    elif section is not None:
        where = f"section {section} of {text}"
        if run is not None and run.ships and PATIENTS in measured:
            where = f"{run.record[PATIENTS]['data']} (scores {PATIENTS}_...); the other scores: {where}"
        if run is None or not run.ships:
            where += ", by the folder's name: the scores do not say which weights and exams they belong to"
    else:
        where = "as given with --scores, which do not say which weights and exams they belong to"
        where += f"; with --data: {data}" if data else ""
    return Provenance(measured, where, text, run, sha256(weights))


def _check_scored(scored: Mapping[str, Any], file: Path, weights: Path, run: Run | None) -> None:
    """Refuse scores of other weights, and scores of the exams from which the run learned."""
    if scored["weights"] != sha256(weights):
        raise InputError(
            f"the scores in {file} belong to other weights (SHA-256 {scored['weights'][:12]}...) than {weights}; evaluate "
            "these weights (configs/evaluate.yaml), or name the scores of these weights with --scores"
        )
    if scored["section"] not in MEASURED_ON and _is_own_datalist(scored, run):
        raise InputError(
            f"the scores in {file} include the exams from which the weights learned (--section {scored['section']}), so "
            "they do not show how good the weights are; evaluate with --section test"
        )


def _measured_on(scored: Mapping[str, Any], run: Run | None, text: str, data: str | None) -> str:
    """In words: the section and the datalist of the scores."""
    if _is_own_datalist(scored, run):
        return f"section {scored['section']} of {text}"
    other = f"section {scored['section']} of "
    other += "another datalist than the run's" if run else "a datalist"
    return f"{other} (SHA-256 {scored['datalist']})" + (f"; with --data: {data}" if data else "")


def _is_own_datalist(scored: Mapping[str, Any], run: Run | None) -> bool:
    return run is not None and scored["datalist"] in run.record.get("files", {}).values()


def _write_files(
    source: Bundle, built: Path, changed: Mapping[str, dict], provenance: Provenance, say: Callable[[str], None]
) -> None:
    """Write all files of the package except the weights."""
    (built / "configs").mkdir(parents=True)
    others = [source.folder / "LICENSE", source.folder / "configs" / "logging.conf"]
    # files that a config reads, such as permutations; metadata and the JSON copies of configs are written below
    others += [path for path in source.folder.glob("configs/*.json") if path.name != "metadata.json"]
    for path in (*source.folder.glob("docs/*"), *others):
        if path.is_file():
            target = built / path.relative_to(source.folder)
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, target)
    licence = built / "docs" / "data_license.txt"
    if licence.is_file():
        licence.write_text(with_training_data(read_plain_text(licence), provenance))
    texts = {name: with_values(text, changed.get(name, {})) for name, text in source.texts.items()}
    if "demo.yaml" in texts and not _fits_the_weights(source.config("demo.yaml"), source, changed):
        del texts["demo.yaml"]
    for name, text in texts.items():
        own = for_a_bundle(text, source.source.name)
        (built / "configs" / name).write_text(own)
        if name in TWINS:
            (built / "configs" / name).with_suffix(".json").write_text(as_json(own))
    for key, value in changed.get("inference.yaml", {}).items():
        say(f"as trained: {key} {value if not isinstance(value, dict) else '(another)'}")

    code = source.source.files()
    for name, text in code.items():
        path = built / source.source.name / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    say(f"{len(code)} files of code that the configs need")

    metadata = with_training(source.metadata, provenance)
    missing = source.requirements()
    metadata["required_packages_version"] = metadata.get("required_packages_version", {}) | missing
    metadata["eval_metrics"] = provenance.eval_metrics()
    (built / "configs" / "metadata.json").write_text(json.dumps(metadata, indent=4, ensure_ascii=False) + "\n")
    if missing:
        say(f"added to metadata.json: {', '.join(f'{name} {version}' for name, version in missing.items())}")

    if provenance.never_predicted:
        say(
            f"warning: these weights never predicted {', '.join(provenance.never_predicted)} in the exams of their scores"
        )
    say(f"model card: {len(provenance.eval_metrics()) - 1} scores, {provenance.measured_on}")


def _fits_the_weights(demo: Mapping[str, Any], source: Bundle, changed: Mapping[str, dict]) -> bool:
    """Whether the demo's overlay would leave the network, its input and its output in the package unchanged."""
    packaged = source.config("inference.yaml") | changed.get("inference.yaml", {})
    keys = defining_settings(packaged) | {"network_def"}
    return all(packaged.get(key) == demo[key] for key in keys & set(demo))


def _write_weights(packaged: Bundle, file: Path, say: Callable[[str], None]) -> None:
    weights = read_weights(file)
    with packaged.importable():
        network = packaged.network()
    check_weights(weights, network, str(file))
    save_weights(weights, network, packaged.weights)
    say(f"weights: {sum(value.numel() for value in weights.values()):,} values, {len(weights)} tensors")


def _write_format(
    packaged: Bundle,
    say: Callable[[str], None],
    settings: Mapping[str, Any] = MappingProxyType({}),
    of_photographs: bool = False,
) -> None:
    """Update the form of the network's input and output in metadata.json, if the run's settings changed it; ``settings``
    are those that differ from the bundle's."""
    metadata = packaged.metadata
    form = metadata["network_data_format"]
    image, output = form["inputs"].get("image", {}), form["outputs"]["pred"]
    if "structures" in settings:
        names = ["background", *map(str, settings["structures"].values())]
        output |= {"num_channels": len(names), "channel_def": {str(number): name for number, name in enumerate(names)}}
    with packaged.importable(), torch.no_grad():
        network = packaged.network().eval()
        pieces, named = getattr(network, "pieces", 1), settings.get("channels", ())
        if of_photographs:
            image |= {"format": "RGB", "modality": "fundus photograph", "value_range": [0, 1]}
            named = ("red", "green", "blue")
        channels = _set_channels(image, output, packaged.config("inference.yaml"), pieces, named)
        # in this order, because each function calls the network with the channels and sizes that the earlier ones set
        changed = [channels, _set_sides(image, output, network), _set_width(image, output, network)]
        changed += [f"the classes {', '.join(names)}"] if "structures" in settings else []
    if any(changed):
        Path(packaged.metadata_file).write_text(json.dumps(metadata, indent=4, ensure_ascii=False) + "\n")
    for what in filter(None, changed):
        say(f"as trained: {what}")


def _set_channels(
    image: dict[str, Any], output: dict[str, Any], config: Mapping[str, Any], pieces: int, named: Sequence[str]
) -> str:
    """Set the channels and axes of the network's input, if settings determine them. Returns the changes in words.

    ``in_channels`` is the number of contrasts; if the network takes several pieces of a volume, each piece has that many
    channels. ``named`` contains their names, if they differ from the bundle's. ``spatial_dims`` says whether the network
    takes volumes or slices.
    """
    said: list[str] = []
    if isinstance(config.get("in_channels"), int):
        channels = pieces * config["in_channels"]
        if channels != image.get("num_channels") or named:
            names = list(named) or [f"channel {number + 1}" for number in range(config["in_channels"])]
            if pieces > 1:
                names = [f"piece {piece + 1}, {name}" for piece in range(pieces) for name in names]
            image |= {"num_channels": channels, "channel_def": {str(number): name for number, name in enumerate(names)}}
            said.append(f"{channels} channels in the network's input{': ' * bool(named)}{', '.join(named)}")
    dims = config.get("spatial_dims")
    if dims in (2, 3) and len(image.get("spatial_shape", ())) not in (0, dims):
        for tensor in (image, output):
            shape = tensor.get("spatial_shape") or []
            tensor["spatial_shape"] = [*shape, *shape][:dims]
        said.append("images, not volumes" if dims == 2 else "volumes, not images")
    return ", ".join(said)


def _set_sides(image: dict[str, Any], output: dict[str, Any], network: nn.Module) -> str:
    """Set the sizes of the network's input, if the run's encoder needs larger ones than the bundle's: ``16*n`` becomes
    ``32*n`` or ``64*n``. Returns the change in words.

    If none of these sizes fits, the sizes stay as they are, and the later check of the network reports the reason.
    """
    sizes = [size_of(formula) for formula in image.get("spatial_shape") or []]
    for times in (1, 2, 4) if sizes else ():
        with suppress(RuntimeError, ValueError):
            network(torch.zeros(1, image["num_channels"], *(times * size for size in sizes)))
            break
    else:
        return ""
    if times == 1:
        return ""
    for tensor in (image, output):
        tensor["spatial_shape"] = [f"{times * size_of(formula)}*n" for formula in tensor.get("spatial_shape") or []]
    return f"sides of {' x '.join(image['spatial_shape'])} pixels in the network's input"


def _set_width(image: dict[str, Any], output: dict[str, Any], network: nn.Module) -> str:
    """Set the number of the network's outputs if they have no names, like those of an embedding or the logits of
    permutations. Returns the change in words.

    This number follows from the run's settings (features, permutations). The bundle itself defines named outputs.
    """
    named = len(output.get("channel_def", {})) >= output["num_channels"]
    if output.get("spatial_shape") or named or not image.get("spatial_shape"):
        return ""
    sizes = [size_of(formula) for formula in image["spatial_shape"]]
    # two samples, and sides above the minimum, so that no level is left without a pixel
    width = network(torch.zeros(2, image["num_channels"], *(4 * size for size in sizes))).shape[1]
    if width == output["num_channels"]:
        return ""
    output["num_channels"] = width
    return f"{width} numbers in the network's output"


def _verify_network(packaged: Bundle) -> None:
    with without_noise(), packaged.importable():
        try:
            verify_net_in_out(
                "network_def",
                packaged.metadata_file,
                packaged.config_file("inference.yaml"),
                device="cpu",
                bundle_root=str(packaged.folder),
            )
        except (ValueError, RuntimeError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(
                f"the network does not match network_data_format in configs/metadata.json (n = 1): {reason}"
            ) from None


def _export(packaged: Bundle, say: Callable[[str], None]) -> None:
    """Write ``models/model.ts`` in a separate process, because names in a TorchScript file depend on earlier exports in
    the same process.
    """
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _EXPORT],
        cwd=packaged.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    script = packaged.folder / "models" / "model.ts"
    if done.returncode or not script.is_file():
        last_line = done.stdout.strip().rpartition("\n")[2]
        raise InputError(f"the network cannot be exported to TorchScript: {last_line}")
    strip_script(script)
    say("models/model.ts")
