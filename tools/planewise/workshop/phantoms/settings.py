"""Settings of a population, as `populations.yaml` declares them: numbers that can be listed and changed by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import field, fields, make_dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import yaml

from planewise.errors import InputError

Same = TypeVar("Same", bound="Settings")
#: By organ: its settings, and populations with other values.
_DECLARED = yaml.safe_load(Path(__file__).with_name("populations.yaml").read_text("utf-8"))


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def declared(organ: str) -> type[Settings]:
    """The base class of an organ's populations: a frozen data class with the settings in ``populations.yaml`` as fields."""
    settings = {name: (_tuples(entry["usual"]), entry) for name, entry in _DECLARED[organ]["settings"].items()}
    entries = [(name, type(usual), field(default=usual, metadata=entry)) for name, (usual, entry) in settings.items()]
    sets = {"sets": _DECLARED[organ].get("sets", {})}
    return make_dataclass(f"Settings of a {organ}", entries, bases=(Settings,), namespace=sets, frozen=True)


def tables(organ: str) -> dict[str, Any]:
    """The tables of an organ in ``populations.yaml``, which describes them, by their names."""
    return _DECLARED[organ]["tables"]


class Settings:
    """Base class of the populations, which are frozen data classes with the settings as fields."""

    sets: ClassVar[Mapping[str, Mapping[str, Any]]]

    @classmethod
    def named(cls: type[Same], name: str) -> Same:
        """The population that ``populations.yaml`` declares under a name."""
        return cls(**{key: _tuples(value) for key, value in cls.sets[name].items()})

    def draw(self, rng: np.random.Generator, *names: str) -> dict[str, float]:
        """Draw values from settings that are ranges, in this order, by name."""
        return {name: rng.uniform(*getattr(self, name)) for name in names}

    def with_values(self: Same, **values: object) -> Same:
        """A copy with some values changed, for example to compare an easier set of exams with a harder one."""
        return replace(self, **values)

    def at_size(self: Same, size: str) -> Same:
        """The same population at a size: ``paper``, with the full matrix, or ``demo``, with coarser images (`demo`)."""
        return self.demo() if size == "demo" else self

    def demo(self: Same) -> Same:
        """The same population, with scans that take a fraction of the work."""
        return self

    def with_text(self: Same, settings: list[str]) -> Same:
        """A copy with values given as ``name=value``, ``name=low,high`` or, for pairs, ``name=6,2,8,2``.

        Raises:
            InputError: a name is unknown, or a value has the wrong form, is not finite, or is a range with its larger
                number first.
        """
        changed: dict[str, Any] = {}
        known = {entry.name: entry for entry in fields(self)}
        for text in settings:
            name, _, value = text.partition("=")
            if name not in known:
                raise InputError(f"unknown setting {name!r}; the settings are {', '.join(known)}")
            usual = getattr(self, name)
            of_pairs = np.ndim(usual) == 2
            try:
                numbers = [float(part) for part in value.split(",")]
            except ValueError:
                numbers = []
            if not numbers or (len(numbers) % 2 if of_pairs else len(numbers) != np.size(usual)):
                wanted = "pairs of numbers" if of_pairs else f"{np.size(usual)} number(s)"
                raise InputError(f"{text!r}: {name} takes {wanted}, as in {name}={_as_text(usual)}")
            falls = len(numbers) == 2 and not of_pairs and numbers[0] > numbers[1]
            if falls or not all(map(math.isfinite, numbers)):
                raise InputError(f"{text!r}: give finite numbers, the lower one first, as in {name}={_as_text(usual)}")
            if numbers[0] < (least := known[name].metadata.get("least", -math.inf)):
                raise InputError(f"{text!r}: {name} must be at least {least}")
            if of_pairs:
                changed[name] = tuple(zip(numbers[::2], numbers[1::2], strict=True))
            else:
                changed[name] = tuple(numbers) if isinstance(usual, tuple) else type(usual)(numbers[0])
        return replace(self, **changed)

    def describe(self) -> list[tuple[str, str, str]]:
        """Name, value and meaning of every setting, as text."""
        return [(entry.name, _as_text(getattr(self, entry.name)), entry.metadata["meaning"]) for entry in fields(self)]


def _as_text(value: object) -> str:
    return ",".join(map(str, np.ravel(value).tolist()))
