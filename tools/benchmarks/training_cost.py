"""Estimate the cost of a bundle's training by counting the operations of its network and schedule, without a GPU.

    python tools/benchmarks/training_cost.py pretext_cardiac_multitask --exams 627
    python tools/benchmarks/training_cost.py downstream_cardiac_sax_segmentation --slices 1188
    python tools/benchmarks/training_cost.py pretext_knee_multitask --exams 1000 --series 30
    python tools/benchmarks/training_cost.py downstream_knee_injury_classification --series 12 --config vit.yaml --memory
    python tools/benchmarks/training_cost.py downstream_brain_tumour_segmentation --exams 228 --batch-size 1 --memory

The output is GFLOP per slice, or per volume for a network of volumes (forward and backward), the number of steps, PFLOP, and
hours at a sustained rate of float32 operations; with ``--memory``, also the peak memory of a step.
"""

from __future__ import annotations

import argparse
import copy
import math
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from planewise.engines.check_settings import input_side
from planewise.networks import SharedEncoderNet, StackClassifier, TwoPhaseClassifier, place_network
from torch.utils.flop_counter import FlopCounterMode

BUNDLES = Path(__file__).resolve().parent.parent.parent / "bundles"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument(
        "--config", action="append", default=[], help="a config of the bundle to add to train.yaml; may be repeated"
    )
    parser.add_argument(
        "--exams",
        type=int,
        default=627,
        help="number of exams, if an epoch takes a slice, some slices or a series of each (DSBCC: 627)",
    )
    parser.add_argument("--slices", type=int, help="number of slices, if an epoch takes all of them (ACDC: 1188)")
    parser.add_argument(
        "--series", type=int, default=1, help="slices per series, if a batch has whole series (fastMRI: about 30)"
    )
    parser.add_argument(
        "--tflops", type=float, default=10.0, help="10^12 operations per second that the device sustains"
    )
    parser.add_argument("--memory", action="store_true", help="run two steps on the CPU and print the peak memory")
    parser.add_argument("--batch-size", type=int, help="batch size to use instead of the config's")
    arguments = parser.parse_args()

    own = {} if arguments.batch_size is None else {"batch_size": arguments.batch_size}
    config = settings(arguments.bundle, ("train.yaml", *arguments.config), own)
    what = "volume" if config.get("spatial_dims") == 3 else "slice"
    _, gflop = gflop_per_slice(config)
    exams = arguments.slices or arguments.exams
    drawn = config.get("samples_per_exam", 1)
    # assume that an exam has as many slices as an epoch takes from it
    each = max(arguments.series, 1 if drawn == "all" else int(drawn))
    steps, step_slices = work(config, exams, exams * each)
    petaflop = steps * step_slices * gflop / 1e6
    hours = petaflop * 1e3 / arguments.tflops / 3600
    print(
        f"{arguments.bundle}: {gflop:.1f} GFLOP a {what}, {step_slices} {what}s a step, {steps} steps: "
        f"{petaflop:.1f} PFLOP\nabout {hours:.1f} hours at {arguments.tflops:g} TFLOP/s"
    )
    if arguments.memory:
        network = _trained(config)
        peak = _peak(network, _slices(config, network, step_slices))
        print(f"peak memory of a step of {step_slices} {what}{'s' * (step_slices > 1)}, float32: {peak:.1f} GiB")


def settings(
    bundle: str, files: Sequence[str] = ("train.yaml",), overrides: Mapping[str, Any] | None = None
) -> ConfigParser:
    """A bundle's configuration as ``monai.bundle run`` reads it; later files and overrides replace earlier values."""
    config = ConfigParser()
    config.read_config([str(BUNDLES / bundle / "configs" / name) for name in files])
    config.parse(True)
    config.update({"bundle_root": str(BUNDLES / bundle), **(overrides or {})})
    return config


def gflop_per_slice(config: ConfigParser) -> tuple[float, float]:
    """GFLOP per slice, summed over its patches or views: of the forward pass alone, and of both passes, forward and
    backward."""
    # counting needs only shapes (device meta); count in a copy, because later callers get the same network from the
    # config
    network = copy.deepcopy(_trained(config)).to("meta")
    with FlopCounterMode(display=False) as counter:
        image = _slices(config, network, 2, "meta")
        output = network(image)
        forward = counter.get_total_flops()
        output.sum().backward()
    return forward / 2e9, counter.get_total_flops() / 2e9


