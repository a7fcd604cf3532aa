"""Functions that check commands in documents: whether their settings exist, and what they print."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from monai.bundle import ConfigParser
from planewise.engines.overrides import unknown_overrides

from tests.quick_python import quick_python


def unknown_settings(words: Sequence[str], bundle: Path) -> dict[str, str | None]:
    """Words of a ``monai.bundle run`` that set something that none of its config files has; see `unknown_overrides`."""
    # one file or a list of files
    files = re.findall(r"[^\[\]', ]+", words[words.index("--config_file") + 1])
    assert files
    return unknown_overrides(words, ConfigParser.load_config_files([str(bundle / file) for file in files]))


def printed(script: str, folder: Path) -> str:
    """The output of a shell script in a folder; the script must succeed without a traceback."""
    environment = {**os.environ, "PATH": f"{Path(quick_python()).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        ["bash", "-c", f"set -e\n{script}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}"
    assert "Traceback" not in done.stdout
    return done.stdout
