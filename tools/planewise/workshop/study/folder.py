"""The folder of a study: its settings, its runs and their scores."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import planewise
from planewise.errors import InputError
from planewise.exams.anatomies import ANATOMIES
from planewise.files import text as text_files

#: The method that trains from scratch.
SCRATCH = "none"
#: Names on the page of methods that start from no pretext, in studies that give them none.
_NAMES = {
    SCRATCH: "from scratch",
    "imagenet": "ImageNet",
    "released": "the weights that ship",
    "released_task": "the task's weights that ship",
}


@cache
def _pretext_names() -> dict[str, str]:
    """The name that each pretext's bundle declares in its metadata, by the pretext's name in studies (``location`` for
    ``pretext_knee_location``); empty if no bundles are installed."""
    found = {}
    for file in sorted((Path(planewise.__file__).parent / "bundles").glob("pretext_*/configs/metadata.json")):
        words = file.parents[1].name.split("_")[1:]
        found["_".join(words[words[0] in ANATOMIES :])] = json.loads(file.read_text())["planewise"]["method"]
    return found


def method_name(method: str, methods: Mapping[str, Any]) -> str:
    """The name on a page of a method or pretext: its ``name`` in the study's ``methods``, or what its bundle declares."""
    given = (methods.get(method) or {}).get("name") or _NAMES.get(method) or _pretext_names().get(method)
    return given or method.replace("_", " ")


@dataclass(frozen=True)
class StudyFolder:
    """A folder that `tools/studies/label_efficiency.smk` wrote.

    Attributes:
        path: the folder.
        config: the study's configuration, ``study.json``.
    """

    path: Path
    config: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> StudyFolder:
        """The study in a folder.

        Raises:
            InputError: the folder contains no ``study.json``, or the file is not that of a study.
        """
        config = read_json(path / "study.json")
        if config is None:
            what = "has no study.json" if path.is_dir() else "is a file" if path.exists() else "does not exist"
            raise InputError(
                f"{path} {what}; the report needs the folder of a study whose trainings have ended (`out` in its config): "
                "name that folder, or run the study to its end with `tools/demo --configfile STUDY.yaml`"
            )
        # a page may be made from names alone
        methods = config["methods"] if isinstance(config["methods"], dict) else dict.fromkeys(config["methods"])
        return cls(path, {"anatomy": "cardiac", **config, "methods": methods})

    @property
    def title(self) -> str:
        return self.config.get("title") or self.path.name

    @property
    def pretexts(self) -> list[str]:
        """Names of its pretrainings, folders in ``pretrain``."""
        return list(self.config["pretexts"])

    @property
    def methods(self) -> list[str]:
        """Names of its methods, folders in ``finetune``, in the study's order."""
        return list(self.config["methods"])

    def called(self, method: str) -> str:
        """The name of a method or pretext on the page."""
        return method_name(method, self.config["methods"])

    def against(self, method: str) -> list[str]:
        """The methods with which the page compares a method: its ``against``, or training from scratch."""
        given = (self.config["methods"].get(method) or {}).get("against")
        return given or [SCRATCH] * (method != SCRATCH)

    def datalist(self, kind: str) -> Path:
        """The datalist of its ``"unlabelled"`` or ``"labelled"`` exams; the same for both if it has only one."""
        return datalist_of(self.config, kind, self.path)[1]

    def runs(self, kind: str) -> Iterator[tuple[str, int, int, Path]]:
        """Yield the method, number of labelled exams, draw and folder of every run in ``kind/METHOD/COUNT/DRAW``, in the
        order of the study's methods and then of numbers."""
        for method in self.methods:
            folders = [(*path.parts[-2:], path) for path in (self.path / kind / method).glob("*/*")]
            for count, draw, path in sorted(
                (int(count), int(draw), path) for count, draw, path in folders if count.isdecimal() and draw.isdecimal()
            ):
                yield method, count, draw, path


def datalist_of(config: Mapping[str, Any], kind: str, out: Path) -> tuple[str, Path]:
    """The kind and the path of the datalist that a study uses for its ``"unlabelled"`` or ``"labelled"`` exams.

    A study that names no unlabelled exams (no datalist and no phantoms) has only the labelled datalist. Then pretraining
    excludes the patients of its test section too. The study's folder ``out`` has the datalists that it makes itself.
    """
    named = any((config.get(key) or {}).get("unlabelled") is not None for key in ("datalists", "phantom"))
    kind = kind if named else "labelled"
    given = (config.get("datalists") or {}).get(kind)
    return kind, Path(given or out / f"{kind}.json")


def read_json(path: Path) -> dict | None:
    """The table in a JSON file; None if there is no file.

    Raises:
        InputError: it cannot be read, or contains something else.
    """
    if not path.is_file():
        return None
    content = text_files.read_json(path)
    if not isinstance(content, dict):
        raise InputError(
            f"{path} must contain a table of names and values, got {content!r:.40}; run the step that writes it again"
        )
    return content


@dataclass(frozen=True)
class FineTunings:
    """The results of the runs of a study's target, by method and number of labelled exams.

    Attributes:
        study: the study that the runs belong to.
        scores: content of ``metrics.json`` by draw.
    """

    study: StudyFolder
    scores: dict[tuple[str, int], dict[int, dict]]

    @classmethod
    def found(cls, study: StudyFolder, score: str, kind: str = "finetune", scored: str = "test") -> FineTunings:
        """Runs whose ``metrics.json`` contains the named score: those in the study's folder ``kind``, which have their
        scores in the folder ``scored``."""
        runs = cls(study, defaultdict(dict))
        for method, count, draw, folder in study.runs(kind):
            content = read_json(folder / scored / "metrics.json")
            if content and score in content:
                runs.scores[method, count][draw] = content
        return runs

    @property
    def counts(self) -> list[int]:
        """Numbers of labelled exams."""
        return sorted({count for _, count in self.scores})

    @property
    def any(self) -> dict:
        """The metrics of any one run, for information that all runs share, such as the test exams."""
        return next(iter(next(iter(self.scores.values())).values()))

    def cells(self) -> Iterator[tuple[int, str, dict[int, dict]]]:
        """Yield the number of labelled exams, the method, and its metrics by draw, in the page's order."""
        for count in self.counts:
            for method in self.study.methods:
                if draws := self.scores.get((method, count)):
                    yield count, method, draws

    def values(self, score: Callable[[dict], float | None]) -> dict[tuple[str, int], dict[int, float]]:
        """A number for each draw; draws without it are left out."""
        values = {}
        for count, method, draws in self.cells():
            numbers = {draw: score(content) for draw, content in draws.items()}
            values[method, count] = {draw: number for draw, number in numbers.items() if number is not None}
        return values
