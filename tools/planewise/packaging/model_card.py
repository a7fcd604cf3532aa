"""Text of a packaged bundle's README: its own weights, and how to use it from its own folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from planewise.checksum import sha256
from planewise.engines.references import reached
from planewise.errors import InputError
from planewise.networks.pretrained import NO_WEIGHTS
from planewise.own_names import OURS
from planewise.packaging.run import Run, flat_scores

#: Marks around the packager's text.
BEGIN, END = f"<!-- written by `{OURS} package` -->", f"<!-- end of what `{OURS} package` wrote -->"

#: Marks around the text of `tools/train_released_weights`.
RELEASE_BEGIN = "<!-- written by `tools/train_released_weights` -->"
RELEASE_END = "<!-- end of what `tools/train_released_weights` wrote -->"

#: Settings that give a network and its images their size.
_SIZES = ("features", "stem_stride", "image_size", "spacing", "in_channels", "init_features", "growth_rate", "blocks")
#: Those of them that belong to the images; the others count only if the network refers to them.
_OF_IMAGES = ("image_size", "spacing", "in_channels")
#: Settings of a run that a description of its training does not need.
_NOT_OF_TRAINING = ("seed", "num_subjects", "subject_seed", "val_interval")
#: Words of a bundle's name, introduction and description that say that its weights were pretrained.
_PRETRAINED_NAME = re.compile(r", pretrained [^,\n]*$", re.M)
_PRETRAINED_START = re.compile(r"weights\s+that\s+were\s+pretrained\s+without\s+\w+")
_PRETRAINED_WORDS = re.compile(r"It is pretrained to .*?, then fine-tuned with")
#: Words about the pretraining, and transforms: the words are true if the pretext has one of these.
_CLAIMS = {
    "imaging planes": ("PlaneHeatmapsd", "PlaneSquaresd", "SliceLocationd"),
    "where the planes of other views cut a slice": ("PlaneHeatmapsd",),
    "lies in its stack": ("SliceLocationd",),
    "anatomical positions": ("PlaneSquaresd",),
}
#: Texts about the weights that ship with a bundle, which are not true of other people's weights.
_OUR_WEIGHTS = re.compile(r"code\s+and\s+weights\s+are\s+ours\.")
_SHIPPED_FILE = re.compile(r"(`models/model\.pt`\s+holds\s+the\s+weights) that\s+ship;")
_NONE_SHIP = "No weights ship with this bundle. The scores"
_RELEASED_LIMIT = re.compile(r"^- The released weights come from phantoms.*\n(?:  .*\n)*", re.M)
_OUR_LICENCE = re.compile(r"^Code and weights: (.*?)\. Data sets: ", re.M)
_RELEASED_SOURCE = " Weights released with this bundle are trained on planewise phantoms only."
#: The commands of a bundle's README, which need the repository.
_COMMANDS = re.compile(r"(?<=^## Commands\n).*?(?=^## |\Z)", re.M | re.S)
#: The meaning of a segmentation's scores with 1.0 mm for missed structures.
_OF_MISSED = [
    "`assd_missed_1_mm` counts a structure that was missed as 1.0 mm, like the paper's implementation, which flatters a",
    "failure: do not compare it between networks that missed many (`missed_share`). It is left out if more than half were",
    "missed.",
]
_CHECKSUM = "SHA-256 of the weights' file before packaging, by which results of `planewise` name these weights"
#: Heading below which the text of a packaged README may need the repository.
FROM_REPOSITORY = "### From the repository"


@dataclass(frozen=True)
class Provenance:
    """The origin of a packaged bundle's weights and scores."""

    scores: Mapping[str, Any]
    measured_on: str
    """Description of the exams"""
    data: str
    """Description of the training and test data"""
    run: Run | None
    """The run that made the weights; None if it no longer exists"""
    sha256: str = ""
    """Checksum of the weights' file before packaging; the package has the same values in another file"""

    @property
    def on_phantoms(self) -> bool:
        """Whether the training data is described as phantoms."""
        return "phantom" in self.data.lower()

    @property
    def ours(self) -> bool:
        """Whether the weights ship with the bundle."""
        return self.run is not None and self.run.ships

    @property
    def never_predicted(self) -> list[str]:
        """The structures that a segmentation predicted in none of the exams."""
        names = self.scores.get("never_predicted")
        return [str(name) for name in names] if isinstance(names, list) else []

    def eval_metrics(self) -> dict[str, Any]:
        """The scores as ``eval_metrics`` in metadata.json."""
        return {"measured_on": self.measured_on, **flat_scores(self.scores)}


