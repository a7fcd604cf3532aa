"""The folder of a study and its contents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planewise import text_files
from planewise.errors import InputError
from planewise.exams import sections
from planewise.exams.anatomies import ANATOMIES, seen_from
from planewise.exams.anatomy import Anatomy, Words


def _are_names(value: Any) -> bool:
    return isinstance(value, (list, dict)) and all(isinstance(name, str) for name in value)


#: Each setting of a study that its page reads, with a check of its value and a description of valid values.
_FORMS: Sequence[tuple[str, Callable[[Any], bool], str]] = (
    ("pretexts", _are_names, "a list of names"),
    ("methods", _are_names, "a list of names, or names with settings"),
    ("anatomy", lambda value: value in (None, *ANATOMIES), f"one of {', '.join(ANATOMIES)}"),
    ("title", lambda value: value is None or isinstance(value, str), "a text"),
    ("view", lambda value: value is None or isinstance(value, str), "the name of a view"),
    ("label_counts", lambda value: value is None or isinstance(value, list), "a list of numbers"),
    ("draws", lambda value: value is None or isinstance(value, list), "a list of numbers"),
)


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
        for key, holds, wanted in _FORMS:
            if not holds(config.get(key)):
                raise InputError(
                    f"{path / 'study.json'}: {key} must be {wanted}; run label_efficiency.smk again to rewrite the file"
                )
        # a page may be made from names alone
        return cls(path, {"anatomy": "cardiac", **config})

    @property
    def title(self) -> str:
        return self.config.get("title") or self.path.name

    @property
    def anatomy(self) -> Words:
        """Words for the study's anatomy."""
        return self._anatomy.words

    @property
    def stack(self) -> str:
        """The stack that methods learn from: ``"sax"``, ``"4ch"``, ``"sagittal"``."""
        return self._anatomy.stack

    @property
    def _anatomy(self) -> Anatomy:
        return seen_from(ANATOMIES[self.config["anatomy"]], self.config.get("view"))

    @property
    def labelled(self) -> str:
        """The page's word for a labelled exam."""
        return "graded photograph" if self.config["anatomy"] == "photograph" else "labelled exam"

    @property
    def has_patients(self) -> bool:
        """Whether the labelled exams are real patients, whose images may not be on a page that others see."""
        return bool(self.config.get("patients"))

    @property
    def has_folds(self) -> bool:
        """Whether the draws are folds of a cross-validation."""
        return "{draw}" in str((self.config.get("target") or {}).get("arguments", ""))

    @property
    def pretexts(self) -> list[str]:
        """Names of its pretrainings, folders in ``pretrain``."""
        return list(self.config["pretexts"])

    @property
    def methods(self) -> list[str]:
        """Names of its methods, folders in ``finetune``, in the study's order."""
        return list(self.config["methods"])

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """The settings of each method; empty if the config only names them."""
        methods = self.config["methods"]
        return {name: given or {} for name, given in methods.items()} if isinstance(methods, dict) else {}

    @property
    def repeats(self) -> dict[str, str]:
        """Maps each method that pretrains again with another seed to the method that it repeats."""
        settings = self.settings
        found: dict[str, str] = {}
        for name, given in settings.items():
            if "seed" not in given.get("overrides", {}).get("pretrain", {}):
                continue
            for other in settings:
                if other not in (name, *found) and _unseeded(given) == _unseeded(settings[other]):
                    found[name] = other
                    break
        return found

    def lacks(self, key: str, number: int) -> bool:
        """Whether the study's ``"label_counts"`` or ``"draws"`` lack a number, so that its trainings are from earlier
        settings."""
        # numbers from the command line are texts
        return str(number) not in map(str, self.config.get(key) or [number])

    def datalist(self, kind: str) -> Path:
        """The datalist of its ``"unlabelled"`` or ``"labelled"`` exams; the same for both if it has only one."""
        return datalist_of(self.config, kind, self.path)[1]

    @property
    def labelled_exams(self) -> int:
        """The number of labelled exams in the training section; if none has a label, of all exams; 0 without a datalist."""
        path = self.datalist("labelled")
        return sections.labelled_exams(sections.parsed_datalist(path), "training") if path.is_file() else 0

    def runs(self, kind: str) -> Iterator[tuple[str, int, int, Path]]:
        """Yield the method, number of labelled exams, draw and folder of every run in ``kind/METHOD/COUNT/DRAW``, in the
        order of the study's methods and then of numbers."""
        for method in self.methods:
            folders = [(*path.parts[-2:], path) for path in (self.path / kind / method).glob("*/*")]
            for count, draw, path in sorted(
                (int(count), int(draw), path) for count, draw, path in folders if count.isdecimal() and draw.isdecimal()
            ):
                yield method, count, draw, path

    def run(self, method: str, count: int, draw: int) -> Path:
        """The folder of a fine-tuning."""
        return self.path / "finetune" / method / str(count) / str(draw)


def datalist_of(config: Mapping[str, Any], kind: str, out: Path) -> tuple[str, Path]:
    """The kind and the path of the datalist that a study uses for its ``"unlabelled"`` or ``"labelled"`` exams.

    A study that names no unlabelled exams (no datalist, no phantoms and no expected numbers) has only the labelled datalist.
    Then pretraining excludes the patients of its test section too.

    Args:
        config: the study's config.
        kind: ``"unlabelled"`` or ``"labelled"``.
        out: the study's folder, which has the datalists that the study makes itself.
    """
    named = any((config.get(key) or {}).get("unlabelled") is not None for key in ("datalists", "phantom", "expected"))
    kind = kind if named else "labelled"
    given = (config.get("datalists") or {}).get(kind)
    return kind, Path(given or out / f"{kind}.json")


def _unseeded(given: dict[str, Any]) -> dict[str, Any]:
    """Settings of a method without the seed of its pretraining."""
    overrides = given.get("overrides", {})
    pretrain = {key: value for key, value in overrides.get("pretrain", {}).items() if key != "seed"}
    return given | {"overrides": {kind: value for kind, value in {**overrides, "pretrain": pretrain}.items() if value}}


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
