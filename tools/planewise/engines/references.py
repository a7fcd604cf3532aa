"""Find the settings to which parts of a config refer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from monai.bundle.reference_resolver import ReferenceResolver


def leaves(value: Any) -> Iterator[Any]:
    """The values in nested tables and lists."""
    if isinstance(value, (Mapping, list, tuple)):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from leaves(entry)
    else:
        yield value


def references(value: Any) -> set[str]:
    """The top-level keys to which a part of a config refers; ``@train#dataset`` refers to ``train``."""
    texts = (text for text in leaves(value) if isinstance(text, str))
    return {re.split("::|#", name)[0] for text in texts for name in ReferenceResolver.match_refs_pattern(text)}


def reached(value: Any, config: Mapping[str, Any]) -> set[str]:
    """The keys of a config to which a part of it refers, directly or through other keys."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        new = references(waiting.pop()) & config.keys() - found
        found |= new
        waiting += [config[key] for key in new]
    return found
