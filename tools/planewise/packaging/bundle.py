"""The folder of a bundle, in the repository or packaged."""

from __future__ import annotations

import ast
import importlib
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import yaml
from monai.bundle import ConfigParser, verify_metadata
from torch import nn

from planewise.errors import InputError, causes, refusal
from planewise.own_names import forget, own_code
from planewise.packaging.configs import names_in
from planewise.packaging.source import Source, foreign_imports
from planewise.packaging.versions import PINS, canonical
from planewise.text_files import read_json, read_plain_text

#: Schema of metadata.json, passed to MONAI, which would otherwise download it.
SCHEMA = Path(__file__).with_name("metadata_schema.json")
#: Packages whose versions have separate keys in metadata.json.
_NAMED_APART = {"monai": "monai_version", "torch": "pytorch_version", "numpy": "numpy_version"}
#: Packages that `python -m monai.bundle` imports.
_ALWAYS_NEEDED = {"fire"}


class Bundle:
    """A folder with ``configs/`` in it.

    Args:
        folder: folder of the bundle.

    Raises:
        InputError: it is not a bundle, or a file in it cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().resolve()
        self.name = self.folder.name
        if not (self.folder / "configs" / "metadata.json").is_file():
            raise InputError(f"{folder} is not a bundle: it has no configs/metadata.json; name a folder of bundles/")

    @property
    def is_packaged(self) -> bool:
        """Whether the bundle contains its own code."""
        return own_code(self.folder) is not None

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

    def config_file(self, file: str) -> str:
        return str(self.folder / "configs" / file)

    def config(self, file: str) -> dict[str, Any]:
        """The content of a config file.

        Raises:
            InputError: the file does not exist or is not YAML.
        """
        if file not in self.texts:
            raise InputError(f"{self.name} has no configs/{file}")
        try:
            return yaml.safe_load(self.texts[file])
        except (RecursionError, yaml.YAMLError) as error:
            raise InputError(f"{self.name}: configs/{file} is not YAML ({' '.join(str(error).split())})") from None

    @cached_property
    def source(self) -> Source:
        """The part of this package that the configs need."""
        return Source(name for text in self.texts.values() for name in names_in(text))

    def network(self, settings: Mapping[str, Any] | None = None) -> nn.Module:
        """Build ``network_def`` of the inference config, with settings that replace its own. Call within `importable`.

        Raises:
            InputError: the settings, such as those of an edited config.yaml, do not make a network.
        """
        try:
            with without_noise():
                return ConfigParser(self.config("inference.yaml") | (settings or {})).get_parsed_content("network_def")
        except (RuntimeError, ValueError, TypeError) as error:
            if refusal(error) is not None:
                raise
            reason = " ".join(str(causes(error)[-1]).split())
            raise InputError(
                f"network_def cannot be built from the settings ({reason}); correct the run's config.yaml or the bundle's "
                "configs/inference.yaml"
            ) from error

    @property
    def named_versions(self) -> dict[str, str]:
        """The version of every distribution that metadata.json names."""
        apart = {name: self.metadata[key] for name, key in _NAMED_APART.items()}
        return apart | self.metadata.get("required_packages_version", {})

    def requirements(self) -> dict[str, str]:
        """Distributions that the code imports but metadata.json does not name, each with its version in `PINS` or else
        the installed version."""
        if code := own_code(self.folder):
            imported = foreign_imports(
                node for path in code.rglob("*.py") for node in ast.walk(ast.parse(path.read_text()))
            )
        else:
            imported = self.source.foreign_imports()
        named = {canonical(name) for name in (*self.metadata.get("required_packages_version", {}), *_NAMED_APART)}
        distributions = _distributions()
        missing = {}
        for name in sorted(imported | _ALWAYS_NEEDED):
            homes = sorted(set(distributions.get(name, [name])))
            if not named & {canonical(home) for home in (*homes, name)}:
                missing[homes[0]] = _version(homes[0])
        return missing

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


def check_metadata(bundle: Bundle) -> None:
    """Check metadata.json against this package's copy of its schema, and look for its version in its changelog.

    Raises:
        InputError: the metadata fails, or jsonschema is not installed.
    """
    with without_noise():
        try:
            verify_metadata(meta_file=bundle.metadata_file, filepath=str(SCHEMA))
        except ImportError:
            raise InputError("MONAI needs jsonschema to verify metadata.json: pip install jsonschema") from None
        except ValueError as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"configs/metadata.json fails {SCHEMA.name}: {reason}") from None
    version = bundle.metadata["version"]
    if version not in bundle.metadata["changelog"]:
        raise InputError(
            f"configs/metadata.json: version {version} is not in its changelog; add an entry that says what is new"
        )


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


#: Maps each module to the distributions from which it comes. It is cached, because reading the environment takes a second.
_distributions = cache(packages_distributions)


def _version(distribution: str) -> str:
    if pinned := PINS.get(canonical(distribution)):
        return pinned
    try:
        return version(distribution).partition("+")[0]
    except PackageNotFoundError:
        raise InputError(f"{distribution} is imported but not installed; install the packages in setup.cfg") from None
