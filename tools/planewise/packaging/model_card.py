"""Text of a packaged bundle's README: its own weights, and how to use it from its own folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from planewise.checksum import sha256
from planewise.errors import InputError
from planewise.networks.pretrained import NO_WEIGHTS
from planewise.own_names import OURS
from planewise.packaging.bundle import Bundle
from planewise.packaging.onnx_options import onnx_options
from planewise.packaging.run import Run, flat_scores

#: Marks around the text of `tools/train_released_weights`.
RELEASE_BEGIN = "<!-- written by `tools/train_released_weights` -->"
RELEASE_END = "<!-- end of what `tools/train_released_weights` wrote -->"

#: Below the introduction of a packaged README. The rest of the page is that of the repository.
_NOTE = f"""**This is a package**: see "The weights in this folder" under Performance for their origin, scores and settings.
The rest of this page describes the bundle in the repository of {OURS}: its default settings, training and weights.
"""
_COMMANDS = f"""
The code that the configs name is in this folder; {OURS} need not be installed. The settings at the top of the configs are
those of `models/model.pt`. `{OURS} index` writes `/data/datalist.json` for your own exams.

```bash
pip install {{packages}}
python -m monai.bundle run --config_file configs/inference.yaml {{source}} --output_dir out
python -m monai.bundle run --config_file configs/train.yaml --datalist /data/datalist.json --output_dir runs/mine
{{evaluate}}```

For a program that reads ONNX (it needs the package `onnx`):

```bash
{{onnx}}
```

The same as TorchScript:

```bash
python -m monai.bundle ckpt_export --net_id network_def --filepath models/model.ts \\
  --ckpt_file models/model.pt --meta_file configs/metadata.json --config_file configs/inference.yaml
```

This page in the repository has more commands: training at the paper's size, on phantoms, and studies.
"""
_EVALUATE = (
    "python -m monai.bundle run --config_file \"['configs/train.yaml','configs/evaluate.yaml']\" --weights models/model.pt "
    "--datalist /data/datalist.json --output_dir scores\n"
)
#: The meaning of a segmentation's scores with 1.0 mm for missed structures.
_OF_MISSED = """
`assd_missed_1_mm` counts a structure that was missed as 1.0 mm, like the paper's implementation, which flatters a
failure: do not compare it between networks that missed many (`missed_share`). It is left out if more than half were
missed.
"""
_CHECKSUM = "SHA-256 of the weights' file before packaging, by which results of `planewise` name these weights"


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
    sha256: str
    """Checksum of the weights' file before packaging; the package has the same values in another file"""

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


def model_card(readme: str, provenance: Provenance, train: Mapping[str, Any], packaged: Bundle) -> str:
    """A bundle's README for a package: the scores and the origin of its weights under Performance, in place of the text about
    the weights in the repository, and the commands for people who have only the package's folder.

    Args:
        readme: the text.
        provenance: origin of the weights and scores.
        train: the bundle's training config, to list the settings that the run changed.
        packaged: the package.
    """
    introduction, mark, rest = without_release(readme).partition("\n## ")
    card = f"{introduction}\n{_NOTE}{mark}{rest}"
    before, heading, rest = _divided(card, "Commands")
    _, mark, rest = rest.partition("\n## ")
    card = f"{before}{heading}{_commands(packaged)}{mark}{rest}"
    before, heading, rest = _divided(card, "Performance")
    return f"{before}{heading}\n{_weights(provenance, train)}{rest}"


def _divided(text: str, heading: str) -> tuple[str, str, str]:
    """The text before a heading, the heading, which is added at the end if it is missing, and the text below it."""
    line = f"\n## {heading}\n"
    before, _, rest = text.partition(line)
    return before, line, rest


def _commands(packaged: Bundle) -> str:
    metadata = packaged.metadata
    versions = {"monai": metadata["monai_version"], "torch": metadata["pytorch_version"]}
    versions |= {"numpy": metadata["numpy_version"], **metadata["required_packages_version"]}
    # a pretext may need a part of its network for its scores that a package lacks
    evaluates = str(packaged.config("evaluate.yaml").get("weights")).endswith("/model.pt'")
    return _COMMANDS.format(
        packages=" ".join(f'"{name}=={version}"' for name, version in versions.items()),
        source="--input /data/exam"
        if "input" in packaged.config("inference.yaml")
        else "--datalist /data/datalist.json",
        evaluate=_EVALUATE if evaluates else "",
        onnx=onnx_options(packaged).command,
    )


def _weights(provenance: Provenance, train: Mapping[str, Any]) -> str:
    """The lines about a package's weights."""
    scores, network = flat_scores(provenance.scores), train.get("network_def")
    facts = [
        ("network", f"`{network.get('_target_') if isinstance(network, Mapping) else network}`"),
        ("measured on", provenance.measured_on),
        ("training and test data", provenance.data),
        (_CHECKSUM, provenance.sha256),
        *_facts(provenance.run),
    ]
    text = ["### The weights in this folder", ""]
    text += [f"- {name}: {value}" for name, value in facts]
    text += ["", "| score | |", "|---|---|", *(f"| {name} | {value} |" for name, value in scores.items())]
    if provenance.never_predicted:
        text += ["", f"**Never predicted in these exams: {', '.join(provenance.never_predicted)}.**"]
    if any("missed_share" in name for name in scores):
        text += [_OF_MISSED.rstrip()]
    if changed := provenance.run.settings_unlike(train) if provenance.run else {}:
        written = yaml.safe_dump(changed, sort_keys=False, default_flow_style=None, width=100).rstrip()
        text += ["", "The run's settings that differ from those of the bundle's `configs/train.yaml`:", ""]
        text += ["```yaml", written, "```"]
    return "\n".join([*text, "", "### The weights in the repository", "", ""])


def with_training(metadata: Mapping[str, Any], provenance: Provenance) -> dict[str, Any]:
    """A bundle's metadata with the training data of its weights."""
    source = f"{metadata['data_source']} Training and test data of the weights in this bundle: {provenance.data}."
    rights = "" if provenance.ours else " (code, not weights)"
    return {**metadata, "copyright": metadata["copyright"] + rights, "data_source": source}


def with_training_data(licence: str, provenance: Provenance) -> str:
    """A bundle's data_license.txt with the origin of the packaged weights."""
    if provenance.ours:
        return licence
    return (
        f"Training and test data of the weights in models/: {provenance.data}.\n"
        "If these data have terms, they apply to the weights. Add the terms here before you publish the bundle.\n\n"
    ) + licence


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


def without_release(readme: str) -> str:
    """A bundle's README without the lines of `with_release`."""
    before, _, rest = readme.partition(RELEASE_BEGIN)
    return before + rest.partition(RELEASE_END)[2].removeprefix("\n\n") if rest else readme


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
