"""Train a pretext as the second task of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from monai.utils import ensure_tuple
from torch import nn

from planewise.engines.check_settings import check_plain_settings, check_settings
from planewise.engines.processes import parallel_network
from planewise.errors import InputError
from planewise.networks import TwoHeadLearner


class AuxiliaryTask:
    """A pretext whose training continues on the encoder and decoder of another network (Bai 2019, section 2, multi-task).

    Batches, targets, loss and head come from the pretext's own configuration. The other task can therefore be any
    pretext whose network has an encoder and a decoder.

    Args:
        config_file: the pretext's ``train.yaml``, or a list of files, where later files override earlier ones.
        network: the main task's network, with an `encoder`, a `decoder` and a `head`.
        run_settings: settings of the run that apply to both tasks; they replace those of the configuration.
        settings: further settings; they replace those of the configuration and of the run.

    Attributes:
        network: the pretext's network, with the encoder and decoder of the main task's network.
        learner: the trained parts (`TwoHeadLearner`).

    Raises:
        InputError: there is no such configuration or setting, a setting is invalid, or the two networks cannot share
            their encoder and decoder.
    """

    def __init__(
        self,
        config_file: str | Sequence[str],
        network: nn.Module,
        run_settings: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        files = [str(Path(file).expanduser()) for file in ensure_tuple(config_file)]
        if absent := [file for file in files if not Path(file).is_file()]:
            raise InputError(
                f"there is no pretext configuration at {absent[0]}; name its configs/train.yaml with --pretext_config"
            )
        self._parser = ConfigParser(ConfigParser.load_config_files(files))
        settings = settings or {}
        if unknown := [name for name in settings if name not in self._parser]:
            raise InputError(
                f"unknown setting in --pretext_settings: {', '.join(unknown)}; the pretext of {files[0]} does not have"
                " it"
            )
        self._parser.update({name: value for name, value in run_settings.items() if name in self._parser})
        self._parser.update(dict(settings))
        check_plain_settings(self._parser.get())
        check_settings(self._parser)
        if self._parser["train#trainer#network"] != "@network":
            raise InputError(
                f"the pretext of {files[0]} also trains parts outside its network, so it cannot be the auxiliary task; name "
                "a pretext of orientation, location or position with --pretext_config"
            )
        self.network: nn.Module = self._parser.get_parsed_content("network")
        try:
            self.learner = TwoHeadLearner(network, self.network)
        except ValueError as error:
            raise InputError(
                f"the pretext of {files[0]} has a different network ({error}); name a pretext whose U-Net has the same "
                "--features with --pretext_config"
            ) from error

    def trainer(self, optimizer: torch.optim.Optimizer) -> SupervisedTrainer:
        """Make the pretext's trainer, without handlers, for single iterations that step ``optimizer``.

        It resets gradients to None in each iteration, so weights without a gradient stay unchanged.

        Args:
            optimizer: an optimiser of all weights of `learner`.

        Raises:
            InputError: the optimizer lacks some of these weights.
        """
        held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
        if any(id(weight) not in held for weight in self.network.parameters() if weight.requires_grad):
            raise InputError(
                "the optimizer lacks the weights of the pretext's head; build it from the parameters of @learner, not "
                "of @network"
            )
        # synchronise batch normalisation as in the layers that both tasks share
        synced = any(isinstance(module, nn.SyncBatchNorm) for module in self.network.modules())
        self._parser.update(
            {
                "network": self.network,
                "optimizer": optimizer,
                "train#trainer#network": parallel_network(self.network, sync_batch_norm=synced),
                "train#trainer#optim_set_to_none": True,
                "train#handlers": [],
            }
        )
        return self._parser.get_parsed_content("train#trainer")
