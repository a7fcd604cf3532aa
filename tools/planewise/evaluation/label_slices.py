"""Turn the predicted locations or order of a stack's slices into labels for a viewer and a verdict."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from numpy.typing import NDArray
from torch import Tensor

from planewise.evaluation.exam_writer import ExamWriter
from planewise.evaluation.only_a_picture import only_a_picture
from planewise.evaluation.slice_order_scores import pair_logits
from planewise.geometry import location_order, order_strength
from planewise.metrics.slice_order import places_by_votes
from planewise.networks import SharedEncoderNet
from planewise.reports.research_only import RESEARCH_ONLY
from planewise.reports.slices import QUICK_PNG, stack_figure
from planewise.reports.tables import json_values, write_json

logger = logging.getLogger(__name__)

Mapped = Literal["linear", "sine"]
#: Upper bounds of the labels 1, 2, ...: thirds of the stack. With the sine (Zhang 2024 Eq. 4), label 1 is both outer thirds.
_THIRDS: Mapping[str, tuple[float, ...]] = {"linear": (1 / 3, 2 / 3), "sine": (float(np.sin(np.pi / 3)),)}


class LabelSlicesd(Transform):
    """Label whole slices by their location, and also return the locations as numbers.

    MONAI Label shows ``pred`` as labels and returns ``result`` as JSON; a viewer truncates floats to whole numbers.

    Reads ``pred``, ``(1, i, j, slices)``, the location, constant over each slice. Writes

    - ``pred``: labels ``(1, i, j, slices)``, uint8. With the linear mapping, labels 1, 2 and 3 mark the thirds from
      location 0 to 1; with the sine, label 1 marks the outer thirds and label 2 the middle third. A stack without order
      has no label.
    - ``locations``: ``(slices,)``.
    - ``result``: locations, order and verdict as plain values, None for unknown numbers.

    Args:
        mapping: mapping of the location, ``"linear"`` (Zhang 2024 Eq. 3) or ``"sine"`` (Eq. 4).
        min_order: smallest accepted order (`location_order`); for the linear mapping, the smallest accepted absolute
            value. Below it, the verdict is "no order".
        start: name of the slice at location 0, for the linear mapping.
    """

    def __init__(self, mapping: Mapped = "linear", min_order: float = 0.7, start: str = "basal") -> None:
        self.mapping = mapping
        self.min_order = min_order
        self.start = start

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return with_locations(data, channel_locations(data["pred"]), self.mapping, self.min_order, self.start)


_NO_ORDER = "no order"


def with_locations(
    data: Mapping[Hashable, Any], locations: NDArray[np.floating], mapping: Mapped, min_order: float, start: str
) -> dict[Hashable, Any]:
    """An item with the output of `LabelSlicesd`, from the locations of its slices.

    Args:
        data: item with ``pred``, ``(1, i, j, slices)``; only its shape and metadata are used.
        locations: ``(slices,)``.
        mapping, min_order, start: see `LabelSlicesd`.
    """
    item = dict(data)
    prediction = item["pred"]
    order, verdict = stack_verdict(locations, mapping, min_order, start)
    numbers = np.searchsorted(_THIRDS[mapping], locations, side="right") + 1
    if verdict == _NO_ORDER:
        numbers[:] = 0
    labels = torch.as_tensor(numbers, dtype=torch.uint8).expand(prediction.shape).clone()
    item["pred"] = MetaTensor(labels, meta=prediction.meta) if isinstance(prediction, MetaTensor) else labels
    item["locations"] = locations
    result = {"note": RESEARCH_ONLY, **item.get("result", {}), "verdict": verdict, "order": round(order, 3)}
    item["result"] = json_values(result | {"locations": [round(float(value), 4) for value in locations]})
    return item


def channel_locations(prediction: Tensor) -> NDArray[np.floating]:
    """The location of each slice, ``(slices,)``, from the channel ``(1, i, j, slices)``. The channel is constant over each
    slice. The location is read at the middle of the slice, which is on the volume's grid despite any padding."""
    channel = np.asarray(prediction[0].cpu())
    return channel[channel.shape[0] // 2, channel.shape[1] // 2]


def stack_verdict(locations: NDArray[np.floating], mapping: Mapped, min_order: float, start: str) -> tuple[float, str]:
    """Judge a stack by the locations of its slices.

    Args:
        locations: ``(slices,)``.
        mapping, min_order, start: see `LabelSlicesd`.

    Returns:
        The order (`location_order`), and the verdict in words.
    """
    order = location_order(locations, mapping)
    if not order_strength(order, mapping) >= min_order:
        return order, _NO_ORDER
    if mapping == "sine":
        # the middle is the balance point of the locations, which is more stable than their maximum
        above = np.clip(locations - 0.5 * (locations.min() + locations.max()), 0, None)
        middle = round(float(above @ np.arange(len(locations)) / above.sum())) + 1
        return order, f"slice {middle} of {len(locations)}, from the stack's first end, is the middle"
    return order, f"{'first' if order > 0 else 'last'} slice is {start}"


class OrderSlicesd(Transform):
    """Put the slices of a stack in order by the votes of all their pairs (`places_by_votes`), and name its ends.

    Reads ``features``, ``(slices, D)``, from `SliceFeaturesd`, and the shape of ``pred``, ``(1, i, j, slices)``. Writes
    the same entries as `LabelSlicesd`: ``pred`` with the thirds of the stack as labels, ``locations`` and ``result``. A
    location is the slice's position in the predicted order, from 0 for the first to 1 for the last.

    Args:
        network: network whose head takes the features of two slices.
        min_order, start: see `LabelSlicesd`.
    """

    def __init__(self, network: SharedEncoderNet, min_order: float = 0.7, start: str = "basal") -> None:
        self.network = network
        self.min_order = min_order
        self.start = start

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        places = places_by_votes(pair_logits(self.network, torch.as_tensor(data["features"])))
        return with_locations(data, places, "linear", self.min_order, self.start)


if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LocationWriter(ExamWriter):
    """For every stack, write its slices' relative locations into ``output_dir/<exam>/``.

    - ``locations.json``: the location of each slice; the conclusions (which end of a short-axis stack is the base;
      which slice of a knee is its middle); and how well the locations follow the expected order (`location_order`).
      The verdict "no order" means that the stack shows another organ than the network's training data, or that its
      slices run in another direction;
    - ``locations.png``: the slices with their locations.

    Attach it to the evaluator of an inference config, whose postprocessing runs `LabelSlicesd` or `OrderSlicesd`.

    Args:
        output_dir: folder for the results.
    """

    def write(self, exam: str, folder: Path, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        locations, result = output["locations"], output["result"]
        known = {name: result[name] for name in ("note", "verdict", "order")}
        write_json(folder / "locations.json", known | {"locations": locations.tolist()})
        image = np.asarray(output["image"][0].cpu())

        def draw(axes: Axes, number: int) -> None:
            axes.set_title(f"{locations[number]:.2f}", fontsize=9)

        with only_a_picture("locations.png"):
            figure = stack_figure(image, draw, f"exam {exam}: {result['verdict']}\n{RESEARCH_ONLY}")
            figure.savefig(folder / "locations.png", dpi=110, pil_kwargs=QUICK_PNG)
        logger.info("exam %s: %s (order %s)", exam, result["verdict"], result["order"])
