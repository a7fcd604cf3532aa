"""What a bundle's training costs: operations counted on its own network and schedule, no GPU needed.

    python tools/benchmarks/training_cost.py pretext_cardiac_multitask --exams 627
    python tools/benchmarks/training_cost.py downstream_cardiac_sax_segmentation --slices 1188
    python tools/benchmarks/training_cost.py pretext_knee_multitask --exams 1000 --series 30

prints GFLOP per slice (forward and backward), steps, PFLOP, and hours at a rate of float32 operations that really arrive;
with ``--memory`` the peak memory of a step.
"""

from __future__ import annotations

import argparse
import math
import resource
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from planewise.networks import StackClassifier
from torch.utils.flop_counter import FlopCounterMode

BUNDLES = Path(__file__).resolve().parent.parent.parent / "bundles"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument(
        "--exams", type=int, default=627, help="exams of which an epoch takes one slice or series each (DSBCC: 627)"
    )
    parser.add_argument("--slices", type=int, help="slices of an epoch, where it takes all of them (ACDC: 1188)")
    parser.add_argument(
        "--series", type=int, help="slices of a series, where a batch holds whole series (fastMRI: about 30)"
    )
    parser.add_argument("--tflops", type=float, default=10.0, help="10^12 operations a second that the device sustains")
    parser.add_argument(
        "--memory", action="store_true", help="run two steps on the processor and print the peak memory"
    )
    arguments = parser.parse_args()

    config = ConfigParser(ConfigParser.load_config_file(str(BUNDLES / arguments.bundle / "configs" / "train.yaml")))
    network = config.get_parsed_content("network_def")
    size, batch, epochs = (config[key] for key in ("image_size", "batch_size", "max_epochs"))
    with FlopCounterMode(display=False) as counter:
        network(_slices(network, 1, size)).sum().backward()
    sample = counter.get_total_flops() / 1e9
    steps = epochs * math.ceil((arguments.slices or arguments.exams) / batch)
    batch *= arguments.series or 1
    total = steps * batch * sample / 1e6
    hours = total * 1e3 / arguments.tflops / 3600
    print(
        f"{arguments.bundle}: {sample:.1f} GFLOP a slice, {batch} slices a step, {steps} steps: {total:.1f} PFLOP\n"
        f"about {hours:.1f} hours at {arguments.tflops:g} TFLOP/s"
    )
    if arguments.memory:
        print(f"peak memory of a step of {batch} slices, float32: {_peak(network, batch, size):.1f} GiB")


def _slices(network: torch.nn.Module, count: int, size: int) -> torch.Tensor:
    """Random input of so many slices; a classifier of stacks takes them as one stack."""
    image = torch.rand(count, 1, size, size)
    return image.permute(1, 2, 3, 0).unsqueeze(0) if isinstance(network, StackClassifier) else image


def _peak(network: torch.nn.Module, count: int, size: int) -> float:
    """GiB that two training steps add to the process."""
    network = network.to(memory_format=torch.channels_last)
    optimizer, image = torch.optim.Adam(network.parameters()), _slices(network, count, size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2):
        network(image).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20


if __name__ == "__main__":
    main()
