"""Group frames into exams: by patient, study and frame of reference, and by folder if the headers do not identify the
study."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from planewise.exams.exam import Exam
from planewise.exams.series_names import NOBODY
from planewise.exams.stack import Frame
from planewise.exams.stacks import build_stacks
from planewise.findings import finding
from planewise.words import natural_order

if TYPE_CHECKING:
    from planewise.exams.scan import Scan  # needs pydicom

#: Identifiers of a single image say nothing if a patient has at least this many of them.
_EACH_ITS_OWN = 3


def group_exams(frames: Iterable[Frame], folder: Path) -> list[Exam]:
    """Exams: the frames of one patient and study that share a frame of reference, in the order of their folders, with
    stacks and findings. An exam's folder below the indexed one, ``folder``, replaces a missing study identifier."""
    studies = defaultdict(lambda: defaultdict(list))
    frames = list(frames)
    _forget_identifiers_of_files(frames)
    for frame in frames:
        study = f"study:{frame.study}" if frame.study else f"folder:{exam_folder(frame.path, folder)}"
        studies[study][frame.patient].append(frame)
    grouped = defaultdict(list)
    for study, patients in studies.items():
        # usually, a study has one patient, to whom its frames without a PatientID belong, too
        of_one = study.startswith("study:") and len({*patients} - {""}) < 2
        for patient, members in patients.items():
            for frame in members:
                grouped[study, "" if of_one else patient, frame.frame_of_reference].append(frame)
    references = Counter((study, patient) for study, patient, _ in grouped)
    exams = []
    for (study, patient, reference), members in grouped.items():
        found = []
        if not reference:  # positions within one study still agree
            found.append(finding("exam-grouped", shared=study.partition(":")[0], kind="no-frame-of-reference"))
        if (count := references[study, patient]) > 1:
            found.append(finding("exam-grouped", count=count, kind="several-frames-of-reference"))
        members = _without_copies(members)
        identifier = next((frame.patient for frame in members if frame.patient), "")
        key = "|".join([study, *filter(None, [patient]), reference])
        owner = f"patient:{identifier}" if _is_named(identifier) else study
        exams.append(Exam(key, owner, common_folder(members), build_stacks(members), found))
    return sorted(exams, key=lambda exam: (natural_order(str(exam.folder)), exam.key))


def _forget_identifiers_of_files(frames: Sequence[Frame]) -> None:
    """Replace identifiers of a single image, if a patient has at least `_EACH_ITS_OWN` of them, because a program wrote a new
    one into each file. Those that images share stay, so stacks in different frames of reference are never related."""
    for name in ("series", "study", "frame_of_reference"):
        keys = [(frame.patient or frame.folder, getattr(frame, name)) for frame in frames]
        images = Counter(keys)
        alone = Counter(owner for (owner, _), count in images.items() if count == 1)
        for frame, key in zip(frames, keys, strict=True):
            if images[key] == 1 and alone[key[0]] >= _EACH_ITS_OWN:
                setattr(frame, name, repr((frame.series_number, frame.description)) if name == "series" else "")


def _is_named(patient: str) -> bool:
    plain = "".join(character for character in patient.lower() if character.isalnum())
    return bool(plain) and plain not in NOBODY and set(plain) != {"0"} and set(plain) != {"x"}


def exam_folder(path: str, folder: Path) -> str:
    """The folder of an exam whose files do not identify their study: the folder of the file, or the parent of this
    folder if it is named like a series (``study/sax_5``, ``Se3``)."""
    own = Path(path).parent
    relative = own.relative_to(folder) if own.is_relative_to(folder) else own
    if re.match(r"(sax|lax|rvot|[234]ch|se|ser|series)[_ -]?\d+", own.name.lower()) and relative.parts:
        relative = relative.parent
    return relative.as_posix()


def common_folder(frames: Sequence[Frame]) -> Path:
    """The folder that contains all frames' files."""
    return Path(os.path.commonpath({frame.folder for frame in frames}))


def _without_copies(frames: list[Frame]) -> list[Frame]:
    """The first of the copies of each image; frames without a SOPInstanceUID are all kept."""
    first: dict[tuple, Frame] = {}
    affines = np.round([frame.affine for frame in frames], 3).reshape(len(frames), -1).tolist()
    for frame, affine in zip(frames, map(tuple, affines), strict=True):
        first.setdefault((frame.sop or id(frame), frame.frame, affine, frame.trigger, frame.instance), frame)
    return [*first.values()]


def tell_broken(scan: Scan, exams: Sequence[Exam]) -> None:
    """Flag exams in whose folders files are broken: their slices or phases may be missing."""
    broken = [Path(path).parents for path in scan.broken]
    for exam in exams:
        if count := sum(exam.folder in folders for folders in broken):
            exam.findings.append(finding("broken-files", count=count))
