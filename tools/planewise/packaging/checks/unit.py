"""Repeat the assertions of the zoo's unit test of each bundle: the names that MONAI looks for in a bundle's configs."""

from __future__ import annotations

from monai.bundle import ConfigWorkflow

from planewise.packaging.bundle import Bundle
from planewise.packaging.checks.candidate import Candidate
from planewise.packaging.checks.finding import need
from planewise.packaging.network_overlays import network_overlays

_OVERLAYS = ("evaluate.yaml", "multi_gpu_train.yaml", "demo.yaml")


def workflows(bundle: Bundle) -> list[tuple[list[str], str]]:
    """Configs that run together, each with MONAI's type of workflow: ``(["train.yaml", "demo.yaml"], "train")``."""
    networks = network_overlays(bundle)
    pairs = [
        (["train.yaml"], "train"),
        *((["train.yaml", file], "train") for file in (*_OVERLAYS, *networks)),
        (["inference.yaml"], "infer"),
        *((["inference.yaml", file], "infer") for file in networks),
    ]
    return [pair for pair in pairs if all(file in bundle.texts for file in pair[0])]


def names(candidate: Candidate, files: list[str], kind: str) -> str:
    """The configs have every name that MONAI requires, and refer to it as MONAI expects."""
    bundle = candidate.bundle
    paths = [bundle.config_file(file) for file in files]
    workflow = ConfigWorkflow(paths, bundle.metadata_file, logging_file=False, workflow_type=kind)
    workflow.parser.parse(True)  # as initialize does, without building anything
    properties = workflow.properties.items()
    missing = [entry["id"] for _, entry in properties if entry["required"] and entry["id"] not in workflow.parser]
    need(not missing, f"missing: {', '.join(missing)}")
    wrong = []
    for name, entry in properties:
        try:
            fits = entry["required"] or workflow._check_optional_id(name=name, property=entry)
        except AttributeError:  # MONAI treats the entry as text
            fits = False
        if not fits:
            wrong.append(f"{entry['refer_id']} must be '@{entry['id']}' or an expression")
    need(not wrong, "; ".join(wrong))
    return f"{len(properties)} names"
