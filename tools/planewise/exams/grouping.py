"""Group frames into exams: by patient, study and frame of reference, and by folder if the headers do not identify the
study."""

from __future__ import annotations

import os
import re
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from planewise.exams.exam import ISSUER, Exam
from planewise.exams.frame import Frame
from planewise.exams.stacks import build_stacks
from planewise.findings import Finding, finding
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
#: Replaces the date of a study in which one series has several dates.
_TORN = "torn"


def group_exams(
    frames: Iterable[Frame],
    folder: Path,
    places_apart: Callable[[Sequence[Frame]], list[tuple[list[Frame], Finding | None]]] | None = None,
) -> list[Exam]:
    """Exams: the frames of one patient, study and date that share a frame of reference.

    Args:
        frames: frames from `dicom.read_header`.
        folder: the indexed folder; an exam's folder below it replaces a missing study identifier.
        places_apart: see `planewise.exams.anatomy.Anatomy`; each place becomes an exam.

    Returns:
        Exams in the order of their folders, with stacks and findings, but without hashes and before recognition.
    """
    studies, issuers = defaultdict(lambda: defaultdict(list)), defaultdict(set)
    frames, says_nothing = _without_identifiers_of_files(list(frames))
    for frame in frames:
        issuers[frame.patient] |= {frame.issuer} - {""}
        study = f"study:{frame.study}" if frame.study else f"folder:{exam_folder(frame.path, folder)}"
        studies[study][frame.patient].append(frame)
    exams = defaultdict(list)
    for study, patients in studies.items():
        for patient, members in _patients_of(study, patients).items():
            for date, dated in _by_date(members).items():
                for frame in dated:
                    exams[study, patient, date, frame.frame_of_reference].append(frame)
    references, dates = Counter(), defaultdict(set)
    for study, patient, date, _ in exams:
        references[study, patient, date] += 1
        dates[study, patient].add(date)
    grouped, studies_of, people = {}, _studies_of_series(exams), defaultdict(set)
    for (study, patient, date, reference), members in exams.items():
        found = []
        own = set().union(*(says_nothing.get(frame.path, ()) for frame in members))
        # without a frame of reference, positions within one study still agree
        if own - {"frame_of_reference"}:
            names = [keyword for name, keyword in _WRITTEN_ANEW.items() if name in own]
            found.append(finding("identifiers-of-files", names=names))
        if not reference:
            found.append(finding("no-frame-of-reference", shared=study.partition(":")[0]))
        if (count := len(dates[study, patient])) > 1:
            found.append(finding("study-of-several-dates", count=count))
        if date == _TORN:
            found.append(finding("series-torn", kind="dates"))
        if (count := references[study, patient, date]) > 1:
            found.append(finding("several-frames-of-reference", count=count))
        torn = max(len(studies_of[_series_of(frame)]) for frame in members)
        if torn > 1:
            found.append(finding("series-torn", kind="studies", count=torn))
        members, copies = _drop_copies(members)
        if copies:
            found.append(finding("images-copied", count=copies))
        key = "|".join([study, *filter(None, [patient, date.removeprefix(_TORN)]), reference])
        places = places_apart(members) if places_apart else [(members, None)]
        identifier = next((frame.patient for frame in members if frame.patient), "")
        patient_key = _patient_key(identifier, study)
        issuer = next((frame.issuer for frame in members if frame.issuer), "")
        # two hospitals may give the same identifier to different people
        if issuer and len(issuers[identifier]) > 1 and patient_key.startswith("patient:"):
            patient_key += f"{ISSUER}{issuer}"
        people[patient_key].update(fact for frame in members for fact in frame.person)
        grouped[study, patient, date, reference] = [
            Exam(
                # the first place keeps the identifier, and so its hash
                key=key if number == 1 else f"{key}|place {number}",
                patient_key=patient_key,
                folder=common_folder(own),
                stacks=build_stacks(own),
                findings=[*found, *([note] if note else [])],
            )
            for number, (own, note) in enumerate(places, start=1)
        ]
    _relate(grouped)
    every = [exam for exams in grouped.values() for exam in exams]
    for exam in every:
        known = Counter(name for name, _ in people[exam.patient_key])
        differ = sorted(name for name, count in known.items() if count > 1)
        if differ and exam.patient_key.startswith("patient:"):
            exam.findings.append(finding("patient-differs", facts=differ))
    return sorted(every, key=lambda exam: (natural_order(str(exam.folder)), exam.key))