def with_provenance(readme: str, provenance: Provenance, train: Mapping[str, Any]) -> str:
    """A bundle's README with the scores and the origin of its weights under Performance. They replace the text about the
    weights that ship with the bundle in the repository. If the weights have another size than the method in its paper, the
    description of the model says so first. Sentences that are true only of weights from phantoms are changed for other
    weights.

    Args:
        readme: the text.
        provenance: origin of the weights and scores.
        train: the bundle's training config, to list the settings that the run changed.
    """
    rows = [f"| {name} | {value} |" for name, value in flat_scores(provenance.scores).items()]
    facts = [
        ("measured on", provenance.measured_on),
        ("training and test data", provenance.data),
        *([(_CHECKSUM, provenance.sha256)] if provenance.sha256 else []),
        *_facts(provenance.run),
    ]
    text = ["### The weights in this folder", ""]
    text += [f"- {name}: {value}" for name, value in facts] + ["", "| score | |", "|---|---|", *rows]
    if provenance.never_predicted:
        text += ["", f"**Never predicted in these exams: {', '.join(provenance.never_predicted)}.**"]
    if any("missed_share" in row for row in rows):
        text += ["", *_OF_MISSED]
    network = train.get("network_def")
    sizes = {*_OF_IMAGES, *(_SIZES if network is None else reached(network, train))}
    changed = provenance.run.settings_unlike(train) if provenance.run else {}
    # a config may name a size elsewhere, for a task that it does not use
    changed = {name: value for name, value in changed.items() if name not in _SIZES or name in sizes}
    if changed:
        text += [
            "",
            "The run's settings that differ from those of the bundle's `configs/train.yaml`:",
            "",
            "```yaml",
        ]
        text += [yaml.safe_dump(changed, sort_keys=False, default_flow_style=None, width=100).rstrip(), "```"]
    text += ["", "The rest of this section describes the method with other weights."]
    if not provenance.ours and RELEASE_BEGIN in readme:
        text[-1] += ' "These weights" in it are the weights of the repository, which were trained on phantoms.'
    found = _under(without_release(readme), "Performance", text)
    about = _unlike_the_page(provenance.run, changed, train)
    if about and _heading("Model Description", found):
        found = _under(found, "Model Description", about)
    title, rest = found.split("\n", 1)
    if _is_false(title, provenance.run):
        title = _PRETRAINED_NAME.sub("", title)
    if provenance.run and provenance.run.from_scratch:
        introduction, heading, rest = rest.partition("\n## ")
        rest = f"{_PRETRAINED_START.sub('random weights', introduction)}{heading}{rest}"
    found = f"{title}\n{rest}".replace(_NONE_SHIP, "The bundle's own scores")
    return found if provenance.ours else _of_others(found, provenance.on_phantoms)


def _of_others(readme: str, on_phantoms: bool) -> str:
    """A bundle's README without the sentences that are true only of the weights that ship."""
    readme = _OUR_WEIGHTS.sub("the code is ours, the weights in this folder are not.", readme)
    readme = _SHIPPED_FILE.sub(r"\1 in this folder;", readme)
    readme = _RELEASED_LIMIT.sub(
        lambda limit: limit[0].replace("The released weights", "The weights in this folder") if on_phantoms else "",
        readme,
    )
    return _OUR_LICENCE.sub(r"Code: \1. Weights and data sets: ", readme)


def with_training(metadata: Mapping[str, Any], provenance: Provenance) -> dict[str, Any]:
    """A bundle's metadata with the training data of its weights. Its name and description keep their words about the
    pretraining only if they are true of these weights."""
    metadata, run = dict(metadata), provenance.run
    if not provenance.ours:
        source = metadata["data_source"].replace(_RELEASED_SOURCE, "")
        metadata["copyright"] += " (code, not weights)"
        metadata["data_source"] = f"{source} Training and test data of the weights in this bundle: {provenance.data}."
    if _is_false(metadata["name"], run):
        metadata["name"] = _PRETRAINED_NAME.sub("", metadata["name"])
        if run and run.from_scratch:
            description = _PRETRAINED_WORDS.sub("It is trained with", metadata["description"])
            metadata["description"] = f"{description} These weights were trained from scratch, without pretraining."
    if (found := _PRETRAINED_WORDS.search(metadata["description"])) and _is_false(found[0], run):
        metadata["description"] = _PRETRAINED_WORDS.sub("It is fine-tuned with", metadata["description"])
        metadata["description"] += f" These weights started from {_start(run)}."
    if run and run.pretrained is None and run.config.get("pretrained") not in NO_WEIGHTS:
        metadata["description"] += " It is not known how the weights that these weights started from were trained."
    if network := run and _other_network(run.config):
        metadata["description"] += f" In this package, the network is {network} instead."
    return metadata


