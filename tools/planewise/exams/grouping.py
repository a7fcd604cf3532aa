"""Group frames into exams: by patient, study and frame of reference, and by folder if the headers do not identify the
study."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from planewise.exams.exam import Exam
from planewise.exams.frame import Frame
from planewise.exams.stacks import build_stacks
from planewise.findings import finding
from planewise.words import natural_order

#: PatientIDs that anonymisation tools write: they do not identify a patient, so the study takes the patient's place.
_NOBODY = {
    "anon", "anonymous", "anonymized", "anonymised", "anonymize", "deidentified", "unknown", "none", "null", "na", "nan",
    "removed", "masked", "hidden", "xxx", "xxxx", "patient", "subject", "test", "phantom", "noid", "noname",
}  # fmt: skip
#: An identifier says nothing if each of at least this many images of one series has its own.
_EACH_ITS_OWN = 3
#: The identifiers that programs write anew for each file, and their keywords.
_WRITTEN_ANEW = {
    "series": "SeriesInstanceUID", "study": "StudyInstanceUID", "frame_of_reference": "FrameOfReferenceUID",
}  # fmt: skip


def group_exams(frames: Iterable[Frame], folder: Path) -> list[Exam]:
    """Exams: the frames of one patient and study that share a frame of reference.

    Args:
        frames: frames from `dicom.read_header`.
        folder: the indexed folder; an exam's folder below it replaces a missing study identifier.

    Returns:
        Exams in the order of their folders, with stacks and findings, but without hashes and before recognition.
    """
    studies = defaultdict(lambda: defaultdict(list))
    frames, says_nothing = _without_identifiers_of_files(list(frames))
    for frame in frames:
        study = f"study:{frame.study}" if frame.study else f"folder:{exam_folder(frame.path, folder)}"
        studies[study][frame.patient].append(frame)
    grouped = defaultdict(list)
    for study, patients in studies.items():
        for patient, members in _patients_of(study, patients).items():
            for frame in members:
                grouped[study, patient, frame.frame_of_reference].append(frame)
    references = Counter((study, patient) for study, patient, _ in grouped)
    exams = []
    for (study, patient, reference), members in grouped.items():
        found = []
        own = set().union(*(says_nothing.get(frame.path, ()) for frame in members))
        # without a frame of reference, positions within one study still agree
        if own - {"frame_of_reference"}:
            names = [keyword for name, keyword in _WRITTEN_ANEW.items() if name in own]
            found.append(finding("identifiers-of-files", names=names))
        if not reference:
            found.append(finding("exam-grouped", shared=study.partition(":")[0], kind="no-frame-of-reference"))
        if (count := references[study, patient]) > 1:
            found.append(finding("exam-grouped", count=count, kind="several-frames-of-reference"))
        members, copies = _drop_copies(members)
        if copies:
            found.append(finding("exam-grouped", count=copies, kind="copies"))
        identifier = next((frame.patient for frame in members if frame.patient), "")
        exams.append(
            Exam(
                key="|".join([study, *filter(None, [patient]), reference]),
                patient_key=f"patient:{identifier}" if _is_named(identifier) else study,
                folder=common_folder(members),
                stacks=build_stacks(members),
                findings=found,
            )
        )
    return sorted(exams, key=lambda exam: (natural_order(str(exam.folder)), exam.key))


def _without_identifiers_of_files(frames: list[Frame]) -> tuple[list[Frame], dict[str, set[str]]]:
    """Replace identifiers that say nothing, because a program wrote a new one into each file, by what still agrees.

    There is such a program if each of at least `_EACH_ITS_OWN` images of a series, or of a slice in it, has its own
    identifier. Here, a series consists of the images of one patient and day that agree in the series' number and
    description, the matrix, the pixel spacing and the orientation, but not in their numbers and times. Then the
    identifiers that only one file of this patient and day has are replaced. Those that files share stay, so stacks in
    different frames of reference are never related.

    Returns:
        The frames, and the names of the replaced identifiers by path.
    """
    replaced: dict[str, set[str]] = defaultdict(set)
    owners, looks = [_owner(frame) for frame in frames], [_look(frame) for frame in frames]
    for name in _WRITTEN_ANEW:
        files, alike = defaultdict(set), defaultdict(set)
        for frame, owner, (look, place) in zip(frames, owners, looks, strict=True):
            identifier = getattr(frame, name)
            files[owner, identifier].add(frame.sop or frame.path)
            for of_one in ((owner, look), (owner, look, place)):
                alike[of_one].add(((frame.instance, frame.trigger), identifier))
        anew = {
            owner
            for (owner, *_), images in alike.items()
            if len(images) >= _EACH_ITS_OWN
            and all(len({*values}) == len(images) for values in zip(*images, strict=True))
        }
        for index, (frame, owner) in enumerate(zip(frames, owners, strict=True)):
            if owner in anew and len(files[owner, getattr(frame, name)]) == 1:
                agrees = {"series": repr(looks[index][0][:2]), "study": repr(owner) if _is_named(frame.patient) else ""}
                frames[index] = replace(frame, **{name: agrees.get(name, "")})
                replaced[frame.path].add(name)
    return frames, replaced


def _owner(frame: Frame) -> tuple[str, int]:
    """The patient and day of a frame; the folder, if the header does not name the patient."""
    return frame.patient if _is_named(frame.patient) else frame.folder, frame.study_day


def _look(frame: Frame) -> tuple[tuple, tuple]:
    """What the images of a series have in common, and what those of a slice also have in common."""
    rounded = np.round(np.asarray(frame.affine)[:3], 4)
    series = frame.series_number, frame.description
    return (series, frame.study_day, frame.rows, frame.columns, *rounded[:, :2].flat), tuple(rounded[:, 3])


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


def _is_named(patient: str) -> bool:
    plain = "".join(character for character in patient.lower() if character.isalnum())
    return bool(plain) and plain not in _NOBODY and set(plain) != {"0"} and set(plain) != {"x"}


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
