"""Functions that check commands in documents: whether their settings exist, and what they print."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import monai.bundle
from monai.bundle import ConfigParser
from planewise.engines.check_settings import unknown_names

from tests.quick_python import quick_python

#: Options of `python -m monai.bundle run` itself.
_OPTIONS = frozenset(inspect.signature(monai.bundle.run).parameters) | {"args_file"}


def overrides(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The settings on a command line, ``--name value`` or ``--name=value``, with their values as written."""
    for position, argument in enumerate(arguments):
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            if name not in _OPTIONS and not name.startswith("_meta_"):
                yield name, value if equals else next(iter(arguments[position + 1 :]), "")


def unknown_overrides(given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, str | None]:
    """Map each override that a config does not have, such as ``{"sigmaa": 3}``, to the nearest known name, or to None."""
    parser, unknown = ConfigParser(deepcopy(dict(known))), {}
    for name, value in given.items():
        try:
            parser[name.lstrip("+~")] = value
        except (LookupError, TypeError, ValueError):
            unknown[name] = None
    return unknown | unknown_names(parser.get(), known)


def unknown_settings(words: Sequence[str], bundle: Path) -> dict[str, str | None]:
    """Words of a ``monai.bundle run`` that set something that none of its config files has; see `unknown_overrides`."""
    # one file or a list of files
    files = re.findall(r"[^\[\]', ]+", words[words.index("--config_file") + 1])
    assert files
    return unknown_overrides(
        dict(overrides(words)), ConfigParser.load_config_files([str(bundle / file) for file in files])
    )


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
