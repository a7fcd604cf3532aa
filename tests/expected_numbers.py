"""Compare numbers with stored ones, in ``tests/expected/numbers``; ``pytest --write-expected`` writes them again."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

FOLDER = Path(__file__).parent / "expected" / "numbers"
#: Processors round differently.
RELATIVE, ABSOLUTE = 1e-3, 1e-5
#: The longest list of numbers that is stored as it is, not as statistics; and the largest dictionary of numbers that is
#: written on one line.
_LONGEST, _WIDEST = 5, 12


def numbers(content: Any, place: str = "") -> dict[str, Any]:
    """The numbers in nested dictionaries and lists by their place; texts are left out.

    Long lists and arrays are replaced by statistics; other lists are represented by their first two entries.
    """
    if isinstance(content, np.ndarray):
        return {place: statistics(content)}
    if isinstance(content, list | tuple):
        if not all(isinstance(value, int | float) for value in content):
            return {f"{place}/length": len(content)} | numbers(dict(enumerate(content[:2])), place)
        return {place: list(content)} if len(content) <= _LONGEST else numbers(np.asarray(content), place)
    if not isinstance(content, Mapping):
        return {place: content} if content is None or isinstance(content, int | float) else {}
    plain = {str(key): part for key, part in content.items() if part is None or isinstance(part, int | float)}
    short = len(plain) <= _WIDEST
    parts: list[dict[str, Any]] = [{place: plain}] if plain and short else []
    for key, part in content.items():
        if not short or str(key) not in plain:
            parts.append(numbers(part, f"{place}/{key}".lstrip("/")))
    return {key: value for part in parts for key, value in part.items()}


def statistics(array: np.ndarray) -> dict[str, Any]:
    """Shape, mean, standard deviation, range and, to tell the order of the values, a weighted mean."""
    values = array.astype("float64").ravel()
    values = values[np.isfinite(values)]
    found: dict[str, Any] = {"shape": list(array.shape)}
    if values.size:
        parts = {"mean": values.mean(), "sd": values.std(), "min": values.min(), "max": values.max()}
        parts["order"] = (values * np.cos(np.arange(values.size) % 97)).mean()
        found |= {key: float(part) for key, part in parts.items()}
    return found


def differ(
    found: Any, stored: Any, place: str = "", loose: Mapping[str, float] | None = None, scale: float = 0.0
) -> bool:
    """Whether two values, or lists or dictionaries of them, are further apart than the relative tolerance of their place, as
    in `check_numbers`."""
    if isinstance(found, dict) and isinstance(stored, dict):
        # the tolerance of a mean near 0 follows from its standard deviation
        spread = stored.get("sd")
        scale = abs(spread) if isinstance(spread, int | float) else 0.0
        return found.keys() != stored.keys() or any(
            differ(found[key], stored[key], f"{place}/{key}", loose, scale) for key in stored
        )
    if isinstance(found, list) and isinstance(stored, list):
        scale = max((abs(value) for value in stored if isinstance(value, float)), default=0.0)
        pairs = zip(found, stored, strict=False)
        return len(found) != len(stored) or any(differ(one, other, place, loose, scale) for one, other in pairs)
    if isinstance(found, int | float) and isinstance(stored, int | float):
        relative = next((share for start, share in (loose or {}).items() if re.match(start, place)), RELATIVE)
        return abs(found - stored) > ABSOLUTE + relative * max(abs(stored), scale)
    return bool(found != stored)


def check_numbers(
    name: str, case: str, found: Mapping[str, Any], write: bool, loose: Mapping[str, float] | None = None
) -> None:
    """Compare the numbers of a case with those of ``NAME.json``, or store them there.

    Args:
        name: the file's name without ``.json``; it has an entry for each case.
        case: the entry.
        found: nested dictionaries and lists of numbers and arrays.
        write: store them instead, as ``--write-expected`` asks.
        loose: relative tolerance of numbers whose place begins with this regular expression, where processors lead to
            different results.

    Raises:
        AssertionError: a number differs, is missing or is new.
    """

    file = FOLDER / f"{name}.json"
    values = rounded(numbers(found))
    if write:
        _store(file, case, values)
    stored = json.loads(file.read_text()).get(case)
    assert stored is not None, f"no numbers of {case} are stored; to store them, run pytest with --write-expected"
    wrong = [
        f"  {key}: {values.get(key, 'missing')}, expected {stored.get(key, 'nothing')}"
        for key in sorted(values.keys() | stored.keys())
        if key not in values or key not in stored or differ(values[key], stored[key], key, loose)
    ]
    title = f"{case}: {len(wrong)} of {len(stored)} entries differ; if you meant this, run pytest with --write-expected"
    assert not wrong, "\n".join([title, *wrong[:20]])


def rounded(value: Any) -> Any:
    """Nested values in types that JSON and YAML can hold, with numbers rounded to five digits."""
    if isinstance(value, Mapping):
        return {str(key): rounded(part) for key, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return rounded(value.tolist())
    if isinstance(value, list | tuple):
        # all affines have the same last row
        return [rounded(part) for part in value if part != [0.0, 0.0, 0.0, 1.0]]
    if isinstance(value, float) and math.isfinite(value):
        return 0.0 if abs(value) < 1e-6 else float(f"{value:.5g}")
    return value if isinstance(value, int | str) or value is None else str(value)


def _store(file: Path, case: str, values: dict[str, Any]) -> None:
    with FileLock(Path(tempfile.gettempdir()) / f"planewise_{file.stem}.lock"):  # pytest has several workers
        content = json.loads(file.read_text()) if file.exists() else {}
        content[case] = values
        blocks = []
        for title, known in sorted(content.items()):
            lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(known[key])}" for key in sorted(known))
            blocks.append(f" {json.dumps(title)}: {{\n{lines}\n }}")
        file.write_text("{\n" + ",\n".join(blocks) + "\n}\n")
