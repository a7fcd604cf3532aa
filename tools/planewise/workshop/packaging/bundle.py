"""The folder of a bundle, in the repository or packaged."""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import yaml
from monai.bundle import ConfigParser, verify_metadata, verify_net_in_out
from torch import nn

from planewise.engines.run_record import forget, own_code
from planewise.errors import InputError
from planewise.files.text import read_json, read_plain_text
from planewise.networks import not_finite

#: Schema of metadata.json, passed to MONAI, which would otherwise download it.
SCHEMA = Path(__file__).with_name("metadata_schema.json")
#: Values of ``n`` in the formulas of metadata's shapes (``16*n``) with which networks are tried.
_SIZES = (1, 3)


class Bundle:
    """A folder with ``configs/`` in it; an InputError if it is not a bundle, or if a file in it cannot be read."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self.name = self.folder.name
        if not (self.folder / "configs" / "metadata.json").is_file():
            raise InputError(f"{folder} is not a bundle: it has no configs/metadata.json; name a folder of bundles/")

    @property
    def weights(self) -> Path:
        return self.folder / "models" / "model.pt"

    @property
    def metadata_file(self) -> str:
        return str(self.folder / "configs" / "metadata.json")

    @cached_property
    def metadata(self) -> dict[str, Any]:
        return read_json(self.metadata_file)

    @cached_property
    def texts(self) -> dict[str, str]:
        """Maps the file name of every YAML config to its text."""
        return {path.name: read_plain_text(path) for path in sorted((self.folder / "configs").glob("*.yaml"))}

    @cached_property
    def readme(self) -> str:
        path = self.folder / "docs" / "README.md"
        return read_plain_text(path) if path.is_file() else ""

    @property
    def requirements(self) -> dict[str, str]:
        """The version of every distribution that the bundle needs."""
        named = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
        return {name: self.metadata[key] for name, key in named.items()} | self.metadata["required_packages_version"]

    def config_file(self, file: str) -> str:
        return str(self.folder / "configs" / file)

    def config(self, file: str) -> dict[str, Any]:
        """The content of a config file; an `InputError` if it does not exist."""
        if file not in self.texts:
            raise InputError(f"{self.name} has no configs/{file}")
        return yaml.safe_load(self.texts[file])

    def network(self, settings: Mapping[str, Any] | None = None) -> nn.Module:
        """Build ``network_def`` of the inference config, with settings that replace its own. Call within `importable`."""
        with without_noise():
            return ConfigParser(self.config("inference.yaml") | (settings or {})).get_parsed_content("network_def")

    def verify(self) -> None:
        """Run MONAI's verifiers of the metadata, with this package's copy of its schema, and of the network.

        Raises:
            InputError: the metadata fails, or the network has other inputs and outputs.
        """
        with without_noise(), self.importable():
            try:
                verify_metadata(meta_file=self.metadata_file, filepath=str(SCHEMA))
                for size in _SIZES:
                    verify_net_in_out(
                        "network_def",
                        self.metadata_file,
                        self.config_file("inference.yaml"),
                        device="cpu",
                        n=size,
                        bundle_root=str(self.folder),
                    )
            except (RuntimeError, ValueError) as error:
                reason = str(error).strip().splitlines()[0]
                raise InputError(f"configs/metadata.json does not describe the network: {reason}; correct it") from None
        version = self.metadata["version"]
        if version not in self.metadata["changelog"]:
            raise InputError(
                f"configs/metadata.json: version {version} is not in its changelog; add an entry that says what is new"
            )

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Make the code that the configs name importable. Other files with the same code may be gone later, so the code is
        loaded again each time."""
        code = own_code(self.folder)
        if code is None:
            yield
            return
        written = sys.dont_write_bytecode
        forget(code.name)
        sys.path.insert(0, str(self.folder))
        sys.dont_write_bytecode = True  # no bytecode may be left in the bundle's folder
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(str(self.folder))
            sys.dont_write_bytecode = written
            forget(code.name)


@contextmanager
def without_noise() -> Iterator[None]:
    """Silence MONAI's log lines and its warning that a config can run code, because the config is ours."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def check_weights(weights: Mapping[str, torch.Tensor], network: nn.Module, where: str) -> None:
    """Check that weights, tensors by name, fit a network exactly, and load them; ``where`` names their source.

    Raises:
        InputError: a tensor is missing, does not belong to the network, has another shape, or is not finite.
    """
    if wrong := not_finite(weights):
        raise InputError(f"{where}: {', '.join(wrong[:3])} is not finite: the training diverged")
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise InputError(f"{where} does not fit network_def: {' '.join(str(error).split())}") from None


def save_weights(weights: Mapping[str, torch.Tensor], network: nn.Module, path: Path) -> None:
    """Write weights in the network's order, each tensor with its own memory, so that equal weights give equal bytes."""
    plain = {
        name: weights[name].detach().cpu().clone(memory_format=torch.contiguous_format) for name in network.state_dict()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(plain, path)
