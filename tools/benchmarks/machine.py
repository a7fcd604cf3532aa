"""Describe the machine of a measurement: hardware, versions, commit. Names of people, hosts and folders are left out."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from planewise.cores import own_cores

ROOT = Path(__file__).resolve().parent.parent.parent
#: Packages that may affect the numbers. The last three are the libraries that we compare with.
PACKAGES = (
    "torch", "monai", "pytorch-ignite", "numpy", "scipy", "itk", "pydicom", "kornia", "batchgeneratorsv2", "torchio"
)  # fmt: skip


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
    """Versions of Python and of `PACKAGES`; "not installed" for a missing package."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            # torch.__version__ contains the build too: +cpu, +cu128
            found[package] = torch.__version__ if package == "torch" else metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit() -> str:
    """Short hash of the checkout's commit, with a + if files differ from it; "unknown" outside a checkout."""
    try:
        name = _git("rev-parse", "--short=10", "HEAD")
        return name + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
