"""Fit a random forest, with the interface of a trainer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sklearn.ensemble import RandomForestClassifier
from torch.utils.data import Dataset

from planewise.errors import InputError
from planewise.files.atomic_write import atomic_write
from planewise.networks import ForestNet
from planewise.reports.tables import write_csv

logger = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class ForestTrainer:
    """Fit scikit-learn's random forest to the features of a dataset, and copy the forest into a network.

    There are no epochs, and there is nothing to resume: fitting takes a second, so every run starts over.

    Args:
        dataset: items with ``image``, the features ``(F,)``, and ``label``, the index of the class.
        network: the network that gets the forest.
        feature_names: names of the features, as columns of ``features.csv``.
        output_dir: folder to which ``features.csv`` is written.
        ckpt_dir: folder to which ``model.pt``, the network's state dict, is written.
        seed: seed of the forest.
        max_epochs: always 1; MONAI's tools expect this argument.
        train_handlers: not used; MONAI's tools expect this argument.
    """

    dataset: Dataset
    network: ForestNet
    feature_names: Sequence[str]
    output_dir: str | Path
    ckpt_dir: str | Path
    seed: int = 0
    max_epochs: int = 1
    train_handlers: Sequence[Any] = ()

    def run(self) -> None:
        """Fit the forest, copy it into the network, and save the network and the features.

        Raises:
            InputError: a class has no exam.
        """
        items = [self.dataset[index] for index in range(len(self.dataset))]
        labelled = [item for item in items if "label" in item]
        classes = self.network.probability.shape[-1]
        if absent := sorted(set(range(classes)) - {int(item["label"]) for item in labelled}):
            raise InputError(
                f"each of the {classes} classes needs a training exam with masks at both ED and ES, but class "
                f"{', '.join(map(str, absent))} has none; add such exams (`planewise index --classes` reads the group from "
                "the column `group`; --class_key names another column)"
            )
        features = torch.stack([item["image"] for item in labelled])
        labels = torch.stack([item["label"] for item in labelled])
        forest = RandomForestClassifier(n_estimators=self.network.probability.shape[0], random_state=self.seed)
        forest.fit(features.numpy(), labels.numpy())
        self.network.copy_forest(forest)
        columns = {"exam": [item["exam"] for item in labelled], "group": [item["group"] for item in labelled]}
        columns |= {name: features[:, index].tolist() for index, name in enumerate(self.feature_names)}
        write_csv(Path(self.output_dir) / "features.csv", columns)
        with atomic_write(Path(self.ckpt_dir) / "model.pt") as part:
            torch.save({name: value.cpu() for name, value in self.network.state_dict().items()}, part)
        logger.info("fitted %d trees to %d exams", len(forest.estimators_), len(labelled))
