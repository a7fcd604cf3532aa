"""Find the folders of real patients, whose images cannot come with the code."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def patients_folder(name: str) -> Path:
    """The folder of a data set of patients, which may be absent: that of ``tools/demo --data``, or the one of this name in
    ``$PLANEWISE_REAL_DATA`` or ``../shared/data``."""
    real = Path(os.environ.get("PLANEWISE_REAL_DATA") or ROOT.parent / "shared" / "data")
    return Path(os.environ.get("PLANEWISE_STUDY_DATA") or real / name).expanduser().resolve()
