"""Whether the code or the configs of bundles changed after a study's finished trainings, which stay as they are."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from planewise.exams.words import count_of

#: The rooms of the package that determine what a training learns.
_ROOMS = ("augmentation", "data", "engines", "geometry", "losses", "networks", "preprocessing", "pretexts")


def newer_code(
    out: Path, trainings: Mapping[str, str], starts: Mapping[str, str | None], bundles: Path, package: Path
) -> str:
    """A warning with a line for each bundle whose ``train.yaml``, and one if the package's code, is newer than finished
    trainings of the study; empty if there is none. Copying a study or the code may change these times.

    Args:
        out: the study's folder.
        trainings: the bundle of each training, by the training's folder in ``out``.
        starts: the pretraining that each method starts from; if it runs again, so must the method's trainings.
        bundles: the folder of bundles.
        package: the folder of the package.
    """
    started = {
        place: (out / place / "run.json").stat().st_mtime
        for place in trainings
        if (out / place / "test" / "metrics.json").is_file() and (out / place / "run.json").is_file()
    }
    lines: list[str] = []
    changed: list[str] = []
    for bundle in dict.fromkeys(trainings.values()):
        file = bundles / bundle / "configs" / "train.yaml"
        older = [place for place in started if trainings[place] == bundle and started[place] < _newest([file])]
        if older:
            lines.append(f"{bundle}/configs/train.yaml is newer than {_named(older)}")
            changed += older
    newest = _newest(file for room in _ROOMS for file in (package / room).rglob("*.py"))
    if older := [place for place in started if started[place] < newest]:
        lines.append(f"the code of planewise is newer than {_named(older)}")
        changed += older
    if not lines:
        return ""
    # all trainings of a method, so that its draws stay alike
    again = dict.fromkeys("/".join(place.split("/")[:2]) for place in changed)
    again |= {
        f"finetune/{method}": None
        for method, start in starts.items()
        if f"pretrain/{start}" in again and (out / "finetune" / method).exists()
    }
    lines.append(
        "These trainings are kept, and new ones would be compared with them. If the change matters, train again after\n"
        f"  cd {shlex.quote(str(out))} && rm -r {' '.join(again)}"
    )
    return "\n".join(lines)


def _newest(files: Iterable[Path]) -> float:
    return max((file.stat().st_mtime for file in files if file.is_file()), default=0.0)


def _named(places: list[str]) -> str:
    return f"{count_of(len(places), 'finished training')} ({places[0]}{', ...' if len(places) > 1 else ''})"
