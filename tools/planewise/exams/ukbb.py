"""Exams in the form of UK Biobank pipelines: a folder for each participant, a NIfTI file for each view.

``sa``, ``la_2ch`` and ``la_4ch`` are cines; ``la_4ch_ED`` and ``la_4ch_ES`` are frames of a cine, and
``label_la_4ch_ED`` is the manual mask of a frame. The names come from the public pipeline of W. Bai and colleagues
(baiwenjia/ukbb_cardiac), which keeps the scanner's affines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from planewise.exams.mnms2 import CINE_OF_FRAMES
from planewise.exams.volume import Skipped, Volume
from planewise.files.masks import read_mask
from planewise.files.names import stem
from planewise.files.nifti import UNREADABLE
from planewise.findings import finding

#: Maps the files' codes to ours: 1 left ventricle, 2 myocardium, 3 right ventricle, and in 4ch 4 left and 5 right
#: atrium.
LABEL_MAP = {1: 3, 2: 2, 3: 1}
ALL_LABEL_MAP = LABEL_MAP | {4: 4, 5: 5}
#: In 4ch, if only the atria were drawn: the pipeline's own files use 1 for the left and 2 for the right atrium.
ATRIA_LABEL_MAP = {1: 4, 2: 5}

_VIEWS = {"sa": "sax", "la_2ch": "2ch", "la_3ch": "3ch", "la_4ch": "4ch"}
_PHASES = ("ED", "ES")
_PREDICTION = re.compile(r"seg\d?_")


def is_exam(files: list[Path]) -> bool:
    """Whether the files of a folder are one participant's: one of them is named like a view, or a frame of one."""
    names = {stem(path).lower() for path in files}
    return any(names & {view, f"{view}_ed", f"{view}_es"} for view in _VIEWS)


def read_exam(home: Path, files: list[Path], skipped: Skipped) -> list[Volume]:
    """A participant's volumes: for each view, the frames if one of them has labels, otherwise the cine."""
    by_stem = {stem(path).lower(): path for path in files}
    volumes = []
    for name, view in _VIEWS.items():
        cine = by_stem.pop(name, None)
        frames = {phase: by_stem.pop(f"{name}_{phase.lower()}", None) for phase in _PHASES}
        labels = {phase: by_stem.pop(f"label_{name}_{phase.lower()}", None) for phase in _PHASES}
        for phase in _PHASES:
            if labels[phase] is not None and frames[phase] is None:
                skipped[finding("mask-not-used", kind="alone")].append(str(labels[phase]))
                labels[phase] = None
        images = {phase: frame for phase, frame in frames.items() if frame is not None}
        if cine is not None and not any(labels.values()):
            if images:
                skipped[finding("file-not-used", kind="cine")] += map(str, images.values())
            volumes.append(Volume(cine, None, home.name, view=view))
            continue
        if cine is not None:
            skipped[CINE_OF_FRAMES].append(str(cine))
        label_map = LABEL_MAP
        if view == "4ch":
            only_atria = any(labels.values()) and _largest_value(labels.values()) <= max(ATRIA_LABEL_MAP)
            label_map = ATRIA_LABEL_MAP if only_atria else ALL_LABEL_MAP
        volumes += [
            Volume(image, labels[phase], home.name, phase, view=view, label_map=label_map)
            for phase, image in images.items()
        ]
    for name, path in by_stem.items():
        code, kind = ("mask-as-image", "predicted") if _PREDICTION.match(name) else ("file-not-used", "image")
        skipped[finding(code, kind=kind)].append(str(path))
    return volumes


def _largest_value(labels: Iterable[Path | None]) -> int:
    """The largest voxel value of some masks. Unreadable masks are ignored here; the code that reads masks reports
    them."""
    values = [0]
    for path in labels:
        with suppress(*UNREADABLE):
            values.append(int(read_mask(path)[0].max()) if path else 0)
    return max(values)
