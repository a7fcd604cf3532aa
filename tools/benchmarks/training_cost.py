"""What a bundle's training costs: operations counted on its own network and schedule, no GPU needed.

    python tools/benchmarks/training_cost.py pretext_cardiac_multitask --exams 627
    python tools/benchmarks/training_cost.py downstream_cardiac_sax_segmentation --slices 1188

prints GFLOP per sample (forward and backward), steps, PFLOP, and hours at a rate of float32 operations that really arrive.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from monai.bundle import ConfigParser
from torch.utils.flop_counter import FlopCounterMode

BUNDLES = Path(__file__).resolve().parent.parent.parent / "bundles"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument(
        "--exams", type=int, default=627, help="exams of which an epoch takes one slice each (DSBCC: 627)"
    )
    parser.add_argument("--slices", type=int, help="slices of an epoch, where it takes all of them (ACDC: 1188)")
    parser.add_argument("--tflops", type=float, default=10.0, help="10^12 operations a second that the device sustains")
    arguments = parser.parse_args()

    config = ConfigParser(ConfigParser.load_config_file(str(BUNDLES / arguments.bundle / "configs" / "train.yaml")))
    network = config.get_parsed_content("network_def")
    size, batch, epochs = (config[key] for key in ("image_size", "batch_size", "max_epochs"))
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(1, 1, size, size)).sum().backward()
    sample = counter.get_total_flops() / 1e9
    steps = epochs * math.ceil((arguments.slices or arguments.exams) / batch)
    total = steps * batch * sample / 1e6
    hours = total * 1e3 / arguments.tflops / 3600
    print(f"{arguments.bundle}: {sample:.0f} GFLOP a sample, {batch} samples a step, {steps} steps: {total:.1f} PFLOP")
    print(f"about {hours:.1f} hours at {arguments.tflops:g} TFLOP/s")


if __name__ == "__main__":
    main()
