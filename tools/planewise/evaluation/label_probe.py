"""Measure how well a task's labels can be predicted from a frozen encoder's features, before any fine-tuning."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.engines import PrepareBatch, default_prepare_batch
from monai.networks import eval_mode
from torch import Tensor, nn

from planewise.data import BatchLoader, select_subjects
from planewise.metrics import linear_probe, neighbour_probe
from planewise.reports.tables import json_values, write_json

logger = logging.getLogger(__name__)

#: Name in ``metrics.json`` of each probe.
PROBES = {"linear": linear_probe, "neighbours": neighbour_probe}


def probe_labels(
    network: nn.Module,
    fitted: Any,
    scored: Any,
    score: Callable[[Tensor, Tensor], float],
    counts: Sequence[int],
    draws: int,
    output_dir: str | Path,
    score_name: str = "score",
    targets: Callable[[Tensor], Tensor] | None = None,
    prepare_batch: PrepareBatch = default_prepare_batch,
    inferer: Callable[..., Tensor] | None = None,
    batch_size: int = 16,
) -> dict[str, Any]:
    """Score two probes that learn from few labelled exams, on the inputs of the network's ``head``, and write
    ``metrics.json``.

    The encoder is not trained; its weights are pretrained, or random if no weights were loaded. A ridge regression
    (`linear_probe`) and the nearest neighbours (`neighbour_probe`) are fitted to the exams that a fine-tuning run would
    use with the same ``num_subjects`` and ``subject_seed``. They predict the exams of ``scored``.

    Args:
        network: network with a ``head`` (`planewise.networks.NamedParts`).
        fitted: the dataset of the training section, all exams; with ``items`` that name their ``exam``.
        scored: the dataset whose exams are predicted.
        score: the task's score of logits ``(N, K)`` and labels, such as `planewise.metrics.grade_kappa`. It gets the
            predicted targets minus one half.
        counts: numbers of labelled exams.
        draws: number of draws of these exams; draw d has ``subject_seed`` d. If the count is the number of all exams, there
            is a single draw, because all draws would be the same.
        output_dir: folder for ``metrics.json``: ``{"score": name, "features": D, "exams": number of predicted exams,
            "linear": {count: [score of each draw]}, "neighbours": {..}}``. A score that is undefined is null.
        score_name: the score's name for people, such as ``"kappa"``.
        targets: turns labels into targets between 0 and 1, ``(N, K)``; None takes the labels themselves.
        prepare_batch: as for the bundle's evaluator.
        inferer: as for the bundle's evaluator; None calls the network.
        batch_size: number of exams per call of the network.

    Returns:
        The content of ``metrics.json``.

    Raises:
        InputError: a count exceeds the number of training exams.
    """

    def read(dataset: Any) -> tuple[Tensor, Tensor]:
        return _head_inputs(network, BatchLoader(dataset, batch_size=batch_size), prepare_batch, inferer)

    exams = [item["exam"] for item in fitted.items]
    # refuse a count that is too large before anything is computed
    chosen = {
        count: [
            {item["exam"] for item in select_subjects(fitted.items, count, draw)}
            for draw in range(draws if count < len(set(exams)) else 1)
        ]
        for count in counts
    }
    (features, labels), (queries, wanted) = read(fitted), read(scored)
    encoded = labels if targets is None else targets(labels)
    found: dict[str, Any] = {"score": score_name, "features": features.shape[1], "exams": len(queries)}
    for name, probe in PROBES.items():
        found[name] = {}
        for count, of_draws in chosen.items():
            scores = []
            for names in of_draws:
                rows = [row for row, exam in enumerate(exams) if exam in names]
                scores.append(score(probe(features[rows], encoded[rows], queries).nan_to_num(0.5) - 0.5, wanted))
            found[name][count] = scores
    found = json_values(found)
    file = Path(output_dir) / "metrics.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, found)
    logger.info(f"{len(exams)} training exams, {len(queries)} exams predicted; wrote {file}")
    return found


def _head_inputs(
    network: nn.Module, loader: BatchLoader, prepare_batch: PrepareBatch, inferer: Callable[..., Tensor] | None
) -> tuple[Tensor, Tensor]:
    """The head's input for every item, ``(N, D)``, and the items' labels, both on the CPU, float32."""
    device = next(network.parameters()).device
    seen: list[Tensor] = []
    labels: list[Tensor] = []
    hook = network.head.register_forward_pre_hook(lambda head, inputs: seen.append(inputs[0].float().cpu()))
    try:
        with torch.no_grad(), eval_mode(network):
            for batch in loader:
                image, label, args, kwargs = (*prepare_batch(batch, device, False), (), {})[:4]
                if inferer is None:
                    network(image, *args, **kwargs)
                else:
                    inferer(image, network, *args, **kwargs)
                labels.append(label.cpu())
    finally:
        hook.remove()
    return torch.cat(seen), torch.cat(labels)
