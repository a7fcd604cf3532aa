"""Find the command lines of `python -m monai.bundle run` in a text."""

from __future__ import annotations

import re
import shlex


def documented_runs(readme: str, bundle: str | None = None) -> list[list[str]]:
    """The arguments of every ``monai.bundle run`` in the code blocks of a text.

    Args:
        readme: the text.
        bundle: name of the bundle's folder. If the text mentions this folder, runs after a ``cd`` into another bundle
            are left out.
    """
    runs = []
    named = bundle is not None and f"/{bundle}" in readme
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", readme, re.S | re.M):
        elsewhere = False
        for line in block.replace("\\\n", " ").splitlines():
            if there := re.match(r"cd \S*\b((?:pretext|downstream)_\w+)", line):
                elsewhere = named and there[1] != bundle
            if elsewhere:
                continue
            if language not in ("", "bash", "sh") or "monai.bundle run" not in line:
                continue
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                continue
            if "run" in words:
                runs.append(words[words.index("run") + 1 :])
    return runs
