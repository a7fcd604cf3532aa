"""Measure every module of `bars` and print one table; `tools/benchmarks/run` starts this program."""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from page import GPU_BEGIN, MEASURED, block, gpu_table, render, with_block
from planewise.cores import own_cores
from rich.console import Console
from rich.markdown import Markdown
from timing import Options

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "speed.md"
GPU_PAGE = HERE.parent / "docs" / "devices.md"
#: Packages that may affect the numbers.
PACKAGES = ("torch", "monai", "pytorch-ignite", "numpy", "scipy", "itk", "pydicom")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status: 1 if a bar fails or a module raises."""
    options = _options(arguments)
    if options.only_page:
        _write_pages()
        return 0
    console = Console(width=None if sys.stdout.isatty() else 160)
    found = {"machine": machine(), "versions": versions()}
    earlier = _earlier(options.output, found)
    groups = []
    jobs = [(name, device) for device in options.device for name in options.only]
    for count, (name, device) in enumerate(jobs, start=1):
        print(f"[{count} of {len(jobs)}] {name} on {device}", end=" ", file=sys.stderr, flush=True)
        group = measure(name, Options(device, options.threads, options.repetitions, options.quick, options.cases))
        print(f"{group['seconds']:.0f} s{', an error' if 'error' in group else ''}", file=sys.stderr)
        if group["bars"] or "error" in group:
            groups.append(group)
    console.print(Markdown(block(found | {"groups": groups})))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(found | {"groups": merged(earlier, groups)}, indent=1) + "\n")
        print(f"Wrote {options.output}")
    if options.page:
        _write_pages()
    # the numbers of --quick are meaningless
    failed = [] if options.quick else [bar for group in groups for bar in group["bars"] if bar["passed"] is False]
    wrong = [group for group in groups if "error" in group]
    if failed or wrong:
        print(f"{len(failed)} failed, {len(wrong)} could not be measured")
    else:
        print("everything runs" if options.quick else "all pass")
    return int(bool(failed or wrong))


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, GPUs."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _processor(),
        "cores": own_cores(),
        "native_bfloat16": torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported(),
        "memory_gib": round(pages * size / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
    }


def versions() -> dict[str, str]:
    """Versions of Python and of `PACKAGES`; torch's contains the build, too: +cpu, +cu128."""
    found = {package: metadata.version(package) for package in PACKAGES}
    return {"python": platform.python_version()} | found | {"torch": torch.__version__}


def commit() -> str:
    """Short hash of the checkout's commit, with a + if files differ from it; "unknown" outside a checkout."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
    try:
        return subprocess.check_output(command, text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def measure(name: str, options: Options) -> dict[str, Any]:
    """Measure a module in a separate process.

    Args:
        name: name of the module.
        options: how to measure.

    Returns:
        ``module``, the fields of the options, ``seconds``, ``date``, ``commit``, ``bars`` (each in the form of
        `Bar.as_dict`), and ``error`` if the module raised or its process died.
    """
    threads = str(options.threads)
    os.environ |= {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    started = time.perf_counter()
    found: dict[str, Any] = {"bars": []}
    # a new process for every module, so that no module affects another
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        try:
            found["bars"] = process.submit(measured, name, options).result()
        except Exception as error:  # also a process that was killed
            traceback.print_exc()
            # a path may contain a name, so results record only the type of the error
            found["error"] = type(error).__name__
    return {
        "module": name,
        **asdict(options),
        "seconds": round(time.perf_counter() - started, 1),
        "date": datetime.date.today().isoformat(),
        "commit": commit(),
        **found,
    }


def measured(name: str, options: Options) -> list[dict[str, Any]]:
    """The bars of a module. A module that applies only to some kinds of devices names them, as in ``DEVICES = ("cpu",)``; on
    other devices, the list is empty."""
    torch.set_num_threads(options.threads)
    module = importlib.import_module(f"bars.{name}")
    concerned = torch.device(options.device).type in getattr(module, "DEVICES", ("cpu", "cuda"))
    return [bar.as_dict() for bar in module.measure(options)] if concerned else []


def merged(earlier: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The new groups and the earlier groups that were not measured again, in the order of modules. If only some cases of a
    group were measured again, the notes of the others say when they were measured."""
    new = {(group["module"], group["device"], group["threads"]): group for group in groups}
    old = {(group["module"], group["device"], group["threads"]): group for group in earlier}
    for key, group in new.items():
        if key in old and (group.get("cases") or "error" in group):
            new[key] = {**group, "bars": _with_earlier_bars(group["bars"], old[key])}
        new[key] = {name: value for name, value in new[key].items() if name != "cases"}
    return [group for _, group in sorted((old | new).items())]


def _with_earlier_bars(bars: Sequence[Mapping[str, Any]], earlier: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    kept = {
        bar["name"]: bar
        if MEASURED in bar["note"]
        else {**bar, "note": f"{bar['note']}{MEASURED}{earlier['date']} at commit {earlier['commit']}"}
        for bar in earlier["bars"]
    }
    return [*(kept | {bar["name"]: bar for bar in bars}).values()]


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    # tools/benchmarks/run prints the help
    parser = argparse.ArgumentParser(prog="tools/benchmarks/run", add_help=False, allow_abbrev=False)
    parser.add_argument("--only", type=_names)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", type=_names)
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--cases", type=_names, default=[])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--only-page", action="store_true")
    options = parser.parse_args(arguments)
    known = sorted(path.stem for path in HERE.glob("bars/[!_]*.py"))
    options.only = options.only or known
    if wrong := sorted(set(options.only) - set(known)):
        parser.error(f"there is no module {', '.join(wrong)} in tools/benchmarks/bars; choose from {', '.join(known)}")
    options.device = options.device or ["cpu", *(["cuda:0"] if torch.cuda.is_available() else [])]
    if options.repetitions is None:
        options.repetitions = 2 if options.quick else 15
    if options.quick and options.output and options.output.resolve().is_relative_to(RESULTS):
        parser.error("results of --quick are meaningless; give an --output outside tools/benchmarks/results")
    return options


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _earlier(path: Path | None, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Groups of an earlier results file; exits if they were measured on another machine or with other versions."""
    if path is None or not path.exists():
        return []
    before = json.loads(path.read_text())
    different = [key for key, value in found.items() if before.get(key) != value]
    if different:
        sys.exit(f"{path} was measured with other {' and '.join(different)}; give another --output, or remove the file")
    return before["groups"]


def _write_pages() -> None:
    PAGE.write_text(render(PAGE.read_text(), RESULTS))
    GPU_PAGE.write_text(with_block(GPU_PAGE.read_text(), GPU_BEGIN, gpu_table(RESULTS / "h100.json")))
    print(f"Wrote {PAGE.relative_to(HERE.parent.parent)} and {GPU_PAGE.relative_to(HERE.parent.parent)}")


if __name__ == "__main__":
    sys.exit(main())
