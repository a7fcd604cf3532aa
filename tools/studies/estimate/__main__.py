"""The command line of the estimate.

    python -m tools.studies.estimate tools/studies/configs/table3_table4.yaml --gpus 1,8
    python -m tools.studies.estimate tools/studies/configs/table3_table4.yaml --measure
    python -m tools.studies.estimate tools/studies/configs/table3_table4.yaml --pretexts orientation,location,simclr

The cost of a slice is counted (operations of the network, at --tflops) or timed (here with --measure, elsewhere with
--seconds-per-step).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from planewise.engines.quiet import keep_quiet
from planewise.errors import InputError

from tools.benchmarks.page import with_block
from tools.studies.estimate.cost import Rates, cost, timed
from tools.studies.estimate.plan import STUDIES, planned, sections, there
from tools.studies.estimate.text import BEGIN, END, page_block, report


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    keep_quiet()
    try:
        study = yaml.safe_load(options.config.read_text())
        jobs, counts = planned(options.config, options.pretexts)
        data = {kind: sections(study, kind, options.config) for kind in ("unlabelled", "labelled")}
        rates = Rates(options.tflops, dict(options.seconds_per_step), start=options.start)
        costs = [cost(job, data, rates) for job in jobs]
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
        if options.measure:
            rates.slice = timed(jobs, study["anatomy"], device, options.steps)
            costs = [cost(job, data, rates) for job in jobs]
    except InputError as error:
        sys.exit(f"planewise: {error}")
    lines = report(costs, counts, data, rates, device, options.gpus)
    print("\n".join([f"{study['title']} ({options.config})", "", *lines]))
    if options.page:
        options.page.write_text(with_block(options.page.read_text(), BEGIN, END, page_block(lines)))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.studies.estimate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "config", type=Path, help="config of the study, such as tools/studies/configs/table3_table4.yaml"
    )
    parser.add_argument("--pretexts", type=_names, help="pretexts to use instead of the config's")
    parser.add_argument(
        "--measure", action="store_true", help="time a few training steps of each bundle on this machine"
    )
    parser.add_argument("--steps", type=int, help="number of steps that --measure times (by default 20, or 2 on a CPU)")
    parser.add_argument(
        "--seconds-per-step",
        type=_seconds,
        action="append",
        default=[],
        metavar="BUNDLE=SECONDS",
        help="a step's time, measured elsewhere; may be repeated",
    )
    parser.add_argument(
        "--tflops", type=float, default=10.0, help="10^12 operations per second that the device sustains"
    )
    parser.add_argument("--start", type=float, default=15.0, help="seconds that a job takes to start and end")
    parser.add_argument(
        "--gpus", type=_numbers, default=[1, 8], help="numbers of GPUs to estimate the time for, such as 1,8,64"
    )
    parser.add_argument("--page", type=Path, help="write the table into tools/docs/studies.md too, between its marks")
    options = parser.parse_args(arguments)
    if not options.config.is_file():
        parser.error(f"there is no study {options.config}; see {STUDIES / 'configs'} for existing studies")
    return options


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.strip("[]").split(",") if name.strip()]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in _names(text)]


def _seconds(text: str) -> tuple[str, float]:
    name, _, seconds = text.partition("=")
    if not there(name.partition("+")[0]):
        raise argparse.ArgumentTypeError(f"there is no bundle {name}")
    return name, float(seconds)


if __name__ == "__main__":
    main()