def _trained(config: ConfigParser) -> torch.nn.Module:
    """The module that a step trains: the network, or a learner around it."""
    return config.get_parsed_content("learner_def" if "learner_def" in config else "network_def")


def work(config: ConfigParser, exams: int, slices: int) -> tuple[int, int]:
    """The number of training steps of a config's schedule on a training section of this size, and of the slices in a full
    step. An exam of a knee has one series."""
    epochs, batch = int(config["max_epochs"]), int(config["batch_size"])
    steps = epochs * math.ceil((config.get("samples_per_epoch") or _units(config, exams, slices)) / batch)
    if config.get("transfer") == "multitask":
        # plus the steps of the pretext, which continues; its batches are assumed to be equally large
        steps += math.ceil(steps / int(config["auxiliary_interval"]))
    return steps, batch * _unit(config, exams, slices)


def _unit(config: ConfigParser, exams: int, slices: int) -> int:
    """Number of slices that a batch keeps together: two for pairs; the slices of an exam if a batch consists of whole
    series or of both phases; otherwise 1."""
    if config["train"]["sampler"]["_target_"].endswith("PairSampler"):
        return 2
    if not exams or not _whole_series(config):
        return 1
    each = slices / exams
    if "slices" in config:  # the part of the stack that is used, as shares of its height
        first, last = config["slices"]
        each = max(1, round(each * (last - first)))
    return min(math.ceil(each), config.get("max_slices") or slices)


def _whole_series(config: ConfigParser) -> bool:
    names = (config["train"][part]["_target_"] for part in ("sampler", "dataset"))
    return any(name.endswith(("SeriesSampler", "StackDataset", "TwoPhaseDataset")) for name in names)


def _units(config: ConfigParser, exams: int, slices: int) -> int:
    """Number of units (see `_unit`) in an epoch without a length of its own."""
    if _whole_series(config) and _unit(config, exams, slices) > 1:
        return exams
    per_exam = config.get("samples_per_exam", "all")
    # the datalist counts volumes; a volume has as many slices as the network's grid is wide
    of_volumes = "in_channels" in config and config.get("volumes", True) and config.get("spatial_dims") != 3
    slices = exams * int(config["image_size"]) if of_volumes else slices
    return slices if per_exam == "all" else min(exams * int(per_exam), slices)


def _slices(config: ConfigParser, network: torch.nn.Module, count: int, device: str = "cpu") -> torch.Tensor:
    """Random input of ``count`` slices; a classifier of stacks takes them as one stack, others as pairs, tiles or views."""
    size = int(config["image_size"])
    if "in_channels" in config:  # volumes, their slices, or photographs, or patches of these
        pieces = getattr(network, "patches", getattr(network, "pieces", 1))
        channels, dims = int(config["in_channels"]) * pieces, int(config.get("spatial_dims", 2))
        size = input_side(config, size, dims)
        # exemplar networks see the sample, its transformed version and, unless it is another of the batch, a negative
        views = 2 + (config["negatives_from"] == "dataset") if "negatives_from" in config else 1
        return torch.rand(count * views, channels, *[size] * dims, device=device)
    if isinstance(network, TwoPhaseClassifier):
        return torch.rand(1, 2, size, size, count // 2, device=device)
    if isinstance(network, SharedEncoderNet):
        return torch.rand(count // network.pieces, network.pieces, size, size, device=device)
    # two views of each slice
    image = torch.rand(count, 2 if "learner_def" in config else 1, size, size, device=device)
    return image.permute(1, 2, 3, 0).unsqueeze(0) if isinstance(network, StackClassifier) else image


def _peak(network: torch.nn.Module, image: torch.Tensor) -> float:
    """Memory that two training steps add to the process, GiB."""
    network = place_network(network, "cpu")
    optimizer = torch.optim.Adam(network.parameters())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2):
        network(image).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20


if __name__ == "__main__":
    main()
