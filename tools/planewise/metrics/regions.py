"""Regions that combine several labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planewise.errors import InputError


def region_values(
    structures: Mapping[int | str, str], regions: Mapping[str, Sequence[str]]
) -> dict[tuple[int, ...], str]:
    """The label values to score: the regions, or each structure separately if there are no regions.

    Args:
        structures: label value to name, such as ``{1: "core", 2: "oedema", 4: "enhancing"}``.
        regions: name of each region to the names of its structures, such as ``{"WT": ["core", "oedema", "enhancing"]}``.

    Returns:
        The label values of each region or structure, and its name.

    Raises:
        InputError: a region has an unknown structure.
    """
    values = {name: int(value) for value, name in structures.items()}
    unknown = sorted({part for parts in regions.values() for part in parts} - values.keys())
    if unknown:
        raise InputError(
            f"regions contain unknown structures {', '.join(unknown)}; the structures are {', '.join(values)}: "
            "change --regions"
        )
    if not regions:
        return {(value,): name for name, value in values.items()}
    return {tuple(values[part] for part in parts): name for name, parts in regions.items()}


def region_classes(structures: Mapping[int | str, str], regions: Mapping[str, Sequence[str]]) -> list[tuple[int, ...]]:
    """Like `region_values`, with the network's class numbers: the structures in order, from 1."""
    return list(region_values(dict(enumerate(structures.values(), start=1)), regions))
