"""The README of a packaged bundle: a template, filled from its metadata, its bundle's page and the origin of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import yaml

from planewise.workshop.packaging.bundle import Bundle
from planewise.workshop.packaging.data_format import onnx_command
from planewise.workshop.packaging.run import Provenance

_TEMPLATE = Template(Path(__file__).with_suffix(".md").read_text())
#: Sections of the bundle's page that are true of any weights, and so are part of the card.
_SECTIONS = ("Authors", "Tags", "Model Description", "Data", "Limitations", "Citation", "License")
_EVALUATE = (
    "python -m monai.bundle run --config_file \"['configs/train.yaml','configs/evaluate.yaml']\" --weights models/model.pt "
    "--datalist /data/datalist.json --output_dir scores\n"
)


def model_card(page: str, provenance: Provenance, train: Mapping[str, Any], packaged: Bundle, code: str) -> str:
    """The text of a package's README.

    Args:
        page: the README of the bundle in the repository.
        provenance: origin of the weights and scores.
        train: the bundle's training config, to list the settings that the run changed.
        packaged: the package.
        code: name of the package's folder of code.
    """
    metadata = packaged.metadata
    # a pretext may need a part of its network for its scores that a package lacks
    evaluates = str(packaged.config("evaluate.yaml").get("weights")).endswith("/model.pt'")
    parts = (part.partition("\n") for part in page.split("\n## ")[1:])
    texts = {heading: text.strip() for heading, _, text in parts}
    rows = [f"| {name} | {value} |" for name, value in provenance.eval_metrics().items() if name != "measured_on"]
    return _TEMPLATE.substitute(
        {name: metadata[name] for name in ("name", "description", "intended_use")},
        **{name.lower().replace(" ", "_"): texts.get(name, "not given") for name in _SECTIONS},
        bundle=packaged.name,
        code=code,
        measured_on=provenance.measured_on,
        scores="\n".join(["| score | |", "|---|---|", *rows]),
        trained_on=provenance.data,
        origin=yaml.safe_dump(provenance.origin(train), sort_keys=False, default_flow_style=None, width=100).rstrip(),
        packages=" ".join(f'"{name}=={version}"' for name, version in packaged.requirements.items()),
        input="--input /data/exam"
        if "input" in packaged.config("inference.yaml")
        else "--datalist /data/datalist.json",
        evaluate=_EVALUATE if evaluates else "",
        onnx=onnx_command(packaged),
    )


def with_training(metadata: Mapping[str, Any], provenance: Provenance) -> dict[str, Any]:
    """A bundle's metadata with the scores and the training data of its weights."""
    source = f"{metadata['data_source']} Training and test data of the weights in this bundle: {provenance.data}."
    rights = "" if provenance.run.ships else " (code, not weights)"
    return {
        **metadata,
        "copyright": metadata["copyright"] + rights,
        "data_source": source,
        "eval_metrics": provenance.eval_metrics(),
    }


def with_training_data(licence: str, provenance: Provenance) -> str:
    """A bundle's data_license.txt with the origin of the packaged weights."""
    if provenance.run.ships:
        return licence
    return (
        f"Training and test data of the weights in models/: {provenance.data}.\n"
        "If these data have terms, they apply to the weights. Add the terms here before you publish the bundle.\n\n"
    ) + licence