def _is_false(claim: str, run: Run | None) -> bool:
    """Whether a run's weights were not pretrained as a text says. If it is not known how they were pretrained, the text is
    left as it is."""
    if run is None or run.ships:
        return False
    if run.from_scratch:
        return _PRETRAINED_NAME.search(claim) is not None
    lineage = [run]
    while (start := lineage[-1].pretrained) and start.weights not in [earlier.weights for earlier in lineage]:
        lineage.append(start)
    if lineage[-1].config.get("pretrained") not in NO_WEIGHTS or "started_from" in lineage[-1].record:
        return False
    pretexts = str([start.config.get("train") for start in lineage[1:]])
    return any(words in claim and not any(name in pretexts for name in names) for words, names in _CLAIMS.items())


def _start(run: Run | None) -> str:
    """The weights that a run started from, in words: how they were trained."""
    origin = run.pretrained if run else None
    if origin is None:
        return "other weights (see Performance in docs/README.md)"  # such as public ImageNet weights
    names = " and ".join(origin.classes)
    if origin.method:
        return f"weights of the pretext {origin.method} ({names})"
    if origin.ships:
        return f"the weights that ship with {origin.weights.resolve().parent.parent.name}"
    return f"weights trained with {names}" if names else "weights of another training"


def _unlike_the_page(run: Run | None, changed: Mapping[str, Any], train: Mapping[str, Any]) -> list[str]:
    """Sentences about the weights for the description of the model, which is of the bundle's default training."""
    about = []
    if other := _other_network(train):
        about.append(
            f"The network in this folder is {other}; what this page says about a network is about another one."
        )
    if sizes := [f"`{name}: {changed[name]}`" for name in _SIZES if name in changed]:
        about.append(f"The weights in this folder have {', '.join(sizes)}. Other sizes on this page are the paper's.")
    if training := [
        f"`{name}: {_short(value)}`"
        for name, value in changed.items()
        if name not in (*_SIZES, *_NOT_OF_TRAINING) and not name.lstrip("+").startswith("validate#")
    ]:
        about.append(
            "This page describes the bundle's default training. The training of these weights differs in "
            f"{', '.join(training)}. Performance lists these settings in full."
        )
    if run and run.from_scratch and about:
        about.append("The run started from random weights, not from pretrained ones.")
    return [*about, "", "### The bundle's default network and training"] if about else []


def _other_network(config: Mapping[str, Any]) -> str | None:
    """The network of a config in words, if it is not one of this package's networks."""
    network = config.get("network_def")
    target = str(network.get("_target_") or "") if isinstance(network, Mapping) else ""
    return f"{_short(network)}, `{target}`" if target and not target.startswith(f"{OURS}.") else None


def _short(value: Any) -> str:
    """A setting's value in a sentence: of an object, its class and its plain arguments."""
    if isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        return ", ".join(map(_short, value))
    if not isinstance(value, Mapping):
        return str(value)
    if "_target_" not in value:
        return "(another)"
    plain = {
        key: entry
        for key, entry in value.items()
        if key != "_target_" and isinstance(entry, (int, float, str)) and not str(entry).startswith(("$", "@"))
    }
    name = str(value["_target_"]).rpartition(".")[2]
    return f"{name} ({', '.join(f'{key} {entry}' for key, entry in plain.items())})" if plain else name


def with_release(readme: str, rows: Sequence[str]) -> str:
    """A bundle's README with lines under Performance about the weights that ship, in place of earlier lines.

    Raises:
        InputError: the README has no heading Performance.
    """
    text = without_release(readme)
    block = "\n".join([RELEASE_BEGIN, *rows, RELEASE_END])
    before, heading, rest = text.partition("## Performance\n\n")
    if not heading:
        raise InputError("the bundle's README has no heading Performance; add one for the scores")
    return f"{before}{heading}{block}\n\n{rest}"


def with_training_data(licence: str, provenance: Provenance) -> str:
    """A bundle's data_license.txt with the origin of the packaged weights. Its first paragraph is about the weights that
    ship, so it is kept only for them."""
    if provenance.ours:
        return licence
    _, _, rest = licence.partition("\n\n")
    terms = "Phantoms hold no data of any patient. Add the terms of the weights"
    if not provenance.on_phantoms:
        terms = "The terms of these data apply to the weights. Add these terms"
    origin = (
        f"Training and test data of the weights in models/: {provenance.data}.\n{terms} here before you publish the "
        "bundle.\n\n"
    )
    return origin + re.sub(r";\s+nothing\s+of\s+them\s+is\s+in\s+this\s+bundle:", ":", rest)


def without_release(readme: str) -> str:
    """A bundle's README without the lines of `with_release`."""
    before, _, rest = readme.partition(RELEASE_BEGIN)
    return before + rest.partition(RELEASE_END)[2].removeprefix("\n\n") if rest else readme