def _relate(grouped: dict[tuple[str, str, str, str], list[Exam]]) -> None:
    """Give each exam the stacks of its study's other frames of reference and of its other dates; ``grouped`` maps study,
    patient, date and frame of reference to exams."""
    of_study = defaultdict(list)
    for (study, patient, *place), exams in grouped.items():
        of_study[study, patient].append((*place, exams))
    for together in of_study.values():
        for date, reference, exams in together:
            for other_date, other_reference, others in together:
                stacks = [stack for other in others for stack in other.stacks]
                for exam in exams:
                    if other_date == date and other_reference != reference:
                        exam.moved += stacks
                    elif other_date != date and other_reference == reference:
                        exam.dated += stacks


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
    people = defaultdict(set)
    for frame, owner in zip(frames, owners, strict=True):
        people[owner] |= set() if _is_named(frame.patient) else {frame.person}
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
            and len(people[owner]) < 2  # else nothing but the identifiers keeps nameless patients of one folder apart
            and all(len({*values}) == len(images) for values in zip(*images, strict=True))
        }
        for index, (frame, owner) in enumerate(zip(frames, owners, strict=True)):
            if owner in anew and len(files[owner, getattr(frame, name)]) == 1:
                agrees = {"series": repr(looks[index][0][:2]), "study": repr(owner) if _is_named(frame.patient) else ""}
                frames[index] = replace(frame, **{name: agrees.get(name, "")})
                replaced[frame.path].add(name)
    return frames, replaced


def _owner(frame: Frame) -> tuple[str, str, int]:
    """The patient and day of a frame; the folder, if the header does not name the patient."""
    return frame.patient if _is_named(frame.patient) else frame.folder, frame.issuer, frame.study_day


def _look(frame: Frame) -> tuple[tuple, tuple]:
    """What the images of a series have in common, and what those of a slice also have in common."""
    rounded = np.round(np.asarray(frame.affine)[:3], 4)
    series = frame.series_number, frame.description
    return (series, frame.study_day, frame.rows, frame.columns, *rounded[:, :2].flat), tuple(rounded[:, 3])


def _by_date(frames: Sequence[Frame]) -> dict[str, list[Frame]]:
    """The frames of a study by date, because an anonymiser may merge a patient's studies; the date is empty if there is only
    one.

    A study has one StudyDate, but its acquisition may last past midnight. If a series has several dates, they do
    not separate studies, and the date is `_TORN`.
    """
    studies, days = {frame.study_day for frame in frames} - {0}, sorted({frame.day for frame in frames} - {0})
    # the first day of each study but the first
    starts = [after for before, after in pairwise(days) if after - before > 1]
    dated, of_series = defaultdict(list), defaultdict(set)
    for frame in frames:
        of_study = frame.study_day if len(studies) > 1 else 0
        date = of_study, bisect(starts, frame.day) if frame.day or not starts else -1
        dated[date].append(frame)
        of_series[frame.series_or_folder].add(date)
    if any(len(found) > 1 for found in of_series.values()):
        return {_TORN: list(frames)}
    return {str(date) if len(dated) > 1 else "": members for date, members in dated.items()}


def _series_of(frame: Frame) -> tuple[str, str, str] | None:
    """Values that identify a frame's series, which belongs to one study; None if the header lacks them."""
    named = (frame.patient, frame.frame_of_reference, frame.series)
    return named if frame.frame_of_reference and frame.series else None


def _studies_of_series(
    exams: dict[tuple[str, str, str, str], list[Frame]],
) -> dict[tuple[str, str, str] | None, set[str]]:
    """The studies in which each series has images."""
    found: dict[tuple[str, str, str] | None, set[str]] = defaultdict(set)
    for (study, *_), members in exams.items():
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


def _is_named(patient: str) -> bool:
    plain = "".join(character for character in patient.lower() if character.isalnum())
    return bool(plain) and plain not in _NOBODY and set(plain) != {"0"} and set(plain) != {"x"}


def _patient_key(patient: str, study: str) -> str:
    return f"patient:{patient}" if _is_named(patient) else study


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
