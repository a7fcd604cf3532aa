"""A bundle under check and the data that several checks share: weights, settings and network, each read once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from planewise.engines.weights_settings import settings_of
from planewise.networks import read_weights, weights_path
from planewise.packaging.bundle import Bundle
from planewise.packaging.run import Run
from planewise.packaging.shapes import size_of


class Candidate:
    """Data that the checks of one bundle share.

    Args:
        bundle: the bundle under check.
        scratch: a folder for files of the checks.
        weights: a checkpoint, or a run's or bundle's folder; by default the bundle's own.
        overrides: overrides as on the command line of ``python -m monai.bundle run``.

    Functions that build a network must be called inside `Bundle.importable`.
    """

    def __init__(
        self, bundle: Bundle, scratch: Path, weights: str | Path | None = None, overrides: Sequence[str] = ()
    ) -> None:
        self.bundle = bundle
        self.scratch = scratch
        self.named_weights = weights
        self.overrides = overrides

    @cached_property
    def weights_file(self) -> Path | None:
        """The file with the weights; None if the bundle has none and none were named.

        Raises:
            InputError: the named file does not exist.
        """
        if self.named_weights is not None:
            return Path(weights_path(self.named_weights))
        return self.bundle.weights if self.bundle.weights.is_file() else None

    @cached_property
    def weights(self) -> dict[str, torch.Tensor] | None:
        """Maps names to tensors, on the CPU; None if there is no file.

        Raises:
            InputError: the file contains no weights.
        """
        return read_weights(self.weights_file) if self.weights_file else None

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings of the inference config that the run of these weights changed, as the packager writes them.

        Raises:
            InputError: the run belongs to another bundle, or replaces a setting with its own code.
        """
        run = Run.of_weights(self.weights_file) if self.weights_file and not self.bundle.is_packaged else None
        if run is None:
            return {}
        return settings_of(run, self.bundle.config("train.yaml"), self.bundle.config("inference.yaml"))[
            "inference.yaml"
        ]

    @cached_property
    def network(self) -> nn.Module:
        """``network_def`` with `settings` and with initial weights."""
        return self.bundle.network(self.settings)

    @cached_property
    def checkpoint(self) -> Path:
        """A file of weights for MONAI's exporters; if the bundle has no weights, they are the initial weights of
        `network`."""
        path = self.scratch / "model.pt"
        torch.save(self.network.state_dict() if self.weights is None else self.weights, path)
        return path

    @cached_property
    def trained_network(self) -> nn.Module:
        """`network` with the weights of `checkpoint`, in evaluation mode.

        Raises:
            RuntimeError: the weights do not fit.
        """
        network = self.network.eval()
        network.load_state_dict(torch.load(self.checkpoint, map_location="cpu", weights_only=True))
        return network

    @cached_property
    def example(self) -> torch.Tensor:
        """A batch of two inputs with the shape in metadata.json, with n = 2 in the formula of the first side, n = 3 in
        the formula of the second side, and so on."""
        image = self.bundle.metadata["network_data_format"]["inputs"]["image"]
        formulas = enumerate(image["spatial_shape"], start=2)
        sizes = [size_of(formula, n) for n, formula in formulas]
        return torch.rand(2, image["num_channels"], *sizes)

    @cached_property
    def expected(self) -> torch.Tensor:
        """The output of `trained_network` for `example`."""
        with torch.no_grad():
            return self.trained_network(self.example)

    @property
    def export_options(self) -> dict[str, Any]:
        """Arguments for MONAI's exporters."""
        return {
            "ckpt_file": str(self.checkpoint),
            "meta_file": self.bundle.metadata_file,
            "config_file": self.bundle.config_file("inference.yaml"),
            "bundle_root": str(self.bundle.folder),
            **self.settings,
        }

    @property
    def takes_images(self) -> bool:
        """Whether the network's input is an image, according to metadata.json."""
        return self.bundle.metadata["network_data_format"]["inputs"]["image"]["type"] == "image"
