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
from typing import Any, NamedTuple

import torch
from monai.bundle import ConfigParser
from planewise.engines.check_settings import pretext_of_pieces
from planewise.networks import SharedEncoderNet, StackClassifier, TwoPhaseClassifier, place_network
from torch.utils.flop_counter import FlopCounterMode

BUNDLES = Path(__file__).resolve().parent.parent.parent / "bundles"


class Section(NamedTuple):
    """The amount of data in the training section of a datalist; an exam of a knee has one series."""

    exams: int
    slices: int


class Work(NamedTuple):
    """The number of a run's training steps, and of the slices in a full step."""

    steps: int
    step_slices: int


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
    run = work(config, Section(exams, exams * each))
    petaflop = run.steps * run.step_slices * gflop / 1e6
    hours = petaflop * 1e3 / arguments.tflops / 3600
    print(
        f"{arguments.bundle}: {gflop:.1f} GFLOP a {what}, {run.step_slices} {what}s a step, {run.steps} steps: "
        f"{petaflop:.1f} PFLOP\nabout {hours:.1f} hours at {arguments.tflops:g} TFLOP/s"
    )
    if arguments.memory:
        network = _trained(config)
        peak = _peak(network, _slices(config, network, run.step_slices))
        print(
            f"peak memory of a step of {run.step_slices} {what}{'s' * (run.step_slices > 1)}, float32: {peak:.1f} GiB"
        )


def settings(
    bundle: str, files: Sequence[str] = ("train.yaml",), overrides: Mapping[str, Any] | None = None
) -> ConfigParser:
    """A bundle's configuration as ``monai.bundle run`` reads it; later files and overrides replace earlier values."""
    config = ConfigParser()
    config.read_config([str(BUNDLES / bundle / "configs" / name) for name in files])
    config.parse(True)
    for name, value in {"bundle_root": str(BUNDLES / bundle), **(overrides or {})}.items():
        config[name] = value
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


def work(config: ConfigParser, data: Section) -> Work:
    """The work of a training config's schedule on this amount of data."""
    epochs, batch = int(config["max_epochs"]), int(config["batch_size"])
    steps = epochs * math.ceil((config.get("samples_per_epoch") or _units(config, data)) / batch)
    if config.get("transfer") == "multitask":
        # plus the steps of the pretext, which continues; its batches are assumed to be equally large
        steps += math.ceil(steps / int(config["auxiliary_interval"]))
    return Work(steps, batch * _unit(config, data))


def _unit(config: ConfigParser, data: Section) -> int:
    """Number of slices that a batch keeps together: two for pairs; the slices of an exam if a batch consists of whole
    series or of both phases; otherwise 1."""
    if config["train"]["sampler"]["_target_"].endswith("PairSampler"):
        return 2
    if not data.exams or not _whole_series(config):
        return 1
    each = data.slices / data.exams
    if "slices" in config:  # the part of the stack that is used, as shares of its height
        first, last = config["slices"]
        each = max(1, round(each * (last - first)))
    return min(math.ceil(each), config.get("max_slices") or data.slices)


def _whole_series(config: ConfigParser) -> bool:
    train = config["train"]
    whole = (train["sampler"]["_target_"], train["dataset"]["_target_"])
    return any(name.endswith(("SeriesSampler", "StackDataset", "TwoPhaseDataset")) for name in whole)


def _units(config: ConfigParser, data: Section) -> int:
    """Number of units (see `_unit`) in an epoch without a length of its own."""
    if _whole_series(config) and _unit(config, data) > 1:
        return data.exams
    per_exam = config.get("samples_per_exam", "all")
    # the datalist counts volumes; a volume has as many slices as the network's grid is wide
    of_volumes = "in_channels" in config and config.get("volumes", True) and config.get("spatial_dims") != 3
    slices = data.exams * int(config["image_size"]) if of_volumes else data.slices
    return slices if per_exam == "all" else min(data.exams * int(per_exam), slices)


def _slices(config: ConfigParser, network: torch.nn.Module, count: int, device: str = "cpu") -> torch.Tensor:
    """Random input of ``count`` slices; a classifier of stacks takes them as one stack, others as pairs, tiles or views."""
    size = int(config["image_size"])
    if "in_channels" in config:  # volumes, their slices, or photographs, or patches of these
        pieces = getattr(network, "patches", getattr(network, "pieces", 1))
        channels, dims = int(config["in_channels"]) * pieces, int(config.get("spatial_dims", 2))
        pretext = pretext_of_pieces(config)
        size = pretext.network_side((size,) * dims) if pretext else size
        return torch.rand(count * _views(config), channels, *[size] * dims, device=device)
    if isinstance(network, TwoPhaseClassifier):
        return torch.rand(1, 2, size, size, count // 2, device=device)
    if isinstance(network, SharedEncoderNet):
        return torch.rand(count // network.pieces, network.pieces, size, size, device=device)
    # two views of each slice
    image = torch.rand(count, 2 if "learner_def" in config else 1, size, size, device=device)
    return image.permute(1, 2, 3, 0).unsqueeze(0) if isinstance(network, StackClassifier) else image


def _views(config: ConfigParser) -> int:
    """Number of inputs to the network for each sample. In exemplar networks, the inputs are the sample, its transformed
    version and, unless another sample of the batch serves as the negative, a negative."""
    if "negatives_from" not in config:
        return 1
    return 3 if config["negatives_from"] == "dataset" else 2


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
