"""Check the Model Zoo's own rules."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from monai.bundle import ckpt_export, verify_net_in_out

from planewise.errors import InputError
from planewise.own_names import OURS
from planewise.packaging import archive
from planewise.packaging.bundle import Bundle, check_metadata
from planewise.packaging.checks.candidate import Candidate
from planewise.packaging.checks.finding import Remark, need
from planewise.packaging.shapes import check_shapes
from planewise.packaging.versions import PYTHONS, untried
from planewise.packaging.weights import check_weights

FILES = (
    "LICENSE",
    "configs/train.yaml",
    "configs/evaluate.yaml",
    "configs/inference.yaml",
    "configs/logging.conf",
    "docs/README.md",
    "docs/data_license.txt",
)
#: Values of `n` in the formulas of metadata's shapes.
SIZES = (1, 3)
#: Largest allowed difference of an exported network's output.
SAME = 1e-4


def files(candidate: Candidate) -> None:
    """All files that the zoo requires exist; no config differs from its JSON twin, and no file is too large."""
    bundle = candidate.bundle
    missing = [file for file in FILES if not (bundle.folder / file).is_file()]
    need(not missing, f"missing: {', '.join(missing)}")
    configs = bundle.folder / "configs"
    short = [path.name for path in configs.glob("*.yml")]
    need(not short, f"{', '.join(short)}: MONAI Label opens only .yaml")
    twins = [name for name in bundle.texts if not _is_its_twin((configs / name).with_suffix(".json"), bundle)]
    need(not twins, f"{', '.join(twins)} also exists as .json: the zoo would read one and MONAI Label the other")
    large = [name for name in archive.files_of(bundle.folder) if _is_large(bundle, name)]
    if large:
        raise Remark(
            f"over 25 MB: {', '.join(large)}; the zoo stores them elsewhere (`{OURS} package --zoo --url URL`)"
        )
    if "multi_gpu_train.yaml" not in bundle.texts:
        raise Remark("there is no configs/multi_gpu_train.yaml")


def _is_its_twin(file: Path, bundle: Bundle) -> bool:
    """Whether a config's ``.json`` is absent or, in a package, has the same content."""
    if not file.exists():
        return True
    try:
        return bundle.is_packaged and json.loads(file.read_text()) == bundle.config(f"{file.stem}.yaml")
    except ValueError:
        return False


def _is_large(bundle: Bundle, name: str) -> bool:
    # files of a run in the bundle's folder do not belong to the bundle
    run = name.startswith(("eval/", "runs/", "logs/")) or name.endswith(".ckpt")
    return not run and (bundle.folder / name).stat().st_size > archive.LARGEST


def metadata(candidate: Candidate) -> str:
    """metadata.json follows its schema."""
    check_metadata(candidate.bundle)
    return f"version {candidate.bundle.metadata['version']}"


def versions(candidate: Candidate) -> None:
    """metadata.json has plain versions: the zoo installs ``name==version``, and for MONAI any version below the next
    patch."""
    content = candidate.bundle.metadata
    named = {key: content[key] for key in ("monai_version", "pytorch_version", "numpy_version")}
    odd = [f"{key} {value}" for key, value in named.items() if not re.fullmatch(r"\d+(\.\d+)*", str(value))]
    required = content["required_packages_version"]
    odd += [f"{name} {value}" for name, value in required.items() if not re.fullmatch(r"[0-9][\w.!]*", str(value))]
    need(not odd, f"not plain versions: {', '.join(odd)}")
    new = untried(candidate.bundle.named_versions)
    if new:
        raise Remark(f"not tested whether Python {PYTHONS[0]} to {PYTHONS[-1]} can install {', '.join(new)}")


def required_packages(candidate: Candidate) -> None:
    """metadata.json names everything that the bundle's code imports."""
    missing = candidate.bundle.requirements()
    text = ", ".join(f"{name} {version}" for name, version in missing.items())
    if missing and not candidate.bundle.is_packaged:
        raise Remark(f"metadata.json does not name {text}; `{OURS} package` adds them")
    need(not missing, f"metadata.json does not name {text}")


def network_fits(candidate: Candidate, file: str) -> str:
    """A config's network takes and returns the shapes in metadata.json, at `SIZES`."""
    bundle = candidate.bundle
    check_shapes(bundle.metadata)
    for size in SIZES:
        verify_net_in_out(
            "network_def",
            bundle.metadata_file,
            bundle.config_file(file),
            device="cpu",
            n=size,
            bundle_root=str(bundle.folder),
        )
    return f"at n = {' and '.join(map(str, SIZES))}"


def weights(candidate: Candidate) -> str:
    """The weights fit every tensor of the network, and can be read without a GPU."""
    bundle, file, named = candidate.bundle, candidate.weights_file, candidate.named_weights
    if file is None:
        large = bundle.folder / archive.LARGE
        if large.is_file() and "models/model.pt" in large.read_text():
            return f"named in {archive.LARGE}"
        if bundle.is_packaged:
            raise InputError(f"there is neither models/model.pt nor {archive.LARGE} that names it")
        raise Remark("the bundle has no weights; name the weights of a run with --weights")
    content, settings = candidate.weights, candidate.settings
    check_weights(content, candidate.network, file.name if named is None else str(named))
    if bundle.is_packaged:
        # without map_location, because the file must load on any device
        stored = torch.load(file, weights_only=True)
        elsewhere = {str(value.device) for value in stored.values()} - {"cpu"}
        need(not elsewhere, f"the weights must be stored on the CPU, but are on {', '.join(elsewhere)}")
    as_trained = f", with {', '.join(settings)} as in the run" if settings else ""
    return f"{sum(value.numel() for value in content.values()):,} values{as_trained}"


def torchscript(candidate: Candidate) -> str:
    """The network can be exported to TorchScript, and the export gives the same output."""
    expected, file = candidate.expected, candidate.scratch / "model.ts"
    ckpt_export("network_def", filepath=str(file), **candidate.export_options)
    with torch.no_grad():
        difference = float((torch.jit.load(file)(candidate.example) - expected).abs().max())
    need(difference < SAME, f"its output differs by {difference:.2g}")
    return f"output within {difference:.1g}"
