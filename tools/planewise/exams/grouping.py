"""Group frames into exams: by patient, study and frame of reference, and by folder if the headers do not identify the
study."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from planewise.exams.exam import Exam
from planewise.exams.frame import Frame
from planewise.exams.stacks import build_stacks
from planewise.exams.words import natural_order

#: PatientIDs that anonymisation tools write: they do not identify a patient, so the study takes the patient's place.
_NOBODY = {
    "anon", "anonymous", "anonymized", "anonymised", "anonymize", "deidentified", "unknown", "none", "null", "na", "nan",
    "removed", "masked", "hidden", "xxx", "xxxx", "patient", "subject", "test", "phantom", "noid", "noname",
}  # fmt: skip


def group_exams(frames: Iterable[Frame], folder: Path) -> list[Exam]:
    """Exams: the frames of one patient and study that share a frame of reference.

    Args:
        frames: frames from `dicom.read_header`.
        folder: the indexed folder; an exam's folder below it replaces a missing study identifier.

    Returns:
        Exams in the order of their folders, with stacks and notes, but without hashes and before recognition.
    """
    studies = defaultdict(lambda: defaultdict(list))
    for frame in frames:
        study = f"study:{frame.study}" if frame.study else f"folder:{exam_folder(frame.path, folder)}"
        studies[study][frame.patient].append(frame)
    exams = defaultdict(list)
    for study, patients in studies.items():
        for patient, members in _patients_of(study, patients).items():
            for frame in members:
                exams[study, patient, frame.frame_of_reference].append(frame)
    references = defaultdict(int)
    for study, patient, _ in exams:
        references[study, patient] += 1
    grouped, studies_of = [], _studies_of_series(exams)
    for (study, patient, reference), members in exams.items():
        notes = []
        if not reference:
            notes.append(
                "no frame of reference in the headers: slices are related only because they share a "
                + ("study" if study.startswith("study:") else "folder")
            )
        if (count := references[study, patient]) > 1:
            notes.append(
                f"the study has {count} frames of reference (the patient was moved): each becomes a separate exam"
            )
        torn = max(len(studies_of[_series_of(frame)]) for frame in members)
        if torn > 1:
            notes.append(
                f"the headers assign one series to {torn} studies, each a separate exam: was it anonymised file by "
                "file?"
            )
        members, copies = _drop_copies(members)
        if copies:
            notes.append("1 image is a copy of another" if copies == 1 else f"{copies} images are copies of others")
        grouped.append(
            Exam(
                key=f"{study}|{patient}|{reference}" if patient else f"{study}|{reference}",
                patient_key=_patient_key(next((f.patient for f in members if f.patient), ""), study),
                folder=common_folder(members),
                stacks=build_stacks(members),
                notes=notes,
            )
        )
    return sorted(grouped, key=lambda exam: (natural_order(str(exam.folder)), exam.key))


def _series_of(frame: Frame) -> tuple[str, str, str] | None:
    """Values that identify a frame's series, which belongs to one study; None if the header lacks them."""
    named = (frame.patient, frame.frame_of_reference, frame.series)
    return named if frame.frame_of_reference and frame.series else None


def _studies_of_series(exams: dict[tuple[str, str, str], list[Frame]]) -> dict[tuple[str, str, str] | None, set[str]]:
    """The studies in which each series has images."""
    found: dict[tuple[str, str, str] | None, set[str]] = defaultdict(set)
    for (study, _, _), members in exams.items():
        for frame in members:
            found[_series_of(frame)].add(study)
    return found | {None: set()}


def _patients_of(study: str, patients: dict[str, list[Frame]]) -> dict[str, list[Frame]]:
    """The frames of a study by patient. If the study's identifier belongs to one patient, all frames are in one group, whose
    name is empty.

    Usually a study has one patient, so its frames without a PatientID are assigned to this patient. If several
    patients share it anyway, or if only a folder identifies the study, PatientID decides.
    """
    named = [patient for patient in patients if patient]
    if study.startswith("study:") and len(named) < 2:
        return {"": [frame for members in patients.values() for frame in members]}
    return patients


def _patient_key(patient: str, study: str) -> str:
    plain = "".join(character for character in patient.lower() if character.isalnum())
    named = plain and plain not in _NOBODY and set(plain) != {"0"} and set(plain) != {"x"}
    return f"patient:{patient}" if named else study


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


def _drop_copies(frames: list[Frame]) -> tuple[list[Frame], int]:
    """Drop copies of an image. Returns the frames that are kept, and the number of copies."""
    seen, kept = set(), []
    for frame in frames:
        geometry = tuple(np.round(np.ravel(frame.affine), 3))
        same = (frame.sop, frame.frame, geometry, frame.trigger, frame.instance)
        if frame.sop and same in seen:
            continue
        seen.add(same)
        kept.append(frame)
    return kept, len(frames) - len(kept)
