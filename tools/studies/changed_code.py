"""Whether the code or the configs of bundles differ from those of a study's finished trainings, which stay as they are."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from planewise.checksum import code_sha256, sha256
from planewise.errors import InputError
from planewise.exams.words import count_of
from planewise.text_files import read_json


def changed_code(
    out: Path, trainings: Mapping[str, str], starts: Mapping[str, str | None], bundles: Path, package: Path
) -> str:
    """A warning with a line for each bundle whose ``train.yaml``, and one if the package's code, differs from that of
    finished trainings of the study (their ``run.json``); empty if there is none. Trainings of earlier versions, which
    recorded neither, are not compared.

    Args:
        out: the study's folder.
        trainings: the bundle of each training, by the training's folder in ``out``.
        starts: the pretraining that each method starts from; if it runs again, so must the method's trainings.
        bundles: the folder of bundles.
        package: the folder of the package.
    """
    finished: dict[str, dict] = {}
    for place in trainings:
        if (out / place / "test" / "metrics.json").is_file():
            with suppress(InputError):  # without a record that can be read, there is nothing to compare
                finished[place] = read_json(out / place / "run.json")
    if not finished:
        return ""
    lines: list[str] = []
    changed: list[str] = []

    def compare(what: str, record: str, now: str, places: list[str]) -> None:
        if other := [place for place in places if finished[place].get(record) not in (None, now)]:
            lines.append(f"{what} changed after {_named(other)}")
            changed.extend(other)

    for bundle in dict.fromkeys(trainings[place] for place in finished):
        file = bundles / bundle / "configs" / "train.yaml"
        of_bundle = [place for place in finished if trainings[place] == bundle]
        compare(f"{bundle}/configs/train.yaml", "train.yaml", sha256(file) if file.is_file() else "", of_bundle)
    compare("the code of planewise", "code", code_sha256(package), list(finished))
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


def _named(places: list[str]) -> str:
    return f"{count_of(len(places), 'finished training')} ({places[0]}{', ...' if len(places) > 1 else ''})"
