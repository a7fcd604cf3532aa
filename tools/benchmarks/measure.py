"""Measure one module of `bars`. `table.py` starts this program once per module, so that no module affects another."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path


def main(name: str, options: str, output: str) -> None:
    """Write the bars of a module as JSON.

    Args:
        name: name of the module, such as ``"inference"``.
        options: fields of `Options` as JSON.
        output: file to write: ``{"bars": [...]}``. A module that applies only to some kinds of devices names them, as
            in ``DEVICES = ("cpu",)``; on other devices, the list is empty.
    """
    # imported here, so that worker processes, which import this file, do not wait for torch
    import torch
    from timing import Options

    chosen = Options(**json.loads(options))
    torch.set_num_threads(chosen.threads)
    module = importlib.import_module(f"bars.{name}")
    concerned = torch.device(chosen.device).type in getattr(module, "DEVICES", ("cpu", "cuda"))
    bars: list[dict] = []
    file = Path(output)
    file.write_text(json.dumps({"bars": bars}))
    # a module that yields its bars keeps those that it has measured if it is stopped
    for bar in module.measure(chosen) if concerned else []:
        bars.append(bar.as_dict())
        file.with_suffix(".part").write_text(json.dumps({"bars": bars}))
        file.with_suffix(".part").replace(file)


if __name__ == "__main__":
    main(*sys.argv[1:])
