"""Command lines of `python -m monai.bundle run`: in a text, and which configs they name."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

from planewise.engines.overrides import config_file_text


def config_files(arguments: Sequence[str]) -> list[str]:
    """Names of the files that ``--config_file`` gives, without their folders."""
    text = config_file_text(arguments)
    if text is None:
        return []
    files = yaml.safe_load(text)
    return [Path(str(file)).name for file in (files if isinstance(files, list) else [files])]


def documented_runs(readme: str) -> list[list[str]]:
    """The arguments of every ``monai.bundle run`` in a text's blocks of commands."""
    runs = []
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", readme, re.S | re.M):
        for line in block.replace("\\\n", " ").splitlines():
            if language not in ("", "bash", "sh") or "monai.bundle run" not in line:
                continue
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                continue
            if "run" in words:
                runs.append(words[words.index("run") + 1 :])
    return runs
