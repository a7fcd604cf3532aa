"""Phantom exams for time measurements."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def phantom_datalist(
    folder: Path,
    anatomy: str,
    layout: str,
    exams: int = 4,
    written: Sequence[str] = (),
    indexed: Sequence[str] = (),
) -> Path:
    """Write and index a few phantom exams, all for training. Returns the path of their datalist.

    Args:
        folder: folder for the exams and the datalist.
        anatomy: ``"cardiac"``, ``"knee"``, ``"volume"`` or ``"photograph"``.
        layout: layout of ``planewise phantom``, such as ``"dsbcc"`` or ``"mrnet"``.
        exams: number of exams.
        written: further options of ``planewise phantom``.
        indexed: further options of ``planewise index``.

    Raises:
        RuntimeError: one of the commands failed.
    """
    files, datalist = folder / layout, folder / f"{layout}.json"
    environment = os.environ | {"PLANEWISE_SALT_FILE": str(folder / "salt")}
    for command in (
        ["phantom", anatomy, str(files), "--layout", layout, "--exams", str(exams), *written],
        ["index", str(files), "-o", str(datalist), "--anatomy", anatomy, "--split", "1", "0", "0", *indexed],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "planewise", *command], env=environment, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"planewise {command[0]} failed: {done.stderr.strip()[-500:]}")
    return datalist
