"""Regions that combine several labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planewise.errors import InputError


def region_values(
    structures: Mapping[int | str, str], regions: Mapping[str, Sequence[str]]
) -> dict[tuple[int, ...], str]:
    """The label values of each region, or of each structure if there are no regions.

    Args:
        structures: maps label values to names, such as ``{1: "core", 2: "oedema", 4: "enhancing"}``.
        regions: maps the name of each region to the names of its structures, such as
            ``{"WT": ["core", "oedema", "enhancing"]}``.

    Returns:
        Maps the label values of each region or structure to its name.

    Raises:
        InputError: a region has an unknown structure.
    """
    values = {name: int(value) for value, name in structures.items()}
    unknown = sorted({part for parts in regions.values() for part in parts} - values.keys())
    if unknown:
        raise InputError(
            f"the regions contain unknown structures ({', '.join(unknown)}); use only {', '.join(values)} in --regions, or "
            'score each structure by itself with --regions "{}"'
        )
    if not regions:
        return {(value,): name for name, value in values.items()}
    return {tuple(values[part] for part in parts): name for name, parts in regions.items()}


def region_classes(structures: Mapping[int | str, str], regions: Mapping[str, Sequence[str]]) -> list[tuple[int, ...]]:
    """The network's class numbers of each region or structure. Structures are numbered in order, from 1."""
    return list(region_values(dict(enumerate(structures.values(), start=1)), regions))
