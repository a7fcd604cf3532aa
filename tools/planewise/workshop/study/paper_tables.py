"""Published numbers, for comparison with ours. The papers measured on patients; we measure on phantoms or your own data.

``paper_tables.yaml`` holds the numbers, and explains the names of methods.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml

Values = TypeVar("Values")
#: Mean and standard deviation.
Spread = tuple[float, float]


@dataclass(frozen=True)
class Paper:
    """The source of the numbers.

    Attributes:
        name: name in a row of a table.
        citation: full citation.
    """

    name: str
    citation: str


@dataclass(frozen=True, eq=False)  # one object per table, so that its rows can be counted
class Published(Generic[Values]):
    """One table of one paper.

    Attributes:
        paper: the paper.
        table: the table's number, a comma, and the data set.
        values: maps each method to its entries in the table.
    """

    paper: Paper
    table: str
    values: Mapping[str, Values]

    @property
    def data(self) -> str:
        """The data set of the numbers."""
        return self.table.partition(", ")[2]


#: Columns of the segmentation tables, in the paper's order: over all structures, and each structure.
STRUCTURES = ("mean", "LV", "RV", "myocardium")
#: Nakashima 2022: the parts of a method's name are the backbone, its pretraining (``full`` and ``segmented`` are SimCLR on
#: the data set's own images, whole or cropped to the heart), and the images to classify.
BACKBONES = ("vgg16", "densenet121")
PRETRAININGS = ("none", "imagenet", "full", "segmented")
IMAGES = ("full", "segmented")
#: Columns of Taleb 2020's Table 1: enhancing tumour, whole tumour, tumour core.
TUMOUR_REGIONS = ("ET", "WT", "TC")
#: Entries of the BraTS challenge that Taleb 2020 compares with, single 3D U-Nets like its own.
CHALLENGE = ("popli", "baid", "chandra", "isensee")

_CONTENT: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
_PAPERS = {name: Paper(**entry) for name, entry in _CONTENT["papers"].items()}


def _rows(text: str) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """The keys of each row of a table, and its numbers by column: a number, or mean and standard deviation."""
    header, *lines = (line.split() for line in text.splitlines())
    first = header.index("backbone" if "backbone" in header else "method") + 1
    columns = header[first:]
    for line in lines:
        numbers = list(map(float, line[first:]))
        pairs = zip(numbers[::2], numbers[1::2], strict=False)
        yield line[:first], dict(zip(columns, pairs if len(numbers) > len(columns) else numbers, strict=True))


def _values(text: str) -> dict[str, Any]:
    """The numbers of a table, by method and column. If a table has rows for several numbers of labelled exams, its keys
    are method, number of labelled exams and column. In a table of backbones, backbone and column together form the name
    of a method."""
    found: dict[str, Any] = {}
    for keys, numbers in _rows(text):
        values = {int(name) if name.isdigit() else name: value for name, value in numbers.items()}
        if text.startswith("backbone"):
            found |= {f"{keys[0]}_{name}": value for name, value in values.items()}
        elif len(keys) > 1:
            found.setdefault(keys[1], {})[int(keys[0])] = values
        else:
            found[keys[0]] = values
    return found


def _tables(entries: Sequence[Mapping[str, str]]) -> tuple[Published[Any], ...]:
    return tuple(Published(_PAPERS[entry["paper"]], entry["table"], _values(entry["rows"])) for entry in entries)


def _by_group(score: str) -> dict[Any, tuple[Published[Any], ...]]:
    return {group: _tables(entries) for group, entries in _CONTENT[score].items()}


#: Maps each anatomy to tables of relative location, with each method's MSE, MAE, r, R^2 and explained variance.
LOCATION: dict[str, tuple[Published[dict[str, float]], ...]] = _by_group("location")
#: Maps each segmented stack to tables of Dice by method, number of labelled exams and structure.
SEGMENTATION_DICE: dict[str, tuple[Published[dict[int, dict[str, Spread]]], ...]] = _by_group("segmentation_dice")
#: Average symmetric surface distance in mm, with the same keys.
SEGMENTATION_ASSD: dict[str, tuple[Published[dict[int, dict[str, Spread]]], ...]] = _by_group("segmentation_assd")
#: Macro AUC of five diagnoses from masks, by method and number of exams in the fine-tuning of the segmentation.
DIAGNOSIS_AUC: tuple[Published[dict[int, float]], ...] = _tables(_CONTENT["diagnosis_auc"])
#: Mean AUC of abnormality, ACL tear and meniscal tear, by method and number of labelled exams.
INJURY_AUC: tuple[Published[dict[int, float]], ...] = _tables(_CONTENT["injury_auc"])
#: Maps the number of each table of Nakashima 2022 to its data sets: macro AUC of diagnoses from end-diastole and
#: end-systole.
TWO_PHASE_AUC: dict[int, tuple[Published[float], ...]] = _by_group("two_phase_auc")
#: Dice of brain tumours with all labelled cases, percent, by method, or `CHALLENGE`, and region.
TUMOUR_DICE: Published[dict[str, float]] = _tables(_CONTENT["tumour_dice"])[0]


def beside(
    tables: Sequence[Published[Mapping[int, Values]]], counts: Iterable[int], methods: Iterable[str]
) -> tuple[list[int], list[str]]:
    """The given numbers of labelled exams in order, and the methods for a table that combines a study's results with those of
    the papers: first the study's methods, then the papers' other methods that have results for one of these numbers."""
    own = set(counts)
    names = [method for table in tables for method, row in table.values.items() if own & set(row)]
    return sorted(own), list(dict.fromkeys([*methods, *names]))


def of_these(tables: Sequence[Published[Values]], methods: Collection[str]) -> list[Published[Values]]:
    """The tables to show with a study: those that share the most methods with it.

    Every paper trains from scratch, so a study of one paper's methods would otherwise also show the scratch rows of all
    other papers.
    """
    shared = [len(set(table.values) & set(methods)) for table in tables]
    return [table for table, number in zip(tables, shared, strict=True) if number == max(shared) > 0]
