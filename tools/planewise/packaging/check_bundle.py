"""Check a bundle for the Model Zoo and MONAI Label, with MONAI's own verifiers where they exist."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from planewise.errors import InputError
from planewise.networks import weights_path
from planewise.packaging.bundle import Bundle, without_noise
from planewise.packaging.checks import label, ours, unit, zoo
from planewise.packaging.checks.candidate import Candidate
from planewise.packaging.checks.finding import Finding, Remark, Tier, reason
from planewise.packaging.network_overlays import bundle_of_run
from planewise.packaging.run import Run


@dataclass(frozen=True)
class Check:
    """A check with its name, and with the audience that a failure affects.

    ``run`` returns a detail or None. If it raises a `Remark`, the finding is a warning; any other error is a failure.
    """

    tier: Tier
    name: str
    run: Callable[[Candidate], str | None]

    def __call__(self, candidate: Candidate) -> Finding:
        """Run the check and return its finding; no error is raised."""
        try:
            with without_noise(), candidate.bundle.importable():
                return Finding("ok", self.name, self.run(candidate) or "", self.tier)
        except Remark as remark:
            return Finding("warning", self.name, str(remark), self.tier)
        except Exception as error:  # any error that a config can raise is a finding
            return Finding("FAIL", self.name, reason(error), self.tier)


def check_bundle(
    folder: str | Path, weights: str | Path | None = None, overrides: Sequence[str] = ()
) -> Iterator[Finding]:
    """Check a bundle, in the repository or packaged, without changing it and without a network connection.

    Args:
        folder: folder of the bundle.
        weights: a checkpoint, or a run's or bundle's folder; by default the bundle's own.
        overrides: overrides as on the command line of ``python -m monai.bundle run``; those that no config has are
            reported.

    Yields:
        Each finding as soon as it is known.

    Raises:
        InputError: the folder is not a bundle.
    """
    bundle = Bundle(folder)
    with tempfile.TemporaryDirectory() as scratch:
        bundle, _ = bundle_of_run(bundle, _run(weights), Path(scratch) / "bundle")
        candidate = Candidate(bundle, Path(scratch), weights, overrides)
        try:
            _ = bundle.metadata
        except InputError as error:
            yield Finding("FAIL", "metadata", f"{error}; the other checks need this file, so they did not run", "zoo")
            return
        for check in checks_for(candidate):
            yield check(candidate)


def _run(weights: str | Path | None) -> Run | None:
    """The run of the named weights; None if there is no run, or if it cannot be read (a separate check reports this)."""
    try:
        return Run.of_weights(Path(weights_path(weights))) if weights is not None else None
    except InputError:
        return None


def checks_for(candidate: Candidate) -> list[Check]:
    """All applicable checks, in the order in which `planewise check` prints them."""
    bundle = candidate.bundle
    checks = [
        Check("zoo", "files", zoo.files),
        Check("ours", "model card", ours.model_card),
        Check("zoo", "metadata", zoo.metadata),
        Check("zoo", "versions", zoo.versions),
        Check("zoo", "required packages", zoo.required_packages),
        Check("ours", "scores", ours.scores),
        Check("label", "channels", label.channels),
        Check("label", "configs stand alone", label.stand_alone),
        Check("ours", "no absolute paths", ours.no_absolute_paths),
        Check("label", "handlers", label.handlers),
    ]
    for files, kind in unit.workflows(bundle):
        checks.append(Check("unit", f"names in {' + '.join(files)}", partial(unit.names, files=files, kind=kind)))
    checks += [
        Check("label", "names that MONAI Label sets", label.settable_names),
        Check("zoo", "network in inference.yaml", partial(zoo.network_fits, file="inference.yaml")),
        Check("ours", "network in train.yaml", partial(zoo.network_fits, file="train.yaml")),
        Check("zoo", "weights", zoo.weights),
        Check("zoo", "TorchScript", zoo.torchscript),
        Check("ours", "ONNX", ours.onnx),
        Check("label", "MONAI Label inference", label.inference),
        Check("label", "MONAI Label training", label.training),
    ]
    if bundle.is_packaged:
        checks += [Check("ours", "code", ours.code), Check("ours", "sums", ours.sums)]
    checks.append(Check("ours", "documented commands", ours.documented_commands))
    if candidate.overrides:
        checks.append(Check("ours", "overrides", ours.overrides))
    return checks