def with_commands(readme: str, metadata: Mapping[str, Any], inference: Mapping[str, Any], onnx: str) -> str:
    """A bundle's README with the commands for people who have only this folder, instead of its own.

    Args:
        readme: the text.
        metadata, inference: metadata.json and the inference config.
        onnx: the command that exports to ONNX.
    """
    packages = {
        "monai": metadata["monai_version"],
        "torch": metadata["pytorch_version"],
        "numpy": metadata["numpy_version"],
        **metadata["required_packages_version"],
    }
    run = "python -m monai.bundle run --config_file"
    source = "--input /data/exam" if "input" in inference else "--datalist /data/datalist.json"
    text = [
        "### From this folder",
        "",
        f"`scripts/` holds the code that the configs name; {OURS} need not be installed.",
        "",
        "```bash",
        "pip install " + " ".join(f'"{name}=={version}"' for name, version in packages.items()),
        f"{run} configs/inference.yaml {source} --output_dir out",
        f"{run} configs/train.yaml --datalist /data/datalist.json --output_dir runs/mine",
        f"{run} \"['configs/train.yaml','configs/evaluate.yaml']\" --weights models/model.pt "
        "--datalist /data/datalist.json --output_dir scores",
        "```",
        "",
        f"`{OURS} index` writes `/data/datalist.json` for your own exams. The settings at the top of the configs are those",
        "of the weights in `models/`.",
        "",
        "For a program that reads ONNX (it needs the package `onnx`):",
        "",
        "```bash",
        onnx,
        "```",
        "",
        "The same as TorchScript:",
        "",
        "```bash",
        "python -m monai.bundle ckpt_export --net_id network_def --filepath models/model.ts \\",
        "  --ckpt_file models/model.pt --meta_file configs/metadata.json --config_file configs/inference.yaml",
        "```",
        "",
        FROM_REPOSITORY,
        "",
        f"This page in the repository of {OURS} has more commands: training at the paper's size, on phantoms, and studies.",
    ]
    return _under(_COMMANDS.sub("\n", readme), "Commands", text)


def _facts(run: Run | None) -> list[tuple[str, str]]:
    if run is None:
        return [("made by", "not known: the weights come without their run")]
    record = run.record
    commit = record.get("commit") or "not known"
    facts = [
        ("seed", str(record.get("seed"))),
        ("configuration (SHA-256)", f"`{record.get('configuration')}`"),
        ("datalist (SHA-256)", ", ".join(f"`{digest}`" for digest in record.get("files", {}).values()) or "not known"),
        ("commit", commit.replace("-dirty", ", with changes")),
        ("versions", _versions(record)),
    ]
    if (shares := [*record.get("earlier_processes", []), record.get("processes", 1)]) != [1]:
        facts.append(("processes", ", then ".join(map(str, shares))))
    imagenet, pretrained = run.config.get("imagenet"), run.config.get("pretrained")
    if imagenet not in NO_WEIGHTS:
        facts.append(
            ("started from", f"public ImageNet weights, {Path(str(imagenet)).name}, with a licence of their own")
        )
    if "started_from" in record:
        origin = record["started_from"]
        facts.append(("started from", f"weights of phantoms, {origin['weights']} (SHA-256 `{origin['sha256']}`)"))
    if run.pretrained is not None:
        origin = run.pretrained
        made_from = origin.data or "data not known"
        of = f"configuration (SHA-256) `{origin.record.get('configuration')}`"
        of = f"SHA-256 `{sha256(origin.weights)}`, {of}" if origin.weights.is_file() else of
        facts.append(("started from", f"{_start(run)}; {of}; training and test data: {made_from}"))
    elif run.started_from is not None:
        digest = sha256(run.started_from)
        facts.append(("started from", f"weights without a record of their training (SHA-256 `{digest}`)"))
    elif pretrained not in NO_WEIGHTS:
        facts.append(("started from", "pretrained weights that were not found when this folder was packaged"))
    return facts


def _versions(record: Mapping[str, Any]) -> str:
    packages = {"python": record.get("python"), **record.get("packages", {})}
    return ", ".join(f"{name} {version}" for name, version in packages.items() if version)


def _under(readme: str, heading: str, lines: list[str]) -> str:
    """Insert lines right below a heading, or at the end of the text if there is no such heading."""
    block = "\n".join([BEGIN, *lines, END])
    found = _heading(heading, readme)
    if found is None:
        return f"{readme.rstrip()}\n\n## {heading}\n\n{block}\n"
    return f"{readme[: found.start()]}## {heading}\n\n{block}\n\n{readme[found.end() :]}"


def _heading(heading: str, readme: str) -> re.Match[str] | None:
    return re.search(rf"^## {heading}\n+", readme, re.M)
