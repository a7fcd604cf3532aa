"""A pretext as the other task of a network that learns another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.engines import SupervisedTrainer
from torch import nn

from planewise.engines.processes import parallel_network
from planewise.engines.settings_check import check_settings, evaluated_settings
from planewise.errors import InputError
from planewise.networks import TwoHeadLearner


class PretextTask:
    """A pretext that goes on being learned, on the encoder and decoder of another network (Bai 2019, section 2, multi-task).

    Batches, targets, loss and head are those of the pretext's own configuration, so any pretext that trains a network with
    these parts can be the other task.

    Args:
        config_file: the pretext's ``train.yaml``, or a list of files, of which a later one overrides an earlier one.
        network: the network that is kept; with `encoder`, `decoder` and `head`.
        run_settings: settings that the run decides for both tasks, in place of the configuration's.
        settings: further settings in place of the configuration's, or of the run's.

    Attributes:
        network: the pretext's, whose encoder and decoder are those of the network that is kept.
        learner: what is trained, see `TwoHeadLearner`.

    Raises:
        InputError: there is no such configuration or setting, a setting cannot be, or the networks do not fit each other.
    """

    def __init__(
        self,
        config_file: str | Sequence[str],
        network: nn.Module,
        run_settings: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        files = config_files(config_file)
        self._parser = ConfigParser(ConfigParser.load_config_files(files))
        if unknown := [name for name in settings or () if name not in self._parser]:
            raise InputError(f"--pretext_settings has {', '.join(unknown)}, which the pretext of {files[0]} has not")
        self._parser.update({name: value for name, value in run_settings.items() if name in self._parser})
        self._parser.update(dict(settings or {}))
        check_settings(evaluated_settings(self._parser))
        if self._parser["train#trainer#network"] != "@network":
            raise InputError(
                f"the pretext of {files[0]} trains more than its network, and can be no other task; name one of "
                "orientations, locations or positions with --pretext_config"
            )
        self.network: nn.Module = self._parser.get_parsed_content("network")
        try:
            self.learner = TwoHeadLearner(network, self.network)
        except ValueError as error:
            raise InputError(
                f"the pretext of {files[0]} has another network ({error}); name a pretext with a U-Net of these --features "
                "with --pretext_config"
            ) from error

    def trainer(self, optimizer: torch.optim.Optimizer) -> SupervisedTrainer:
        """The pretext's trainer, with nothing attached, for single iterations that step ``optimizer``.

        Its gradients are made anew in each iteration: what has none is left where it is.

        Args:
            optimizer: holds all weights of `learner`.

        Raises:
            InputError: it does not.
        """
        held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
        if any(id(weight) not in held for weight in self.network.parameters() if weight.requires_grad):
            raise InputError(
                "the optimizer lacks the pretext's head; its weights are those of @learner, not of @network"
            )
        # as the run has decided for the layers that both tasks share
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


def config_files(config_file: str | Sequence[str]) -> list[str]:
    """The files that make a configuration, in their order.

    Raises:
        InputError: one of them is not there.
    """
    files = [config_file] if isinstance(config_file, str) else list(config_file)
    files = [str(Path(file).expanduser()) for file in files]
    if absent := [file for file in files if not Path(file).is_file()]:
        raise InputError(
            f"there is no configuration of a pretext at {absent[0]}; name its configs/train.yaml with --pretext_config"
        )
    return files
