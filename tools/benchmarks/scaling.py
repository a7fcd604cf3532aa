"""Disk space, memory and GPU time that a large data set needs, calculated from constants measured here.

    python tools/benchmarks/scaling.py --measure        measure the constants on this machine (about 20 minutes)
    python tools/benchmarks/scaling.py --page tools/docs/scaling.md     write the page's tables from them
    python tools/benchmarks/scaling.py --tflops 100     print the tables for an assumed rate instead of the measured GPU

All numbers in the tables are calculated from the constants that `scaling_constants.py` measures, and from the training steps
in results/h100.json, which `tools/benchmarks/run --only steps` measures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from page import step_times, with_block

CONSTANTS = Path(__file__).resolve().parent / "scaling_constants.json"
#: File with the measured training steps of a GPU.
GPU = Path(__file__).resolve().parent / "results" / "h100.json"
BEGIN = "<!-- written by tools/benchmarks/scaling.py --page from scaling_constants.json; do not edit -->"
END = "<!-- end of what is written -->"

#: Assumptions, which were not measured; see the page.
GPUS = (1, 8, 64)
CORES = 16
NODE_MEMORY_GIB = 128
PROCESSES = 8
NETWORK_STAT_SECONDS = 5e-4


@dataclass(frozen=True)
class DataSet:
    """A data set of the page.

    Attributes:
        name: name of the data set.
        anatomy: ``"cardiac"`` or ``"knee"``.
        exams, slices: number of exams and slices for training.
        epochs: number of epochs in the paper's schedule.
        epoch: number of slices in one epoch.
        assumed: the assumptions, in words.
    """

    name: str
    anatomy: str
    exams: int
    slices: int
    epochs: int
    epoch: int
    assumed: str


DATA_SETS = (
    DataSet(
        "DSBCC",
        "cardiac",
        627,
        135_000,
        500,
        627,
        "about 135,000 slices, 215 from each of the 627 exams that the paper trains on; one file per slice; an epoch takes "
        "one slice of each exam",
    ),
    DataSet(
        "fastMRI knee",
        "knee",
        10_000,
        300_000,
        100,
        300_000,
        "10,000 exams, each with a sagittal series of 30 slices (an overestimate, because not every exam has a series with "
        "fat suppression); one file per slice; an epoch takes all slices",
    ),
    DataSet(
        "UK Biobank",
        "cardiac",
        50_000,
        25_000_000,
        500,
        50_000,
        "50,000 exams of 10 short-axis slices and 50 phases, as DICOM, one file per slice; "
        "an epoch takes one slice of each exam",
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help=f"measure, and write {CONSTANTS.name}")
    parser.add_argument("--page", type=Path, help="write the tables into this page")
    parser.add_argument(
        "--tflops", type=float, help="10^12 operations per second that a GPU sustains; by default the measured rate"
    )
    options = parser.parse_args(arguments)
    if options.measure:
        from scaling_constants import measure

        CONSTANTS.write_text(json.dumps(measure(), indent=1) + "\n")
        print(f"Wrote {CONSTANTS}")
    constants = json.loads(CONSTANTS.read_text())
    if options.page:
        options.page.write_text(render(options.page.read_text(), constants, options.tflops))
        print(f"Wrote {options.page}")
    elif not options.measure:
        print(tables(constants, options.tflops))


def render(page: str, constants: Mapping[str, Any], tflops: float | None = None) -> str:
    """A page's text with its marked block rendered again.

    Raises:
        ValueError: the page has no block.
    """
    return with_block(page, BEGIN, END, f"{tables(constants, tflops)}\n")


def tables(constants: Mapping[str, Any], tflops: float | None = None) -> str:
    """The data sets, what breaks first, and the constants, as Markdown."""
    parts = [
        "### The data sets",
        data_sets(constants, *gpu_rates(constants, tflops)),
        "### What breaks first",
        limits(constants),
    ]
    return "\n\n".join([*parts, "### The constants", measured(constants)])


def gpu_rates(constants: Mapping[str, Any], tflops: float | None = None) -> tuple[dict[str, float], str]:
    """Slices per second of the multitask pretext on one GPU, by anatomy, at a number of TFLOP/s or as measured on hearts; and
    the source of these numbers, in words. Steps on knees were not measured and are assumed to be as fast."""
    gflop = {anatomy: constants[anatomy]["gflop_step"] for anatomy in ("cardiac", "knee")}
    if tflops is not None:
        assumed = f"counted operations of the multitask pretext's network, at an assumed {tflops:g} TFLOP/s on each GPU"
        rates = {anatomy: tflops * 1e3 / each for anatomy, each in gflop.items()}
        return rates, f"Times and rates of GPUs are **calculated**: {assumed}"
    rate = measured_rates()["pretext_cardiac_multitask"]
    name = json.loads(GPU.read_text())["machine"]["gpus"][0]
    source = (
        f"Times and rates of GPUs come from training steps of the multitask pretext, measured on one {name}: {rate:.0f} "
        "slices of hearts per second. Knees are **assumed** to be no slower: one of their slices needs "
        f"{gflop['knee'] / gflop['cardiac']:.0%} of the operations, but a step of one series is too short to keep a GPU busy"
    )
    return dict.fromkeys(gflop, rate), source


def measured_rates() -> dict[str, float]:
    """Slices or volumes per second of the bundles that were trained on a GPU."""
    return {name: 1e3 * each.batch_size / each.milliseconds for name, each in step_times(GPU).items()}


def per_item(constants: Mapping[str, Any]) -> dict[str, float]:
    """Seconds and bytes per item, from the largest datalist and cache that were measured."""
    lists, caches = (max(constants[name], key=lambda entry: entry["items"]) for name in ("datalists", "caches"))
    return {
        "load": lists["load_seconds"] / lists["items"],
        "memory": caches["memory_bytes"] / caches["items"],
        "sampler": lists["sampler_seconds"] / lists["items"],
        "epoch": lists["epoch_seconds"] / lists["items"],
        **{name: caches[f"{name}_seconds"] / caches["items"] for name in ("fingerprint", "open", "targets")},
    }


def data_sets(constants: Mapping[str, Any], rates: Mapping[str, float], source: str) -> str:
    """A table with a column for each data set, as Markdown."""
    columns = [column(data, constants, rates[data.anatomy]) for data in DATA_SETS]
    reads = constants["reading"]
    warm, cold = (reads[f"{name}_slices_per_second"] * reads["bytes_per_slice"] for name in ("warm", "cold"))
    lines = ["| | " + " | ".join(data.name for data in DATA_SETS) + " |", "|---|" + "--:|" * len(DATA_SETS)]
    lines += [f"| {name} | " + " | ".join(cells[name] for cells in columns) + " |" for name in columns[0]]
    lines += [
        "",
        f"One core reads random batches of 20 from a memory-mapped cache at {_bytes(warm)}/s if the pages are in memory, and "
        f"at {_bytes(cold)}/s from this machine's virtual disk after the pages were dropped. A slower disk or a network was "
        f"not measured. {source} (`--tflops` sets another rate). The speeds of several GPUs are assumed to add up.",
        "",
        *(f"- {data.name}: {data.assumed}." for data in DATA_SETS),
    ]
    return "\n".join(lines)


def column(data: DataSet, constants: Mapping[str, Any], rate: float) -> dict[str, str]:
    """The cells of a data set's column, by the name of the row; a GPU trains on ``rate`` slices per second."""
    own, each = constants[data.anatomy], per_item(constants)
    start = sum(each[name] for name in ("load", "fingerprint", "open", "targets", "sampler"))
    size = 2 * own["image_size"] ** 2
    batch = own["batch_size"] * (data.slices // data.exams if data.anatomy == "knee" else 1)
    one_core = data.slices / own["slices_per_second_and_core"]
    a_day = data.slices / 86400
    gpus = {number: f"{number} GPU{'s' if number > 1 else ''}" for number in GPUS}
    return {
        "exams; slices": f"{data.exams:,}; {data.slices:,}",
        "cache on disk: slices x size² x 2 bytes": _bytes(data.slices * size),
        "time to build the cache, on one core": _time(one_core),
        f"time to build the cache, on {CORES} cores, if the disk keeps up": _time(one_core / CORES),
        "time to read all headers for the datalist, on one core": _time(
            data.slices / own["headers_per_second_and_core"]
        ),
        "datalist": _bytes(data.slices * own["datalist_bytes_per_slice"]),
        "memory of items and dataset, in each process": _bytes(data.slices * each["memory"]),
        "time to start a run with a complete cache": _time(data.slices * start),
        "the paper's schedule: epochs x slices": f"{data.epochs} x {data.epoch:,}",
        **{
            f"time of this schedule on {name}": _time(data.epochs * data.epoch / rate / number)
            for number, name in gpus.items()
        },
        "steps in one pass over all slices": f"{-(-data.slices // batch):,}",
        **{f"time of one pass on {name}": _time(data.slices / rate / number) for number, name in gpus.items()},
        "for one pass per day: steps/s (slices/s)": f"{a_day / batch:.2g} ({a_day:.3g})",
        "for one pass per day: TFLOP/s in total": f"{a_day * own['gflop_step'] / 1e3:.2g}",
        "for one pass per day: read rate": f"{_bytes(a_day * size)}/s",
        **{f"read rate of {name}, if busy": f"{_bytes(number * rate * size)}/s" for number, name in gpus.items()},
    }


def limits(constants: Mapping[str, Any]) -> str:
    """A table with the number of slices at which each part exceeds a bound, in increasing order."""
    each, own = per_item(constants), constants["cardiac"]
    memory = NODE_MEMORY_GIB * 2**30
    image = 2 * own["image_size"] ** 2
    found = [
        (
            memory / PROCESSES / each["memory"],
            "memory: every process holds datalist and dataset as Python objects",
            f"{PROCESSES} processes fill the {NODE_MEMORY_GIB} GiB of a node; {_bytes(each['memory'])} per item",
        ),
        (
            600 / each["targets"],
            "computing the targets one by one when a dataset is created",
            f"10 minutes at every start, in every process; {each['targets'] * 1e6:.0f} us per item",
        ),
        (
            600 / each["fingerprint"],
            "the cache's fingerprint: checking each file (stat), and hashing all items",
            f"10 minutes at every start, in every process; {each['fingerprint'] * 1e6:.0f} us per item on a local disk",
        ),
        (
            600 / NETWORK_STAT_SECONDS,
            "the same file checks on a network file system",
            f"10 minutes at an **assumed** {NETWORK_STAT_SECONDS * 1e3:g} ms per file, not measured",
        ),
        (600 / each["load"], "parsing the datalist's JSON", f"10 minutes; {each['load'] * 1e6:.0f} us per item"),
        (
            memory / image,
            "the page cache",
            f"the cache is larger than {NODE_MEMORY_GIB} GiB, so batches are read from the disk",
        ),
        (2**40 / image, "the disk", "the cache exceeds 1 TiB"),
        (
            86400 * own["slices_per_second_and_core"] * CORES,
            "building the cache",
            f"a day on {CORES} cores at {own['slices_per_second_and_core']:.0f} slices/s per core",
        ),
        (
            60 / each["epoch"],
            "drawing the order of an epoch that takes all slices",
            f"a minute before each epoch; {each['epoch'] * 1e6:.2f} us per slice",
        ),
    ]
    lines = ["| slices | limit | what happens then |", "|--:|---|---|"]
    lines += [f"| {_round(count)} | {what} | {bound} |" for count, what, bound in sorted(found)]
    return "\n".join(lines)


def measured(constants: Mapping[str, Any]) -> str:
    """Where the constants are, and where they were measured."""
    here, found = constants["machine"], constants["versions"]
    return (
        f"Measured on {here['processor']}, {here['cores']} cores, {here['memory_gib']} GiB, {here['system']}, with Python "
        f"{found['python']} and torch {found['torch']}, on {constants['date']} at commit {constants['commit']}; one thread. "
        "Times are processor times; only for the dropped pages are they wall-clock times. "
        "`tools/benchmarks/scaling_constants.json` holds all constants; "
        "[devices.md](devices.md) has the training steps of other bundles on the GPU."
    )


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"


def _time(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _round(count: float) -> str:
    """A bound rounded to two digits, which are enough for its accuracy."""
    digits = len(str(int(count))) - 2
    return f"{round(count, -digits):,.0f}"


if __name__ == "__main__":
    main()
